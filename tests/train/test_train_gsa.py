"""Training of gated self-attention: what learns, what stays as it was, and what comes out."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from accelerate.state import AcceleratorState

from sg_models.adapters.adapter import read_adapter
from sg_models.adapters.phrase_features import RememberedPhrases
from train import train_gsa
from train.bases.base_model import BaseModel
from train.bases.load import TrainingOptions
from train.bases.sg_mini_checkpoint import load_sg_mini
from train.conditioning.phrase_encoders import ClipPhrases
from train.conditioning.sampling import draw_graphs, starting_noise
from train.conditioning.trained_adapter import load_variant
from train.data.dataset import TRAIN
from train.data.graph_samples import GraphSamples, no_features
from train.data.graph_variation import with_gaps, without_boxes
from train.data.latents import split_latents
from train.data.shapes.scene import scene, seeds
from train.data.shapes.shapes_dataset import Shapes, ShapesSplit
from train.losses.denoising import diffusion_loss
from train.losses.object_weights import object_weights
from train.objectives.gsa import OPEN_GATE, GSADenoiser, open_gates
from train.report import previews
from train.train_gsa import Config, main


@pytest.fixture
def config(sg_mini_checkpoint: Path, tmp_path: Path) -> Config:
    AcceleratorState._reset_state(True)
    return Config(
        base=str(sg_mini_checkpoint),
        steps=3,
        batch_size=4,
        warmup=0,
        mixed_precision="no",
        pictures=8,
        preview_every=3,
        checkpoint_every=3,
        run_dir=tmp_path / "run",
        latents_dir=tmp_path / "latents",
        out=tmp_path / "vi-gsa-clip-sg-mini.safetensors",
        graph_dim=16,
        graph_hidden=16,
        graph_layers=1,
        token_hidden=16,
    )


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Previews in one step instead of 25, and few validation pictures: what is under test is the training."""
    monkeypatch.setattr(train_gsa, "VALIDATION_PICTURES", 2)
    draw = previews.draw_graphs
    monkeypatch.setattr(previews, "draw_graphs", lambda *args, **kwargs: draw(*args, **({"steps": 1} | kwargs)))


def test_writes_an_adapter_that_changes_what_the_base_draws(config: Config, quick: None, sg_mini_checkpoint: Path):
    main(config)
    file = read_adapter(config.out)
    assert (file.kind, file.base, file.prediction_type, file.phrase_encoder) == ("gsa", "sg-mini", "epsilon", "clip")
    assert (file.dataset, file.steps) == ("shapes", 3)
    gates = [gate.item() for name, gate in file.state_dict.items() if ".alpha_" in name]
    assert gates and all(gate not in (0, OPEN_GATE) for gate in gates), "the gates did not learn"
    base = load_sg_mini(sg_mini_checkpoint).freeze()
    condition = load_variant(base, str(config.out))
    graph, noise = scene(0).graph, starting_noise(base, 0, 1, 128)
    with_graph = draw_graphs(base, condition, [graph], noise, steps=2)
    assert not torch.equal(with_graph, draw_graphs(base, condition, [scene(1).graph], noise, steps=2))
    assert list((config.run_dir / "previews").iterdir())


def test_the_base_stays_as_it_was(config: Config, quick: None, monkeypatch: pytest.MonkeyPatch):
    loaded = []

    def load(options: TrainingOptions) -> BaseModel:
        loaded.append(load_sg_mini(Path(options.base)).freeze())
        return loaded[0]

    monkeypatch.setattr(train_gsa, "load_training_base", load)
    main(config)
    untouched = load_sg_mini(Path(config.base))
    for part in ("text_encoder", "unet", "vae"):
        before, after = getattr(untouched, part).state_dict(), getattr(loaded[0], part).state_dict()
        assert all(torch.equal(before[name], after[name]) for name in before), part


def test_the_frozen_unet_may_be_kept_in_the_precision_of_the_run(
    config: Config, quick: None, monkeypatch: pytest.MonkeyPatch
):
    loaded = []
    load = train_gsa.load_training_base
    monkeypatch.setattr(train_gsa, "load_training_base", lambda options: loaded.append(load(options)) or loaded[0])
    main(replace(config, mixed_precision="bf16", half_unet=True, batch_size=2, steps=2, preview_every=2))
    assert {p.dtype for p in loaded[0].unet.parameters()} == {torch.bfloat16}
    state = read_adapter(config.out).state_dict
    assert all(tensor.isfinite().all() for tensor in state.values())
    assert all(gate.item() != OPEN_GATE for name, gate in state.items() if ".alpha_" in name), "the gates did not learn"
    assert list((config.run_dir / "previews").iterdir())


