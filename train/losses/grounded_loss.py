"""The denoising loss with an eye on objects: each has the same say, and, given boxes, noisy timesteps have more."""

import torch
from torch import Tensor
from torch_geometric.data import Batch

from train.bases.base_model import BaseModel
from train.losses.denoising import diffusion_loss

MAX_WEIGHT = 50.0  # of a timestep: given boxes, a great deal is certain even in the noisiest picture
OBJECT_WEIGHT = 2.0  # of a large object's place, beside 1 for the background
LARGE = 0.129  # the part of the picture that a large object's box covers


def grounded_loss(base: BaseModel, predicted: Tensor, target: Tensor, timesteps: Tensor, graphs: Batch) -> Tensor:
    """`diffusion_loss` of predictions [B, 4, h, w] of B graphs, whose true boxes are `graphs.layout` [O, 4]."""
    height, width = predicted.shape[-2:]
    places = object_places(graphs.layout, graphs.batch, len(predicted), (height, width))
    return diffusion_loss(base, predicted, target, timesteps, places, MAX_WEIGHT)


def object_places(boxes: Tensor, graph_of: Tensor, count: int, size: tuple[int, int]) -> Tensor:
    """Weights [B, h, w] of mean 1 that give each object the same say in the loss, however few cells it covers.

    boxes [O, 4], graph_of [O] in [0, B), `count` B.
    """
    x0, y0, x1, y1 = boxes.unbind(-1)
    height, width = size
    rows, columns = _covered(y0, y1, height), _covered(x0, x1, width)  # [O, h], [O, w]
    say = (LARGE / ((x1 - x0) * (y1 - y0)))[:, None, None] * rows[:, :, None] * columns[:, None]  # [O, h, w]
    places = 1 + OBJECT_WEIGHT * boxes.new_zeros(count, height, width).index_add(0, graph_of, say)
    return places / places.mean()


def _covered(start: Tensor, end: Tensor, count: int) -> Tensor:
    """How much of each of `count` equal parts of [0, 1] lies between start [O] and end [O]: [O, count]."""
    edges = torch.arange(count + 1, device=start.device) / count
    return count * (torch.minimum(end[:, None], edges[1:]) - torch.maximum(start[:, None], edges[:-1])).clamp(min=0)
