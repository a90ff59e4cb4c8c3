"""A prior that knows nothing of the world: anything may be anywhere, of any usual size."""

from math import prod

import numpy as np

from ..graph.scene_graph import SceneGraph
from ..graph.spatial_wordings import INSIDE
from .prior import Proposal
from .rules import Rule, Tie, read_rules

AREA_SHARE = 0.35  # of the picture, that all objects together take on average
LARGEST_SIDE, SMALLEST_SIDE = 0.45, 0.06  # on average, in parts of the picture
SPREAD = np.array([0.5, 0.5, 0.35, 0.35])  # of centres in parts of the picture, of sides in their logarithm
RATIO_SPREAD = 0.3  # of the logarithm of width over height, both in pixels
INNER = 0.5  # the sides of what is inside, of those of what it is in, at most
SIZES = {"tiny": 0.5, "small": 0.65, "little": 0.65, "big": 1.5, "large": 1.5, "huge": 2.0}  # of the usual sides
NEAR = 0.15  # standard deviation, in parts of the picture, from what an object has to do with


class PlainPrior:
    """Centres anywhere, near what they have to do with; sides log-normal around an equal share of the picture."""

    def samples(self, graph: SceneGraph, seed: int, aspect: float, count: int) -> list[Proposal]:
        """See `Prior`."""
        rng = np.random.default_rng(seed)
        rules, ties = read_rules(graph)
        return [_sample(graph, rules, ties, rng, aspect) for _ in range(count)]


def _sample(graph: SceneGraph, rules: list[Rule], ties: list[Tie], rng: np.random.Generator, aspect: float) -> Proposal:
    count = len(graph.objects)
    usual = np.clip(np.sqrt(AREA_SHARE / count), SMALLEST_SIDE, LARGEST_SIDE)
    said = [prod(SIZES.get(word.casefold(), 1.0) for word in thing.attributes) for thing in graph.objects]
    scale = rng.normal(0, SPREAD[2:].mean(), (count, 1))
    ratio = rng.normal(0, RATIO_SPREAD, count) - np.log(aspect)
    usual_sides = usual * np.array(said)[:, None]
    sides = np.clip(usual_sides * np.exp(scale + np.stack([ratio, -ratio], axis=1) / 2), 0.02, 0.9)  # [O, 2]
    centres = rng.random((count, 2))
    for rule in rules:
        if rule.meaning == INSIDE:
            sides[rule.first] = np.minimum(sides[rule.first], INNER * sides[rule.second])
    for tie in ties:
        centres[tie.subject] = centres[tie.object] + rng.normal(0, NEAR, 2)
    centres = np.clip(centres, sides / 2, 1 - sides / 2)
    boxes = np.concatenate([centres - sides / 2, centres + sides / 2], axis=1)
    for place, thing in enumerate(graph.objects):
        if thing.box is not None:
            boxes[place] = thing.box
    return Proposal(boxes, np.tile(SPREAD, (count, 1)))
