"""The layout of a scene graph's picture: where objects, arrows and labels go, and how large the text is.

Several layouts are tried and the one with the fewest crossings and overlaps wins, so small graphs come out clean
without a layout engine. Nothing is random: equal graphs give equal plans. All lengths are pixels of the picture that is
drawn, y down.
"""

from collections import defaultdict
from dataclasses import dataclass
from typing import Any

import networkx as nx
import numpy as np

from ..graph.networkx_graph import to_networkx
from ..graph.scene_graph import SceneGraph
from ..graph.spatial_wordings import ABOVE, BELOW, LEFT, RIGHT, drawn_direction
from .label_font import drawable, font_for

USUAL_SIDE = 512  # pixels; text grows with a picture that is larger
FONT_SIZES = (20, 18, 16, 14, 12, 10, 8, 6)  # pixels on a picture of the usual side, tried in this order
LABEL_SCALE = 0.85  # predicate text relative to object text
LINE_HEIGHT = 1.25  # relative to the font size
MAX_LINES = 5  # of one text; the rest of a longer one is cut with an ellipsis
MIN_WHOLE_SIZE = 10  # pixels; a text that does not fit at this size is cut rather than shrunk further
MAX_COVERED_SHARE = 0.33  # of the picture that objects and relations may take
SPRING_LAYOUTS = 24  # different starts of the force-directed layout
MAX_SCORED_RELATIONS = 60  # above this no layout is free of crossings, and scoring many would only cost time
CURVE_POINTS = 65
LABEL_PLACES = 20  # along a curve, tried for its label
# subject minus object, y down; what else people write (next to, behind, inside) has no direction on paper
STEPS = {LEFT: (-1, 0), RIGHT: (1, 0), ABOVE: (0, -1), BELOW: (0, 1)}
HELD = 0.2  # pull towards the starting layout, beside a spatial relation's 1
CONTRADICTION = 3.0  # in the penalty: worse than a crossing, better than an overlap
HUB = -1  # no object has this position
ELLIPSIS = "..."

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Scene:
    """What does not depend on the layout: the wrapped texts and their sizes, for one font size; pixels."""

    width: int
    height: int
    font_size: float
    node_lines: list[list[str]]
    node_sizes: Array  # [O, 2] width, height
    label_lines: list[list[str]]
    label_sizes: Array  # [R, 2]
    ends: list[tuple[int, int]]  # subject, object of each relation
    bends: Array  # [R] sideways shift of the middle, seen from the lower to the higher end


@dataclass(frozen=True)
class Plan:
    """A layout with everything placed on it, and how bad it looks (0 is best)."""

    centres: Array  # [O, 2]
    curves: list[Array]  # R arrays [points, 2] from subject to object, cut at their boxes
    labels: Array  # [R, 2] centres of the predicates
    penalty: float


def _wrap(text: str, font_size: float, max_width: float) -> list[str]:
    """Breaks `text` at spaces, and inside words that are too wide, into at most `MAX_LINES` lines."""
    text = drawable(text)
    font, lines, line = font_for(text, font_size), [], ""
    for word in text.split(" "):
        longer = f"{line} {word}" if line else word
        if font.getlength(longer) <= max_width:
            line = longer
            continue
        if line:
            lines.append(line)
        while font.getlength(word) > max_width and len(word) > 1:
            fits = next((n for n in range(len(word) - 1, 1, -1) if font.getlength(word[:n]) <= max_width), 1)
            lines.append(word[:fits])
            word = word[fits:]
        line = word
    lines.append(line)
    return lines if len(lines) <= MAX_LINES else [*lines[: MAX_LINES - 1], lines[MAX_LINES - 1][:-2] + ELLIPSIS]


def _text_size(lines: list[str], font_size: float, padding: tuple[float, float]) -> tuple[float, float]:
    text_width = max(font_for(line, font_size).getlength(line) for line in lines)
    return text_width + 2 * padding[0] * font_size, (len(lines) * LINE_HEIGHT + 2 * padding[1]) * font_size


