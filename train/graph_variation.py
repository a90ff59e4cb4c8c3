"""What a scene graph leaves unsaid: variations of a complete graph, for training and for evaluation."""

from dataclasses import replace

import numpy as np

from sg_models.scene_graph import SceneGraph

ALL_BOXES_RATE, SOME_BOXES_RATE = 0.15, 0.10
FIRST_BOXES_RATE = 0.75  # of graphs with all boxes at the very start of training
LESSON = 0.4  # the share of training over which that fades into the rate above
DROPPED_ATTRIBUTE_RATE = 0.10
DROPPED_RELATION_RATE = 0.10


def all_boxes_rate(progress: float) -> float:
    """How many graphs come with all their boxes, `progress` in [0, 1] through training.

    With boxes a model learns within minutes which token draws what, and where; without, it has to find out at once
    what a token looks like and where the relations put it.
    """
    return max(ALL_BOXES_RATE, FIRST_BOXES_RATE + (ALL_BOXES_RATE - FIRST_BOXES_RATE) * progress / LESSON)


def told(graph: SceneGraph, rng: np.random.Generator, all_boxes: float = ALL_BOXES_RATE) -> SceneGraph:
    """A graph as people write them: mostly without boxes, now and then without an attribute or a relation."""
    boxes = rng.random()
    box_rate = 1.0 if boxes < all_boxes else 0.5 if boxes < all_boxes + SOME_BOXES_RATE else 0.0
    objects = tuple(
        replace(
            thing,
            attributes=tuple(a for a in thing.attributes if rng.random() >= DROPPED_ATTRIBUTE_RATE),
            box=thing.box if rng.random() < box_rate else None,
        )
        for thing in graph.objects
    )
    return SceneGraph(objects, tuple(r for r in graph.relations if rng.random() >= DROPPED_RELATION_RATE))


def without_boxes(graph: SceneGraph) -> SceneGraph:
    """The same graph with no layout given."""
    return SceneGraph(tuple(replace(thing, box=None) for thing in graph.objects), graph.relations)
