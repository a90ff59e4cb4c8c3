"""The oracle: right on true pictures, and not fooled by wrong ones."""

import numpy as np
import pytest

from sg_models.graph.scene_graph import Relation, SceneGraph, SceneObject
from sg_models.verification.shapes.oracle import Detection, detect, judge
from sg_models.verification.shapes.silhouettes import SHAPES
from sg_models.verification.verify import relation_of
from train.data.shapes.scene import Scene, ShapeObject, render, scene, seeds
from train.data.spatial_relations import spatial_relation

FRESH = 70_000_000  # past anything that is trained on


def thing(shape: str, colour: str, x: float, y: float, size: str = "small") -> ShapeObject:
    return ShapeObject(shape, colour, size, x, y, 12.5 if size == "small" else 22)


def picture(*things: ShapeObject, seed: int = 5) -> np.ndarray:
    return render(Scene(seed, things, 218, scene(0).graph))


def graph(objects: list[str], relations: list[tuple[int, str, int]] = ()) -> SceneGraph:
    made = []
    for text in objects:
        *attributes, name = text.split()
        made.append(SceneObject(name, tuple(attributes)))
    return SceneGraph(tuple(made), tuple(Relation(*r) for r in relations))


def tally(count: int, split: str = "held-out") -> tuple[float, float]:
    """The share of true objects seen as they are, with no other one beside them, and of stated relations found."""
    objects = right = relations = held = 0
    for seed in seeds(split, count, FRESH):
        s = scene(seed)
        found = list(detect(render(s)))
        seen: dict[int, Detection] = {}
        for i, o in enumerate(s.objects):
            objects += 1
            match = [d for d in found if np.hypot(d.centroid[0] - o.x, d.centroid[1] - o.y) < 3 and d.shape == o.shape]
            match = [d for d in match if (d.colour, d.size) == (o.colour, o.size)]
            match = [d for d in match if np.abs(np.subtract(d.box, o.box)).max() < 3]
            if len(match) == 1:
                right += 1
                seen[i] = match[0]
                found.remove(match[0])
        objects += len(found)  # what is not there counts as wrong
        for r in s.graph.relations:
            relations += 1
            held += {r.subject, r.object} <= set(seen) and relation_of(seen[r.subject], seen[r.object]) == r.predicate
    return right / objects, held / relations


def test_right_on_200_fresh_pictures():
    objects, relations = tally(100, "held-out"), tally(100, "compositional")
    assert min(objects + relations) >= 0.99


@pytest.mark.slow
@pytest.mark.parametrize("split", ["held-out", "compositional"])
def test_right_on_1000_fresh_pictures(split: str):
    objects, relations = tally(1000, split)
    assert objects >= 0.99 and relations >= 0.99


def test_judges_true_pictures_as_exact():
    verdicts = [judge(render(scene(s)), scene(s).graph) for s in seeds("val", 25, FRESH)]
    assert sum(v.exact for v in verdicts) >= 24


def test_another_pictures_graph_is_not_exact():
    shown = seeds("val", 12, FRESH)
    assert not any(judge(render(scene(s)), scene(s + 1).graph).exact for s in shown)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("size", ["small", "large"])
def test_one_object_by_shape_colour_size_box_and_centroid(shape: str, size: str):
    o = thing(shape, "purple", 50.4, 70.7, size)
    (seen,) = detect(picture(o))
    assert (seen.shape, seen.colour, seen.size) == (shape, "purple", size)
    assert seen.centroid == pytest.approx((o.x, o.y), abs=0.5)
    assert seen.box == pytest.approx(o.box, abs=2.5)


def test_an_empty_picture_shows_nothing():
    assert detect(picture()) == ()
    verdict = judge(picture(), graph(["red circle"]))
    assert verdict.matched == (None,) and verdict.bound == (False,) and not verdict.exact


def test_a_blob_is_an_object_of_no_shape():
    canvas = picture()
    rng = np.random.default_rng(0)
    ys, xs = np.mgrid[:128, :128]
    for angle in rng.uniform(0, 2 * np.pi, 9):  # a hedgehog of thin spines
        for r in np.arange(0, 26, 0.5):
            near = np.hypot(xs - 60 - r * np.cos(angle), ys - 60 - r * np.sin(angle)) < 1.8
            canvas[near] = (220, 40, 40)
    seen = detect(canvas)
    verdict = judge(canvas, graph(["red circle"]))
    assert len(seen) == 1
    assert not verdict.exact and verdict.matched == (None,)


LEFT_STAR = (thing("star", "orange", 35, 60), thing("circle", "blue", 90, 62, "large"))
LEFT_GRAPH = graph(["small orange star", "large blue circle"], [(0, "left of", 1)])


def test_the_right_picture_is_exact():
    verdict = judge(picture(*LEFT_STAR), LEFT_GRAPH)
    assert verdict.exact and verdict.bound == (True, True) and verdict.related == (True,)
    assert [d and d.shape for d in verdict.matched] == ["star", "circle"]


def test_a_missing_object():
    verdict = judge(picture(LEFT_STAR[1]), LEFT_GRAPH)
    assert verdict.matched[0] is None and verdict.matched[1] is not None
    assert verdict.bound == (False, True) and verdict.related == (False,) and not verdict.exact