def fitting_scene(graph: SceneGraph, width: int, height: int, resolution: int) -> Scene:
    """The scene at the largest font size that leaves enough room and, if that is possible, cuts no text.

    `width` and `height` are those of the drawing, which is `resolution` times as large as the finished picture.
    """
    scale = resolution * max(1.0, min(width, height) / resolution / USUAL_SIDE)
    scenes = [_scene(graph, width, height, size * scale) for size in FONT_SIZES]
    roomy = [scene for scene in scenes if _has_room(scene)]
    whole = [scene for scene in roomy if not _is_cut(scene) and scene.font_size >= MIN_WHOLE_SIZE * scale]
    return (whole or roomy or scenes[-1:])[0]


def _has_room(scene: Scene) -> bool:
    covered = np.prod(scene.node_sizes + scene.font_size, axis=1).sum()
    covered += 3 * np.prod(scene.label_sizes, axis=1).sum()  # the label, and as much of its arrow on both sides
    return covered <= MAX_COVERED_SHARE * scene.width * scene.height


def _is_cut(scene: Scene) -> bool:
    return any(lines[-1].endswith(ELLIPSIS) for lines in scene.node_lines + scene.label_lines)


def _scene(graph: SceneGraph, width: int, height: int, font_size: float) -> Scene:
    max_text_width = 0.32 * width
    node_lines = [_wrap(item.phrase, font_size, max_text_width) for item in graph.objects]
    label_size = font_size * LABEL_SCALE
    label_lines = [_wrap(relation.predicate, label_size, max_text_width) for relation in graph.relations]
    ends = [(relation.subject, relation.object) for relation in graph.relations]
    return Scene(
        width,
        height,
        font_size,
        node_lines,
        np.array([_text_size(lines, font_size, (0.6, 0.35)) for lines in node_lines]),
        label_lines,
        np.array([_text_size(lines, label_size, (0.25, 0.05)) for lines in label_lines]).reshape(-1, 2),
        ends,
        _bends(ends, 2.2 * font_size),
    )


def _bends(ends: list[tuple[int, int]], spacing: float) -> Array:
    """Spreads the relations between the same two objects evenly: one is straight, two bend apart, and so on."""
    lanes: dict[tuple[int, ...], list[int]] = defaultdict(list)
    for relation, pair in enumerate(ends):
        lanes[tuple(sorted(pair))].append(relation)
    bends = np.zeros(len(ends))
    for relations in lanes.values():
        bends[relations] = (np.arange(len(relations)) - (len(relations) - 1) / 2) * spacing
    return bends


# Layouts


def best_plan(graph: SceneGraph, scene: Scene) -> Plan:
    """The cleanest layout; objects stand at the centres of their boxes where all have one and that is clean."""
    boxes = [item.box for item in graph.objects if item.box is not None]
    if len(boxes) == len(graph.objects):
        corners = np.array(boxes)
        plan = _plan(scene, (corners[:, :2] + corners[:, 2:]) / 2 * (scene.width, scene.height))
        if plan.penalty < 1:
            return plan
    plans = (_plan(scene, centres) for centres in _layouts(graph, scene))
    return min(plans, key=lambda plan: plan.penalty + CONTRADICTION * _contradictions(graph, plan.centres))


def _layouts(graph: SceneGraph, scene: Scene) -> list[Array]:
    """Candidate centres [O, 2], each spread over the whole picture."""
    network = to_networkx(graph).to_undirected()
    few = len(scene.ends) <= MAX_SCORED_RELATIONS
    pulled = nx.Graph(network)
    # A weak tie of everything to one hidden node keeps separate parts of the graph from flying apart.
    pulled.add_edges_from(((HUB, node) for node in network), weight=0.2)
    layouts = [nx.circular_layout(network)]
    for seed in range(SPRING_LAYOUTS if few else 1):
        tied = pulled if seed % 2 else nx.Graph(network)
        distance = (1 + seed % 3) / len(network) ** 0.5  # 1/sqrt(n) is networkx's own choice; larger spreads more
        layouts.append(nx.spring_layout(tied, k=distance, seed=seed, iterations=80))
    if few and nx.check_planarity(network)[0]:
        layouts.append(nx.planar_layout(network))
    points = [np.array([layout[i] for i in range(len(graph.objects))]) for layout in layouts]
    return [_spread(p, scene) for p in [_spatial_layout(graph, points[0]), *points]]


