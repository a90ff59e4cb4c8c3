"""What is asked of a prior: where the objects of a graph might be and how large, and how sure that is."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from ..graph.scene_graph import SceneGraph


@dataclass(frozen=True)
class Proposal:
    """One joint sample of boxes for the O objects of a graph, which need not obey its relations yet.

    `boxes` [O, 4] are (x0, y0, x1, y1) in [0, 1]; boxes that the graph gives come back as they are. `spread` [O, 4] are
    the standard deviations of centre x, centre y, log width and log height: the smaller, the dearer is a move.
    """

    boxes: np.ndarray
    spread: np.ndarray


class Prior(Protocol):
    """A distribution of boxes, from which a seed samples."""

    def samples(self, graph: SceneGraph, seed: int, aspect: float, count: int) -> list[Proposal]:
        """So many samples for `graph`, given its boxes, in a picture whose width is `aspect` times its height.

        The same seed (from 0) gives the same samples.
        """
        ...
