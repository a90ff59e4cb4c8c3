"""What a detector says of a picture, and what every detector can do."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torchvision.ops import batched_nms

from ..graph.scene_graph import SceneGraph
from ..graph.spatial_relations import Box, Point

OVERLAP = 0.45  # IoU beyond which two boxes of one name are one object


@dataclass(frozen=True)
class DetectedObject:
    """One object that was seen: its box is (x0, y0, x1, y1) in pixels, its score in [0, 1].

    `name` may be a phrase of the graph ("brown dog") where a detector was asked for that. `attributes` are None where
    the detector says nothing of them; `centroid` is that of its outline, where that was seen.
    """

    name: str
    box: Box
    score: float
    attributes: tuple[str, ...] | None = None
    centroid: Point | None = None

    @property
    def phrase(self) -> str:
        """In words: "small red circle"."""
        return " ".join((*(self.attributes or ()), self.name))


class Detector(Protocol):
    """Finds objects by name."""

    names: frozenset[str] | None
    """what it knows; None for an open vocabulary"""
    attributes: frozenset[str] | None
    """those that it tells apart; None where nothing is known of them"""
    threshold: float
    """the score from which on something counts as seen"""

    def detect(self, picture, names: list[str]) -> list[DetectedObject]:
        """Objects of those names in a picture, uint8 [H, W, 3]; each once, whatever the network said of it."""
        ...


def plain(name: str) -> str:
    """A name as detectors know it."""
    return " ".join(name.casefold().replace("_", " ").split())


def known_names(graph: SceneGraph, names: frozenset[str] | None) -> list[str]:
    """The distinct names of a graph's objects that a detector of those names knows, sorted; None is any name."""
    asked = {plain(thing.name) for thing in graph.objects}
    return sorted(asked if names is None else asked & names)


def without_duplicates(seen: Sequence[DetectedObject]) -> list[DetectedObject]:
    """Of boxes of one name that overlap by more than `OVERLAP` the best alone, best first (non-maximum suppression)."""
    if not seen:
        return []
    order = {name: number for number, name in enumerate(sorted({thing.name for thing in seen}))}
    kept = batched_nms(
        torch.tensor([thing.box for thing in seen], dtype=torch.float32),
        torch.tensor([thing.score for thing in seen]),
        torch.tensor([order[thing.name] for thing in seen]),
        OVERLAP,
    )
    return [seen[k] for k in kept.tolist()]