def _spatial_layout(graph: SceneGraph, start: Array) -> Array:
    """Centres [O, 2] where what is left of something is drawn on its left.

    The least squares of one step per spatial relation, held near `start` where no relation says anything.
    """
    count = len(start)
    rows, steps = [HELD * np.eye(count)], [HELD * start]
    for relation in graph.relations:
        row = np.zeros((1, count))
        row[0, relation.subject], row[0, relation.object] = 1, -1
        step = STEPS.get(drawn_direction(relation.predicate) or "")
        rows.append(row * (1 if step else HELD))
        steps.append(np.array([step or (0, 0)], float))
    return np.linalg.lstsq(np.concatenate(rows), np.concatenate(steps), rcond=None)[0]


def _contradictions(graph: SceneGraph, centres: Array) -> int:
    """How many spatial relations are drawn the wrong way round."""
    wrong = 0
    for relation in graph.relations:
        if step := STEPS.get(drawn_direction(relation.predicate) or ""):
            wrong += float(np.dot(centres[relation.subject] - centres[relation.object], step)) <= 0
    return wrong


def _spread(points: Array, scene: Scene) -> Array:
    """Stretches `points` [O, 2] to the picture less a margin for the boxes; a line of points stays in the middle."""
    low, high = points.min(axis=0), points.max(axis=0)
    extent = high - low
    unit = np.where(extent > 1e-3, (points - low) / np.maximum(extent, 1e-3), 0.5)
    margin = scene.node_sizes.max(axis=0) / 2 + scene.font_size / 2
    return margin + unit * (np.array([scene.width, scene.height]) - 2 * margin)


def _separate(centres: Array, scene: Scene) -> Array:
    """Pushes boxes apart and keeps them inside the picture: first with room for arrows between them, then without."""
    half = scene.node_sizes / 2
    low = half + scene.font_size / 3
    high = np.maximum(low, np.array([scene.width, scene.height]) - low)
    rows, columns = np.triu_indices(len(centres), 1)
    label = np.zeros((len(centres), len(centres), 2))
    for (subject, object_), size in zip(scene.ends, scene.label_sizes, strict=True):
        pair = min(subject, object_), max(subject, object_)
        label[pair] = np.maximum(label[pair], size + 1.5 * scene.font_size)
    for gap in (label[rows, columns] + scene.font_size, 0.6 * scene.font_size):
        needed = half[rows] + half[columns] + gap  # [P, 2]
        for _ in range(80):
            centres = np.clip(centres, low, high)
            offset = centres[rows] - centres[columns]  # [P, 2]
            overlap = needed - np.abs(offset)
            pairs = np.flatnonzero((overlap > 0).all(axis=1))
            axis = overlap[pairs].argmin(axis=1)
            push = np.where(offset[pairs, axis] >= 0, 0.3, -0.3) * overlap[pairs, axis]
            centres = centres.copy()
            np.add.at(centres, (rows[pairs], axis), push)
            np.add.at(centres, (columns[pairs], axis), -push)
    return np.clip(centres, low, high)


def _plan(scene: Scene, centres: Array) -> Plan:
    centres = _separate(centres, scene)
    curves = [_curve(scene, centres, relation) for relation in range(len(scene.ends))]
    labels, label_overlap = _place_labels(scene, centres, curves)
    penalty = 10 * _node_overlap(scene, centres) + 2 * label_overlap + 4 * _hits(scene, centres, curves)
    penalty += _crossings(scene, curves) + 4 * _hidden_arrows(scene, curves) + _crowding(scene, centres)
    return Plan(centres, curves, labels, penalty)


def _hidden_arrows(scene: Scene, curves: list[Array]) -> float:
    """How much of the arrows is missing, 0 to 1 each: one needs its label's length and some line on both sides."""
    missing = 0.0
    for curve, size in zip(curves, scene.label_sizes, strict=True):
        across = np.abs(curve[-1] - curve[0])
        length = max(float(np.hypot(*across)), 1.0)
        label = float(min(length * size / np.maximum(across, 1e-6)))  # of the line that its label covers
        missing += max(0.0, 1 - length / (label + 2.5 * scene.font_size))
    return missing


