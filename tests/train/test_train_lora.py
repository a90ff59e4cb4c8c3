"""Training variant (ii)'s LoRA: the base untouched, objects of equal say, and a file that does what was trained."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from accelerate.state import AcceleratorState

from sg_models.adapters.adapter import Adapter, write_adapter
from sg_models.adapters.structure_clip import KNOWLEDGE
from sg_models.adapters.variants import STRUCTURE_CLIP
from sg_models.files.safetensors_file import read_weights
from sg_models.layers.knowledge_encoder import KnowledgeEncoder
from train import train_lora
from train.bases.base_model import BaseModel
from train.bases.load import TrainingOptions
from train.bases.sg_mini_checkpoint import load_sg_mini
from train.conditioning.lora import PARTS, load_lora
from train.conditioning.sampling import draw_graphs
from train.data.graph_samples import GraphSamples, no_features
from train.data.shapes.shapes_dataset import Shapes, ShapesSplit
from train.losses.object_weights import object_weights
from train.report import previews

KNOWLEDGE_SIZES = {"word_dim": 128, "dim": 128, "layers": 1, "heads": 2, "count": 32, "length": 4}


@pytest.fixture
def knowledge_file(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    state = {KNOWLEDGE + k: v for k, v in KnowledgeEncoder(**KNOWLEDGE_SIZES).state_dict().items()}
    sizes = {"knowledge": KNOWLEDGE_SIZES, "knowledge_weight": 1.0}
    path = tmp_path / "structure-clip.safetensors"
    write_adapter(path, Adapter(STRUCTURE_CLIP, "sg-mini", "epsilon", STRUCTURE_CLIP, sizes, "shapes", 1, state))
    return path


@pytest.fixture(autouse=True)
def few_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few validation pictures: what is under test is the training."""
    monkeypatch.setattr(train_lora, "VALIDATION_PICTURES", 2)


@pytest.fixture
def config(sg_mini_checkpoint: Path, knowledge_file: Path, tmp_path: Path) -> train_lora.Config:
    AcceleratorState._reset_state(True)
    return train_lora.Config(
        base=str(sg_mini_checkpoint),
        structure_clip=knowledge_file,
        steps=3,
        batch_size=4,
        warmup=0,
        rank=4,
        learning_rate=0.1,
        mixed_precision="no",
        pictures=8,
        run_dir=tmp_path / "run",
        latents_dir=tmp_path / "latents",
        out=tmp_path / "lora.safetensors",
    )


def test_writes_the_lora_that_was_trained(
    sg_mini_checkpoint: Path, config: train_lora.Config, monkeypatch: pytest.MonkeyPatch
):
    loaded = []

    def load(options: TrainingOptions) -> BaseModel:
        loaded.append(load_sg_mini(Path(options.base)).freeze())
        return loaded[0]

    monkeypatch.setattr(train_lora, "load_training_base", load)
    monkeypatch.setattr(previews, "draw_graphs", lambda *args, **more: draw_graphs(*args, **({"steps": 1} | more)))
    train_lora.main(config)
    tensors, header = read_weights(config.out)
    assert header["scene_graph.steps"] == "3"
    assert all(tensor.any() for name, tensor in tensors.items() if name.endswith(PARTS[1])), "some of it never learned"
    noisy, context = torch.randn(2, 4, 16, 16), torch.randn(2, 77, 128)
    untouched, other = (load_sg_mini(sg_mini_checkpoint).freeze() for _ in range(2))
    load_lora(other.unet, config.out)
    with torch.no_grad():
        plain, again, trained = (b.predict(noisy, torch.tensor(500), context) for b in (untouched, other, *loaded))
    assert not torch.allclose(again, plain, atol=1e-3)
    torch.testing.assert_close(again, trained, atol=2e-3, rtol=2e-3)  # the file is in half precision
    frozen = {k: v for k, v in loaded[0].unet.state_dict().items() if "lora_" not in k}
    before = untouched.unet.state_dict()
    assert all(torch.equal(v, before[k.replace(".base_layer", "")]) for k, v in frozen.items())


def test_beside_a_frozen_unet_in_half_the_lora_stays_whole(config: train_lora.Config, monkeypatch: pytest.MonkeyPatch):
    loaded = []
    load = train_lora.load_training_base
    monkeypatch.setattr(train_lora, "load_training_base", lambda options: loaded.append(load(options)) or loaded[0])
    monkeypatch.setattr(previews, "draw_graphs", lambda *args, **more: draw_graphs(*args, **({"steps": 1} | more)))
    train_lora.main(replace(config, mixed_precision="bf16", half_unet=True, batch_size=2, steps=2, preview_every=2))
    dtypes = {("lora_" in name, p.dtype) for name, p in loaded[0].unet.named_parameters()}
    assert dtypes == {(True, torch.float32), (False, torch.bfloat16)}
    tensors, _ = read_weights(config.out)
    assert all(tensor.isfinite().all() for tensor in tensors.values())
    assert all(tensor.any() for name, tensor in tensors.items() if name.endswith(PARTS[1])), "some of it never learned"


def test_a_small_object_has_the_say_of_a_large_one():
    split = ShapesSplit("val", 4)
    graphs, batch = split.graphs, GraphSamples(split, torch.zeros(4, 0), no_features).whole().encoded
    weights = object_weights(batch.truth.boxes, batch.batch, 4, (16, 16), Shapes.large_area)
    assert weights.shape == (4, 16, 16)
    torch.testing.assert_close(weights.mean(dim=(1, 2)).mean(), torch.tensor(1.0))
    for weight, graph in zip(weights, graphs, strict=True):
        smallest = min(graph.objects, key=lambda o: (o.box[2] - o.box[0]) * (o.box[3] - o.box[1]))
        row, column = (int(8 * (smallest.box[i] + smallest.box[i + 2])) for i in (1, 0))
        assert weight[row, column] > 2 * weight.min()
