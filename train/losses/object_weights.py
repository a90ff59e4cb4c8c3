"""Where in a picture the denoising loss counts: each object has the same say, however few cells it covers."""

import torch
from torch import Tensor

OBJECT_WEIGHT = 2.0  # of a large object's place, beside 1 for the background


def object_weights(boxes: Tensor, graph_of: Tensor, count: int, size: tuple[int, int], large_area: float) -> Tensor:
    """Weights [B, h, w] of mean 1 that give each object the same say in the loss, however few cells it covers.

    boxes [O, 4], graph_of [O] in [0, B), `count` B; `large_area` is the part of the picture that a large object's box
    covers in this data set: such a place weighs `OBJECT_WEIGHT` more than the background. An object whose box is
    `NOWHERE` has no place of its own, so that a picture without boxes weighs the same everywhere.
    """
    x0, y0, x1, y1 = boxes.unbind(-1)
    height, width = size
    rows, columns = _coverage(y0, y1, height), _coverage(x0, x1, width)  # [O, h], [O, w]
    say = (large_area / ((x1 - x0) * (y1 - y0)))[:, None, None] * rows[:, :, None] * columns[:, None]  # [O, h, w]
    places = 1 + OBJECT_WEIGHT * boxes.new_zeros(count, height, width).index_add(0, graph_of, say)
    return places / places.mean()


def _coverage(start: Tensor, end: Tensor, count: int) -> Tensor:
    """How much of each of `count` equal parts of [0, 1] lies between start [O] and end [O]: [O, count]."""
    edges = torch.arange(count + 1, device=start.device) / count
    return count * (torch.minimum(end[:, None], edges[1:]) - torch.maximum(start[:, None], edges[:-1])).clamp(min=0)
