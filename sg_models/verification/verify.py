"""Holds what a detector sees in a picture against a scene graph.

An object is there if something of its name is seen. Its attributes are decided where the detector says something of
attributes; a relation, where both ends are seen and it is one of the six spatial ones in any of their wordings: "on" or
"wearing" say nothing that boxes could refute.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ..graph.scene_graph import Relation, SceneGraph, SceneObject
from ..graph.spatial_relations import spatial_relation
from ..graph.spatial_wordings import spatial_meaning
from .detection import DetectedObject, Detector, known_names, plain
from .matching import Related, match
from .report import Finding, Outcome, Report

BY_ATTRIBUTES = (
    "So many things of one name are asked for and seen that they were told apart by their attributes alone: relations "
    "between them may hold that are said not to."
)


def verify_picture(detector: Detector, picture: np.ndarray, graph: SceneGraph) -> Report:
    """How a picture, uint8 [H, W, 3], obeys a graph, as a detector sees it."""
    names = known_names(graph, detector.names)
    seen = detector.detect(picture, names) if names else []
    return verify(graph, seen, detector.names, detector.attributes)


def verify(
    graph: SceneGraph,
    seen: Sequence[DetectedObject],
    names: frozenset[str] | None = None,
    attributes: frozenset[str] | None = None,
) -> Report:
    """How what was seen in a picture obeys a graph.

    `names` and `attributes` are those that the detector could see, None for any. What it calls by a phrase of the graph
    ("brown dog") is a thing of that name with those attributes.
    """
    seen = tuple(_by_name(thing, graph) for thing in seen)
    by_name: dict[str, list[int]] = {}
    for place in sorted(range(len(seen)), key=lambda place: -seen[place].score):
        by_name.setdefault(seen[place].name, []).append(place)
    bound = np.array([[_attributes(o, d, attributes)[0] is Outcome.HOLDS for d in seen] for o in graph.objects])
    candidates = [by_name.get(plain(thing.name), []) for thing in graph.objects]
    matching = match(candidates, bound, [_related(relation, seen, candidates) for relation in graph.relations])
    things = [None if place is None else seen[place] for place in matching.places]
    pairs = list(zip(graph.objects, things, strict=True))
    return Report(
        graph=graph,
        seen=seen,
        matched=matching.places,
        objects=tuple(_object(thing, found, names) for thing, found in pairs),
        attributes=tuple(_described(thing, found, names, attributes) for thing, found in pairs),
        relations=tuple(_relation(relation, graph, things, names) for relation in graph.relations),
        notes=(BY_ATTRIBUTES,) if matching.by_attributes else (),
    )


def _by_name(thing: DetectedObject, graph: SceneGraph) -> DetectedObject:
    """Under the name of a graph's object where a detector gave it a phrase of the graph, with what that says."""
    called = plain(thing.name)
    if all(called != plain(wanted.name) for wanted in graph.objects):
        for wanted in graph.objects:
            if called == plain(wanted.phrase):
                return replace(thing, name=plain(wanted.name), attributes=tuple(map(plain, wanted.attributes)))
    return replace(thing, name=called)


def _attributes(thing: SceneObject, found: DetectedObject, known: frozenset[str] | None) -> tuple[Outcome, str]:
    """Whether what was found has an object's attributes, and why not."""
    wanted = [plain(attribute) for attribute in thing.attributes]
    if found.attributes is None:
        return (Outcome.UNDECIDABLE, "the detector says nothing of attributes") if wanted else (Outcome.HOLDS, "")
    missing = [attribute for attribute in wanted if attribute not in found.attributes]
    if any(known is None or attribute in known for attribute in missing):
        return Outcome.FAILS, f"it is {' and '.join(found.attributes) or 'not said to be so'}"
    if missing:
        return Outcome.UNDECIDABLE, f"the detector does not know what is {missing[0]}"
    return Outcome.HOLDS, ""


def _related(relation: Relation, seen: Sequence[DetectedObject], candidates: Sequence[Sequence[int]]) -> Related:
    holds = np.zeros((len(seen), len(seen)), bool)
    meaning = spatial_meaning(relation.predicate)
    if meaning is not None:
        for d in candidates[relation.subject]:
            for e in candidates[relation.object]:
                holds[d, e] = d != e and relation_of(seen[d], seen[e]) == meaning
    return Related(relation.subject, relation.object, holds)


def relation_of(subject: DetectedObject, object_: DetectedObject) -> str:
    """What one thing is to another, by sg2im's rule."""
    return spatial_relation(subject.box, object_.box, subject.centroid, object_.centroid)


def _object(thing: SceneObject, found: DetectedObject | None, names: frozenset[str] | None) -> Finding:
    said = f"{thing.name} is there"
    if found is not None:
        return Finding(said, Outcome.HOLDS)
    if _unknown(thing, names):
        return Finding(said, Outcome.UNDECIDABLE, _unknown(thing, names), of_no_picture=True)
    return Finding(said, Outcome.FAILS, "not seen")


def _described(
    thing: SceneObject, found: DetectedObject | None, names: frozenset[str] | None, known: frozenset[str] | None
) -> Finding | None:
    if not thing.attributes:
        return None
    said = f"{thing.name} is {' and '.join(thing.attributes)}"
    if found is None:
        unknown = _unknown(thing, names)
        return Finding(said, Outcome.UNDECIDABLE, unknown or f"{thing.name} not seen", of_no_picture=bool(unknown))
    outcome, why = _attributes(thing, found, known)
    return Finding(said, outcome, why, of_no_picture=outcome is Outcome.UNDECIDABLE)


def _relation(
    relation: Relation, graph: SceneGraph, things: Sequence[DetectedObject | None], names: frozenset[str] | None
) -> Finding:
    ends = [graph.objects[place] for place in (relation.subject, relation.object)]
    said = f"{ends[0].phrase} {relation.predicate} {ends[1].phrase}"
    meaning = spatial_meaning(relation.predicate)
    if meaning is None:
        why = f"boxes do not decide '{relation.predicate}'"
        return Finding(said, Outcome.UNDECIDABLE, why, of_no_picture=True)
    for thing in ends:
        if _unknown(thing, names):
            return Finding(said, Outcome.UNDECIDABLE, _unknown(thing, names), of_no_picture=True)
    subject, object_ = things[relation.subject], things[relation.object]
    if subject is None or object_ is None:
        missing = ends[0] if subject is None else ends[1]
        return Finding(said, Outcome.UNDECIDABLE, f"{missing.name} not seen")
    is_so = relation_of(subject, object_)
    return Finding(said, Outcome.HOLDS) if is_so == meaning else Finding(said, Outcome.FAILS, f"it is {is_so} it")


def _unknown(thing: SceneObject, names: frozenset[str] | None) -> str:
    """Why nothing can be said of an object; empty where something can."""
    return f"the detector does not know '{thing.name}'" if names is not None and plain(thing.name) not in names else ""
