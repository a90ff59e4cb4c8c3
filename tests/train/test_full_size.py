"""Training at Stable Diffusion 2.1's full size: three real optimiser steps of every script, on random weights.

Of every variant, from a Visual Genome in miniature; and of every script on Shapes, interrupted and resumed.
"""

import gc
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from accelerate.state import AcceleratorState

from sg_models.adapters.adapter import Adapter, write_adapter
from sg_models.adapters.structure_clip import KNOWLEDGE
from sg_models.adapters.variants import STRUCTURE_CLIP
from sg_models.files.safetensors_file import read_weights
from sg_models.layers.knowledge_encoder import KnowledgeEncoder
from train import train_controlnet, train_gsa, train_layout, train_lora, train_structure_clip
from train.bases.base_model import BaseModel
from train.bases.load import TrainingOptions, load_training_base
from train.bases.stable_diffusion_2 import CONTEXT_DIM

pytestmark = pytest.mark.slow
PROBED = 50  # of the base's tensors, spread evenly

SHORT = {"steps": 100, "batch_size": 1, "warmup": 0, "pictures": 4, "preview_every": 1000, "checkpoint_every": 1000}


Bases = list[tuple[BaseModel, dict[str, torch.Tensor]]]


@pytest.fixture
def bases(monkeypatch: pytest.MonkeyPatch) -> Bases:
    """Every base that a script loads, with copies of some of its weights as they were."""
    loaded: Bases = []

    def load(options: TrainingOptions) -> BaseModel:
        base = load_training_base(options)
        state = base.unet.state_dict()
        loaded.append((base, {name: state[name].clone() for name in list(state)[:: len(state) // PROBED]}))
        return base

    for script in (train_gsa, train_controlnet, train_lora, train_layout):
        monkeypatch.setattr(script, "load_training_base", load)
    return loaded


def steps(script, sd21: Path, bases: Bases, out: Path, stop_at: int, **options) -> dict[str, torch.Tensor]:
    """What a script writes when it is stopped after so many steps, which must leave its base as it was."""
    AcceleratorState._reset_state(True)
    base = {"base": str(sd21 / "sd21-base.safetensors"), "prediction_type": "epsilon"}
    script.main(script.Config(**base, **SHORT, **options, stop_at=stop_at, out=out))
    (base, before), *others = bases
    assert not others
    now = {name.replace(".base_layer", ""): tensor for name, tensor in base.unet.state_dict().items()}
    assert all(torch.equal(now[name], tensor) for name, tensor in before.items()), "the base was trained"
    bases.clear()
    del base, now
    gc.collect()  # two runs do not fit into memory, and what accelerate holds hangs together in cycles
    return read_weights(out)[0]


def structure_clip_file(folder: Path) -> Path:
    torch.manual_seed(0)
    sizes = {"word_dim": CONTEXT_DIM, "dim": CONTEXT_DIM, "layers": 1, "heads": 4, "count": 32, "length": 4}
    state = {KNOWLEDGE + k: v for k, v in KnowledgeEncoder(**sizes).state_dict().items()}
    config = {"knowledge": sizes, "knowledge_weight": 1.0}
    path = folder / "structure-clip.safetensors"
    write_adapter(path, Adapter(STRUCTURE_CLIP, "sd21-base", "epsilon", STRUCTURE_CLIP, config, "none", 1, state))
    return path


@pytest.mark.parametrize("name", ["layout", "gsa", "controlnet", "lora"])
def test_three_steps_change_the_adapter_alone_and_a_resumed_run_is_the_same(
    name: str, sd21: Path, tmp_path: Path, bases: Bases
):
    script = {"layout": train_layout, "gsa": train_gsa, "controlnet": train_controlnet, "lora": train_lora}[name]
    options = {} if name == "layout" else {"latents_dir": tmp_path / "latents"}
    if name == "controlnet":
        options["layout"] = tmp_path / "pretrained.safetensors"
        steps(train_layout, sd21, bases, options["layout"], 1, run_dir=tmp_path / "layout")
    if name == "lora":
        options["structure_clip"] = structure_clip_file(tmp_path)

    def stopped(after: int, folder: str) -> dict[str, torch.Tensor]:
        out = tmp_path / f"{folder}-{after}.safetensors"
        return steps(script, sd21, bases, out, after, run_dir=tmp_path / folder, **options)

    straight = stopped(3, "straight")
    shutil.rmtree(tmp_path / "straight")  # checkpoints of gigabytes
    two, resumed = stopped(2, "resumed"), stopped(3, "resumed")
    assert all(tensor.isfinite().all() for tensor in straight.values())
    assert any(not torch.equal(straight[n], two[n]) for n in straight), "the third step changed nothing"
    assert all(torch.equal(straight[n], resumed[n]) for n in straight)


@pytest.fixture
def visual_genome(prepared_visual_genome: Callable[[Path, int], Path], tmp_path: Path) -> dict[str, object]:
    """The options that name a Visual Genome of four pictures."""
    return {"dataset": "vg", "data": prepared_visual_genome(tmp_path / "vg", 4)}


def layout_file(sd21: Path, bases: Bases, tmp_path: Path, **options) -> Path:
    out = tmp_path / "pretrained.safetensors"
    steps(train_layout, sd21, bases, out, 1, run_dir=tmp_path / "layout", **options)
    return out


@pytest.mark.parametrize(
    ("script", "phrases"),
    [
        (train_lora, None),
        (train_controlnet, "bert"),
        (train_controlnet, "clip"),
        (train_gsa, "bert"),
        (train_gsa, "clip"),
        (train_gsa, "structure-clip"),
    ],
    ids=["ii", "iii", "iv", "v", "vi", "vii"],
)
def test_every_variant_takes_three_steps_on_visual_genome(
    script, phrases: str | None, sd21: Path, tmp_path: Path, bases: Bases, visual_genome: dict[str, object]
):
    options = visual_genome | ({"phrases": phrases} if phrases else {})
    if script is train_controlnet:
        options["layout"] = layout_file(sd21, bases, tmp_path, **options)
    if script is train_lora or phrases == "structure-clip":
        options["structure_clip"] = structure_clip_file(tmp_path)
    options |= {"latents_dir": tmp_path / "latents", "run_dir": tmp_path / "run"}
    one, three = (steps(script, sd21, bases, tmp_path / f"{n}.safetensors", n, **options) for n in (1, 3))
    assert all(tensor.isfinite().all() for tensor in three.values())
    assert any(not torch.equal(one[name], three[name]) for name in three)


def test_structure_clip_takes_three_steps_on_visual_genome(
    sd21: Path, tmp_path: Path, visual_genome: dict[str, object], monkeypatch: pytest.MonkeyPatch
):
    """On the base's own text tower, from which (ii) and (vii) go on."""
    monkeypatch.setattr(train_structure_clip, "VALIDATION_PAIRS", 4)
    AcceleratorState._reset_state(True)
    base = {"base": str(sd21 / "sd21-base.safetensors"), "prediction_type": "epsilon"}
    out = tmp_path / "structure-clip.safetensors"
    options = SHORT | {"batch_size": 2, "pairs": 4, "layers": 1, "steps": 3, "preview_every": 3}
    train_structure_clip.main(
        train_structure_clip.Config(**base, **options, **visual_genome, run_dir=tmp_path / "run", out=out)
    )
    tensors, header = read_weights(out)
    assert all(tensor.isfinite().all() for tensor in tensors.values())
    assert (header["scene_graph.dataset"], header["scene_graph.base"]) == ("vg", "sd21-base")