def _crowding(scene: Scene, centres: Array) -> float:
    """0 for objects spread evenly over the picture, up to 1 for a heap of them; it chooses among clean layouts."""
    if len(centres) == 1:
        return 0.0
    distance = np.hypot(*(centres[:, None] - centres).transpose(2, 0, 1)) + np.diag(np.full(len(centres), np.inf))
    even = (scene.width * scene.height / len(centres)) ** 0.5
    return float(np.clip(1 - distance.min(axis=1) / even, 0, 1).mean())


def _curve(scene: Scene, centres: Array, relation: int) -> Array:
    """A relation's arrow as points [P, 2]: a quadratic Bézier curve, cut where it leaves and enters the boxes."""
    subject, object_ = scene.ends[relation]
    start, end = centres[subject], centres[object_]
    along = (end - start) * (1 if subject < object_ else -1)
    sideways = np.array([along[1], -along[0]]) / max(float(np.hypot(*along)), 1.0)
    control = (start + end) / 2 + 2 * scene.bends[relation] * sideways  # the curve's middle goes half as far
    t = np.linspace(0, 1, CURVE_POINTS)[:, None]
    points = (1 - t) ** 2 * start + 2 * t * (1 - t) * control + t**2 * end
    gap = scene.font_size / 6
    outside = (np.abs(points - start) > scene.node_sizes[subject] / 2 + gap).any(axis=1)
    outside &= (np.abs(points - end) > scene.node_sizes[object_] / 2 + gap).any(axis=1)
    kept = np.flatnonzero(outside)
    return points[kept[0] : kept[-1] + 1] if len(kept) > 1 else points[[0, -1]]


def _place_labels(scene: Scene, centres: Array, curves: list[Array]) -> tuple[Array, float]:
    """Each label's centre [R, 2]: on its curve, as near to the middle as it is free; and how much still overlaps."""
    taken_centres, taken_sizes = list(centres), list(scene.node_sizes)
    labels, total = np.zeros((len(curves), 2)), 0.0
    for i, curve in enumerate(curves):
        size = scene.label_sizes[i]
        middle = (len(curve) - 1) / 2
        places = range(0, len(curve), max(1, len(curve) // LABEL_PLACES))
        candidates = curve[sorted(places, key=lambda point: abs(point - middle))]
        candidates = np.clip(candidates, size / 2, np.array([scene.width, scene.height]) - size / 2)
        reach = (np.array(taken_sizes) + size) / 2 - np.abs(candidates[:, None] - np.array(taken_centres))  # [P, N, 2]
        overlap = np.clip(reach, 0, None).prod(axis=2).sum(axis=1) / size.prod()  # [P]
        best = int(overlap.argmin())  # the first of the best: nearest to the middle
        labels[i], total = candidates[best], total + float(overlap[best])
        taken_centres.append(candidates[best])
        taken_sizes.append(size)
    return labels, total


def _node_overlap(scene: Scene, centres: Array) -> int:
    rows, columns = np.triu_indices(len(centres), 1)
    room = np.abs(centres[rows] - centres[columns]) - (scene.node_sizes[rows] + scene.node_sizes[columns]) / 2
    return int((room < 0).all(axis=1).sum())


def _hits(scene: Scene, centres: Array, curves: list[Array]) -> int:
    """How many arrows run through the box of a third object."""
    hits = 0
    for (subject, object_), curve in zip(scene.ends, curves, strict=True):
        inside = (np.abs(curve[:, None] - centres) < scene.node_sizes / 2 + scene.font_size / 4).all(axis=2)  # [P, O]
        through = np.flatnonzero(inside.any(axis=0))
        hits += int((~np.isin(through, (subject, object_))).sum())
    return hits


def _crossings(scene: Scene, curves: list[Array]) -> int:
    """How many pairs of arrows cross, taking each arrow as the straight line between its ends."""
    if len(curves) < 2:
        return 0
    start, end = np.array([curve[0] for curve in curves]), np.array([curve[-1] for curve in curves])
    rows, columns = np.triu_indices(len(curves), 1)

    def side(a: Array, b: Array, c: Array) -> Array:
        return np.sign((b[:, 0] - a[:, 0]) * (c[:, 1] - a[:, 1]) - (b[:, 1] - a[:, 1]) * (c[:, 0] - a[:, 0]))

    a, b, c, d = start[rows], end[rows], start[columns], end[columns]
    return int(((side(a, b, c) * side(a, b, d) < 0) & (side(c, d, a) * side(c, d, b) < 0)).sum())
