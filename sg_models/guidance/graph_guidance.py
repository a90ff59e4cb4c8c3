"""Guidance by a scene graph with boxes, on any base and without an adapter.

Neither of the papers has it; SceneGenie (Farshad et al. 2023) is the precedent. Each object's window is to look like
its phrase, each relation's like "subject predicate object", and what an object is should be found in its box rather
than anywhere else.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ..graph.caption import relation_phrase
from ..graph.scene_graph import SceneGraph
from .eyes import Sight
from .view import View
from .windows import around, graph_boxes, hulls

Embed = Callable[[list[str]], Tensor]  # P texts → [P, D] of unit length
TEMPERATURE = 0.07  # of the choice between places, as in CLIP's contrast
GRID = 4  # places each way that an object may be mistaken for
CLEAR_OVERLAP = 0.3  # intersection over union with the object's own window, below which a place is another


@dataclass(frozen=True)
class Weights:
    """What counts how much."""

    objects: float = 1.0
    relations: float = 0.5
    geometry: float = 0.5


class GraphObjective:
    """How well pictures obey graphs with boxes, as an eye sees it: an `Objective`.

    One graph for all pictures, or one for each. Raises `SceneGraphError` for an object without a box.
    """

    def __init__(self, graphs: Sequence[SceneGraph], embed: Embed, weights: Weights) -> None:
        self.graphs, self.weights = list(graphs), weights
        boxes = [graph_boxes(graph) for graph in graphs]
        self.object_windows = [around(found) for found in boxes]
        self.relation_windows = [_relation_windows(graph, found) for graph, found in zip(graphs, boxes, strict=True)]
        self.places = [other_places(windows) for windows in self.object_windows]
        self.phrases = [embed([thing.phrase for thing in graph.objects]) for graph in graphs]
        said = [[relation_phrase(graph, relation) for relation in graph.relations] for graph in graphs]
        self.triples = [embed(texts) if texts else of[:0] for texts, of in zip(said, self.phrases, strict=True)]

    def __call__(self, sight: Sight, view: View) -> Tensor:
        rows = [self.graphs_of(b) for b in range(len(view.noisy))]
        score = self.weights.objects * self._mean_cosine(sight, rows, self.object_windows, self.phrases)
        if self.weights.relations and any(len(self.triples[row]) for row in rows):
            score = score + self.weights.relations * self._mean_cosine(sight, rows, self.relation_windows, self.triples)
        if self.weights.geometry:
            score = score + self.weights.geometry * self._geometry(sight, rows)
        return score

    def graphs_of(self, picture: int) -> int:
        """Which graph a picture of a batch has."""
        return picture % len(self.graphs)

    def _mean_cosine(self, sight: Sight, rows: list[int], windows: list[Tensor], texts: list[Tensor]) -> Tensor:
        """Of each picture [B], over its windows and their texts; 0 where it has none."""
        picture_of = torch.tensor([b for b, row in enumerate(rows) for _ in windows[row]])
        seen = sight.embed(torch.cat([windows[row] for row in rows]), picture_of)
        cosines = (seen * torch.cat([texts[row] for row in rows]).to(seen)).sum(dim=-1)  # [N]
        return mean_of_pictures(cosines, picture_of, len(rows))

    def _geometry(self, sight: Sight, rows: list[int]) -> Tensor:
        """How surely each object is found in its own window rather than in another place: log-probabilities [B]."""
        things = [(b, row, k) for b, row in enumerate(rows) for k in range(len(self.places[row]))]
        windows = [torch.cat([self.object_windows[row][k, None], self.places[row][k]]) for _, row, k in things]
        counts = torch.tensor([len(choice) for choice in windows])
        picture_of = torch.tensor([b for b, _, _ in things])
        seen = sight.embed(torch.cat(windows), picture_of.repeat_interleave(counts))  # [N, D]
        texts = torch.stack([self.phrases[row][k] for _, row, k in things]).to(seen)
        logits = (seen * texts.repeat_interleave(counts.to(seen.device), dim=0)).sum(dim=-1) / TEMPERATURE
        own = torch.stack([F.log_softmax(choice, dim=0)[0] for choice in logits.split(counts.tolist())])  # [objects]
        return mean_of_pictures(own, picture_of, len(rows))


def mean_of_pictures(values: Tensor, picture_of: Tensor, count: int) -> Tensor:
    """Means [B] of values [N] of pictures [N]; 0 for a picture without any."""
    picture_of = picture_of.to(values.device)
    sums = values.new_zeros(count).index_add(0, picture_of, values)
    return sums / torch.bincount(picture_of, minlength=count).clamp(min=1)


def other_places(windows: Tensor) -> list[Tensor]:
    """For each window [4] of [O, 4], windows of its size on a grid that hardly overlap it: [P, 4], P may be 0."""
    found = []
    for window in windows:
        size = window[2:] - window[:2]
        steps = torch.linspace(0, 1, GRID)
        corners = torch.cartesian_prod(steps, steps) * (1 - size)  # [GRID², 2]
        places = torch.cat([corners, corners + size], dim=1)
        found.append(places[overlaps(places, window) < CLEAR_OVERLAP])
    return found


def overlaps(boxes: Tensor, box: Tensor) -> Tensor:
    """Intersection over union of boxes [N, 4] with one [4]: [N]."""
    corners = torch.minimum(boxes[:, 2:], box[2:]) - torch.maximum(boxes[:, :2], box[:2])
    both = corners.clamp(min=0).prod(dim=1)
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(dim=1) + (box[2:] - box[:2]).prod()
    return both / (areas - both)


def _relation_windows(graph: SceneGraph, boxes: Tensor) -> Tensor:
    if not graph.relations:
        return boxes[:0]
    subjects, objects = ([getattr(relation, end) for relation in graph.relations] for end in ("subject", "object"))
    return around(hulls(boxes[subjects], boxes[objects]))
