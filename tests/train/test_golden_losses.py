"""Every training script's first five steps against golden numbers: losses, learning rates, and how far weights move.

They hold every rate, weight and schedule in a script, whichever module it lives in: the scripts' own `main` is run on
a random SG-Mini, and its losses are read from the logs that it writes. The numbers, in `golden/<script>.json`, are the
same before and after any change of the code that is not meant to change training. After one that is:

    WRITE_GOLDEN=1 python -m pytest tests/train/test_golden_losses.py

writes them anew, and the commit says why. The learning rates are higher and the warm-ups shorter than a person would
choose: within five steps, every step has to show in the next loss.
"""

import json
import math
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from accelerate.state import AcceleratorState
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import Tensor
from torch.optim.optimizer import Optimizer, register_optimizer_step_pre_hook

from sg_models.adapters.adapter import Adapter, write_adapter
from sg_models.adapters.layout_adapter import LayoutAdapter
from sg_models.adapters.structure_clip import KNOWLEDGE
from sg_models.adapters.variants import LAYOUT, STRUCTURE_CLIP
from sg_models.files.safetensors_file import read_weights, write_weights
from sg_models.layers.knowledge_encoder import KnowledgeEncoder
from sg_models.layers.picture_tower import PictureTower
from train import (
    train_autoencoder,
    train_base,
    train_controlnet,
    train_gca,
    train_graph_conditioning,
    train_gsa,
    train_layout,
    train_lora,
    train_noised_clip,
    train_picture_tower,
    train_structure_clip,
    train_text_encoder,
)
from train.bases.sg_mini_checkpoint import load_sg_mini
from train.data.latents import split_latents
from train.data.shapes.shapes_dataset import ShapesSplit

GOLDEN = Path(__file__).with_name("golden")
WRITE = "WRITE_GOLDEN" in os.environ
STEPS = 5
TOLERANCE = 1e-4  # relative; without AVX, with other kernels and threads, at most 1e-5 was seen
EVERY_STEP = {
    "steps": 2 * STEPS,  # the schedule's end; what is drawn and measured there takes longer than all the steps
    "stop_at": STEPS,
    "warmup": 1,
    "ema_decay": 0.5,
    "mixed_precision": "no",
    "log_every": 1,
}

LAYOUT_SIZES = {
    "graph_dim": 16,
    "graph_hidden": 16,
    "graph_layers": 1,
    "box_layers": 1,
    "objects": 8,
    "layout_width": 16,
    "channels": 4,
}
KNOWLEDGE_SIZES = {"word_dim": 128, "dim": 128, "layers": 1, "heads": 2, "count": 32, "length": 4}


