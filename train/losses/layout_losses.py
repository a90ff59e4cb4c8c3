"""What predicted boxes and the maps made of them are trained on: the true ones, and what the graph says of them.

Many layouts fit a graph. What an object is says how large it is, but its place is mostly a guess: so sizes count apart
from places, and there is no term of overlap with the true box, such as generalised IoU, which an unsure predictor would
please with boxes that are too large. What lies between the layouts that fit, which L1 asks for, may break a relation or
lay one object over another: two hinges say that directly.
"""

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor
from torch_geometric.utils import subgraph, to_dense_batch
from torchvision.ops import box_iou

from sg_models.layers.graph_batch import UNKNOWN_RELATION, GraphBatch
from sg_models.layers.layout import LayoutPredictor, warp
from train.data.spatial_relations import ABOVE, BELOW, INSIDE, LEFT, RELATIONS, RIGHT, SURROUNDING, spatial_relation

MARGIN = 0.07  # in parts of the picture: how clearly a relation has to hold
NESTED_MARGIN = 0.02
GAP = 0.04  # kept free between two objects that are not nested
SIDE_WEIGHT = 5.0
RELATION_WEIGHT, OVERLAP_WEIGHT = 20.0, 20.0  # hinges are squared parts of the picture, small beside L1
NO_ANSWER = -1e4  # the logit of what a cell is not asked about
BACKGROUND = 0  # of the cell classes; object k of a graph is class k + 1
DIRECTIONS = {LEFT: (-1.0, 0.0), RIGHT: (1.0, 0.0), ABOVE: (0.0, -1.0), BELOW: (0.0, 1.0)}


def box_loss(boxes: Tensor, graphs: GraphBatch) -> Tensor:
    """How far predicted boxes [O, 4] of a batch with targets are from the true ones, and from what the graphs say.

    Objects whose true boxes are not known do not count, nor do their relations.
    """
    truth = graphs.truth
    placed = truth.placed
    edges, spatial = subgraph(placed, graphs.edge_index, truth.spatial, relabel_nodes=True, num_nodes=len(boxes))
    boxes, graph_of = boxes[placed], graphs.batch[placed]
    return (
        distance_loss(boxes, truth.boxes[placed])
        + RELATION_WEIGHT * relation_loss(boxes, edges, spatial)
        + OVERLAP_WEIGHT * overlap_loss(boxes, edges, spatial, graph_of)
    )


def box_figures(boxes: Tensor, graphs: GraphBatch) -> dict[str, float]:
    """Mean IoU of predicted boxes [O, 4] with the true ones, and how many layouts obey their graph.

    There are no figures where no true box is known: then nothing has learned to predict any.
    """
    placed = graphs.truth.placed
    if not placed.any():
        return {}
    overlap = box_iou(boxes[placed], graphs.truth.boxes[placed]).diagonal().mean().item()
    return {"box IoU": overlap, "layouts obeyed": share_obeying(boxes, graphs)}


def share_obeying(boxes: Tensor, graphs: GraphBatch) -> float:
    """The part of the graphs all of whose spatial relations hold between the boxes [O, 4]."""
    places, graph_of = [tuple(box) for box in boxes.tolist()], graphs.batch.tolist()
    broken = {
        graph_of[s]
        for (s, o), place in zip(graphs.edge_index.T.tolist(), graphs.truth.spatial.tolist(), strict=True)
        if place != UNKNOWN_RELATION and spatial_relation(places[s], places[o]) != RELATIONS[place]
    }
    return 1 - len(broken) / graphs.num_graphs


def distance_loss(predicted: Tensor, true: Tensor) -> Tensor:
    """L1 of edges and of sides of boxes [O, 4]; 0 for none."""
    if not len(predicted):
        return predicted.sum()
    sides = F.l1_loss(predicted[:, 2:] - predicted[:, :2], true[:, 2:] - true[:, :2])
    return F.l1_loss(predicted, true) + SIDE_WEIGHT * sides


