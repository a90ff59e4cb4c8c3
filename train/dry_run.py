"""What a training run will take, worked out from sizes alone: nothing is loaded and nothing is trained."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from accelerate import PartialState
from torch import Tensor, nn

from train.loop import LoopConfig

GIB = 2**30
FLOAT, HALF = 4, 2  # bytes
# of a trained parameter: itself, its gradient, AdamW's two moments, the moving average
COPIES = {"weights": 1, "gradients": 1, "AdamW": 2, "average": 1}


def print_plan(
    config: LoopConfig, trained: nn.Module, frozen: Iterable[nn.Module], forward: Callable[[], Any], pictures: int
) -> None:
    """Prints parameters, memory by what it is for, and steps per epoch.

    The modules are on the meta device; `forward` runs one sample through them, with gradients.
    """
    ours = {id(p): p for p in trained.parameters() if p.requires_grad}
    others = {id(p): p for part in frozen for p in part.parameters()}
    count, still = (sum(p.numel() for p in parameters.values()) for parameters in (ours, others))
    needed = {name: FLOAT * copies * count for name, copies in COPIES.items()}
    needed["frozen weights"] = FLOAT * still
    needed[f"activations of {config.batch_size} samples"] = config.batch_size * saved_bytes(forward)
    per_step = config.batch_size * config.accumulate * PartialState().num_processes
    print(f"trained parameters  {count:>15,}")
    print(f"frozen parameters   {still:>15,}")
    for name, size in needed.items():
        print(f"{name:<32}{size / GIB:8.2f} GiB")
    print(f"{'together, about':<32}{sum(needed.values()) / GIB:8.2f} GiB")
    print(f"samples per optimiser step {per_step}; steps per epoch {pictures / per_step:.0f}; steps {config.steps:,}")


def saved_bytes(forward: Callable[[], Any]) -> int:
    """What autograd keeps of a forward pass for the backward one, parameters apart."""
    kept: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        if not isinstance(tensor, nn.Parameter):
            storage = tensor.untyped_storage()
            kept[storage._cdata] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        result = forward()
    del result  # only now may storages be freed, and their addresses used again
    return sum(kept.values())
