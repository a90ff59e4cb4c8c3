"""Training at Stable Diffusion 2.1's full size: three real optimiser steps of every script, on random weights."""

import gc
import shutil
from pathlib import Path

import pytest
import torch
from accelerate.state import AcceleratorState

from sg_models.adapters.adapter import Adapter, write_adapter
from sg_models.adapters.structure_clip import KNOWLEDGE
from sg_models.adapters.variants import STRUCTURE_CLIP
from sg_models.files.safetensors_file import read_weights
from sg_models.layers.knowledge_encoder import KnowledgeEncoder
from train import train_controlnet, train_gsa, train_layout, train_lora
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
