"""The Shapes world: pure functions of seeds, exact graphs, honest splits."""

import itertools
import math
from functools import lru_cache

import numpy as np
import pytest

from sg_models.verification.shapes.silhouettes import COLOURS, RADII, SHAPES, SIDE, extent, outline
from train.data.shapes.scene import (
    HELD_OUT_PAIRS,
    HELD_OUT_TRIPLES,
    SEEDS_PER_SPLIT,
    SPLITS,
    Scene,
    ShapeObject,
    relation_between,
    render,
    scene,
    seeds,
    split_of,
    web_caption,
)
from train.data.spatial_relations import ABOVE, BELOW, INSIDE, INVERSE, LEFT, RIGHT, SURROUNDING, spatial_relation

PER_SPLIT = 300


@lru_cache
def scenes(split: str) -> tuple[Scene, ...]:
    return tuple(scene(seed) for seed in seeds(split, PER_SPLIT))


def all_scenes() -> list[Scene]:
    return [s for split in SPLITS for s in scenes(split)]


def one(shape: str, colour: str = "black", x: float = 60.3, y: float = 66.8, radius: float = 22.4) -> Scene:
    thing = ShapeObject(shape, colour, "large", x, y, radius)
    return Scene(7, (thing,), 220, scene(0).graph)


def facts(s: Scene) -> set[tuple[str, str, str]]:
    return {(a.shape, relation_between(a, b), b.shape) for a, b in itertools.permutations(s.objects, 2)}


def stated(s: Scene) -> set[tuple[str, str, str]]:
    """The graph's triples, read in both directions."""
    names = [o.name for o in s.graph.objects]
    forwards = {(names[r.subject], r.predicate, names[r.object]) for r in s.graph.relations}
    return forwards | {(o, INVERSE[p], s_) for s_, p, o in forwards}


def pairs(s: Scene) -> set[tuple[str, str]]:
    return {(o.colour, o.shape) for o in s.objects}


def polygon_area(points: np.ndarray) -> float:
    x, y = points.T
    return abs(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))) / 2


@pytest.mark.parametrize("split", SPLITS)
def test_scene_and_picture_are_pure_functions_of_the_seed(split: str):
    np.random.seed(1)
    first = [(scene(s), render(scene(s))) for s in seeds(split, 5)]
    np.random.seed(2)
    for (then, picture), seed in zip(first, seeds(split, 5), strict=True):
        assert scene(seed) == then
        assert np.array_equal(render(scene(seed)), picture)


def test_scenes_differ_between_seeds():
    assert len({s.objects for s in all_scenes()}) == len(all_scenes())


def test_splits_are_disjoint_ranges_of_seeds():
    assert SPLITS == ("train", "val", "held-out", "compositional")
    for number, split in enumerate(SPLITS):
        assert split_of(number * SEEDS_PER_SPLIT) == split_of((number + 1) * SEEDS_PER_SPLIT - 1) == split
        assert {split_of(s) for s in seeds(split, 10, start=90)} == {split}
        assert list(seeds(split, 3, start=2)) == list(seeds(split, 5))[2:]


def test_counts_shapes_colours_and_sizes_are_the_issues():
    assert SHAPES == ("circle", "square", "triangle", "star", "cross") and len(COLOURS) == 8
    seen = [o for s in all_scenes() for o in s.objects]
    assert {len(s.objects) for s in all_scenes()} == {2, 3, 4, 5}
    assert {o.shape for o in seen} == set(SHAPES) and {o.colour for o in seen} == set(COLOURS)
    assert RADII == {"small": (11.0, 14.0), "large": (20.0, 26.0)}
    assert all(RADII[o.size][0] <= o.radius <= RADII[o.size][1] for o in seen)
    assert {s.background for s in all_scenes()} <= set(range(200, 236))
    assert min(s.background for s in all_scenes()) < 203 and max(s.background for s in all_scenes()) > 232


def test_objects_lie_inside_the_picture():
    for s in all_scenes():
        for o in s.objects:
            assert min(o.box) > 0 and max(o.box) < SIDE


