"""Shapes: a procedural world whose pictures have exact scene graphs.

A scene is a pure function of its seed, and so is its picture. Seeds are divided into splits (`SPLITS`); training,
validation and held-out scenes follow the same distribution, while every *compositional* scene states at least one
(colour, shape) pair or (shape, relation, shape) triple that no other split ever shows, not even unstated.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image, ImageDraw

from sg_models.graph.caption import caption
from sg_models.graph.scene_graph import Relation, SceneGraph, SceneObject
from sg_models.verification.shapes.silhouettes import COLOURS, RADII, SHAPES, SIDE, extent, outline
from train.data.spatial_relations import (
    ABOVE,
    BELOW,
    INSIDE,
    INVERSE,
    LEFT,
    RIGHT,
    SURROUNDING,
    Box,
    degrees_from_diagonal,
    is_nested,
    spatial_relation,
)

BACKGROUND = (200, 235)  # grey levels
NOISE = 3.0  # standard deviation, grey levels
MIN_OBJECTS, MAX_OBJECTS = 2, 5
BORDER = 2  # pixels kept free along the picture's edge
GAP = 3  # pixels between two objects' boxes
CLEAR_DEGREES = 10  # a pair closer than this to a diagonal has no direction that people would agree on
INSIDE_RATE = 0.15  # of the scenes, where a container and something that fits can be had
CONTAINERS = ("circle", "square")
EXTRA_RELATION_RATE = 0.3
RELATION_CAPTION_RATE = 0.1  # captions from the web seldom say where things are …
NESTING_CAPTION_RATE = 0.5  # … but that one is in another belongs to what they are
SUPERSAMPLING = 4

SEEDS_PER_SPLIT = 100_000_000
SPLITS = ("train", "val", "held-out", "compositional")
HELD_OUT_PAIRS = frozenset({("red", "star"), ("green", "triangle"), ("blue", "cross"), ("yellow", "square")})
HELD_OUT_TRIPLES = frozenset(
    {
        ("circle", LEFT, "star"),
        ("square", ABOVE, "cross"),
        ("triangle", RIGHT, "circle"),
        ("star", BELOW, "square"),
        ("triangle", INSIDE, "square"),
    }
)


@dataclass(frozen=True)
class ShapeObject:
    """One drawn object; `x`, `y` (the centroid) and `radius` in pixels."""

    shape: str
    colour: str
    size: str
    x: float
    y: float
    radius: float

    @property
    def box(self) -> Box:
        """(x0, y0, x1, y1) in pixels, of the shape without its anti-aliased rim."""
        x0, y0, x1, y1 = extent(self.shape)
        r = self.radius
        return self.x + r * x0, self.y + r * y0, self.x + r * x1, self.y + r * y1


@dataclass(frozen=True)
class Scene:
    """A seed's objects, its background grey level, and the scene graph that is stated about it (boxes in [0, 1])."""

    seed: int
    objects: tuple[ShapeObject, ...]
    background: int
    graph: SceneGraph


