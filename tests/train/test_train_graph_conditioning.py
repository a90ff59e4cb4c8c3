"""Training graph conditioning: what learns, what its terms weigh, and files that draw as what was trained."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from accelerate.state import AcceleratorState
from torch import Tensor

from sg_models.adapters.adapter import AdapterError, read_adapter, write_adapter
from sg_models.adapters.graph_conditioning import GraphConditioning
from sg_models.files.safetensors_file import read_weights, write_weights
from sg_models.graph.caption import labels
from sg_models.graph.formats import parse_scene_graph
from sg_models.layers.graph_vector import of_length
from sg_models.layers.picture_tower import PictureTower
from train import train_gca, train_graph_conditioning
from train.bases.dry_run import estimate
from train.bases.sg_mini_checkpoint import load_sg_mini
from train.conditioning import trained_adapter, trained_unet
from train.conditioning.graph_conditioner import GraphConditioningConditioner
from train.conditioning.lora import PARTS
from train.conditioning.phrase_encoders import graph_features
from train.conditioning.sampling import draw_graphs
from train.conditioning.trained_adapter import load_variant
from train.data.graph_samples import GraphSamples
from train.data.pictured_samples import PicturedBatch
from train.data.shapes.shapes_dataset import ShapesSplit
from train.losses.alignment_losses import ALIGNMENT, MMD
from train.objectives.graph_alignment import Alignment
from train.objectives.graph_conditioning import (
    WHOLE_UNET_SPEED,
    GraphConditioningDenoiser,
    GraphConditioningObjective,
    adapter_sizes,
    context_owners,
    make_plan,
    parameter_groups,
)
from train.report import previews
from train.running.command_line import UsageError
from train.train_graph_conditioning import Config, main

ADAPTER, LORA, UNET = "graph-conditioning-sg-mini", "gc-lora-clip-sg-mini", "gc-unet-clip-sg-mini"
DIM, COUNT = 16, 6
GRAPHS = [
    parse_scene_graph(text) for text in ("red circle | left of | blue square", "blue square | left of | red circle")
]


@pytest.fixture
def config(sg_mini_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Config:
    AcceleratorState._reset_state(True)
    monkeypatch.setattr(train_graph_conditioning, "VALIDATION_PICTURES", 2)
    draw = previews.draw_graphs
    monkeypatch.setattr(previews, "draw_graphs", lambda *args, **more: draw(*args, **({"steps": 1} | more)))
    torch.manual_seed(5)
    tower = tmp_path / "tower.safetensors"
    write_weights(tower, PictureTower(DIM).state_dict(), {})
    return Config(
        base=str(sg_mini_checkpoint),
        picture_tower=str(tower),
        gca=False,
        steps=2,
        batch_size=4,
        queue=28,
        warmup=0,
        rank=4,
        learning_rate=0.05,
        mixed_precision="no",
        pictures=8,
        checkpoint_every=1,
        run_dir=tmp_path / "run",
        latents_dir=tmp_path / "latents",
        out=tmp_path / "out" / f"{ADAPTER}.safetensors",
        graph_dim=8,
        graph_hidden=8,
        graph_layers=1,
    )


def aligned(config: Config, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What the first stage writes for these options."""
    monkeypatch.setattr(train_gca, "VALIDATION_GRAPHS", 2)
    names = ("base", "picture_tower", "batch_size", "queue", "warmup", "pictures", "graph_dim", "graph_hidden")
    options = {name: getattr(config, name) for name in (*names, "graph_layers")}
    path = config.run_dir / "aligned.safetensors"
    train_gca.main(train_gca.Config(**options, steps=1, run_dir=config.run_dir / "gca", out=path))
    AcceleratorState._reset_state(True)
    return path


def test_it_writes_a_lora_and_an_adapter_that_goes_on_from_the_aligned_one(
    config: Config, sg_mini_checkpoint: Path, monkeypatch: pytest.MonkeyPatch
):
    config = replace(config, gca=True, aligned=aligned(config, monkeypatch), learning_rate=1e-6)
    main(config)
    file = read_adapter(config.out)
    assert (file.kind, file.base, file.phrase_encoder, file.steps) == ("graph-conditioning", "sg-mini", "clip", 3)
    assert (file.config["mode"], file.config["unet"], file.config["context_dim"]) == ("interleave", "lora", 128)
    for name, tensor in read_adapter(config.aligned).state_dict.items():
        torch.testing.assert_close(file.state_dict[name], tensor, atol=1e-3, rtol=1e-2)
    tensors, header = read_weights(config.out.with_name(f"{LORA}.safetensors"))
    assert header["scene_graph.graph_conditioning"] == ADAPTER
    beside = config.out.with_name(f"{LORA}.safetensors")
    assert trained_adapter.variant_files(str(config.out), "sg-mini")[1:] == [config.out, beside]
    assert all(tensor.any() for name, tensor in tensors.items() if name.endswith(PARTS[1])), "some of it never learned"
    assert list((config.run_dir / "previews").iterdir())


