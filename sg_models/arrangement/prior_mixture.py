"""A mixture of Gaussians for each of several objects: over centre x, centre y, log width and log height of its box."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

LEAST_STD = 0.02  # of the picture, and of the logarithm of a side: annotated boxes are no surer than that
LEAST_SIDE = 0.02  # of a box that is sampled, as a part of the picture
_LOG_TWO_PI = math.log(2 * math.pi)


@dataclass(frozen=True)
class Mixture:
    """C components of the mixtures of O objects; an object may have any number of them."""

    owner: Tensor  # [C] the object whose component it is
    logits: Tensor  # [C] of the weights; those of one object need not sum to 1 yet
    means: Tensor  # [C, 4]
    stds: Tensor  # [C, 4]
    count: int  # O

    def log_prob(self, places: Tensor) -> Tensor:
        """The log density at `places` [O, 4], one for each object: [O]."""
        z = (places[self.owner] - self.means) / self.stds
        each = -0.5 * (z**2).sum(-1) - self.stds.log().sum(-1) - 2 * _LOG_TWO_PI  # [C]
        return self._log_sum(self.logits + each) - self._log_sum(self.logits)

    def _log_sum(self, values: Tensor) -> Tensor:
        """The logarithm of the sum of exponentials over each object's components: [C] → [O]."""
        top = self._top(values)
        sums = torch.zeros_like(top).index_add(0, self.owner, (values - top[self.owner]).exp())
        return sums.log() + top

    def _top(self, values: Tensor) -> Tensor:
        low = values.new_full((self.count,), -torch.inf)
        return low.scatter_reduce(0, self.owner, values.detach(), "amax")


def to_places(boxes: Tensor) -> Tensor:
    """Boxes (x0, y0, x1, y1) [..., 4] as centre x, centre y, log width, log height."""
    start, end = boxes[..., :2], boxes[..., 2:]
    return torch.cat([(start + end) / 2, (end - start).clamp(min=1e-4).log()], dim=-1)


def to_boxes(places: Tensor, least_side: float) -> Tensor:
    """Centre x, centre y, log width, log height [..., 4] as boxes (x0, y0, x1, y1) that lie in the picture.

    Sides are between `least_side` and 1; a box over the edge is moved inside.
    """
    side = places[..., 2:].exp().clamp(least_side, 1.0)
    start = torch.minimum((places[..., :2] - side / 2).clamp(min=0), 1 - side)
    return torch.cat([start, start + side], dim=-1)
