"""What a training run will take, worked out from sizes alone: nothing is loaded and nothing is trained.

The modules are built of fake tensors, which have shapes and no memory, and a forward pass of these is watched for what
autograd would keep of it. What a checkpointed block takes while it is computed again is not counted.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from accelerate import PartialState
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.checkpoint import checkpoint

from train.bases.load import TrainingOptions, empty_base
from train.running.loop import LoopConfig
from train.running.precision import DTYPES, keep_frozen_in, resolve

GIB = 2**30
FLOAT = 4  # bytes
# of a trained parameter: itself, its gradient, AdamW's two moments, the moving average
COPIES = {"weights": 1, "gradients": 1, "AdamW": 2, "average": 1}


@dataclass(frozen=True)
class Plan:
    """What a script would train, and `forward`, which runs so many samples through it and the base."""

    trained: nn.Module
    forward: Callable[[int], object]


class DryConfig(LoopConfig, TrainingOptions):
    """What the options of every training script have."""


def print_plan(config: DryConfig, make_plan: Callable[..., Plan], pictures: int) -> None:
    """Prints parameters, memory by what it is for, and steps per epoch of what `make_plan(config, base)` plans."""
    trained, frozen, frozen_bytes, activations = estimate(config, make_plan)
    needed = {name: FLOAT * copies * trained for name, copies in COPIES.items()}
    needed |= {"frozen weights": frozen_bytes, f"activations of {config.batch_size} samples": activations}
    per_step = config.batch_size * config.accumulate * PartialState().num_processes
    print(f"{'trained parameters':<32}{trained:>15,}")
    print(f"{'frozen parameters':<32}{frozen:>15,}")
    for name, size in needed.items():
        print(f"{name:<32}{size / GIB:>11.2f} GiB")
    print(f"{'together, about':<32}{sum(needed.values()) / GIB:>11.2f} GiB")
    print(f"{'samples per optimiser step':<32}{per_step:>15,}")
    print(f"{'optimiser steps per epoch':<32}{pictures / per_step:>15,.0f}")
    print(f"{'optimiser steps':<32}{config.steps:>15,}")


def estimate(config: DryConfig, make_plan: Callable[..., Plan]) -> tuple[int, int, int, int]:
    """Trained and frozen parameters, and bytes of the frozen ones and of one batch's activations."""
    with torch.device("meta"):
        base = empty_base(config.base)
        if config.gradient_checkpointing:
            base.unet.enable_gradient_checkpointing(partial(checkpoint, use_reentrant=True))
        parts = nn.ModuleList([base.unet, base.text_encoder, base.vae]).requires_grad_(False)
        frozen_parameters = list(parts.parameters())
        plan = make_plan(config, base)
        if config.half_unet:
            keep_frozen_in(base.unet, config.mixed_precision)
        frozen = sum(p.numel() for p in frozen_parameters)
        frozen_bytes = sum(p.nbytes for p in frozen_parameters)
    # unlike meta tensors, fake ones take the attention kernel that real ones take
    with FakeTensorMode(allow_non_fake_inputs=True):
        for module in nn.ModuleList([parts, plan.trained]).modules():  # each once, also what is in both
            module.to_empty(device="cpu", recurse=False)
        one, two = (bytes_saved(plan.forward, count, DTYPES[resolve(config.mixed_precision)]) for count in (1, 2))
    trained = sum(p.numel() for p in plan.trained.parameters() if p.requires_grad)
    return trained, frozen, frozen_bytes, one + (config.batch_size - 1) * (two - one)


def bytes_saved(forward: Callable[[int], object], count: int, dtype: torch.dtype) -> int:
    """What autograd keeps of a forward pass of `count` samples for the backward one, parameters apart."""
    kept: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        if not isinstance(tensor, nn.Parameter):
            storage = tensor.untyped_storage()
            kept[storage._cdata] = storage.nbytes()
        return tensor

    with (
        torch.autocast("cpu", dtype, enabled=dtype != torch.float32),
        torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor),
    ):
        result = forward(count)
    del result  # only now may storages be freed, and their addresses used again
    return sum(kept.values())