@pytest.mark.parametrize("trained", ["lora", "full"])
def test_the_files_draw_as_what_was_trained(
    config: Config, sg_mini_checkpoint: Path, trained: str, monkeypatch: pytest.MonkeyPatch
):
    models = []
    groups = train_graph_conditioning.parameter_groups
    monkeypatch.setattr(
        train_graph_conditioning, "parameter_groups", lambda *given: models.append(given[0]) or groups(*given)
    )
    main(replace(config, unet=trained))
    beside = {path.stem for path in config.out.parent.iterdir()}
    assert beside == {ADAPTER, LORA if trained == "lora" else UNET}
    base, untouched = (load_sg_mini(sg_mini_checkpoint).freeze() for _ in range(2))
    condition = load_variant(base, str(config.out))
    assert isinstance(condition, GraphConditioningConditioner)
    conditions, noise, timestep = condition(GRAPHS), torch.randn(2, 4, 16, 16), torch.tensor(500)
    with torch.no_grad():
        found = base.predict(noise, timestep, conditions.positive)
        plain = untouched.predict(noise, timestep, conditions.positive)
        expected = models[0].unet(noise, timestep, conditions.positive).sample
    torch.testing.assert_close(found, expected, atol=5e-3, rtol=5e-3)  # the file is in half precision
    assert (found - plain).abs().max() > 10 * (found - expected).abs().max()
    assert not any(parameter.requires_grad for parameter in base.unet.parameters())
    first, other = draw_graphs(base, condition, GRAPHS, torch.randn(1, 4, 16, 16).expand(2, -1, -1, -1), steps=1)
    assert not torch.equal(first, other), "the direction of a relation changes nothing"


