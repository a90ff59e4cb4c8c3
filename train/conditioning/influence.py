"""How strongly, and in which part of sampling, an adapter acts on the UNet: what *Apply …* nodes have as well."""

from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor

from train.conditioning.unet_arguments import UNetArguments
from train.running.command_line import UsageError

LAST_TIMESTEP = 999  # Stable Diffusion is trained on 1000 of them


@dataclass(frozen=True)
class Influence:
    """`strength` as for `GatedSelfAttention`; `start` and `end` are parts of sampling, from 0 to 1.

    As in ComfyUI, parts are those of the noise schedule: at timestep t, (999 - t) / 999 of it is over. Outside start
    and end, a call is the base's own and costs no more. Without an `end`, the adapter's own holds, or that of sampling.
    """

    strength: float = 1.0
    start: float = 0.0
    end: float | None = None

    def with_end(self, end: float) -> "Influence":
        """The same with this end, where none was said."""
        return self if self.end is not None else replace(self, end=end)

    def acts_at(self, timestep: Tensor) -> bool:
        """Whether a UNet call at this timestep, a scalar, gets anything of the graph."""
        done = part_over(timestep)
        end = 1.0 if self.end is None else self.end
        return self.strength != 0 and self.start < end and self.start <= done <= end


def part_over(timestep: Tensor) -> float:
    """The part of sampling, as ComfyUI counts it, that is over at a timestep, a scalar."""
    return 1 - float(timestep) / LAST_TIMESTEP


@dataclass(kw_only=True)
class InfluenceOptions:
    """What a script is told of an adapter's influence."""

    strength: float = 1.0
    """of the adapter's layers; 1 is what they were trained with"""
    start: float = 0.0
    """the part of sampling, from 0 to 1, after which the graph comes in"""
    end: float | None = None
    """the part of sampling after which the graph is let go, and the base alone finishes the details; if left out, 0.4
    with GLIGEN's weights, and 1 otherwise"""

    def influence(self) -> Influence:
        """Raises `UsageError` for numbers that cannot be."""
        if self.strength < 0:
            raise UsageError("--strength must be at least 0")
        if not 0 <= self.start <= (1.0 if self.end is None else self.end) <= 1:
            raise UsageError("--start and --end are parts of sampling: 0 ≤ start ≤ end ≤ 1")
        return Influence(self.strength, self.start, self.end)


def while_it_acts(arguments: UNetArguments, influence: Influence) -> UNetArguments:
    """The UNet's arguments where the influence acts, and none elsewhere."""

    def scheduled(noisy: Tensor, timestep: Tensor, context: Tensor) -> dict[str, Any]:
        return arguments(noisy, timestep, context) if influence.acts_at(timestep) else {}

    return scheduled