def test_objects_are_apart_unless_one_is_inside_the_other():
    nested = 0
    for s in all_scenes():
        for a, b in itertools.combinations(s.objects, 2):
            if relation_between(a, b) in ("inside", "surrounding"):
                inner, outer = sorted((a, b), key=lambda o: o.radius)
                corners = outline(inner.shape) * inner.radius + (inner.x - outer.x, inner.y - outer.y)
                assert outer.shape in ("circle", "square") and inner.colour != outer.colour
                reach = np.abs(corners).max() if outer.shape == "square" else np.hypot(*corners.T).max()
                assert reach < outer.radius - 1
                nested += 1
            else:
                (ax0, ay0, ax1, ay1), (bx0, by0, bx1, by1) = a.box, b.box
                assert ax1 + 1 < bx0 or bx1 + 1 < ax0 or ay1 + 1 < by0 or by1 + 1 < ay0
    assert nested > 50


def test_the_graph_is_the_geometry():
    for s in all_scenes():
        assert len(s.graph.objects) == len(s.objects)
        for thing, stated_thing in zip(s.objects, s.graph.objects, strict=True):
            assert stated_thing.name == thing.shape
            assert stated_thing.attributes == (thing.size, thing.colour)
            assert stated_thing.box == pytest.approx(tuple(v / SIDE for v in thing.box))
        for r in s.graph.relations:
            a, b = s.objects[r.subject], s.objects[r.object]
            assert r.predicate == spatial_relation(a.box, b.box, (a.x, a.y), (b.x, b.y))
            if r.predicate not in ("inside", "surrounding"):  # nobody would argue
                assert abs(45 - math.degrees(math.atan2(abs(a.y - b.y), abs(a.x - b.x)))) >= 10
        joined = [frozenset((r.subject, r.object)) for r in s.graph.relations]
        assert len(joined) == len(set(joined))


def test_all_six_relations_are_stated_and_nearly_every_scene_states_one():
    predicates = [r.predicate for s in all_scenes() for r in s.graph.relations]
    assert all(predicates.count(p) > 0.015 * len(predicates) for p in INVERSE)
    assert sum(bool(s.graph.relations) for s in all_scenes()) > 0.9 * len(all_scenes())


def test_every_nested_pair_is_stated():
    for s in scenes("train"):
        for shape, relation, other in facts(s):
            if relation == "inside":
                assert (shape, relation, other) in stated(s)


@pytest.mark.parametrize("split", ["train", "val", "held-out"])
def test_held_out_pairs_and_triples_are_never_in_a_picture(split: str):
    for s in scenes(split):
        assert not pairs(s) & HELD_OUT_PAIRS
        assert not facts(s) & HELD_OUT_TRIPLES


def test_every_compositional_graph_states_something_held_out():
    by_pair = by_triple = 0
    for s in scenes("compositional"):
        pair, triple = bool(pairs(s) & HELD_OUT_PAIRS), bool(stated(s) & HELD_OUT_TRIPLES)
        assert pair or triple
        by_pair, by_triple = by_pair + pair, by_triple + triple
    assert by_pair > 50 and by_triple > 20


def test_what_is_held_out_is_made_of_known_parts():
    seen = [o for s in scenes("train") for o in s.objects]
    triples = set().union(*(facts(s) for s in scenes("train")))
    for colour, shape in HELD_OUT_PAIRS:
        assert any(o.colour == colour for o in seen) and any(o.shape == shape for o in seen)
    for subject, relation, object_ in HELD_OUT_TRIPLES:
        assert any(t[1] == relation and t[0] != subject for t in triples)
        assert any(t[0] == subject for t in triples) and any(t[2] == object_ for t in triples)


def test_a_picture_is_the_issues_size_and_background():
    s = scenes("val")[0]
    picture = render(s)
    assert picture.shape == (128, 128, 3) and picture.dtype == np.uint8
    border = np.concatenate([picture[0], picture[-1]]).astype(float)  # objects keep clear of it
    assert abs(border.mean() - s.background) < 0.5


def test_noise_has_the_issues_deviation_and_is_not_the_same_everywhere():
    s = one("circle")
    corner = render(s)[:30, :30].astype(float) - s.background
    assert corner.std() == pytest.approx(3, abs=0.15)
    assert abs(corner.mean()) < 0.2
    assert abs(np.corrcoef(corner[..., 0].ravel(), corner[..., 1].ravel())[0, 1]) < 0.1
    other = render(Scene(8, s.objects, s.background, s.graph))
    assert not np.array_equal(other, render(s))


@pytest.mark.parametrize("colour", COLOURS)
def test_an_objects_middle_has_its_colour(colour: str):
    picture = render(one("square", colour)).astype(float)
    assert picture[60:74, 54:67].mean(axis=(0, 1)) == pytest.approx(COLOURS[colour], abs=1)