def test_it_is_found_by_its_name(config: Config, base, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    folders = {"ADAPTERS": tmp_path / "scene_graph", "LORAS": tmp_path / "loras"}
    for name, folder in folders.items():
        for module in (trained_adapter, trained_unet, train_graph_conditioning):
            monkeypatch.setattr(module, name, folder, raising=False)
    main(replace(config, out=None))
    files = [folders["ADAPTERS"] / f"{ADAPTER}.safetensors", folders["LORAS"] / f"{LORA}.safetensors"]
    assert trained_adapter.variant_files("gc", "sg-mini")[1:] == files
    assert trained_adapter.trained_variants("sg-mini") == ["gc"]
    assert isinstance(load_variant(base, "gc"), GraphConditioningConditioner)


def test_a_resumed_run_ends_as_one_that_was_not(config: Config, tmp_path: Path):
    main(replace(config, queue=64, batch_size=32))
    parts = replace(
        config, queue=64, batch_size=32, run_dir=tmp_path / "parts", out=tmp_path / "parts" / "gc.safetensors"
    )
    for stop_at in (1, None):
        AcceleratorState._reset_state(True)
        main(replace(parts, stop_at=stop_at))
    for whole, resumed in (
        (config.out, parts.out),
        (config.out.with_name(f"{LORA}.safetensors"), parts.out.with_name(f"{LORA}.safetensors")),
    ):
        expected, found = read_weights(whole)[0], read_weights(resumed)[0]
        assert all(torch.equal(tensor, found[name]) for name, tensor in expected.items())


class Features:
    """Phrases in the place of CLIP's: as wide, and random."""

    dim = 128

    def __call__(self, graphs: list) -> list[tuple[Tensor, Tensor]]:
        torch.manual_seed(3)
        return [(torch.randn(len(g.objects), 128), torch.randn(len(g.relations), 128)) for g in graphs]


def denoiser(base, config: Config, **terms: bool) -> GraphConditioningDenoiser:
    torch.manual_seed(0)
    adapter = GraphConditioning(adapter_sizes(config, 128, DIM, 128))
    alignment = Alignment(DIM, 64, **({"pairs": True, "discrepancy": True} | terms))
    return GraphConditioningDenoiser(base, adapter, alignment, config.unet, 4)


def objective(base, weight: float, alignment_weight: float = 0.5) -> GraphConditioningObjective:
    weights = {"reconstruction_weight": weight, "alignment_weight": alignment_weight}
    return GraphConditioningObjective(base, None, Features(), **weights, large_area=0.1, timestep_power=1.0)


def pictured(null: bool = False) -> PicturedBatch:
    split = ShapesSplit("val", COUNT)
    torch.manual_seed(1)
    batch = GraphSamples(split, torch.randn(COUNT, 4, 16, 16), Features()).whole(null=null)
    return PicturedBatch(batch.latents, batch.graphs, batch.encoded, batch.is_null, of_length(torch.randn(COUNT, DIM)))


def test_every_term_counts_by_its_weight_and_is_logged_by_itself(base):
    terms = {ALIGNMENT: torch.tensor(10.0), MMD: torch.tensor(100.0)}
    for weight, alignment_weight, expected in (
        (1.0, 0.5, 1.0),
        (0.0, 1.0, 10.0),
        (0.0, 0.0, 100.0),
        (0.7, 2 / 3, 0.7 + 0.2 * 10 + 0.1 * 100),
    ):
        value, figures = objective(base, weight, alignment_weight).together(torch.tensor(1.0), terms)
        assert value.item() == pytest.approx(expected)
        assert figures == {"reconstruction": 1.0, ALIGNMENT: 10.0, MMD: 100.0}
    value, figures = objective(base, 0.5).together(torch.tensor(1.0), {})
    assert value.item() == 0.5 and figures == {"reconstruction": 1.0}
    settings = objective(base, 0.5)
    settings.grounding_weight = 0.1
    value, figures = settings.together(torch.tensor(1.0), {"grounding": torch.tensor(20.0)})
    assert value.item() == 2.5 and figures == {"reconstruction": 1.0, "grounding": 20.0}


def test_places_are_taught_whose_words_to_read(base, config: Config):
    """Of the boxes alone: nothing else has a weight, and what is left out has no say."""
    model, settings = denoiser(base, replace(config, mode="fuse")), objective(base, 0.0)
    settings.grounding_weight = 1.0
    noisy, timesteps = torch.randn(COUNT, 4, 16, 16), torch.full((COUNT,), 500)
    assert "grounding" not in settings.predict(model, noisy, timesteps, pictured())[1]
    model.keep_maps()
    optimizer = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], lr=1e-3)
    values = []
    for _ in range(12):
        predicted, terms = settings.predict(model, noisy, timesteps, pictured())
        value, figures = settings.together(0.0 * predicted.sum(), {"grounding": terms["grounding"]})
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        values.append(figures["grounding"])
    assert values[-1] < 0.97 * values[0]
    assert model.adapter.signal.project.to_q.weight.grad.any(), "what stands behind the words learns nothing of it"
    assert settings.predict(model, noisy, timesteps, pictured(null=True))[1]["grounding"].item() == 0.0


def test_a_place_of_the_context_is_of_the_object_that_its_word_names():
    words = torch.tensor([[-1, 0, 0, -1, 1, -1, -1, -1, -1, -1, -1, -1, -1, -1]])  # start, red circle, comma, square
    ends = torch.tensor([5])
    assert context_owners(words, ends, "append")[0].tolist() == words[0].tolist()
    assert context_owners(words, ends, "replace")[0].tolist() == [-1] * 14
    assert context_owners(words, ends, "interleave")[0].tolist() == [-1, -1, 0, -1, 0, -1, -1, -1, 1] + [-1] * 5
    assert context_owners(words, ends, "fuse")[0].tolist() == [-1, -1, 0, 0, 0, 0, -1, -1, 1, 1] + [-1] * 4


@pytest.mark.parametrize(("weight", "learns"), [(1.0, {"unet", "adapter"}), (0.0, {"adapter"})])
def test_a_weight_of_zero_removes_a_term(base, config: Config, weight: float, learns: set[str]):
    model, settings = denoiser(base, config), objective(base, weight)
    value, _ = settings.loss(model, pictured(), torch.Generator().manual_seed(2))
    value.backward()
    moved = {name.split(".")[0] for name, p in model.named_parameters() if p.grad is not None and p.grad.any()}
    assert moved == learns


def test_what_is_left_out_has_no_graph_but_its_own_vector(base, config: Config):
    model, settings, batch = denoiser(base, config), objective(base, 1.0), pictured(null=True)
    value, _ = settings.loss(model, batch, torch.Generator().manual_seed(2))
    value.backward()
    signal = model.adapter.signal
    assert signal.null_graph.grad.any() and not signal.project.weight.grad.any()
    other = replace(batch, encoded=replace(batch.encoded, x=batch.encoded.x + 1))
    again, _ = settings.loss(model, other, torch.Generator().manual_seed(2))
    assert again.item() == value.item(), "a graph that is left out still reaches the UNet"


