"""An oracle for Shapes: what a picture shows, read off its pixels alone, and whether that is what a graph says.

Foreground is what differs from the plain background; a connected piece of it is split by colour, so that an object
inside another, or touching it, is seen as one of its own; a piece's shape is the one whose silhouette, stretched to the
piece's box, fits best.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image
from scipy import ndimage

from ...graph.scene_graph import SceneGraph
from ...graph.spatial_relations import Box, Point
from ..detection import DetectedObject
from ..report import Finding, Outcome
from ..verdict import Verdict
from ..verify import verify
from .silhouettes import COLOURS, RADII, SHAPES, SIDE, extent, stencil

ORACLE = "shapes"  # where detectors are named
FOREGROUND_DISTANCE = 40.0  # RGB distance from the background; the palest colour, cyan, has about 110
MIN_PIXELS = 60  # the smallest object, a star of radius 11, covers about 135
MIN_FIT = 0.6  # intersection over union with the best silhouette; below, the piece is no shape at all
SIZE_LIMIT = (RADII["small"][1] + RADII["large"][0]) / 2
NO_SHAPE = "blob"  # what a piece is called that is no shape
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
    pieces, count = _parts(foreground)
    found = []
    for piece in range(1, count + 1):
        mask = pieces == piece
        if mask.sum() >= MIN_PIXELS:
            found += _objects_of(mask, nearest, rgb)
    return tuple(sorted(found, key=lambda d: -(d.box[2] - d.box[0]) * (d.box[3] - d.box[1])))


class ShapesOracle:
    """The oracle as a detector. A world has nothing but its shapes, so that whatever is in a picture is seen."""

    names: frozenset[str] | None = frozenset(SHAPES)
    attributes: frozenset[str] | None = frozenset({*COLOURS, *RADII})
    threshold = MIN_FIT

    def detect(self, picture: np.ndarray, names: list[str] | None = None) -> list[DetectedObject]:
        """Everything in a picture, uint8 [H, W, 3], whatever `names` are asked for; boxes in its pixels.

        A picture of another size than the world's is brought to that first.
        """
        scale = np.array(picture.shape[1::-1]) / SIDE
        return [_object(thing, scale) for thing in detect(_at_world_size(picture))]


def judge(picture: np.ndarray, graph: SceneGraph) -> Verdict:
    """Matches what a picture shows to a graph, in the graph's favour wherever two matchings are possible.

    Of all assignments of detections to objects of the same shape, the best is taken: first by objects found, then by
    attributes, then by relations, so that two equal objects may stand for each other. A picture of another size than
    the world's is brought to that first: boxes are in the world's pixels.
    """
    detections = detect(_at_world_size(picture))
    seen = [_object(thing, np.ones(2)) for thing in detections]
    report = verify(graph, seen, ShapesOracle.names, ShapesOracle.attributes)
    matched = tuple(None if place is None else detections[place] for place in report.matched)
    described = (finding or there for there, finding in zip(report.objects, report.attributes, strict=True))
    return Verdict(detections, matched, _hold(described), _hold(report.relations))


def _hold(findings: Iterable[Finding]) -> tuple[bool, ...]:
    return tuple(finding.outcome is Outcome.HOLDS for finding in findings)


def _object(thing: Detection, scale: np.ndarray) -> DetectedObject:
    """What the detection is called elsewhere, in pixels `scale` (x, y) times the world's."""
    (x, y), (x0, y0, x1, y1) = scale, thing.box
    return DetectedObject(
        thing.shape or NO_SHAPE,
        (x0 * x, y0 * y, x1 * x, y1 * y),
        1.0,
        (thing.size, thing.colour),
        (thing.centroid[0] * x, thing.centroid[1] * y),
    )


def _at_world_size(picture: np.ndarray) -> np.ndarray:
    if picture.shape[:2] == (SIDE, SIDE):
        return picture
    return np.asarray(Image.fromarray(picture).resize((SIDE, SIDE), Image.Resampling.BOX))


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
        parts, count = _parts(mask & (assigned == colour))
        for part in range(1, count + 1):
            silhouette = parts == part
            if silhouette.sum() >= MIN_PIXELS and (core[colour] & silhouette).any():
                found.append(_describe(np.asarray(ndimage.binary_fill_holes(silhouette)), NAMES[colour]))
    return found


def _parts(mask: np.ndarray) -> tuple[np.ndarray, int]:
    """The connected parts of a mask, numbered from 1, and how many there are."""
    found: Any = ndimage.label(mask)
    return found


def _describe(silhouette: np.ndarray, colour: str) -> Detection:
    rows, columns = np.flatnonzero(silhouette.any(axis=1)), np.flatnonzero(silhouette.any(axis=0))
    y0, y1, x0, x1 = int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1
    window = silhouette[y0:y1, x0:x1]
    fits = {shape: _overlap(window, stencil(shape, window.shape)) for shape in SHAPES}
    shape = max(fits, key=lambda s: fits[s])
    ex0, ey0, ex1, ey1 = extent(shape)
    radius = ((x1 - x0) / (ex1 - ex0) + (y1 - y0) / (ey1 - ey0)) / 2
    centroid: Any = ndimage.center_of_mass(silhouette)
    cy, cx = centroid
    return Detection(
        shape if fits[shape] >= MIN_FIT else None,
        colour,
        "small" if radius < SIZE_LIMIT else "large",
        (float(x0), float(y0), float(x1), float(y1)),
        (float(cx) + 0.5, float(cy) + 0.5),
    )


def _overlap(a: np.ndarray, b: np.ndarray) -> float:
    return float((a & b).sum() / (a | b).sum())
