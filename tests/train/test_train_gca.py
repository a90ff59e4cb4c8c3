"""Aligning graphs with CLIP: who learns from what, what a zero weight leaves out, resumed runs that end the same."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from accelerate.state import AcceleratorState
from torch import nn
from transformers import CLIPImageProcessor, CLIPModel, CLIPVisionConfig, CLIPVisionModelWithProjection

from sg_models.adapters.adapter import read_adapter
from sg_models.adapters.graph_conditioning import AlignedGraphEncoder
from sg_models.files.safetensors_file import write_weights
from sg_models.layers.graph_batch import GraphBatch, graph_batch
from sg_models.layers.graph_vector import LENGTH
from sg_models.layers.picture_tower import PictureTower
from train import train_gca
from train.data.shapes.scene import scene
from train.losses.alignment_losses import ALIGNMENT, LEAST_SAMPLES, MMD
from train.objectives.graph_alignment import (
    Alignment,
    Discriminator,
    FeatureQueue,
    GCAObjective,
    GraphAlignment,
    retrieval,
)
from train.objectives.picture_features import ClipPictures, ShapesPictures, open_picture_tower
from train.report.clip_score import ClipNetwork
from train.report.network_files import Source
from train.running.command_line import UsageError
from train.train_gca import Config, main

SIZES = {"phrase_dim": 6, "graph_dim": 8, "graph_hidden": 8, "graph_layers": 1, "joint_dim": 5}
COUNT = LEAST_SAMPLES


@pytest.fixture
def tower_file(tmp_path: Path) -> Path:
    torch.manual_seed(5)
    path = tmp_path / "tower.safetensors"
    write_weights(path, PictureTower(16).state_dict(), {})
    return path


@pytest.fixture
def config(sg_mini_checkpoint: Path, tower_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Config:
    AcceleratorState._reset_state(True)
    monkeypatch.setattr(train_gca, "VALIDATION_GRAPHS", 3)
    return Config(
        base=str(sg_mini_checkpoint),
        picture_tower=str(tower_file),
        steps=3,
        batch_size=16,
        queue=24,
        warmup=0,
        pictures=20,
        checkpoint_every=1,
        run_dir=tmp_path / "run",
        graph_dim=8,
        graph_hidden=8,
        graph_layers=1,
    )


def batch() -> tuple[GraphBatch, torch.Tensor]:
    """Graphs with random phrases, and features of pictures."""
    torch.manual_seed(1)
    graphs = [scene(seed).graph for seed in range(COUNT)]
    features = [(torch.randn(len(g.objects), 6), torch.randn(len(g.relations), 6)) for g in graphs]
    return graph_batch(graphs, features), LENGTH * nn.functional.normalize(torch.randn(COUNT, 5), dim=-1)


def model(**terms: bool) -> GraphAlignment:
    torch.manual_seed(0)
    return GraphAlignment(
        AlignedGraphEncoder(SIZES), 64, **({"adversarial": True, "pairs": True, "discrepancy": True} | terms)
    )


def moved(module: nn.Module, before: dict[str, torch.Tensor]) -> bool:
    return any(not torch.equal(before[name], tensor) for name, tensor in module.state_dict().items())


def copy(module: nn.Module) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in module.state_dict().items()}


@pytest.mark.parametrize("term", ["generator", "discriminator"])
def test_each_of_the_two_learns_from_its_own_loss_alone(term: str):
    trained = model()
    parts = {"generator": trained.encoder, "discriminator": trained.discriminator}
    learns = parts.pop(term)
    (rests,) = parts.values()
    optimizer = torch.optim.AdamW(trained.parameters(), lr=0.1, weight_decay=0.1)
    before = copy(learns), copy(rests)
    trained(*batch())[term].backward()
    optimizer.step()
    assert moved(learns, before[0]) and not moved(rests, before[1])
    assert all(parameter.grad is None for parameter in rests.parameters())


def test_the_discriminator_that_the_generator_meets_is_the_one_that_is_trained():
    torch.manual_seed(0)
    discriminator, vectors = Discriminator(5).eval(), torch.randn(4, 5)
    expected = nn.functional.binary_cross_entropy_with_logits(discriminator(vectors), torch.ones(4))
    assert discriminator.generator_loss(vectors).item() == expected.item()


def test_nothing_is_drawn_anew_in_a_step(monkeypatch: pytest.MonkeyPatch):
    """The released code makes new random projections in every step: nothing can be learned of them."""
    trained, given = model(), batch()
    modules, projection = [id(m) for m in trained.modules()], trained.encoder.graph_vector.project[1]
    optimizer = torch.optim.SGD(trained.parameters(), lr=0.1)
    before = projection.weight.clone()

    def refuse(*args: object, **more: object) -> None:
        raise AssertionError("a layer was made inside a step")

    monkeypatch.setattr(nn.Linear, "__init__", refuse)
    for _ in range(2):
        optimizer.zero_grad()
        GCAObjective(None, 0.5, 1.0).total(trained(*given)).backward()
        optimizer.step()
    assert [id(m) for m in trained.modules()] == modules
    assert not torch.equal(projection.weight, before), "the projection is not learned"


def test_weights_of_zero_leave_terms_out_and_others_count():
    terms = {name: torch.tensor(value) for name, value in zip(names(model()), (1.0, 20.0, 300.0, 4000.0), strict=True)}
    assert list(terms) == [ALIGNMENT, MMD, "generator", "discriminator"]

    def total(alignment_weight: float, pair_weight: float) -> float:
        return GCAObjective(None, alignment_weight, pair_weight).total(terms).item()

    assert total(1.0, 0.0) == 4300.0  # the paper's adversarial loss alone
    assert total(1.0, 1.0) == 4301.0
    assert total(0.0, 1.0) == 4020.0
    assert total(0.5, 2.0) == pytest.approx(4000 + 0.5 * (300 + 2) + 0.5 * 20)


def names(trained: GraphAlignment) -> list[str]:
    return list(trained(*batch()))


@pytest.mark.parametrize(
    ("switched", "left"),
    [
        ({"adversarial": False}, [ALIGNMENT, MMD]),
        ({"discrepancy": False}, [ALIGNMENT, "generator", "discriminator"]),
        ({"pairs": False}, [MMD, "generator", "discriminator"]),
    ],
)
def test_what_is_switched_off_is_not_there(switched: dict[str, bool], left: list[str]):
    trained = model(**switched)
    assert names(trained) == left
    value = GCAObjective(None, 2 / 3, 1.0).total(trained(*batch()))
    value.backward()
    assert all(parameter.grad is not None for parameter in trained.parameters()), "something does not learn"


def test_a_queue_has_the_newest_first_and_is_of_training_alone():
    queue = FeatureQueue(3, 1)
    first, second = torch.tensor([[1.0], [2.0]]), torch.tensor([[3.0], [4.0]])
    assert queue(first, first + 10)[0].flatten().tolist() == [1, 2]
    both = queue.train(False)(second, second + 10)
    assert both[0].flatten().tolist() == [3, 4], "held-out graphs are measured among themselves"
    graphs, pictures = queue.train()(second.requires_grad_(), second + 10)
    assert graphs.flatten().tolist() == [3, 4, 1, 2] and pictures.flatten().tolist() == [13, 14, 11, 12]
    again = queue(first, first + 10)[0]
    assert again.flatten().tolist() == [1, 2, 3, 4, 1] and not again.requires_grad


def test_mmd_waits_for_enough_samples():
    trained, (graphs, pictures) = model(adversarial=False), batch()
    trained.alignment.queue = FeatureQueue(64, 5)
    vectors = trained.encoder.vectors(graphs)
    found = [trained.alignment(vectors[:16], pictures[:16])[MMD].item() for _ in range(3)]
    assert found[0] == 0.0 < min(found[1:])


def test_a_longer_queue_is_no_smaller_weight():
    """With copies of the batch in the queue, the clouds are the same as without, and so are value and gradient."""
    found = []
    for size, copies in ((0, 0), (3 * COUNT, 3)):
        vectors, pictures = (10 * torch.randn(COUNT, 5, generator=torch.Generator().manual_seed(s)) for s in (1, 2))
        alignment = Alignment(5, size, pairs=False, discrepancy=True)
        for _ in range(copies):
            alignment(vectors, pictures)
        term = alignment(vectors.requires_grad_(), pictures)[MMD]
        term.backward()
        found.append((term.item(), vectors.grad))
    assert found[0][0] == pytest.approx(found[1][0], rel=1e-4)
    torch.testing.assert_close(found[0][1], found[1][1], rtol=1e-3, atol=1e-6)


def test_retrieval_counts_pictures_that_are_nearest_alone():
    assert retrieval(torch.tensor([[3.0, 1.0], [2.0, 1.0]])) == 0.5
    assert retrieval(torch.ones(4, 4)) == 0.0, "vectors that are all alike find nothing"


def test_it_writes_the_encoder_that_was_trained(config: Config):
    main(config)
    file = read_adapter(config.run_dir / "gca.safetensors")
    assert (file.kind, file.base, file.phrase_encoder, file.steps) == ("gca", "sg-mini", "clip", 3)
    encoder = AlignedGraphEncoder(file.config)
    assert encoder.state_dict().keys() == file.state_dict.keys()
    assert file.config["joint_dim"] == 16, "of the picture tower"


def test_a_resumed_run_ends_as_one_that_was_not(config: Config, tmp_path: Path):
    main(config)
    parts = replace(config, run_dir=tmp_path / "parts")
    for stop_at in (1, 2, None):  # MMD begins with the queue in the second step
        AcceleratorState._reset_state(True)
        main(replace(parts, stop_at=stop_at))
    whole, resumed = (read_adapter(run / "gca.safetensors").state_dict for run in (config.run_dir, parts.run_dir))
    assert all(torch.equal(tensor, resumed[name]) for name, tensor in whole.items())


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"batch_size": 8, "queue": 8}, "are 16 samples, of which MMD says nothing; write --queue 24 at least"),
        ({"alignment_weight": 1.5}, "--alignment-weight is a part, 0 to 1, and not 1.5"),
        ({"gca": False, "mmd": False, "pair_weight": 0.0}, "nothing is left to learn"),
        ({"picture_tower": "nowhere.safetensors"}, "no picture tower nowhere.safetensors; run train/train_picture"),
    ],
)
def test_what_cannot_be_is_said_in_words(config: Config, changes: dict, said: str):
    with pytest.raises(UsageError, match=said):
        main(replace(config, **changes))


def test_a_file_that_is_no_tower_is_refused_in_words(sg_mini_checkpoint: Path, tmp_path: Path):
    with pytest.raises(UsageError, match="holds no picture tower"):
        open_picture_tower(str(sg_mini_checkpoint), "cpu")
    write_weights(tmp_path / "other.safetensors", {"project.weight": torch.zeros(4, 4)}, {})
    with pytest.raises(UsageError, match="holds a picture tower of other sizes"):
        open_picture_tower(str(tmp_path / "other.safetensors"), "cpu")
    with pytest.raises(UsageError, match="there is no picture tower at .*nowhere; run train/train_picture_tower"):
        open_picture_tower(str(tmp_path / "nowhere"), "cpu")


def test_a_clip_of_transformers_and_sg_minis_own_are_used_alike(networks: Path, tower_file: Path):
    pictures = np.random.default_rng(0).integers(0, 256, (3, 128, 128, 3), dtype=np.uint8)
    for tower, kind, dim in (
        (open_picture_tower(str(networks / "clip"), "cpu"), ClipPictures, 8),
        (open_picture_tower(str(tower_file), "cpu"), ShapesPictures, 16),
    ):
        assert isinstance(tower, kind) and tower.dim == dim
        features = tower(pictures)
        assert features.shape == (3, dim) and not torch.allclose(features[0], features[1])
        torch.testing.assert_close(features.norm(dim=-1), torch.full((3,), LENGTH))


def test_a_whole_clip_and_its_half_give_its_own_features(networks: Path, tmp_path: Path):
    pictures = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3), dtype=np.uint8)
    clip = CLIPModel.from_pretrained(networks / "clip")
    expected = ClipNetwork(Source(str(networks / "clip"))).embed_pictures(pictures)
    half = CLIPVisionModelWithProjection(
        CLIPVisionConfig(**clip.config.vision_config.to_dict() | {"projection_dim": 8})
    )
    half.vision_model, half.visual_projection = clip.vision_model, clip.visual_projection
    half.save_pretrained(tmp_path / "half")
    CLIPImageProcessor.from_pretrained(networks / "clip").save_pretrained(tmp_path / "half")
    for folder in (networks / "clip", tmp_path / "half"):
        torch.testing.assert_close(ClipPictures(str(folder), "cpu")(pictures), LENGTH * torch.from_numpy(expected))
