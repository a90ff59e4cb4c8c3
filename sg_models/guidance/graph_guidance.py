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
from torch_geometric.utils import scatter

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


@dataclass(frozen=True)
class _Plan:
    """All windows that B pictures are looked at in, N, and what of them counts where."""

    windows: Tensor  # [N, 4]
    picture_of: Tensor  # [N]
    texts: Tensor  # [N, D]
    objects: Tensor  # the windows of objects [O] …
    relations: Tensor  # … and of relations [R] among all
    places: Tensor  # [O, 1 + P], each object's own window and the others that it may be in, the first filling up
    is_place: Tensor  # [O, 1 + P], which of these are no filling


class GraphObjective:
    """How well pictures obey graphs with boxes, as an eye sees it: an `Objective`.

    One graph for all pictures, or several that take turns. Raises `SceneGraphError` for an object without a box.
    """

    def __init__(self, graphs: Sequence[SceneGraph], embed: Embed, weights: Weights = Weights()) -> None:
        self.weights = weights
        self.objects = [graph_boxes(graph) for graph in graphs]
        self.relations = [_relation_boxes(graph, boxes) for graph, boxes in zip(graphs, self.objects, strict=True)]
        phrases = [[thing.phrase for thing in graph.objects] for graph in graphs]
        triples = [[relation_phrase(graph, relation) for relation in graph.relations] for graph in graphs]
        distinct = list(dict.fromkeys(text for texts in (*phrases, *triples) for text in texts))
        vectors = dict(zip(distinct, embed(distinct), strict=True))
        self.phrases = [[vectors[text] for text in texts] for texts in phrases]
        self.triples = [[vectors[text] for text in texts] for texts in triples]
        self.plans: dict[int, _Plan] = {}  # by the number of pictures

    def __call__(self, sight: Sight, view: View) -> Tensor:
        count, weights = len(view.noisy), self.weights
        if count not in self.plans:
            self.plans[count] = self._plan(count)
        plan = self.plans[count]
        seen = sight.embed(plan.windows, plan.picture_of)
        cosines = (seen * plan.texts.to(seen)).sum(dim=-1)  # [N]

        def mean(values: Tensor, of: Tensor) -> Tensor:
            """Of each picture [B], 0 where it has none."""
            return scatter(values, plan.picture_of[of].to(values.device), dim_size=count, reduce="mean")

        choices = (cosines / TEMPERATURE)[plan.places].masked_fill(~plan.is_place.to(seen.device), -torch.inf)
        found = F.log_softmax(choices, dim=1)[:, 0]  # how surely each object is in its own window [O]
        return (
            weights.objects * mean(cosines[plan.objects], plan.objects)
            + weights.relations * mean(cosines[plan.relations], plan.relations)
            + weights.geometry * mean(found, plan.objects)
        )

    def _plan(self, count: int) -> _Plan:
        """Of so many pictures."""
        windows, picture_of, texts = [], [], []
        objects, relations, places = [], [], []

        def look(window: Tensor, picture: int, text: Tensor) -> int:
            windows.append(window)
            picture_of.append(picture)
            texts.append(text)
            return len(windows) - 1

        for picture in range(count):
            graph = picture % len(self.objects)
            own = around(self.objects[graph])
            for window, others, text in zip(own, other_places(own), self.phrases[graph], strict=True):
                objects.append(look(window, picture, text))
                places.append([objects[-1], *(look(other, picture, text) for other in others)])
            for window, text in zip(around(self.relations[graph]), self.triples[graph], strict=True):
                relations.append(look(window, picture, text))
        most = max(map(len, places))
        filled = torch.tensor([choice + choice[:1] * (most - len(choice)) for choice in places])
        is_place = torch.arange(most) < torch.tensor([[len(choice)] for choice in places])
        numbers = (torch.tensor(found, dtype=torch.long) for found in (picture_of, objects, relations))
        pictures, of_objects, of_relations = numbers
        return _Plan(torch.stack(windows), pictures, torch.stack(texts), of_objects, of_relations, filled, is_place)


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


def _relation_boxes(graph: SceneGraph, boxes: Tensor) -> Tensor:
    """The hull of each relation's two boxes: [R, 4]."""
    subjects, objects = ([getattr(relation, end) for relation in graph.relations] for end in ("subject", "object"))
    return hulls(boxes[subjects], boxes[objects])
