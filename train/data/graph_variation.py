"""What a scene graph leaves unsaid: variations of a complete graph, for training and for evaluation."""

from dataclasses import replace

import numpy as np

from sg_models.graph.scene_graph import Relation, SceneGraph

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


def caption_part(graph: SceneGraph, most_relations: int, most_triples: int, rng: np.random.Generator) -> SceneGraph:
    """What a sentence can say of a graph: all of it, or some relations at random and the objects that they join.

    `most_triples` are attributes and relations together. Of a graph without relations, as many objects as there may be
    relations stay. Objects beyond `most_triples` attributes lose the rest of theirs.
    """
    triples = len(graph.relations) + sum(len(thing.attributes) for thing in graph.objects)
    small = len(graph.relations) <= most_relations and len(graph.objects) <= 2 * most_relations
    if small and triples <= most_triples:
        return graph
    kept: list[Relation] = []
    for k in rng.permutation(len(graph.relations))[:most_relations]:
        chosen = [*kept, graph.relations[int(k)]]
        ends = {end for relation in chosen for end in (relation.subject, relation.object)}
        if len(chosen) + sum(len(graph.objects[end].attributes) for end in ends) <= most_triples:
            kept = chosen
    ends = sorted({end for relation in kept for end in (relation.subject, relation.object)})
    if not ends:
        ends = sorted(int(i) for i in rng.permutation(len(graph.objects))[:most_relations])
    return _restricted(graph, ends, kept, most_triples)


def _restricted(graph: SceneGraph, places: list[int], relations: list[Relation], most_triples: int) -> SceneGraph:
    """Some objects and relations of a graph, with as many attributes as there is room for."""
    room, things = most_triples - len(relations), []
    for place in places:
        thing = graph.objects[place]
        things.append(replace(thing, attributes=thing.attributes[:room]))
        room -= len(things[-1].attributes)
    new = {place: i for i, place in enumerate(places)}
    return SceneGraph(tuple(things), tuple(replace(r, subject=new[r.subject], object=new[r.object]) for r in relations))