def split_of(seed: int) -> str:
    """The split that a seed belongs to."""
    return SPLITS[seed // SEEDS_PER_SPLIT]


def seeds(split: str, count: int, start: int = 0) -> range:
    """`count` seeds of a split, from its `start`-th on."""
    first = SPLITS.index(split) * SEEDS_PER_SPLIT + start
    return range(first, first + count)


def scene(seed: int) -> Scene:
    """The scene of a seed: the same objects, background and graph at every call and on every machine."""
    rng = np.random.default_rng(seed)
    compositional = split_of(seed) == "compositional"
    count = int(rng.integers(MIN_OBJECTS, MAX_OBJECTS + 1))
    while True:
        objects = _place(rng, count)
        if objects is None or (not compositional and _shows_held_out(objects)):
            continue
        graph = _state(rng, objects)
        if not compositional or _states_held_out(graph):
            break
    return Scene(seed, objects, int(rng.integers(BACKGROUND[0], BACKGROUND[1] + 1)), graph)


def relation_between(subject: ShapeObject, object_: ShapeObject) -> str:
    """What `subject` is to `object_`, by sg2im's rule on boxes and centroids."""
    return spatial_relation(subject.box, object_.box, (subject.x, subject.y), (object_.x, object_.y))


def render(scene: Scene, side: int = SIDE) -> np.ndarray:
    """The picture of a scene: uint8 [side, side, 3]."""
    canvas = np.full((side, side, 3), scene.background, np.float32)
    for thing in sorted(scene.objects, key=lambda o: -o.radius):  # what is inside is drawn last
        _paint(canvas, _scaled(thing, side / SIDE))
    noise = np.random.default_rng((scene.seed, 1)).standard_normal(canvas.shape, np.float32)
    return np.clip(np.rint(canvas + NOISE * noise), 0, 255).astype(np.uint8)


def web_caption(scene: Scene, rng: np.random.Generator) -> str:
    """A caption as pictures on the web have it: all objects, in any order, and seldom how they stand to each other.

    What is inside something else it says in half the captions.
    """
    return caption(web_graph(scene, rng))


def web_graph(scene: Scene, rng: np.random.Generator) -> SceneGraph:
    """What such a caption says of a scene."""
    order = [int(i) for i in rng.permutation(len(scene.graph.objects))]
    place = {old: new for new, old in enumerate(order)}
    says_all, says_nesting = rng.random(2) < (RELATION_CAPTION_RATE, NESTING_CAPTION_RATE)
    said = [r for r in scene.graph.relations if says_all or (says_nesting and is_nested(r))]
    relations = tuple(Relation(place[r.subject], r.predicate, place[r.object]) for r in said)
    return SceneGraph(tuple(scene.graph.objects[i] for i in order), relations)


def _place(rng: np.random.Generator, count: int) -> tuple[ShapeObject, ...] | None:
    """`count` objects with boxes apart from each other, or one inside another; None if they do not fit."""
    drawn: list[ShapeObject] = []
    nest = rng.random() < INSIDE_RATE
    for index in range(count):
        inside = drawn[0] if nest and index == 1 else None
        thing = _place_one(rng, drawn, inside, container=nest and index == 0)
        if thing is None:
            return None
        drawn.append(thing)
    return tuple(drawn[i] for i in rng.permutation(count))


def _place_one(
    rng: np.random.Generator, drawn: list[ShapeObject], inside: ShapeObject | None, container: bool
) -> ShapeObject | None:
    shape = str(rng.choice(CONTAINERS if container else SHAPES))
    size = "large" if container else "small" if inside else str(rng.choice(list(RADII)))
    colour = str(rng.choice([c for c in COLOURS if inside is None or c != inside.colour]))
    radius = float(rng.uniform(*RADII[size]))
    reach = BORDER + radius
    for _ in range(20):
        if inside is None:
            x, y = rng.uniform(reach, SIDE - reach, 2)
        else:
            x, y = rng.uniform(-14, 14, 2) + (inside.x, inside.y)
        thing = ShapeObject(shape, colour, size, float(x), float(y), radius)
        if _fits_inside(thing, inside) if inside else all(_apart(thing, other) for other in drawn):
            return thing
    return None


def _apart(a: ShapeObject, b: ShapeObject) -> bool:
    ax0, ay0, ax1, ay1 = a.box
    bx0, by0, bx1, by1 = b.box
    return ax1 + GAP <= bx0 or bx1 + GAP <= ax0 or ay1 + GAP <= by0 or by1 + GAP <= ay0


def _fits_inside(thing: ShapeObject, container: ShapeObject) -> bool:
    corners = outline(thing.shape) * thing.radius + (thing.x - container.x, thing.y - container.y)
    room = container.radius - GAP
    if container.shape == "square":
        return bool(np.abs(corners).max() <= room)
    return bool(np.hypot(corners[:, 0], corners[:, 1]).max() <= room)


def _facts(objects: tuple[ShapeObject, ...]) -> Iterator[tuple[str, str, str]]:
    for a in objects:
        for b in objects:
            if a is not b:
                yield a.shape, relation_between(a, b), b.shape


def _shows_held_out(objects: tuple[ShapeObject, ...]) -> bool:
    if any((o.colour, o.shape) in HELD_OUT_PAIRS for o in objects):
        return True
    return any(fact in HELD_OUT_TRIPLES for fact in _facts(objects))


def _states_held_out(graph: SceneGraph) -> bool:
    if any((o.attributes[1], o.name) in HELD_OUT_PAIRS for o in graph.objects):
        return True
    names = [o.name for o in graph.objects]
    return any(
        (names[r.subject], r.predicate, names[r.object]) in HELD_OUT_TRIPLES
        or (names[r.object], INVERSE[r.predicate], names[r.subject]) in HELD_OUT_TRIPLES
        for r in graph.relations
    )


def _clear(a: ShapeObject, b: ShapeObject) -> bool:
    if relation_between(a, b) in (INSIDE, SURROUNDING):
        return True
    return degrees_from_diagonal(a.box, b.box, (a.x, a.y), (b.x, b.y)) >= CLEAR_DEGREES


def _state(rng: np.random.Generator, objects: tuple[ShapeObject, ...]) -> SceneGraph:
    """A graph about the objects: most of them tied to an earlier one, some pairs stated on top, each pair once."""
    pairs: list[tuple[int, int]] = []
    for i in range(1, len(objects)):
        earlier = [j for j in range(i) if _clear(objects[i], objects[j])]
        nested = [j for j in earlier if relation_between(objects[i], objects[j]) in (INSIDE, SURROUNDING)]
        choice = nested or earlier
        if choice:
            pairs.append((i, int(rng.choice(choice))))
        pairs += [(i, j) for j in earlier if (i, j) not in pairs and rng.random() < EXTRA_RELATION_RATE]
    relations = []
    for i, j in pairs:
        s, o = (i, j) if rng.random() < 0.5 else (j, i)
        relations.append(Relation(s, relation_between(objects[s], objects[o]), o))
    order = rng.permutation(len(relations))
    return SceneGraph(tuple(map(_scene_object, objects)), tuple(relations[int(k)] for k in order))


def _scene_object(thing: ShapeObject) -> SceneObject:
    x0, y0, x1, y1 = (v / SIDE for v in thing.box)
    return SceneObject(thing.shape, (thing.size, thing.colour), (x0, y0, x1, y1))


def _scaled(thing: ShapeObject, scale: float) -> ShapeObject:
    return replace(thing, x=thing.x * scale, y=thing.y * scale, radius=thing.radius * scale)


def _paint(canvas: np.ndarray, thing: ShapeObject) -> None:
    """Blends one object into the float canvas [H, W, 3], in place."""
    left, top = math.floor(thing.x - thing.radius) - 1, math.floor(thing.y - thing.radius) - 1
    side = 2 * math.ceil(thing.radius) + 4
    patch = Image.new("L", (side * SUPERSAMPLING,) * 2)
    corners = (outline(thing.shape) * thing.radius + (thing.x - left, thing.y - top)) * SUPERSAMPLING - 0.5
    ImageDraw.Draw(patch).polygon([tuple(p) for p in corners], fill=255)
    alpha = np.asarray(patch.reduce(SUPERSAMPLING), np.float32) / 255
    y0, x0, y1, x1 = max(top, 0), max(left, 0), min(top + side, len(canvas)), min(left + side, len(canvas))
    alpha = alpha[y0 - top : y1 - top, x0 - left : x1 - left, None]
    area = canvas[y0:y1, x0:x1]
    area += alpha * (np.array(COLOURS[thing.colour], np.float32) - area)
