"""What a conditioner adds to a call of the UNet."""

from collections.abc import Callable
from typing import Any

from torch import Tensor

UNetArguments = Callable[[Tensor, Tensor, Tensor], dict[str, Any]]  # (noisy, timestep, context) → keyword arguments


def no_arguments(noisy: Tensor, timestep: Tensor, context: Tensor) -> dict[str, Any]:
    """For a UNet that learns everything from its context."""
    return {}
