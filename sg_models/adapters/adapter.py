"""Adapter files: one .safetensors with everything that one variant adds to a base, and what it was trained on.

The header says which base, prediction type and phrase encoder the weights belong to; whoever applies them checks that
first, because a wrong pairing runs without an error and draws nonsense.
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from ..bases.known_bases import BASES, V_PREDICTION
from ..files.safetensors_file import WeightsFileError, read_weights, write_weights

Module = TypeVar("Module", bound=nn.Module)

FORMAT = "1"
PREFIX = "scene_graph."


class AdapterError(WeightsFileError):
    """An adapter file cannot be read, or does not fit what it is applied to."""


@dataclass(frozen=True)
class Adapter:
    """An adapter file's contents. `config` holds the module sizes that its `kind` is built from."""

    kind: str
    base: str
    prediction_type: str
    phrase_encoder: str
    config: dict[str, Any]
    dataset: str
    steps: int
    state_dict: dict[str, Tensor]
    name: str = "adapter"

    def check_base(self, base: str, prediction_type: str) -> None:
        """Raises `AdapterError` unless this adapter was trained on that base with that prediction type."""
        if (base, prediction_type) != (self.base, self.prediction_type):
            raise AdapterError(
                f"{self.name} was trained on {BASES[self.base].title} ({self.prediction_type}); "
                f"the loaded model is {BASES[base].title if base in BASES else base} ({prediction_type})"
            )

    def check_kind(self, kind: str | None) -> None:
        """Raises `AdapterError` unless the file holds this kind of adapter."""
        if kind != self.kind:
            raise AdapterError(f"{self.name} is an adapter of kind {self.kind}; one of kind {kind} is needed here")


def build_module(
    file: Adapter, make: Callable[..., Module], tensors: Mapping[str, Tensor], assign: bool = False, **host: Any
) -> Module:
    """The module that `make(**host)` makes from a file's configuration, with these `tensors` of it as its weights.

    The weights have the `dtype` and `device` of `host`, else float32 and where they are. They are copies, unless
    `assign` asks for the file's own tensors wherever those need no conversion: then whoever changes the module changes
    the file's contents. Raises `AdapterError` where the tensors do not fit, or where the configuration makes no module.
    """
    _check_fits(file, make, tensors)
    dtype, device = host.get("dtype") or torch.float32, host.get("device")
    module = make(**host)
    module.load_state_dict({k: tensor.to(device=device, dtype=dtype) for k, tensor in tensors.items()}, assign=assign)
    return module


def _check_fits(file: Adapter, make: Callable[..., Module], tensors: Mapping[str, Tensor]) -> None:
    """Raises `AdapterError` as `build_module`.

    The shapes are those of a plain module without storage: a host's operations may make their weights when they are
    loaded, as ComfyUI's do on Windows, and a damaged configuration may ask for more memory than there is.
    """
    try:
        plan = make(device="meta")
    except (KeyError, TypeError, ValueError, AttributeError, RuntimeError) as error:  # sizes missing or no sizes at all
        raise AdapterError(
            f"{file.name} has a damaged scene_graph.config ({error!r}); write it again with the training script"
        ) from error
    here = {name: tensor.shape for name, tensor in plan.state_dict().items()}
    there = {name: tensor.shape for name, tensor in tensors.items()}
    wrong = sorted(name for name in here.keys() | there.keys() if here.get(name) != there.get(name))
    if wrong:
        raise AdapterError(
            f"{file.name} does not hold what its header describes: {wrong[0]} and {len(wrong) - 1} more tensors "
            "are missing, unknown or of another size"
        )


def write_adapter(path: Path, adapter: Adapter, licence: str | None = "Apache-2.0") -> None:
    """Writes an adapter file, in the tensors' own dtype; without a `licence` for weights of others."""
    fields = {
        "format": FORMAT,
        "kind": adapter.kind,
        "base": adapter.base,
        "prediction_type": adapter.prediction_type,
        "phrase_encoder": adapter.phrase_encoder,
        "config": json.dumps(adapter.config),
        "dataset": adapter.dataset,
        "steps": str(adapter.steps),
    }
    model_spec = {
        "modelspec.sai_model_spec": "1.0.0",
        "modelspec.architecture": BASES[adapter.base].architecture,
        "modelspec.implementation": "scene-graph-conditioning",
        "modelspec.title": path.stem,
        "modelspec.prediction_type": "v" if adapter.prediction_type == V_PREDICTION else "epsilon",
        "modelspec.date": datetime.now(timezone.utc).date().isoformat(),
    } | ({"modelspec.license": licence} if licence else {})
    write_weights(path, adapter.state_dict, {PREFIX + k: v for k, v in fields.items()} | model_spec)


def read_adapter(path: Path) -> Adapter:
    """Reads an adapter file; raises `AdapterError` in words for a missing, damaged, foreign or newer one."""
    path = Path(path)
    try:
        tensors, metadata = read_weights(path)
    except WeightsFileError as error:
        raise AdapterError(str(error)) from error
    header = {k.removeprefix(PREFIX): v for k, v in metadata.items() if k.startswith(PREFIX)}
    _check_header(path.name, header)
    return Adapter(
        kind=header["kind"],
        base=header["base"],
        prediction_type=header["prediction_type"],
        phrase_encoder=header["phrase_encoder"],
        config=_config(path.name, header["config"]),
        dataset=header["dataset"],
        steps=int(header["steps"]),
        state_dict=tensors,
        name=path.name,
    )


def _check_header(name: str, header: Mapping[str, str]) -> None:
    if "format" not in header:
        raise AdapterError(
            f"{name} is not a scene-graph adapter (its header has no {PREFIX}format); "
            "checkpoints, LoRAs and ControlNets have their own loaders"
        )
    if header["format"] != FORMAT:
        raise AdapterError(f"{name} has adapter format {header['format']}; this version reads {FORMAT}: update it")
    wanted = ("kind", "base", "prediction_type", "phrase_encoder", "config", "dataset", "steps")
    missing = [PREFIX + field for field in wanted if field not in header]
    if missing:
        raise AdapterError(f"{name} lacks {', '.join(missing)} in its header; write it again with the training script")
    if header["base"] not in BASES:
        raise AdapterError(f"{name} is for the unknown base {header['base']}; known are {', '.join(BASES)}")
    if not re.fullmatch("[0-9]{1,18}", header["steps"]):
        raise AdapterError(f"{name} says {header['steps'][:40]!r} for {PREFIX}steps; a whole number belongs there")


def _config(name: str, text: str) -> dict[str, Any]:
    try:
        config = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise AdapterError(f"{name} has a damaged {PREFIX}config ({error})") from error
    if not isinstance(config, dict):
        raise AdapterError(f"{name} has a damaged {PREFIX}config: an object of sizes belongs there")
    return config