@pytest.mark.parametrize("shape", SHAPES)
def test_a_shape_is_drawn_where_and_as_large_as_it_is(shape: str):
    s = one(shape)
    thing = s.objects[0]
    coverage = (s.background - render(s).astype(float).mean(axis=-1)) / (s.background - 30)
    coverage[np.abs(coverage) < 0.05] = 0
    rows, columns = np.mgrid[:SIDE, :SIDE] + 0.5
    area = coverage.sum()
    # Pillow fills a polygon's border too, which makes it up to half a sub-pixel wider on each side
    assert area == pytest.approx(polygon_area(outline(shape)) * thing.radius**2, rel=0.04)
    assert (coverage * columns).sum() / area == pytest.approx(thing.x, abs=0.25)
    assert (coverage * rows).sum() / area == pytest.approx(thing.y, abs=0.25)
    solid = coverage > 0.5
    x0, x1 = columns[solid].min() - 0.5, columns[solid].max() + 0.5
    y0, y1 = rows[solid].min() - 0.5, rows[solid].max() + 0.5
    # a pointed corner is thinner than a pixel, and so seems to end a little early
    assert (x0, y0, x1, y1) == pytest.approx(thing.box, abs=2.5 if shape in ("star", "triangle") else 0.75)


@pytest.mark.parametrize("shape", ["circle", "triangle", "star"])
def test_slanted_edges_are_anti_aliased(shape: str):
    coverage = (220 - render(one(shape)).astype(float).mean(axis=-1)) / 190
    between = ((coverage > 0.2) & (coverage < 0.8)).sum()
    assert between > 20
    tints = np.histogram(coverage, bins=6, range=(0.2, 0.8))[0]
    assert (tints > 0).sum() >= 4  # many tints, not one


def test_shapes_stand_upright():
    triangle, star, cross = outline("triangle"), outline("star"), outline("cross")
    assert triangle[:, 1].argmin() == triangle[:, 0].argsort()[1]  # the apex is on top and between
    assert np.sort(triangle[:, 1])[1:] == pytest.approx([0.5, 0.5])  # and the base level
    assert len(star) == 10 and star[star[:, 1].argmin()] == pytest.approx((0, -1))
    assert len(cross) == 12 and extent("cross") == pytest.approx((-1, -1, 1, 1))
    assert {tuple(np.round(p, 6)) for p in outline("square")} == {(-1, -1), (1, -1), (1, 1), (-1, 1)}


def test_what_is_inside_is_drawn_on_top():
    outer = ShapeObject("circle", "red", "large", 64, 64, 26)
    inner = ShapeObject("square", "blue", "small", 64, 64, 11)
    for order in ((outer, inner), (inner, outer)):
        picture = render(Scene(1, order, 220, scene(0).graph)).astype(float)
        assert picture[60:68, 60:68].mean(axis=(0, 1)) == pytest.approx(COLOURS["blue"], abs=2)


@pytest.mark.parametrize(
    ("predicates", "rate"),
    [((LEFT, RIGHT, ABOVE, BELOW), 0.1), ((INSIDE, SURROUNDING), 1 - 0.9 * 0.5)],  # told with all, or by itself
)
def test_captions_name_every_object_seldom_a_direction_and_often_what_is_inside(predicates, rate):
    rng = np.random.default_rng(0)
    drawn = [s for s in scenes("train") if any(r.predicate in predicates for r in s.graph.relations)]
    repeats = 1 + 3000 // len(drawn)
    told = 0
    for s in drawn * repeats:
        text = web_caption(s, rng)
        for thing in s.graph.objects:
            assert text.count(thing.phrase) >= [o.phrase for o in s.graph.objects].count(thing.phrase)
        told += any(predicate in text for predicate in predicates)
    assert told / (len(drawn) * repeats) == pytest.approx(rate, abs=0.03)


def test_captions_put_the_objects_in_any_order():
    s = next(s for s in scenes("train") if len(s.objects) >= 4)
    assert len({web_caption(s, np.random.default_rng(i)) for i in range(50)}) > 10


def test_a_caption_is_a_pure_function_of_its_generator():
    s = scenes("train")[3]
    assert web_caption(s, np.random.default_rng(5)) == web_caption(s, np.random.default_rng(5))
