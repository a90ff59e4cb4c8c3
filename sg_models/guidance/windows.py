"""Which part of a picture an eye looks at: windows around objects and around relations, and how they are cut out."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torchvision.ops import roi_align

from ..graph.scene_graph import SceneGraph, SceneGraphError

CONTEXT = 1.25  # a window's sides over those of the box that it shows
WHOLE = (0.0, 0.0, 1.0, 1.0)


def around(boxes: Tensor, context: float = CONTEXT) -> Tensor:
    """Windows [N, 4] that show boxes [N, 4] with something of what is about them, cut off at the picture's edge."""
    centres, sizes = (boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]
    return torch.cat([centres - sizes * context / 2, centres + sizes * context / 2], dim=1).clamp(0, 1)


def hulls(subjects: Tensor, objects: Tensor) -> Tensor:
    """The least boxes [N, 4] that hold both of two boxes [N, 4] each."""
    return torch.cat(
        [torch.minimum(subjects[:, :2], objects[:, :2]), torch.maximum(subjects[:, 2:], objects[:, 2:])], 1
    )


def graph_boxes(graph: SceneGraph) -> Tensor:
    """The boxes [O, 4] of a graph's objects; raises `SceneGraphError` where one has none."""
    without = [thing.phrase for thing in graph.objects if thing.box is None]
    if without:
        named = ", ".join(without[:3]) + (" and others" if len(without) > 3 else "")
        raise SceneGraphError(
            f"{named}: without a box there is no place to look at; write boxes into the graph (@ x0 y0 x1 y1) or let "
            "them be arranged"
        )
    return torch.tensor([thing.box for thing in graph.objects]).reshape(-1, 4)


def cut_out(pictures: Tensor, windows: Tensor, picture_of: Tensor | Sequence[int], side: int) -> Tensor:
    """Windows [N, 4] of the pictures [N] among [B, 3, H, W], each stretched to [3, side, side]; gradients pass.

    Each pixel is a mean over what it covers, so that nothing aliases.
    """
    height, width = pictures.shape[-2:]
    scale = torch.tensor([width, height, width, height], device=pictures.device, dtype=pictures.dtype)
    rows = torch.as_tensor(picture_of, device=pictures.device).to(pictures)[:, None]
    rois = torch.cat([rows, windows.to(pictures) * scale], dim=1)
    return roi_align(pictures, rois, side, sampling_ratio=-1, aligned=True)
