"""A layout for each seed: all that a graph says still holds, and the layouts differ."""

import numpy as np
import pytest

from sg_models.graph.layout_variation import GAP, ROOM, SCALE, vary_layout
from sg_models.graph.scene_graph import Relation, SceneGraph, SceneObject
from sg_models.graph.spatial_relations import spatial_relation

NAMES = ("star", "square", "circle", "cross")
BOXES = [(0.1, 0.4, 0.3, 0.6), (0.6, 0.35, 0.9, 0.65), (0.7, 0.45, 0.8, 0.55), (0.2, 0.75, 0.35, 0.9)]
RELATIONS = (Relation(0, "left of", 1), Relation(2, "inside", 1), Relation(3, "below", 0))


def graph(relations=RELATIONS, given=()) -> SceneGraph:
    things = (SceneObject(n, (), BOXES[i] if i in given else None) for i, n in enumerate(NAMES))
    return SceneGraph(tuple(things), tuple(relations))


def centres(boxes) -> np.ndarray:
    return (np.array(boxes)[:, :2] + np.array(boxes)[:, 2:]) / 2


def test_seed_zero_is_the_layout_as_predicted_and_every_seed_is_always_the_same():
    assert vary_layout(graph(), BOXES, 0) == BOXES
    assert vary_layout(graph(), BOXES, 5) == vary_layout(graph(), BOXES, 5) != vary_layout(graph(), BOXES, 6)


def test_every_relation_holds_for_every_seed_and_objects_stay_apart_and_in_the_picture():
    for seed in range(1, 40):
        boxes = vary_layout(graph(), BOXES, seed)
        for relation in RELATIONS:
            assert spatial_relation(boxes[relation.subject], boxes[relation.object]) == relation.predicate
        assert np.min(boxes) >= 0 and np.max(boxes) <= 1
        for a, b in ((0, 1), (0, 3), (1, 3)):
            (ax0, ay0, ax1, ay1), (bx0, by0, bx1, by1) = boxes[a], boxes[b]
            assert max(ax0 - bx1, bx0 - ax1, ay0 - by1, by0 - ay1) >= GAP - 1e-9


def test_layouts_differ_widely_and_sizes_a_little():
    layouts = [vary_layout(graph(), BOXES, seed) for seed in range(1, 30)]
    assert np.std([centres(boxes) for boxes in layouts], axis=0).mean() > 0.05
    sides = np.array(layouts)[:, :, 2:] - np.array(layouts)[:, :, :2]
    ratios = sides / (np.array(BOXES)[:, 2:] - np.array(BOXES)[:, :2])
    assert ratios.min() >= 1 - SCALE - 1e-9 and ratios.max() <= 1 + SCALE + 1e-9 and ratios.std() > 0.03


def test_what_is_inside_a_round_thing_stays_inside_its_outline():
    for seed in range(1, 30):
        _, outer, inner, _ = np.array(vary_layout(graph(), BOXES, seed))
        half = (outer[2:] - outer[:2]) / 2
        corners = np.abs((inner[:2] + inner[2:] - outer[:2] - outer[2:]) / 2) + (inner[2:] - inner[:2]) / 2
        assert np.hypot(*(corners / half)) <= ROOM + 1e-9


def test_given_boxes_stay_where_they_are():
    for seed in range(1, 10):
        boxes = vary_layout(graph(given=(1, 3)), BOXES, seed)
        assert boxes[1] == pytest.approx(BOXES[1]) and boxes[3] == pytest.approx(BOXES[3])
        assert boxes[0] != pytest.approx(BOXES[0])


def test_things_that_belong_together_keep_together():
    for relation in (Relation(0, "wearing", 3), Relation(0, "near", 3)):
        for seed in range(1, 10):
            boxes = centres(vary_layout(graph((relation,)), BOXES, seed))
            sides = np.array(vary_layout(graph((relation,)), BOXES, seed))
            scale = (sides[0, 2] - sides[0, 0]) / (BOXES[0][2] - BOXES[0][0])
            assert boxes[3] - boxes[0] == pytest.approx(scale * (centres(BOXES)[3] - centres(BOXES)[0]))


def test_overlapping_objects_move_as_one():
    boxes = [(0.2, 0.2, 0.5, 0.6), (0.4, 0.3, 0.7, 0.8)]
    pair = SceneGraph((SceneObject("person"), SceneObject("bicycle")))
    for seed in range(1, 10):
        a, b = np.array(vary_layout(pair, boxes, seed))
        scale = (a[2] - a[0]) / 0.3
        assert b - a == pytest.approx(scale * (np.array(boxes[1]) - np.array(boxes[0])))


def test_what_does_not_hold_in_the_layout_does_not_hinder():
    contradictory = graph((*RELATIONS, Relation(1, "left of", 0)))
    assert vary_layout(contradictory, BOXES, 3) != BOXES
