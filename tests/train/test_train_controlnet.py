"""Layout and its ControlNet in training: nothing at first, the base untouched, and what comes out is read back."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from accelerate.state import AcceleratorState

from sg_models.adapters.adapter import AdapterError, read_adapter, write_adapter
from sg_models.adapters.layout_adapter import LayoutAdapter
from sg_models.adapters.phrase_features import RememberedPhrases
from train import train_controlnet, train_layout
from train.bases.sg_mini_checkpoint import load_sg_mini
from train.conditioning.conditioners import LayoutConditioner
from train.conditioning.phrase_encoders import ClipPhrases
from train.conditioning.trained_adapter import load_variant
from train.data.dataset import TRAIN
from train.data.graph_samples import GraphSamples
from train.data.graph_variation import without_boxes
from train.data.latents import split_latents
from train.data.shapes.scene import scene, seeds
from train.data.shapes.shapes_dataset import ShapesSplit
from train.objectives import controlnet
from train.objectives.controlnet import ControlNetDenoiser
from train.report import previews

SIZES = {
    "phrase_dim": 128,
    "graph_dim": 16,
    "graph_hidden": 16,
    "graph_layers": 1,
    "box_layers": 1,
    "objects": 8,
    "layout_width": 16,
    "channels": 4,
}


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Previews in one step, and few validation pictures: what is under test is the training."""
    draw = previews.draw_graphs
    monkeypatch.setattr(previews, "draw_graphs", lambda *args, **kwargs: draw(*args, **({"steps": 1} | kwargs)))
    monkeypatch.setattr(train_layout, "VALIDATION_GRAPHS", 4)
    monkeypatch.setattr(train_controlnet, "VALIDATION_PICTURES", 2)


@pytest.fixture
def layout_file(sg_mini_checkpoint: Path, tmp_path: Path, quick: None) -> Path:
    """What three steps of `train_layout.py` write."""
    AcceleratorState._reset_state(True)
    sizes = {name: size for name, size in SIZES.items() if name != "phrase_dim"}
    common = {"steps": 3, "batch_size": 4, "warmup": 0, "pictures": 8, "preview_every": 3, "checkpoint_every": 3}
    train_layout.main(train_layout.Config(base=str(sg_mini_checkpoint), run_dir=tmp_path / "layout", **common, **sizes))
    return tmp_path / "layout" / "layout.safetensors"


def controlnet_config(checkpoint: Path, layout: Path, tmp_path: Path, **changes) -> train_controlnet.Config:
    AcceleratorState._reset_state(True)
    settings = {
        "base": str(checkpoint),
        "layout": layout,
        "steps": 3,
        "batch_size": 4,
        "warmup": 0,
        "mixed_precision": "no",
        "pictures": 8,
        "preview_every": 3,
        "checkpoint_every": 3,
        "run_dir": tmp_path / "run",
        "latents_dir": tmp_path / "latents",
        "out": tmp_path / "iv-controlnet-clip-sg-mini.safetensors",
    }
    return train_controlnet.Config(**{**settings, **changes})


@pytest.fixture
def samples(base, tmp_path: Path) -> GraphSamples:
    split = ShapesSplit(TRAIN, 8)
    latents = split_latents(base, split, tmp_path / "latents")
    return GraphSamples(split, latents, RememberedPhrases(ClipPhrases(base)), masks=True)


def test_a_new_controlnet_leaves_the_prediction_bit_for_bit(base, samples):
    model = ControlNetDenoiser(base, LayoutAdapter(SIZES)).eval()
    batch = samples(range(2))
    x, graphs = batch.latents, batch.encoded
    timesteps, context = torch.tensor([900, 100]), base.encode_prompts(["an image"]).expand(2, -1, -1)
    predicted, losses = model(x, timesteps, context, graphs)
    assert torch.equal(predicted, base.predict(x, timesteps, context))
    assert set(losses) == {"boxes", "masks", "cells"} and all(value.isfinite() for value in losses.values())


def test_controlnet_decoder_and_graph_encoder_learn_together_and_the_base_does_not(base, samples):
    model = ControlNetDenoiser(base, LayoutAdapter(SIZES))
    with torch.no_grad():  # as after the first step: behind zero convolutions nothing else learns yet
        for block in (*model.controlnet.controlnet_down_blocks, model.controlnet.controlnet_cond_embedding.conv_out):
            block.weight.normal_(std=0.1)
    batch = samples(range(2))
    x, graphs = batch.latents, batch.encoded
    context = base.encode_prompts(["an image"]).expand(2, -1, -1)
    predicted, _ = model(x, torch.tensor([900, 100]), context, graphs)
    predicted.square().mean().backward()
    learned = {name for name, parameter in model.named_parameters() if parameter.grad is not None}
    for part in ("controlnet.conv_in", "layout.adapter.graph_encoder", "layout.adapter.layout.decoder"):
        assert any(name.startswith(part) for name in learned), part
    assert not any(name.startswith("layout.adapter.layout.semantic") for name in learned), "beyond the map"
    assert all(parameter.grad is None for parameter in base.unet.parameters())
    assert not any("unet" in name for name, _ in model.named_parameters())


@torch.no_grad()
def test_the_positive_half_alone_gets_the_layout(base, samples):
    model = ControlNetDenoiser(base, LayoutAdapter(SIZES)).eval()
    for block in model.controlnet.controlnet_down_blocks:
        block.weight.normal_(std=0.1)
    graphs = [without_boxes(graph) for graph in samples.split.graphs[:2]]
    conditions = LayoutConditioner(base, model.layout.adapter, model.controlnet, samples.encode)(graphs)
    noisy, timestep = torch.randn(4, 4, 16, 16, generator=torch.Generator().manual_seed(0)), torch.tensor(500)
    context = torch.cat([conditions.positive, conditions.negative])
    more = conditions.unet_arguments(noisy, timestep, context)
    positive, negative = base.predict(noisy, timestep, context, **more).chunk(2)
    plain = base.predict(noisy, timestep, context)
    torch.testing.assert_close(negative, plain[2:])
    assert not torch.allclose(positive, plain[:2], atol=1e-3)