def latents(base, config: Config):
    return split_latents(base, ShapesSplit(TRAIN, config.pictures), config.latents_dir)


def samples_of(base, config: Config) -> GraphSamples:
    split = ShapesSplit(TRAIN, config.pictures)
    return GraphSamples(split, latents(base, config), RememberedPhrases(ClipPhrases(base)))


def test_nothing_of_the_base_is_trained(base, make_adapter):
    model = GSADenoiser(base, make_adapter().requires_grad_(True))
    assert {name.split(".")[0] for name, _ in model.named_parameters()} == {"adapter"}


def test_training_starts_from_the_base_bit_for_bit_with_open_gates_that_learn(base, make_adapter, config: Config):
    samples = samples_of(base, config)
    batch = samples(range(4))
    context = base.encode_prompts(["an image"]).expand(4, -1, -1)
    timesteps = torch.full((4,), 500)
    before = base.predict(batch.latents, timesteps, context)
    adapter = make_adapter().requires_grad_(True)
    open_gates(adapter)
    after, _ = GSADenoiser(base, adapter)(batch.latents, timesteps, context, batch.encoded, batch.is_null)
    assert torch.equal(after, before)
    after.square().mean().backward()
    for address in adapter.gated_attention.addresses:
        layer = adapter.gated_attention.block(address)
        for out in (layer.attn.to_out[0], layer.ff.net[2]):
            assert out.weight.grad.abs().max() > 0, f"a dead gradient in {address}"


def test_every_object_has_the_same_say_in_the_loss():
    boxes = torch.tensor([[0.25, 0.25, 0.375, 0.375], [0.5, 0.5, 1.0, 1.0], [0.1, 0.2, 0.33, 0.47]])
    places = object_weights(boxes, torch.tensor([0, 0, 1]), 3, (16, 16), Shapes.large_area)
    assert places.mean().item() == pytest.approx(1.0)
    background = places[0, 0, 0]
    small, large = places[0, 4:6, 4:6] - background, places[0, 8:, 8:] - background
    assert small.sum().item() == pytest.approx(large.sum().item(), rel=1e-4)
    assert large.min() > 0 and (places[0] == background).sum() == 16 * 16 - 4 - 64
    assert places[1].max() > background and (places[2] == background).all(), "an object in another one's picture"


def test_a_place_that_counts_double_counts_double(base):
    predicted, target = torch.randn(2, 4, 8, 8), torch.randn(2, 4, 8, 8)
    timesteps, places = torch.tensor([10, 500]), torch.rand(2, 8, 8)
    plain = diffusion_loss(base, predicted, target, timesteps)
    torch.testing.assert_close(
        diffusion_loss(base, predicted, target, timesteps, torch.full((2, 8, 8), 2.0)), 2 * plain
    )
    moved = predicted.clone()
    moved[0, :, 0, 0] += 1
    places[0, 0, 0] = 0
    assert diffusion_loss(base, moved, target, timesteps, places) == diffusion_loss(
        base, predicted, target, timesteps, places
    )


def test_the_noisiest_timesteps_count_as_much_as_the_limit_lets_them(base):
    predicted, target = torch.randn(1, 4, 8, 8), torch.randn(1, 4, 8, 8)
    last = torch.tensor([999])
    low, high = (diffusion_loss(base, predicted, target, last, max_weight=limit).item() for limit in (10.0, 50.0))
    assert high == pytest.approx(5 * low, rel=1e-4)


def test_training_knows_the_boxes_that_the_graph_keeps_to_itself(base, config: Config):
    samples = samples_of(base, config)
    batch = samples.without_boxes()
    assert not batch.has_box.any()
    true = torch.tensor([o.box for graph in samples.split.graphs for o in graph.objects])
    torch.testing.assert_close(batch.truth.boxes, true)