def relation_loss(boxes: Tensor, edge_index: Tensor, relation: Tensor) -> Tensor:
    """By how much boxes [O, 4] break relations, squared: 0 where all clearly hold.

    edge_index [2, R] (subject, object), relation [R] places in `RELATIONS`; other predicates say nothing of boxes.
    """
    known = relation != UNKNOWN_RELATION
    edge_index, relation = edge_index[:, known], relation[known]
    subject, object_ = boxes[edge_index[0]], boxes[edge_index[1]]
    offset = (subject[:, :2] + subject[:, 2:] - object_[:, :2] - object_[:, 2:]) / 2  # [R, 2], between centres
    direction = boxes.new_tensor([DIRECTIONS.get(name, (0.0, 0.0)) for name in RELATIONS])[relation]  # [R, 2]
    along = (offset * direction).sum(dim=-1)
    across = offset[:, 0] * direction[:, 1] - offset[:, 1] * direction[:, 0]
    broken = F.relu(MARGIN + across.abs() - along)
    broken = torch.where(relation == RELATIONS.index(INSIDE), _not_inside(subject, object_), broken)
    broken = torch.where(relation == RELATIONS.index(SURROUNDING), _not_inside(object_, subject), broken)
    return broken.square().sum() / max(len(broken), 1)


def overlap_loss(boxes: Tensor, edge_index: Tensor, relation: Tensor, graph_of: Tensor) -> Tensor:
    """How far boxes of one graph reach into each other, squared, where the graph does not nest the two."""
    separate = graph_of[:, None] == graph_of[None]  # [O, O]
    separate = separate & ~torch.eye(len(boxes), dtype=torch.bool, device=boxes.device)
    nested = relation >= RELATIONS.index(INSIDE)
    a, b = edge_index[:, nested]
    separate[a, b] = separate[b, a] = False
    start = torch.maximum(boxes[:, None, :2], boxes[None, :, :2]) - GAP
    end = torch.minimum(boxes[:, None, 2:], boxes[None, :, 2:])
    reach = F.relu(end - start).amin(dim=-1)  # [O, O], the way out is the shorter one
    return (reach.square() * separate).sum() / separate.sum().clamp(min=1)


def mask_loss(masks: Tensor, true: Tensor) -> Tensor:
    """Cross-entropy of masks [O, M, M] in [0, 1] against true ones; 0 for none."""
    if not len(masks):
        return masks.sum()
    return F.binary_cross_entropy(masks.clamp(1e-4, 1 - 1e-4), true)


def cell_classes(masks: Tensor, boxes: Tensor, graph_of: Tensor, size: tuple[int, int]) -> Tensor:
    """What each cell shows: BACKGROUND, or k + 1 for object k of the graph; the smallest object where several lie.

    True masks [O, M, M] and boxes [O, 4] → [B, h, w]. A box `NOWHERE` covers no cell.
    """
    covered, _ = to_dense_batch(warp(masks, boxes, size) > 0.5, graph_of)  # [B, N, h, w]
    area, _ = to_dense_batch((boxes[:, 2:] - boxes[:, :2]).prod(dim=-1), graph_of)  # [B, N]
    rank = torch.where(covered, area[:, :, None, None], torch.inf)
    smallest = rank.min(dim=1)
    return torch.where(smallest.values.isfinite(), smallest.indices + 1, BACKGROUND)


def cell_loss(predictor: LayoutPredictor, semantics: Tensor, graphs: GraphBatch, true: Tensor) -> Tensor:
    """Cross-entropy of the semantic layout [B, S, h, w] of a batch with targets against `cell_classes` [B, h, w].

    A cell may show an object whose true box is not known: that is no answer here, neither right nor wrong.
    """
    fits, background = predictor.object_logits(semantics, graphs.x, graphs.batch)
    fits = fits.masked_fill(~graphs.truth.placed[:, None, None], NO_ANSWER)
    dense, real = to_dense_batch(fits, graphs.batch, fill_value=NO_ANSWER)  # [B, N, h, w]
    logits = torch.cat([background[:, None], dense], dim=1)
    return F.cross_entropy(rearrange(logits, "b n h w -> b n (h w)"), rearrange(true, "b h w -> b (h w)"))


def _not_inside(inner: Tensor, outer: Tensor) -> Tensor:
    """By how much boxes [R, 4] reach out of others, the margin included: [R]."""
    out = torch.cat([outer[:, :2] + NESTED_MARGIN - inner[:, :2], inner[:, 2:] + NESTED_MARGIN - outer[:, 2:]], dim=-1)
    return F.relu(out).sum(dim=-1)
