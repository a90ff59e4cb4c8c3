"""An oracle for Shapes: what a picture shows, read off its pixels alone, and whether that is what a graph says.

Foreground is what differs from the plain background; a connected piece of it is split by colour, so that an object
inside another, or touching it, is seen as one of its own; a piece's shape is the one whose silhouette, stretched to the
piece's box, fits best.
"""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from PIL import Image
from scipy import ndimage

from sg_models.graph.scene_graph import SceneGraph, SceneObject
from train.data.shapes.scene import COLOURS, RADII, SHAPES, SIDE, extent, stencil
from train.data.spatial_relations import Box, Point, spatial_relation
from train.data.verdict import Verdict

FOREGROUND_DISTANCE = 40.0  # RGB distance from the background; the palest colour, cyan, has about 110
MIN_PIXELS = 60  # the smallest object, a star of radius 11, covers about 135
MIN_FIT = 0.6  # intersection over union with the best silhouette; below, the piece is no shape at all
SIZE_LIMIT = (RADII["small"][1] + RADII["large"][0]) / 2
MAX_CANDIDATES = 7  # of one shape, the largest ones: every assignment is tried, and their number grows like n!
NAMES = tuple(COLOURS)
PALETTE = np.array([COLOURS[name] for name in NAMES], np.float32)


@dataclass(frozen=True)
class Detection:
    """One object seen in a picture; `shape` is None if it looks like none. Box and centroid in pixels, y down."""

    shape: str | None
    colour: str
    size: str
    box: Box
    centroid: Point


def detect(picture: np.ndarray) -> tuple[Detection, ...]:
    """The objects in a picture, uint8 [H, W, 3], from the largest to the smallest."""
    rgb = picture.astype(np.float32)
    background = np.median(rgb.reshape(-1, 3), axis=0)
    foreground = np.linalg.norm(rgb - background, axis=-1) > FOREGROUND_DISTANCE
    nearest = np.linalg.norm(rgb[:, :, None] - PALETTE, axis=-1).argmin(axis=-1)  # [H, W]
    pieces, count = ndimage.label(foreground)
    found = []
    for piece in range(1, count + 1):
        mask = pieces == piece
        if mask.sum() >= MIN_PIXELS:
            found += _objects_of(mask, nearest, rgb)
    return tuple(sorted(found, key=lambda d: -(d.box[2] - d.box[0]) * (d.box[3] - d.box[1])))


def judge(picture: np.ndarray, graph: SceneGraph) -> Verdict:
    """Matches what a picture shows to a graph, in the graph's favour wherever two matchings are possible.

    Of all assignments of detections to objects of the same shape, the best is taken: first by objects found, then by
    attributes, then by relations, so that two equal objects may stand for each other. A picture of another size than
    the world's is brought to that first: boxes are in the world's pixels.
    """
    detections = detect(_at_world_size(picture))
    best = max(_assignments(graph, detections), key=lambda matched: _score(graph, matched))
    bound, related = _bound(graph, best), _related(graph, best)
    return Verdict(detections, best, bound, related)


def _at_world_size(picture: np.ndarray) -> np.ndarray:
    if picture.shape[:2] == (SIDE, SIDE):
        return picture
    return np.asarray(Image.fromarray(picture).resize((SIDE, SIDE), Image.Resampling.BOX))


def relation_of(subject: Detection, object_: Detection) -> str:
    """What one detection is to another, by sg2im's rule."""
    return spatial_relation(subject.box, object_.box, subject.centroid, object_.centroid)


def _objects_of(mask: np.ndarray, nearest: np.ndarray, rgb: np.ndarray) -> list[Detection]:
    """The objects in one connected piece [H, W] of foreground."""
    # mixed colours along edges are one or two pixels wide and do not survive an erosion
    core = [ndimage.binary_erosion(mask & (nearest == c), np.ones((3, 3))) for c in range(len(NAMES))]
    colours = [c for c in range(len(NAMES)) if core[c].sum() >= MIN_PIXELS / 6]
    if not colours:
        return []
    distance = np.linalg.norm(rgb[:, :, None] - PALETTE[colours], axis=-1)
    assigned = np.array(colours)[distance.argmin(axis=-1)]
    found = []
    for colour in colours:
        parts, count = ndimage.label(mask & (assigned == colour))
        for part in range(1, count + 1):
            silhouette = parts == part
            if silhouette.sum() >= MIN_PIXELS and (core[colour] & silhouette).any():
                found.append(_describe(ndimage.binary_fill_holes(silhouette), NAMES[colour]))
    return found


def _describe(silhouette: np.ndarray, colour: str) -> Detection:
    rows, columns = np.flatnonzero(silhouette.any(axis=1)), np.flatnonzero(silhouette.any(axis=0))
    y0, y1, x0, x1 = int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1
    window = silhouette[y0:y1, x0:x1]
    fits = {shape: _overlap(window, stencil(shape, window.shape)) for shape in SHAPES}
    shape = max(fits, key=lambda s: fits[s])
    ex0, ey0, ex1, ey1 = extent(shape)
    radius = ((x1 - x0) / (ex1 - ex0) + (y1 - y0) / (ey1 - ey0)) / 2
    cy, cx = ndimage.center_of_mass(silhouette)
    return Detection(
        shape if fits[shape] >= MIN_FIT else None,
        colour,
        "small" if radius < SIZE_LIMIT else "large",
        (float(x0), float(y0), float(x1), float(y1)),
        (float(cx) + 0.5, float(cy) + 0.5),
    )


def _overlap(a: np.ndarray, b: np.ndarray) -> float:
    return float((a & b).sum() / (a | b).sum())


Matching = tuple[Detection | None, ...]


def _assignments(graph: SceneGraph, detections: tuple[Detection, ...]) -> Iterator[Matching]:
    """Every way to give the objects of each shape detections of that shape, as many as there are of both."""
    per_shape = []
    for name in {o.name for o in graph.objects}:
        places = [i for i, o in enumerate(graph.objects) if o.name == name]
        seen: list[Detection | None] = [d for d in detections if d.shape == name][:MAX_CANDIDATES]
        # an object that nothing is left for gets None; with more seen than wanted, some stay over
        padded = seen + [None] * max(0, len(places) - len(seen))
        per_shape.append([(places, choice) for choice in set(itertools.permutations(padded, len(places)))])
    return (_merged(len(graph.objects), parts) for parts in itertools.product(*per_shape))


def _merged(count: int, parts: tuple[tuple[list[int], tuple[Detection | None, ...]], ...]) -> Matching:
    matched: list[Detection | None] = [None] * count
    for places, choice in parts:
        for place, detection in zip(places, choice, strict=True):
            matched[place] = detection
    return tuple(matched)


def _score(graph: SceneGraph, matched: Matching) -> tuple[int, int]:
    # all assignments find the same number of objects
    return sum(_bound(graph, matched)), sum(_related(graph, matched))


def _bound(graph: SceneGraph, matched: Matching) -> tuple[bool, ...]:
    return tuple(d is not None and _has_attributes(d, o) for d, o in zip(matched, graph.objects, strict=True))


def _has_attributes(detection: Detection, thing: SceneObject) -> bool:
    return set(thing.attributes) <= {detection.colour, detection.size}


def _related(graph: SceneGraph, matched: Matching) -> tuple[bool, ...]:
    holds = []
    for relation in graph.relations:
        subject, object_ = matched[relation.subject], matched[relation.object]
        holds.append(
            subject is not None and object_ is not None and relation_of(subject, object_) == relation.predicate
        )
    return tuple(holds)
