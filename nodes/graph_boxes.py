"""The boxes of a graph's objects in core's forms: BOUNDING_BOX, a mask each, whole numbers for areas."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ..sg_models.graph.scene_graph import Box, SceneGraph

CELL = 8  # pixels of a latent's cell, in which core counts areas


def core_boxes(graph: SceneGraph, boxes: Sequence[Sequence[float]], width: int, height: int) -> list[dict[str, Any]]:
    """Boxes [O][4] as a frame of core's BOUNDING_BOX: in pixels from the top left, with the objects' phrases."""
    frame = []
    for thing, box in zip(graph.objects, boxes, strict=True):
        x0, y0, x1, y1 = (round(v * side) for v, side in zip(box, (width, height) * 2, strict=True))
        frame.append({"x": x0, "y": y0, "width": max(x1 - x0, 1), "height": max(y1 - y0, 1), "label": thing.phrase})
    return frame


def box_masks(boxes: Sequence[Box], width: int, height: int) -> Tensor:
    """A mask [O, H, W] for each box, 1 inside of it; every mask has a pixel at least."""
    masks = torch.zeros(len(boxes), height, width)
    for mask, (x0, y0, x1, y1) in zip(masks, boxes, strict=True):
        left, top = min(round(x0 * width), width - 1), min(round(y0 * height), height - 1)
        mask[top : max(round(y1 * height), top + 1), left : max(round(x1 * width), left + 1)] = 1.0
    return masks


def whole_cells(box: dict[str, Any]) -> tuple[int, int, int, int]:
    """x, y, width and height of a box of core's, in pixels, grown to whole cells of the latent."""
    low = [int(box[side]) // CELL * CELL for side in ("x", "y")]
    high = [-(-int(box[side] + box[length]) // CELL) * CELL for side, length in (("x", "width"), ("y", "height"))]
    return low[0], low[1], max(high[0] - low[0], CELL), max(high[1] - low[1], CELL)
