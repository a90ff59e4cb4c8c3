"""What the relations of a graph ask of boxes: exactly, or not.

Left of, above and inside, whichever way round, are rules. That one object is left of another means that its centre is,
by more than it is above or below, and that neither box lies inside the other: sg2im's relations (Johnson et al. 2018),
of which exactly one holds for two boxes.
"""

from dataclasses import dataclass

import numpy as np

from ..graph.scene_graph import SceneGraph
from ..graph.spatial_relations import Box, box_contains, spatial_relation
from ..graph.spatial_wordings import ABOVE, BELOW, INSIDE, LEFT, RIGHT, SURROUNDING, arranged_meaning

TURNED = {RIGHT: LEFT, BELOW: ABOVE, SURROUNDING: INSIDE}
AXIS = {LEFT: 0, ABOVE: 1}
LEAST = 1e-6  # what is less than this, in parts of the picture, is nothing


@dataclass(frozen=True)
class Rule:
    """Object `first` is left of, above or inside object `second`, as `relation`, a position in the graph, says."""

    relation: int
    first: int
    second: int
    meaning: str  # LEFT, ABOVE or INSIDE

    @property
    def ends(self) -> tuple[int, int]:
        return self.first, self.second


@dataclass(frozen=True)
class Tie:
    """A relation that says nothing certain of places: what the prior makes of it is to be kept."""

    relation: int
    subject: int
    object: int


def read_rules(graph: SceneGraph) -> tuple[list[Rule], list[Tie]]:
    """The relations that are rules, and the others."""
    rules, ties = [], []
    for position, relation in enumerate(graph.relations):
        meaning = arranged_meaning(relation.predicate, graph.objects[relation.object].name)
        if meaning is None:
            ties.append(Tie(position, relation.subject, relation.object))
        elif meaning in TURNED:
            rules.append(Rule(position, relation.object, relation.subject, TURNED[meaning]))
        else:
            rules.append(Rule(position, relation.subject, relation.object, meaning))
    return rules, ties


def rule_holds(rule: Rule, boxes: np.ndarray) -> bool:
    """Whether a rule holds for boxes [O, 4] in any unit that is the same for both sides."""
    return spatial_relation(_box(boxes, rule.first), _box(boxes, rule.second)) == rule.meaning


def centres_hold(rule: Rule, boxes: np.ndarray) -> bool:
    """Whether the centres are the way round that a rule says, and neither box is inside the other."""
    if rule.meaning == INSIDE or nested(rule, boxes):
        return rule.meaning == INSIDE and rule_holds(rule, boxes)
    axis = AXIS[rule.meaning]
    first, second = boxes[rule.first], boxes[rule.second]
    return bool(second[axis] + second[axis + 2] - first[axis] - first[axis + 2] > LEAST)


def nested(rule: Rule, boxes: np.ndarray) -> bool:
    """Whether one of a rule's two boxes lies inside the other."""
    first, second = _box(boxes, rule.first), _box(boxes, rule.second)
    return box_contains(first, second) or box_contains(second, first)


def _box(boxes: np.ndarray, place: int) -> Box:
    x0, y0, x1, y1 = boxes[place].tolist()
    return x0, y0, x1, y1
