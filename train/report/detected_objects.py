"""How much of a graph a detector finds in its pictures: object occurrence ratio (OOR) and spatial relations.

A detector decides what it can: objects whose name it knows, and relations that are spatial ("left of", not "wearing").
Everything else is counted as undecided and enters no figure.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import product

import numpy as np

from sg_models.graph.scene_graph import Relation, SceneGraph
from sg_models.graph.spatial_wordings import spatial_meaning
from sg_models.verification.detection import DetectedObject, Detector, known_names, plain
from train.data.spatial_relations import spatial_relation
from train.report.metrics import with_interval
from train.report.picture_metric import DrawnPictures, Figures

OOR, RELATIONS = "OOR", "relations by detector"


@dataclass
class Tally:
    """Of one graph in all its pictures: what was there, and out of how much."""

    objects: Counter[bool] = field(default_factory=Counter)  # found or not
    relations: Counter[bool] = field(default_factory=Counter)  # holds or not
    unknown_objects: int = 0
    undecided_relations: int = 0


class DetectedGraphs:
    """Both figures from one look at each picture."""

    def __init__(self, detector: Detector) -> None:
        self.detector = detector
        self.tallies: list[Tally] = []

    def see(self, drawn: DrawnPictures) -> None:
        for graph, pictures in zip(drawn.graphs, drawn.pictures, strict=True):
            tally = Tally()
            for picture in pictures:
                known = known_names(graph, self.detector.names)
                seen = self.detector.detect(picture, known) if known else []
                count_objects(graph, seen, known, tally)
                count_relations(graph, seen, known, tally)
            self.tallies.append(tally)

    def figures(self) -> Figures:
        pairs = {
            OOR: [(tally.objects[True], tally.objects.total()) for tally in self.tallies],
            RELATIONS: [(tally.relations[True], tally.relations.total()) for tally in self.tallies],
        }
        return {name: with_interval(*np.array(counts).T) for name, counts in pairs.items()}

    def notes(self) -> dict[str, str]:
        unknown = sum(tally.unknown_objects for tally in self.tallies)
        decided = sum(tally.objects.total() for tally in self.tallies)
        undecided = sum(tally.undecided_relations for tally in self.tallies)
        related = sum(tally.relations.total() for tally in self.tallies)
        return {
            "objects without a name that the detector knows": f"{unknown} of {unknown + decided}, in no figure",
            "relations that no box decides": f"{undecided} of {undecided + related}, in no figure",
        }


def count_objects(graph: SceneGraph, seen: Sequence[DetectedObject], known: Sequence[str], tally: Tally) -> None:
    """Two dogs of a graph need two dogs in the picture."""
    asked = Counter(plain(thing.name) for thing in graph.objects)
    found = Counter(thing.name for thing in seen)
    for name, count in asked.items():
        if name not in known:
            tally.unknown_objects += count
            continue
        there = min(count, found[name])
        tally.objects[True] += there
        tally.objects[False] += count - there


def count_relations(graph: SceneGraph, seen: Sequence[DetectedObject], known: Sequence[str], tally: Tally) -> None:
    """A spatial relation holds where it does between some two objects of these names; a missing object fulfils none."""
    for relation in graph.relations:
        ends = [plain(graph.objects[place].name) for place in (relation.subject, relation.object)]
        if spatial_meaning(relation.predicate) is None or not set(ends) <= set(known):
            tally.undecided_relations += 1
        else:
            tally.relations[holds(relation, *ends, seen)] += 1


def holds(relation: Relation, subject: str, object_: str, seen: Sequence[DetectedObject]) -> bool:
    """Whether two different detected objects of these names stand as the relation says."""
    meaning = spatial_meaning(relation.predicate)
    pairs = product((s for s in seen if s.name == subject), (o for o in seen if o.name == object_))
    return any(one is not other and spatial_relation(one.box, other.box) == meaning for one, other in pairs)