def test_the_unet_is_given_the_true_boxes_and_the_predictor_is_not(base, make_adapter, config: Config):
    samples = samples_of(base, config)
    whole = samples.split.graphs[:2]
    x, context = samples.latents[:2], base.encode_prompts(["an image"]).expand(2, -1, -1)
    timesteps, null = torch.tensor([900, 900]), torch.zeros(2, dtype=torch.bool)
    model = GSADenoiser(base, make_adapter(gate=1.0))
    graphs = samples.encode_batch([without_boxes(graph) for graph in whole], range(2))
    said, boxes = model(x, timesteps, context, graphs, null)
    others = replace(graphs, targets=replace(graphs.truth, boxes=graphs.truth.boxes.roll(1, dims=0)))
    moved, same = model(x, timesteps, context, others, null)
    assert not torch.allclose(said, moved, atol=1e-4)
    assert torch.equal(boxes, same)


def test_nested_scenes_come_more_often_than_they_are():
    split = ShapesSplit(TRAIN, 32)
    samples = GraphSamples(split, torch.zeros(32, 0), no_features, nested_rate=Shapes.nested_rate)
    nested = [bool({r.predicate for r in graph.relations} & {"inside", "surrounding"}) for graph in split.graphs]
    assert 0 < sum(nested) < 16
    drawn = [samples.order[i] for i in range(len(samples.order))]
    expected = Shapes.nested_rate + (1 - Shapes.nested_rate) * sum(nested) / len(nested)
    assert np.mean([nested[i] for i in drawn]) == pytest.approx(expected, abs=0.01)
    assert set(drawn) == set(range(32))


def test_a_sample_is_the_same_at_every_call(base, config: Config):
    samples = samples_of(base, config)
    once, again = samples(range(40, 48)), samples(range(40, 48))
    assert once.graphs == again.graphs
    assert torch.equal(once.latents, again.latents) and torch.equal(once.is_null, again.is_null)
    for name in ("x", "edge_attr", "edge_index", "box", "has_box", "instance", "batch"):
        assert torch.equal(getattr(once.encoded, name), getattr(again.encoded, name)), name
    for name in ("boxes", "spatial"):
        assert torch.equal(getattr(once.encoded.truth, name), getattr(again.encoded.truth, name)), name


def test_the_seed_chooses_the_samples(base, config: Config):
    split, encode = ShapesSplit(TRAIN, config.pictures), RememberedPhrases(ClipPhrases(base))
    nothing = torch.zeros(config.pictures, 0)
    first, other = (GraphSamples(split, nothing, encode, seed=seed)(range(16)).graphs for seed in (0, 1))
    assert first != other


def test_latents_are_made_once_for_one_autoencoder(base, config: Config, monkeypatch: pytest.MonkeyPatch):
    first = latents(base, config)
    monkeypatch.setattr(type(base), "encode_pictures", lambda *_: pytest.fail("encoded again"))
    assert torch.equal(latents(base, config)[:], first[:])
    with torch.no_grad():
        next(base.vae.parameters()).add_(1.0)
    with pytest.raises(pytest.fail.Exception, match="encoded again"):
        latents(base, config)


def test_latents_lie_in_memory_as_they_will_when_a_resumed_run_reads_them(base, config: Config):
    """Noise like them is drawn in that order, so that otherwise the rest of an interrupted run sees other noise."""
    made, kept = latents(base, config)[:], latents(base, config)[:]
    assert torch.equal(made, kept)
    assert made.stride() == kept.stride()


def test_graphs_get_gaps_but_are_never_changed():
    graph = scene(3).graph
    rng = np.random.default_rng(0)
    tellings = [with_gaps(graph, rng) for _ in range(300)]
    assert any(t.objects[0].box is None for t in tellings) and any(t.objects[0].box for t in tellings)
    for telling in tellings:
        assert [o.name for o in telling.objects] == [o.name for o in graph.objects]
        assert set(telling.relations) <= set(graph.relations)
        for short, whole in zip(telling.objects, graph.objects, strict=True):
            assert set(short.attributes) <= set(whole.attributes) and short.box in (None, whole.box)
    assert without_boxes(graph).relations == graph.relations


@pytest.mark.parametrize("seed", list(seeds("held-out", 3)))
def test_without_boxes_leaves_everything_else(seed: int):
    graph = scene(seed).graph
    bare = without_boxes(graph)
    assert all(thing.box is None for thing in bare.objects)
    assert tuple(replace(thing, box=None) for thing in graph.objects) == bare.objects