def test_a_wrong_colour():
    verdict = judge(picture(thing("star", "cyan", 35, 60), LEFT_STAR[1]), LEFT_GRAPH)
    assert None not in verdict.matched  # the star is there, it only is not orange
    assert verdict.bound == (False, True) and verdict.related == (True,) and not verdict.exact


def test_a_wrong_size():
    verdict = judge(picture(thing("star", "orange", 35, 60, "large"), LEFT_STAR[1]), LEFT_GRAPH)
    assert verdict.bound == (False, True) and verdict.related == (True,) and not verdict.exact


def test_swapped_attributes_are_bound_to_neither():
    swapped = picture(thing("star", "blue", 35, 60), thing("circle", "orange", 90, 62, "large"))
    verdict = judge(swapped, LEFT_GRAPH)
    assert None not in verdict.matched and verdict.bound == (False, False) and not verdict.exact


def test_a_swapped_relation():
    verdict = judge(picture(thing("star", "orange", 100, 60), thing("circle", "blue", 40, 62, "large")), LEFT_GRAPH)
    assert verdict.bound == (True, True) and verdict.related == (False,) and not verdict.exact


def test_an_extra_object():
    verdict = judge(picture(*LEFT_STAR, thing("cross", "black", 60, 110)), LEFT_GRAPH)
    assert verdict.bound == (True, True) and verdict.related == (True,)
    assert not verdict.exact and len(verdict.detections) == 3


def test_an_extra_object_of_the_same_shape_does_not_hide_the_right_one():
    verdict = judge(picture(*LEFT_STAR, thing("star", "green", 35, 110)), LEFT_GRAPH)
    assert verdict.bound == (True, True) and verdict.related == (True,) and not verdict.exact


def test_an_object_inside_another_is_seen():
    nested = picture(thing("square", "red", 64, 64, "large"), thing("star", "cyan", 66, 62))
    verdict = judge(nested, graph(["small cyan star", "large red square"], [(0, "inside", 1)]))
    assert verdict.exact
    assert judge(nested, graph(["star", "square"], [(1, "surrounding", 0)])).exact
    assert not judge(nested, graph(["star", "square"], [(0, "left of", 1)])).exact


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_two_equal_objects_may_stand_for_each_other(order: tuple[int, int]):
    shown = picture(thing("circle", "red", 25, 64), thing("circle", "red", 100, 64), thing("square", "black", 62, 64))
    relations = [(order[0], "left of", 2), (order[1], "right of", 2)]
    verdict = judge(shown, graph(["small red circle", "small red circle", "small black square"], relations))
    assert verdict.exact
    assert verdict.matched[order[0]].centroid[0] < verdict.matched[order[1]].centroid[0]


def test_two_equal_objects_are_two_detections():
    verdict = judge(picture(thing("circle", "red", 25, 64)), graph(["red circle", "red circle"]))
    assert sum(d is not None for d in verdict.matched) == 1 and not verdict.exact


def test_same_shape_other_colour_is_matched_by_colour():
    shown = picture(thing("star", "red", 30, 30), thing("star", "blue", 95, 95))
    verdict = judge(shown, graph(["blue star", "red star"], [(0, "right of", 1)]))
    assert verdict.bound == (True, True)
    assert verdict.matched[0].colour == "blue"


def test_what_a_graph_leaves_unsaid_does_not_matter():
    assert judge(picture(*LEFT_STAR), graph(["circle", "orange star"])).exact


def test_a_shape_that_is_no_shape_of_this_world_is_missing():
    verdict = judge(picture(*LEFT_STAR), graph(["dog"]))
    assert verdict.matched == (None,) and not verdict.exact


def test_a_relation_that_is_none_of_the_six_does_not_hold():
    assert judge(picture(*LEFT_STAR), graph(["star", "circle"], [(0, "next to", 1)])).related == (False,)


def test_touching_objects_of_two_colours_are_two():
    seen = detect(picture(thing("square", "red", 50, 64), thing("square", "blue", 75, 64)))
    assert {(d.shape, d.colour) for d in seen} == {("square", "red"), ("square", "blue")}


@pytest.mark.parametrize("size", [(128, 192), (160, 128), (96, 224)])
def test_pictures_of_another_size(size: tuple[int, int]):
    height, width = size
    rng = np.random.default_rng(0)
    canvas = np.clip(218 + 3 * rng.standard_normal((height, width, 3)), 0, 255).astype(np.uint8)
    small = picture(*LEFT_STAR)
    canvas[:96, : min(width, 128)] = small[20:116, : min(width, 128)]
    assert judge(canvas, LEFT_GRAPH).exact


def test_relation_of_is_the_rule_of_the_world():
    a, b = detect(picture(*LEFT_STAR))
    assert relation_of(a, b) == spatial_relation(a.box, b.box, a.centroid, b.centroid) == "right of"


def test_the_picture_is_not_changed():
    shown = picture(*LEFT_STAR)
    before = shown.copy()
    judge(shown, LEFT_GRAPH)
    assert np.array_equal(shown, before)
