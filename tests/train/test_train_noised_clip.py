"""Eyes of guidance: regions that show what is said of them, both trainings, and the file that they end in."""

from pathlib import Path

import numpy as np
import pytest
import torch
from accelerate.state import AcceleratorState

from sg_models.adapters.adapter import AdapterError, read_adapter
from sg_models.adapters.noised_clip import build_noised_encoder, build_picture_tower
from sg_models.files.safetensors_file import read_weights
from sg_models.guidance.windows import WHOLE
from sg_models.verification.shapes.silhouettes import COLOURS
from train import train_noised_clip, train_picture_tower
from train.bases.clip_towers import SGMiniText
from train.data.shapes.shapes_dataset import ShapesSplit
from train.objectives.region_pairs import RegionPairs, draw_region
from train.running.command_line import UsageError


@pytest.fixture(scope="module")
def pairs() -> RegionPairs:
    return RegionPairs(ShapesSplit("val", 30), 128, per_picture=4)


def test_a_window_shows_the_object_that_its_text_names(pairs: RegionPairs):
    batch, checked = pairs(range(30)), 0
    for crop, text in zip(batch.crops(batch.windows, 64), batch.texts, strict=True):
        words = text.split()
        if len(words) != 3:
            continue  # a relation, or the whole
        off = (255 * crop.permute(1, 2, 0) - torch.tensor(COLOURS[words[1]])).norm(dim=-1)
        assert (off < 40).float().mean() > 0.1, text
        checked += 1
    assert checked > 30


def test_windows_differ_from_the_others_at_the_same_regions_but_for_the_whole(pairs: RegionPairs):
    batch = pairs(range(30))
    whole = (batch.windows == torch.tensor(WHOLE)).all(dim=1)
    assert 0.1 < whole.float().mean() < 0.5
    assert torch.equal(batch.windows[whole], batch.others[whole])
    off = (batch.windows - batch.others).abs().amax(dim=1)
    assert (off[~whole] > 0).float().mean() > 0.9 and off.max() < 0.3


def test_the_three_kinds_of_region_come_as_often_as_said(pairs: RegionPairs):
    rng, kinds = np.random.default_rng(0), {"whole": 0, "relation": 0, "object": 0}
    for k in range(2000):
        graph = pairs.graphs[k % 30]
        region = draw_region(graph, rng)
        of_object = region.text in {thing.phrase for thing in graph.objects}
        kinds["whole" if region.box is None else "object" if of_object else "relation"] += 1
    assert kinds["whole"] == pytest.approx(500, abs=80)
    assert kinds["object"] == pytest.approx(1000, abs=120) and kinds["relation"] == pytest.approx(500, abs=120)


def test_samples_follow_from_index_and_seed(pairs: RegionPairs):
    once, again = pairs([5, 6]), pairs([6])
    assert once.texts[4:] == again.texts and torch.equal(once.windows[4:], again.windows)
    assert RegionPairs(pairs.split, 128, 4, seed=1)([6]).texts != again.texts


def test_texts_are_read_once_and_as_transformers_embeds_them(sg_mini_checkpoint: Path):
    tower = SGMiniText(str(sg_mini_checkpoint))
    texts = ["small red circle", "large blue square left of small green star", "small red circle"]
    found = tower.embed(texts)
    assert torch.equal(found[0], found[2]) and torch.allclose(found.norm(dim=1), torch.ones(3), atol=1e-5)
    assert torch.allclose(tower.embed(texts[1:2])[0], found[1], atol=1e-5)  # padding and neighbours do not matter


@pytest.fixture(scope="module")
def trained(sg_mini_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Two steps of each training, on the random SG-Mini."""
    folder = tmp_path_factory.mktemp("eyes")
    tower, eyes = folder / "tower.safetensors", folder / "eyes.safetensors"
    few = {"steps": 2, "warmup": 1, "batch_size": 4, "pictures": 8, "base": str(sg_mini_checkpoint)}
    for module, options in (
        (train_picture_tower, {"out": tower}),
        (train_noised_clip, {"out": eyes, "picture_tower": str(tower), "latents_dir": folder / "latents"}),
    ):
        AcceleratorState._reset_state(reset_partial_state=True)
        module.main(module.Config(**few, **options, run_dir=folder / module.__name__, mixed_precision="no"))
    return {"tower": tower, "eyes": eyes, "folder": folder}


def test_the_file_holds_both_eyes_as_they_were_trained(trained: dict[str, Path]):
    file = read_adapter(trained["eyes"])
    assert (file.kind, file.base, file.steps) == ("noised-clip", "sg-mini", 2)
    tower, _ = read_weights(trained["tower"])
    for name, tensor in build_picture_tower(file).state_dict().items():
        assert torch.allclose(tensor, tower[name], atol=1e-3)
    encoder = build_noised_encoder(file)
    assert not any(p.requires_grad for p in encoder.parameters())
    fresh = type(encoder)(**encoder.config)
    assert fresh.state_dict().keys() == encoder.state_dict().keys()


def test_a_damaged_file_is_refused(trained: dict[str, Path]):
    file = read_adapter(trained["eyes"])
    file.config["noised"] = {"dim": 64}
    with pytest.raises(AdapterError, match="damaged scene_graph.config"):
        build_noised_encoder(file)


def test_a_clip_of_transformers_teaches_and_stays_where_it_is(sg_mini_checkpoint: Path, networks: Path, tmp_path: Path):
    AcceleratorState._reset_state(reset_partial_state=True)
    few = {"steps": 2, "warmup": 1, "batch_size": 4, "pictures": 8, "widths": [16, 16], "mixed_precision": "no"}
    places = {"run_dir": tmp_path / "run", "latents_dir": tmp_path / "latents", "out": tmp_path / "eye.safetensors"}
    train_noised_clip.main(
        train_noised_clip.Config(base=str(sg_mini_checkpoint), picture_tower=str(networks / "clip"), **few, **places)
    )
    file = read_adapter(tmp_path / "eye.safetensors")
    assert build_noised_encoder(file).config["dim"] == 8
    assert "clean" not in file.config and not any(name.startswith("clean.") for name in file.state_dict)


def test_without_a_tower_the_script_says_what_makes_one(sg_mini_checkpoint: Path, tmp_path: Path):
    config = train_noised_clip.Config(base=str(sg_mini_checkpoint), picture_tower=str(tmp_path / "none.safetensors"))
    with pytest.raises(UsageError, match="run train/train_picture_tower.py first"):
        train_noised_clip.main(config)
