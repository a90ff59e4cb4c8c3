"""From pixels of the picture to parts of its crop."""

import numpy as np
import pytest

from sg_models.graph.scene_graph import MAX_OBJECTS, MAX_RELATIONS
from train.data.prepared.cropping import crop_box, cropped
from train.data.prepared.preparer import Counts, Scene, Thing
from train.data.prepared.records import unpack_mask


def crop(things, relations=(), size=(300, 200), picture_size=None, crop="centre"):
    """The record of a scene, and what was left out."""
    counts = Counts()
    scene = Scene("1", size, list(things), list(relations), "1.jpg")
    return cropped(scene, picture_size or size, crop, counts), counts.to_dict()


@pytest.mark.parametrize(
    ("size", "box"), [((300, 200), (50, 0, 250, 200)), ((200, 301), (0, 50, 200, 250)), ((64, 64), None)]
)
def test_the_crop_is_the_square_in_the_middle(size, box):
    assert crop_box(size, "centre") == box
    assert crop_box(size, "none") is None


def test_boxes_are_parts_of_the_crop():
    record, left_out = crop([Thing("dog", (100, 20, 150, 120)), Thing("cat", (40, 150, 90, 260))])
    assert record.crop == (50, 0, 250, 200)
    assert [item.box for item in record.graph.objects] == [(0.25, 0.1, 0.5, 0.6), (0.0, 0.75, 0.2, 1.0)]
    assert left_out == {}


def test_without_a_crop_boxes_are_parts_of_the_picture():
    record, _ = crop([Thing("dog", (150, 20, 300, 120))], crop="none")
    assert record.crop is None and record.graph.objects[0].box == (0.5, 0.1, 1.0, 0.6)


@pytest.mark.parametrize(("left", "stays"), [(10, True), (9, False)])
def test_what_the_crop_shows_less_than_a_third_of_leaves_the_graph(left: int, stays: bool):
    """60 pixels wide; the crop starts at 50."""
    record, left_out = crop(
        [Thing("cat", (left, 20, left + 60, 80)), Thing("dog", (100, 20, 150, 120)), Thing("mug", (150, 20, 200, 120))],
        [(0, "near", 1), (2, "behind", 1)],
    )
    assert [item.name for item in record.graph.objects] == ["cat", "dog", "mug"][not stays :]
    triples = [(r.subject, r.predicate, r.object) for r in record.graph.relations]
    assert triples == ([(0, "near", 1), (2, "behind", 1)] if stays else [(1, "behind", 0)])
    counted = {"object": {"cut off by the crop": 1}, "relation": {"an end that was left out": 1}}
    assert left_out == ({} if stays else counted)


def test_the_share_is_of_what_the_picture_shows():
    """Annotators draw past the edge: what is there is not cut off by the crop."""
    record, left_out = crop([Thing("dog", (100, 150, 150, 900))])
    assert record.graph.objects[0].box == (0.25, 0.75, 0.5, 1.0) and left_out == {}


def test_annotations_may_be_of_a_larger_picture():
    things = [Thing("dog", (200, 40, 300, 240))]
    record, _ = crop(things, size=(600, 400), picture_size=(300, 200))
    assert record.crop == (50, 0, 250, 200) and record.graph.objects[0].box == (0.25, 0.1, 0.5, 0.6)
    record, left_out = crop(things, size=(600, 400), picture_size=(200, 300))
    assert record is None and left_out == {"picture": {"another shape than its annotations say": 1}}


@pytest.mark.parametrize(
    ("thing", "why"),
    [
        (Thing("dog", (100, 20, 100, 80)), "a box without area"),
        (Thing("dog", (120, 20, 100, 80)), "a box without area"),
        (Thing("dog", (float("nan"), 20, 100, 80)), "a box without area"),
        (Thing("dog", (300, 20, 350, 80)), "a box outside of the picture"),
        (Thing("dog", (100, 20, 100 + 1e-6, 80)), "a box too thin"),
        (Thing(" ", (100, 20, 150, 80)), "no name a graph can hold"),
        (Thing("x" * 201, (100, 20, 150, 80)), "no name a graph can hold"),
    ],
)
def test_what_no_graph_can_hold_is_counted(thing, why: str):
    record, left_out = crop([thing, Thing("cat", (100, 20, 150, 80))])
    assert [item.name for item in record.graph.objects] == ["cat"] and left_out == {"object": {why: 1}}
    record, left_out = crop([thing])
    assert record is None and left_out == {"object": {why: 1}, "picture": {"no object that stays": 1}}


def test_attributes_and_relations_that_no_graph_can_hold_are_counted():
    things = [Thing("dog", (100, 20, 150, 80), ("brown", "", "x" * 200, "wet")), Thing("cat", (100, 20, 150, 80))]
    record, left_out = crop(things, [(0, "on", 1), (0, "", 1), (0, "on", 0), (0, "on", 7), (-1, "on", 0)])
    assert record.graph.objects[0].attributes == ("brown", "wet") and len(record.graph.relations) == 1
    assert left_out == {
        "attribute": {"no text a graph can hold, or too long together": 2},
        "relation": {
            "an end that is no object of the picture": 2,
            "an object joined to itself": 1,
            "no predicate a graph can hold": 1,
        },
    }


def test_more_than_a_graph_has_is_counted():
    things = [Thing("dog", (100, 20, 150, 80)) for _ in range(MAX_OBJECTS + 2)]
    record, left_out = crop(things, [(0, "on", 1)] * (MAX_RELATIONS + 3))
    assert (len(record.graph.objects), len(record.graph.relations)) == (MAX_OBJECTS, MAX_RELATIONS)
    assert sum(left_out["object"].values()) == 2 and sum(left_out["relation"].values()) == 3


def test_masks_are_of_the_visible_box():
    seen = []

    def mask(box):
        seen.append(box)
        return np.eye(16, dtype=bool)

    record, _ = crop([Thing("cat", (0, 20, 60, 80), (), mask), Thing("dog", (20, 20, 90, 80), (), mask)])
    assert seen == [(50, 20, 90, 80)], "of what stays alone, and cropped as it is"
    assert np.array_equal(unpack_mask(record.masks[0]), np.eye(16, dtype=bool))
