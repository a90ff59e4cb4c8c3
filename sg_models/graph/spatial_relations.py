"""The six spatial relations of sg2im, read off boxes and centroids.

Source: Johnson et al. 2018, "Image Generation from Scene Graphs", section 4 (COCO-Stuff graphs): containment of boxes
gives *inside* and *surrounding*; otherwise the direction between the two centroids falls into one of four quadrants.
"""

import math

from .scene_graph import Relation, SceneGraph
from .spatial_wordings import ABOVE, BELOW, INSIDE, LEFT, RIGHT, SURROUNDING, spatial_meaning

RELATIONS = (LEFT, RIGHT, ABOVE, BELOW, INSIDE, SURROUNDING)
INVERSE = {LEFT: RIGHT, RIGHT: LEFT, ABOVE: BELOW, BELOW: ABOVE, INSIDE: SURROUNDING, SURROUNDING: INSIDE}

Box = tuple[float, float, float, float]
Point = tuple[float, float]


def nests(graph: SceneGraph) -> bool:
    """Whether a graph says that one object is inside another."""
    return any(map(is_nested, graph.relations))


def is_nested(relation: Relation) -> bool:
    """Whether a relation says that one of its objects is inside the other."""
    return spatial_meaning(relation.predicate) in (INSIDE, SURROUNDING)


def box_contains(outer: Box, inner: Box) -> bool:
    """Whether `outer` strictly contains `inner`; both (x0, y0, x1, y1) in one unit, y down."""
    return outer[0] < inner[0] and outer[1] < inner[1] and outer[2] > inner[2] and outer[3] > inner[3]


def box_centre(box: Box) -> Point:
    """Centre of an (x0, y0, x1, y1) box, in its unit."""
    return (box[0] + box[2]) / 2, (box[1] + box[3]) / 2


def spatial_relation(
    subject: Box, object_: Box, subject_centroid: Point | None = None, object_centroid: Point | None = None
) -> str:
    """What `subject` is to `object_`: one of `RELATIONS`.

    Boxes are (x0, y0, x1, y1) and centroids (x, y), all in one unit, y down. Where a mask is known, pass its centroid
    as sg2im does; without one the box's centre stands in for it.
    """
    if box_contains(subject, object_):
        return SURROUNDING
    if box_contains(object_, subject):
        return INSIDE
    dx, dy = _offset(subject, object_, subject_centroid, object_centroid)
    angle = math.atan2(dy, dx)
    if angle >= 3 * math.pi / 4 or angle <= -3 * math.pi / 4:
        return LEFT
    if angle < -math.pi / 4:
        return ABOVE
    if angle < math.pi / 4:
        return RIGHT
    return BELOW


def degrees_from_diagonal(
    subject: Box, object_: Box, subject_centroid: Point | None = None, object_centroid: Point | None = None
) -> float:
    """How far, in degrees from 0 to 45, the direction between two objects is from the nearest diagonal.

    At 0 the relation is a matter of taste (as much left of as above); at 45 nobody would argue.
    """
    dx, dy = _offset(subject, object_, subject_centroid, object_centroid)
    return abs(45 - math.degrees(math.atan2(abs(dy), abs(dx))))


def _offset(
    subject: Box, object_: Box, subject_centroid: Point | None, object_centroid: Point | None
) -> tuple[float, float]:
    sx, sy = subject_centroid or box_centre(subject)
    ox, oy = object_centroid or box_centre(object_)
    return sx - ox, sy - oy