@pytest.fixture(scope="module")
def files(sg_mini_parts, sg_mini_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with all that one script writes for another, random."""
    folder = tmp_path_factory.mktemp("files")
    text, _, vae = sg_mini_parts
    with torch.random.fork_rng():
        torch.manual_seed(2)
        tower = PictureTower(128)
        layout = LayoutAdapter(LAYOUT_SIZES | {"phrase_dim": 128})
        knowledge = KnowledgeEncoder(**KNOWLEDGE_SIZES)
        torch.nn.init.constant_(knowledge.gate, 0.5)
        latents = {split: torch.randn(count, 4, 16, 16) for split, count in (("train", 32), ("val", 128))}
    for name, module in (("text", text), ("picture_tower", tower), ("autoencoder", vae)):
        write_weights(folder / f"{name}.safetensors", module.state_dict(), {})
    about = "sg-mini", "epsilon"
    write_adapter(
        folder / "layout.safetensors",
        Adapter(LAYOUT, *about, "clip", layout.config, "shapes", 1, layout.state_dict()),
    )
    state = {KNOWLEDGE + name: tensor for name, tensor in knowledge.state_dict().items()}
    sizes = {"knowledge": KNOWLEDGE_SIZES, "knowledge_weight": 1.0}
    write_adapter(
        folder / "structure-clip.safetensors",
        Adapter(STRUCTURE_CLIP, *about, STRUCTURE_CLIP, sizes, "shapes", 1, state),
    )
    base = load_sg_mini(sg_mini_checkpoint)
    for split, values in latents.items():
        _write_latents(base, folder / "latents", split, values)
    return folder


def _write_latents(base, folder: Path, split: str, latents: Tensor) -> None:
    """Puts latents in the place of those that would take seconds to encode, and more than one kind of rounding."""
    known = set(folder.glob("*"))
    split_latents(base, ShapesSplit(split, 1), folder)
    (file,) = set(folder.glob("*")) - known
    _, header = read_weights(file)
    write_weights(file, {"latents": latents}, header)


@pytest.fixture
def common(sg_mini_checkpoint: Path, files: Path, tmp_path: Path) -> dict[str, Any]:
    """Settings of all scripts that train something beside a frozen base."""
    return {
        "base": str(sg_mini_checkpoint),
        "latents_dir": files / "latents",
        "pictures": 32,
        "batch_size": 8,
        "run_dir": tmp_path / "run",
        "out": tmp_path / "out.safetensors",
    } | EVERY_STEP


class Watch:
    """What an optimiser is given, step by step: whatever of a script's settings ends there."""

    def __init__(self) -> None:
        self.rates: list[list[float]] = []
        self.groups: list[dict[str, Any]] = []
        self.start: list[list[Tensor]] = []

    def __call__(self, optimizer: Optimizer, *_: Any) -> None:
        self.groups = optimizer.param_groups
        self.rates.append([group["lr"] for group in self.groups])
        if not self.start:
            self.start = [[p.detach().clone() for p in group["params"]] for group in self.groups]

    def moved(self) -> list[float]:
        """How far each group's weights are now from where they started: after a run, the averaged ones."""
        pairs = [zip(group["params"], start, strict=True) for group, start in zip(self.groups, self.start, strict=True)]
        return [math.hypot(*((p.detach() - start).norm().item() for p, start in group)) for group in pairs]


@contextmanager
def watched() -> Iterator[Watch]:
    watch = Watch()
    handle = register_optimizer_step_pre_hook(watch)
    try:
        yield watch
    finally:
        handle.remove()


@pytest.fixture(autouse=True)
def same_everywhere(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Runs on the CPU, which draws other numbers than a GPU, and in float32 where a CPU would rather have bfloat16."""
    monkeypatch.setenv("ACCELERATE_USE_CPU", "true")
    monkeypatch.setattr(torch.cpu, "get_capabilities", dict)
    AcceleratorState._reset_state(True)
    torch.manual_seed(0)  # of modules that a script makes before its loop sets a seed
    yield
    AcceleratorState._reset_state(True)


def numbers(main: Callable[[Any], None], config: Any) -> dict[str, Any]:
    """All that is held of a run."""
    with watched() as watch:
        main(config)
    return {
        "loss": logged_losses(config.run_dir),
        "rates": watch.rates,
        "weight decay": [group["weight_decay"] for group in watch.groups],
        "moved": watch.moved(),
        "defaults": defaults(type(config)),
    }


def logged_losses(run_dir: Path) -> list[float]:
    (file,) = (run_dir / "logs").rglob("events*")
    return [event.value for event in EventAccumulator(str(file)).Reload().Scalars("loss")]


def defaults(config: type) -> dict[str, float]:
    """The settings with which the script trains if nothing is said; the run above has others for some of them."""
    return {name: value for name, value in asdict(config()).items() if type(value) in (int, float)}


def check(name: str, found: dict[str, Any]) -> None:
    """Holds numbers against the golden ones, or writes them."""
    path = GOLDEN / f"{name}.json"
    if WRITE:
        lines = [f'  "{key}": {json.dumps(value)}' for key, value in found.items()]
        path.write_text("{\n" + ",\n".join(lines) + "\n}\n", "utf-8")
    golden = json.loads(path.read_text("utf-8"))
    settings = golden.pop("defaults", {})
    by = {key: deviation(found[key], values) for key, values in golden.items()}
    said = [f"{key}, deviation {by[key]:.1e}: {found[key]} instead of {golden[key]}" for key in by]
    assert all(value <= TOLERANCE for value in by.values()), "\n".join([name, *said])
    assert {setting: found["defaults"].get(setting) for setting in settings} == settings


def deviation(found: list, golden: list) -> float:
    """The largest relative difference of two lists of numbers."""
    one, other = np.array(found), np.array(golden)
    if one.shape != other.shape:
        return math.inf
    return float((np.abs(one - other) / np.maximum(np.abs(other), 1e-12)).max())


def test_gsa(common: dict):
    sizes = {"graph_dim": 16, "graph_hidden": 16, "graph_layers": 1, "box_layers": 1, "token_hidden": 16}
    check("train_gsa", numbers(train_gsa.main, train_gsa.Config(**common, **sizes, learning_rate=1e-2)))


def test_controlnet(common: dict, files: Path):
    config = train_controlnet.Config(**common, layout=files / "layout.safetensors", learning_rate=1e-3)
    check("train_controlnet", numbers(train_controlnet.main, config))


def test_layout(common: dict):
    settings = {name: value for name, value in common.items() if name != "latents_dir"} | {"batch_size": 16}
    check("train_layout", numbers(train_layout.main, train_layout.Config(**settings, **LAYOUT_SIZES)))


def test_lora(common: dict, files: Path):
    config = train_lora.Config(**common, structure_clip=files / "structure-clip.safetensors", rank=4)
    check("train_lora", numbers(train_lora.main, config))


def test_noised_clip(common: dict, files: Path):
    tower = str(files / "picture_tower.safetensors")
    config = train_noised_clip.Config(**common, picture_tower=tower, widths=[16, 16])
    check("train_noised_clip", numbers(train_noised_clip.main, config))


def test_picture_tower(common: dict):
    settings = {name: value for name, value in common.items() if name != "latents_dir"}
    check("train_picture_tower", numbers(train_picture_tower.main, train_picture_tower.Config(**settings)))


ALIGNMENT = {"queue": 64, "graph_dim": 16, "graph_hidden": 16, "graph_layers": 1}  # whose MMD begins in the fourth step


def test_gca(common: dict, files: Path):
    settings = {name: value for name, value in common.items() if name != "latents_dir"} | ALIGNMENT
    config = train_gca.Config(**settings, picture_tower=str(files / "picture_tower.safetensors"))
    check("train_gca", numbers(train_gca.main, config))


def test_graph_conditioning(common: dict, files: Path):
    tower = str(files / "picture_tower.safetensors")
    config = train_graph_conditioning.Config(**common, **ALIGNMENT, picture_tower=tower, gca=False, rank=4)
    check("train_graph_conditioning", numbers(train_graph_conditioning.main, config))


@pytest.fixture
def own(tmp_path: Path) -> dict[str, Any]:
    """Settings of all scripts that make a part of the base."""
    return {"run_dir": tmp_path / "run", "out": tmp_path / "out.safetensors"} | EVERY_STEP


def structure_clip_config(own: dict, files: Path, **changes) -> train_structure_clip.Config:
    return train_structure_clip.Config(
        **own
        | {"text_encoder": files / "text.safetensors", "picture_tower": files / "picture_tower.safetensors"}
        | {"pictures": 32, "pairs": 8, "layers": 1, "heads": 2}
        | changes
    )


def test_structure_clip(own: dict, files: Path):
    config = structure_clip_config(own, files, batch_size=16)
    check("train_structure_clip", numbers(train_structure_clip.main, config))


def test_structure_clip_takes_the_hardest_negatives_from_step_100_on(own: dict, files: Path):
    """Weights stand still, so that the losses around that step say nothing but which negatives they are of."""
    config = structure_clip_config(own, files, batch_size=2, pictures=4, learning_rate=0.0, steps=200, stop_at=102)
    train_structure_clip.main(config)
    check("train_structure_clip_hardest", {"loss": logged_losses(config.run_dir)[98:]})


def test_text_encoder(own: dict, tmp_path: Path):
    config = train_text_encoder.Config(**own, picture_tower=tmp_path / "tower.safetensors", pictures=32, batch_size=32)
    check("train_text_encoder", numbers(train_text_encoder.main, config))


def test_autoencoder(own: dict):
    config = train_autoencoder.Config(**own, pictures=32, batch_size=8)
    check("train_autoencoder", numbers(train_autoencoder.main, config))


def test_base(own: dict, files: Path, tmp_path: Path):
    config = train_base.Config(
        **own,
        text_encoder=files / "text.safetensors",
        autoencoder=files / "autoencoder.safetensors",
        latents_dir=tmp_path / "latents",
        pictures=16,
        batch_size=8,
    )
    check("train_base", numbers(train_base.main, config))
