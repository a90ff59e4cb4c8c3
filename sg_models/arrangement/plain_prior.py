"""A prior that knows nothing of the world: anything may be anywhere, of any usual size."""

import numpy as np

from ..graph.scene_graph import SceneGraph
from .prior import Proposal

AREA_SHARE = 0.35  # of the picture, that all objects together take on average
LARGEST_SIDE, SMALLEST_SIDE = 0.45, 0.06  # on average, in parts of the picture
SPREAD = np.array([0.25, 0.25, 0.35, 0.35])  # of centres in parts of the picture, of sides in their logarithm
RATIO_SPREAD = 0.3  # of the logarithm of width over height, both in pixels


class PlainPrior:
    """Centres anywhere in the picture, sides log-normal around what leaves each object its share of it."""

    def sample(self, graph: SceneGraph, rng: np.random.Generator, aspect: float) -> Proposal:
        """See `Prior`."""
        count = len(graph.objects)
        usual = np.clip(np.sqrt(AREA_SHARE / count), SMALLEST_SIDE, LARGEST_SIDE)
        scale = rng.normal(0, SPREAD[2:].mean(), (count, 1))
        ratio = rng.normal(0, RATIO_SPREAD, count) - np.log(aspect)
        sides = np.clip(usual * np.exp(scale + np.stack([ratio, -ratio], axis=1) / 2), 0.02, 0.9)  # [O, 2]
        centres = sides / 2 + rng.random((count, 2)) * (1 - sides)
        boxes = np.concatenate([centres - sides / 2, centres + sides / 2], axis=1)
        for place, thing in enumerate(graph.objects):
            if thing.box is not None:
                boxes[place] = thing.box
        return Proposal(boxes, np.tile(SPREAD, (count, 1)))