def test_writes_an_adapter_that_draws_as_the_trained_modules_do(
    sg_mini_checkpoint, layout_file, tmp_path, quick, monkeypatch
):
    config = controlnet_config(sg_mini_checkpoint, layout_file, tmp_path)
    made: list[LayoutConditioner] = []
    conditioner = controlnet.LayoutConditioner

    def remember(*parts):
        made.append(conditioner(*parts))
        return made[-1]

    monkeypatch.setattr(controlnet, "LayoutConditioner", remember)
    train_controlnet.main(config)
    file = read_adapter(config.out)
    assert (file.kind, file.base, file.phrase_encoder, file.steps) == ("layout-controlnet", "sg-mini", "clip", 3)
    base = load_sg_mini(sg_mini_checkpoint).freeze()
    graphs = [without_boxes(scene(s).graph) for s in seeds("val", 2)]
    noisy, timestep = torch.randn(4, 4, 16, 16, generator=torch.Generator().manual_seed(0)), torch.tensor(500)
    outputs = []
    with torch.no_grad():
        for condition in (load_variant(base, str(config.out)), made[-1]):
            conditions = condition(graphs)
            context = torch.cat([conditions.positive, conditions.negative])
            more = conditions.unet_arguments(noisy, timestep, context)
            outputs.append(base.predict(noisy, timestep, context, **more))
    torch.testing.assert_close(*outputs, atol=2e-3, rtol=2e-3)  # the file is in half precision
    assert list((config.run_dir / "previews").iterdir())


def test_starts_from_another_adapters_controlnet_and_layout(sg_mini_checkpoint, layout_file, tmp_path, quick):
    first = controlnet_config(sg_mini_checkpoint, layout_file, tmp_path, learning_rate=0.01)
    train_controlnet.main(first)
    changes = {"init_from": first.out, "run_dir": tmp_path / "again", "out": tmp_path / "again.safetensors"}
    nowhere = tmp_path / "nowhere.safetensors"
    again = controlnet_config(sg_mini_checkpoint, nowhere, tmp_path, steps=1, learning_rate=0.0, **changes)
    train_controlnet.main(again)
    start, end, pretrained = (read_adapter(path) for path in (first.out, again.out, layout_file))
    assert end.steps == start.steps + 1
    assert all(torch.equal(tensor, start.state_dict[name]) for name, tensor in end.state_dict.items())
    learned = [name for name, tensor in pretrained.state_dict.items() if not torch.equal(tensor, end.state_dict[name])]
    assert learned, "the layout is the pretrained one, not the one that learned along"


def test_a_controlnet_starts_from_whole_weights_beside_a_frozen_unet_in_half(
    sg_mini_checkpoint, layout_file, tmp_path, quick, monkeypatch
):
    loaded = []
    load = train_controlnet.load_training_base
    remember = lambda options: loaded.append(load(options)) or loaded[0]  # noqa: E731
    monkeypatch.setattr(train_controlnet, "load_training_base", remember)
    changes = {
        "mixed_precision": "bf16",
        "half_unet": True,
        "batch_size": 2,
        "steps": 2,
        "preview_every": 2,
        "learning_rate": 0.0,
    }
    config = controlnet_config(sg_mini_checkpoint, layout_file, tmp_path, **changes)
    train_controlnet.main(config)
    assert {p.dtype for p in loaded[0].unet.parameters()} == {torch.bfloat16}
    start, end = load_sg_mini(sg_mini_checkpoint).unet.conv_in.weight, read_adapter(config.out).state_dict
    assert torch.equal(end["controlnet.input_blocks.0.0.weight"].half(), start.half())
    assert list((config.run_dir / "previews").iterdir())


def test_a_layout_of_other_phrases_or_another_base_is_refused_in_words(base, layout_file, tmp_path):
    def load(layout: Path, phrases: str = "clip"):
        train_controlnet.load_layout(train_controlnet.Config(layout=layout, phrases=phrases), base, None)

    with pytest.raises(AdapterError, match="trained on clip phrases, not on bert"):
        load(layout_file, "bert")
    with pytest.raises(AdapterError, match="train_layout.py --phrases clip"):
        load(tmp_path / "nowhere.safetensors")
    file = read_adapter(layout_file)
    write_adapter(tmp_path / "other.safetensors", replace(file, base="sd21", prediction_type="v_prediction"))
    with pytest.raises(AdapterError, match="trained on SD 2.1 768"):
        load(tmp_path / "other.safetensors")


def test_boxes_of_the_graph_win_object_by_object(base):
    torch.manual_seed(0)
    adapter = LayoutAdapter(SIZES).eval()
    graph = scene(0).graph
    encode = RememberedPhrases(ClipPhrases(base))
    bare = without_boxes(graph)
    mixed = type(graph)((graph.objects[0], *bare.objects[1:]), graph.relations)
    with torch.no_grad():
        boxes = adapter.layouts([mixed], encode([mixed]), (16, 16)).boxes
    torch.testing.assert_close(boxes[0], torch.tensor(graph.objects[0].box))
    assert not any(torch.equal(box, torch.tensor(o.box)) for box, o in zip(boxes[1:], graph.objects[1:], strict=True))
