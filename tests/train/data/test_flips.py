"""A mirrored picture with its mirrored graph: the two still say the same, and mirrored twice they are as they were."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sg_models.graph.scene_graph import Relation, SceneGraph, SceneObject
from train.data.flips import FlippedSplit, mirrored, mirrored_words
from train.data.known_datasets import DatasetOptions, open_dataset
from train.data.shapes.shapes_dataset import Shapes, ShapesSplit

COUNT = 12


@pytest.fixture(scope="module")
def whole() -> ShapesSplit:
    return ShapesSplit("train", COUNT)


@pytest.mark.parametrize(
    ("text", "other"),
    [
        ("left of", "right of"),
        ("to the right of", "to the left of"),
        ("left hand", "right hand"),
        ("Left eye", "Right eye"),
        ("ON THE LEFT", "ON THE RIGHT"),
        ("leftmost", "rightmost"),
        ("left-hand side", "right-hand side"),
        ("righthand", "lefthand"),
        ("turned leftwards", "turned rightwards"),
        ("to_the_left_of", "to_the_right_of"),
        ("between left and right", "between right and left"),
        ("bright", "bright"),
        ("upright, alright", "upright, alright"),
        ("leftover", "leftover"),
        ("left over pizza", "left over pizza"),
        ("copyright", "copyright"),
        ("cleft", "cleft"),
        ("rights", "rights"),
        ("éleft", "éleft"),
        ("left2", "left2"),
    ],
)
def test_left_and_right_are_exchanged_word_by_word(text: str, other: str):
    assert mirrored_words(text) == other
    assert mirrored_words(other) == text


words = st.sampled_from(["left", "right", "Right", "LEFT", "leftmost", "bright", "of", "over", "-", "_", "the", "é"])


@given(st.lists(words, max_size=8), st.sampled_from(["", " "]))
def test_twice_is_the_same_text(parts: list[str], between: str):
    text = between.join(parts)
    assert mirrored_words(mirrored_words(text)) == text


def test_names_attributes_predicates_and_boxes_are_mirrored():
    graph = SceneGraph(
        (SceneObject("left shoe", ("right-handed",), (0.125, 0.25, 0.5, 0.75)), SceneObject("bright lamp")),
        (Relation(0, "to the left of", 1), Relation(1, "on", 0)),
    )
    assert mirrored(graph) == SceneGraph(
        (SceneObject("right shoe", ("left-handed",), (0.5, 0.25, 0.875, 0.75)), SceneObject("bright lamp")),
        (Relation(0, "to the right of", 1), Relation(1, "on", 0)),
    )
    assert mirrored(mirrored(graph)) == graph


def test_mirrored_pictures_obey_their_mirrored_graphs_and_no_others(whole: ShapesSplit):
    data, split = Shapes(), FlippedSplit(whole)
    assert len(split.graphs) == 2 * COUNT
    pictures = split.pictures(range(2 * COUNT), 128)
    assert all(data.judge(p, g).exact for p, g in zip(pictures, split.graphs, strict=True))
    sideways = [i for i, graph in enumerate(whole.graphs) if any("of" in r.predicate for r in graph.relations)]
    assert sideways and not any(data.judge(pictures[COUNT + i], whole.graphs[i]).exact for i in sideways)


def test_masks_are_mirrored_within_their_mirrored_boxes(whole: ShapesSplit):
    split = FlippedSplit(whole)
    for place in range(COUNT):
        masks, others = split.masks(place, 16), split.masks(COUNT + place, 16)
        assert np.array_equal(others, masks.numpy()[:, :, ::-1])


def test_places_beyond_are_errors_and_slices_and_negatives_are_as_in_lists(whole: ShapesSplit):
    graphs = FlippedSplit(whole).graphs
    assert graphs[-1] == graphs[2 * COUNT - 1] and graphs[COUNT - 1 : COUNT + 1] == [graphs[COUNT - 1], graphs[COUNT]]
    assert len(list(graphs)) == 2 * COUNT
    with pytest.raises(IndexError):
        graphs[2 * COUNT]


def test_what_was_made_of_them_is_kept_apart(whole: ShapesSplit):
    split = FlippedSplit(whole)
    assert (split.dataset, split.name) == ("shapes-flipped", "train")
    prints = {s.fingerprint() for s in (whole, split, FlippedSplit(ShapesSplit("train", COUNT - 1)))}
    assert len(prints) == 3, "with another count, mirrored ones begin at another place"


def test_nested_scenes_are_nested_in_the_mirror(whole: ShapesSplit):
    split = FlippedSplit(whole)
    assert split.nested.tolist() == [*whole.nested, *(whole.nested + COUNT)]


def test_only_training_pictures_are_flipped_and_only_where_asked():
    data = open_dataset(DatasetOptions(flips=True))
    assert [len(data.split(name, 3).graphs) for name in ("train", "val", "held-out")] == [6, 3, 3]
    assert (data.name, data.large_area, data.test_splits) == (Shapes.name, Shapes.large_area, Shapes.test_splits)
    assert len(open_dataset(DatasetOptions()).split("train", 3).graphs) == 3
