"""What a scene graph leaves unsaid: variations of a complete graph, for training and for evaluation."""

from dataclasses import replace

import numpy as np

from sg_models.graph.scene_graph import SceneGraph

ALL_BOXES_RATE, SOME_BOXES_RATE = 0.15, 0.25
DROPPED_ATTRIBUTE_RATE = 0.10
DROPPED_RELATION_RATE = 0.10


def with_gaps(graph: SceneGraph, rng: np.random.Generator) -> SceneGraph:
    """A graph as people write them: mostly without boxes, now and then without an attribute or a relation."""
    boxes = rng.random()
    box_rate = 1.0 if boxes < ALL_BOXES_RATE else 0.5 if boxes < ALL_BOXES_RATE + SOME_BOXES_RATE else 0.0
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