def test_the_unconditional_branch_has_not_the_graph(base, config: Config):
    model = denoiser(base, config)
    condition = GraphConditioningConditioner(base, model.adapter, graph_features("clip", base))
    first, other = condition(GRAPHS[:1]), condition(GRAPHS[1:])
    assert torch.equal(first.negative, other.negative)
    assert not torch.equal(first.positive, other.positive), "relations do not reach the context"
    states, ends = base.encode_with_ends([labels(GRAPHS[0]), ""])
    assert torch.equal(first.positive[0, 0], states[0, 0]) and torch.equal(first.positive[0, 2], states[0, 1])
    assert torch.equal(first.positive[0, 1], first.positive[0, 3]), "the graph is not between the words"
    assert torch.equal(first.negative[0, 1], model.adapter.signal.null_graph) and ends.tolist() == [8, 1]
    assert first.positive.shape == first.negative.shape == (1, 77, 128)


def test_a_whole_unet_learns_slower_than_what_is_new(base, config: Config):
    new, old = parameter_groups(denoiser(base, replace(config, unet="full")), 1e-3)
    assert "lr" not in new and old["lr"] == pytest.approx(WHOLE_UNET_SPEED * 1e-3)
    assert len(old["params"]) == len(list(base.unet.parameters()))


def test_a_dry_run_prints_what_it_would_take(config: Config, capsys: pytest.CaptureFixture):
    main(replace(config, dry_run=True, base="sg-mini"))
    lora = capsys.readouterr().out
    main(replace(config, dry_run=True, base="sg-mini", unet="full"))
    full = capsys.readouterr().out

    def trained(text: str) -> int:
        return int(text.splitlines()[0].split()[-1].replace(",", ""))

    assert 0 < trained(lora) < trained(full) and not config.run_dir.exists()


def test_a_dry_run_counts_what_each_word_makes_of_the_vector(config: Config):
    plain, fuse = (estimate(replace(config, base="sg-mini", mode=mode), make_plan) for mode in ("interleave", "fuse"))
    assert plain[0] < fuse[0] and plain[1:3] == fuse[1:3] and plain[3] < fuse[3]


def test_a_dry_run_counts_the_maps_that_the_grounding_reads(config: Config):
    paper, grounded = (
        estimate(replace(config, base="sg-mini", grounding_weight=weight, batch_size=1), make_plan)
        for weight in (0.0, 0.1)
    )
    finest = 2 * 16**2 * 77 * 2  # bytes of the shares of one block of two heads, in half precision
    assert paper[:3] == grounded[:3] and grounded[3] - paper[3] > 3 * finest  # such blocks: one down, two up


def test_what_cannot_be_is_said_in_words(config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(UsageError, match="--reconstruction-weight is a part"):
        main(replace(config, reconstruction_weight=2.0))
    with pytest.raises(UsageError, match="write --grounding-weight 0 with it"):
        main(replace(config, gradient_checkpointing=True))
    with pytest.raises(UsageError, match="shards do not hold; leave out --shards"):
        main(replace(config, shards=tmp_path))
    with pytest.raises(AdapterError, match="no aligned graph encoder .*gca.safetensors; run train/train_gca.py"):
        main(replace(config, gca=True, aligned=tmp_path / "gca.safetensors"))
    path = aligned(config, monkeypatch)
    with pytest.raises(AdapterError, match="graph_encoder.* has another size; name a file of the same sizes"):
        main(replace(config, gca=True, aligned=path, graph_dim=16))
    write_adapter(path, replace(read_adapter(path), base="sd21", prediction_type="v_prediction"))
    with pytest.raises(AdapterError, match="trained on SD 2.1 768"):
        main(replace(config, gca=True, aligned=path))


def test_an_adapter_without_its_lora_says_where_that_should_be(
    config: Config, base, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(trained_unet, "LORAS", tmp_path / "loras")
    main(config)
    path = config.out.with_name(f"{LORA}.safetensors")
    path.rename(tmp_path / path.name)
    with pytest.raises(AdapterError, match=f"needs {LORA}.safetensors, which is neither in .*out nor .*loras"):
        load_variant(base, str(config.out))
    file = read_adapter(config.out)
    write_adapter(config.out, replace(file, config=file.config | {"context_dim": 64}))
    (tmp_path / path.name).rename(path)
    with pytest.raises(AdapterError, match="contexts of other widths"):
        load_variant(base, str(config.out))
