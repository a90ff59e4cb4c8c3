"""Relations that cannot hold together: found, minimal, and said in words."""

import time

import pytest

from sg_models.graph.contradictions import contradiction_sentences, contradictions
from sg_models.graph.scene_graph import MAX_OBJECTS, MAX_RELATIONS, Relation, SceneGraph, SceneObject
from sg_models.graph.spatial_wordings import ABOVE, INSIDE, LEFT, drawn_direction, spatial_meaning


def graph(*relations: tuple[int, str, int]) -> SceneGraph:
    names = ("circle", "square", "star", "cross")
    return SceneGraph(tuple(SceneObject(name) for name in names), tuple(Relation(*relation) for relation in relations))


def test_two_relations_in_words() -> None:
    assert contradiction_sentences(graph((0, "left of", 1), (1, "left of", 0))) == [
        "'circle left of square' and 'square left of circle' cannot both hold"
    ]


@pytest.mark.parametrize(
    "relations",
    [
        ((0, "left of", 1), (0, "to the right of", 1)),
        ((0, "above", 1), (0, "Under", 1)),
        ((0, "inside", 1), (1, "inside", 0)),
        ((0, "inside", 1), (0, "surrounding", 1)),
        ((0, "inside", 1), (0, "left of", 1)),
        ((0, "surrounding", 1), (1, "above", 0)),
        ((0, "is left_of", 1), (1, "on the left side of", 0)),
    ],
)
def test_pairs(relations) -> None:
    assert contradictions(graph(*relations)) == [(0, 1)]


def test_a_cycle_is_found_once_and_without_what_does_not_belong_to_it() -> None:
    found = graph((0, "left of", 1), (1, "left of", 2), (0, "above", 2), (0, "right of", 2), (3, "left of", 0))
    assert [set(relations) for relations in contradictions(found)] == [{0, 1, 3}]
    (sentence,) = contradiction_sentences(found)
    assert sentence == "'circle left of square', 'square left of star' and 'circle right of star' cannot all hold"


def test_a_short_contradiction_is_not_hidden_in_a_long_one() -> None:
    found = graph((0, "left of", 1), (1, "left of", 0), (1, "left of", 2), (2, "left of", 0))
    assert [set(relations) for relations in contradictions(found)] == [{0, 1}, {0, 2, 3}]


def test_nesting_carries_over() -> None:
    found = graph((0, "inside", 1), (1, "inside", 2), (0, "below", 2))
    assert [set(relations) for relations in contradictions(found)] == [{0, 1, 2}]


@pytest.mark.parametrize(
    "relations",
    [
        ((0, "left of", 1), (1, "right of", 0)),
        ((0, "left of", 1), (0, "above", 1)),
        ((0, "on", 1), (1, "above", 0)),  # a picture on a wall
        ((0, "next to", 1), (1, "next to", 0)),
        ((0, "inside", 1), (1, "left of", 2)),
        (),
    ],
)
def test_what_can_be_drawn_is_left_alone(relations) -> None:
    assert contradictions(graph(*relations)) == []


def test_objects_of_one_kind_are_told_apart() -> None:
    dogs = SceneGraph((SceneObject("dog"), SceneObject("dog")), (Relation(0, "above", 1), Relation(1, "above", 0)))
    assert contradiction_sentences(dogs) == ["'dog above dog#2' and 'dog#2 above dog' cannot both hold"]


def test_the_largest_graph_takes_no_time_and_few_words() -> None:
    objects = tuple(SceneObject(f"o{i}") for i in range(MAX_OBJECTS))
    ends = [(i % MAX_OBJECTS, (i * 7 + 1) % MAX_OBJECTS) for i in range(2 * MAX_RELATIONS)]
    relations = tuple(Relation(s, "left of", o) for s, o in ends if s != o)[:MAX_RELATIONS]
    started = time.perf_counter()
    sentences = contradiction_sentences(SceneGraph(objects, relations))
    assert time.perf_counter() - started < 5
    assert len(sentences) == 11 and sentences[-1].endswith("more sets of relations cannot hold together")


def test_wordings() -> None:
    assert spatial_meaning("to the LEFT of") == LEFT and spatial_meaning("is inside of") == INSIDE
    assert spatial_meaning("on") is None and drawn_direction("on") == ABOVE
    assert spatial_meaning("next to") is None and drawn_direction("next to") is None
