"""The prompt of a graph: every object with its phrase, every relation once."""

import re

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sg_models.graph.caption import caption, mentions
from sg_models.graph.formats import parse_scene_graph
from sg_models.graph.scene_graph import Relation, SceneGraph, SceneObject

# No deadline: a busy machine is no fault of the code.
THOROUGH = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ("small red circle|left of|large blue square", "a small red circle left of a large blue square"),
        ("orange cat", "an orange cat"),
        ("dog|on|rug\nrug|under|old table\nsun", "a dog on a rug, the rug under an old table, a sun"),
        ("red circle|near|red circle#2", "a red circle near another red circle"),
        ("dog|near|dog#2\ndog#2|on|dog\ncat|on|dog#2",
         "a dog near another dog, the second dog on the first dog, a cat on the second dog"),
        ("dog\ndog#2\ndog#3", "a dog, another dog, another dog"),
        ("unicorn\nhour\nuniform\numbrella\nOwl\nEuropean bee\nhouse",
         "a unicorn, an hour, a uniform, an umbrella, an Owl, a European bee, a house"),
    ],
)  # fmt: skip
def test_captions(lines: str, expected: str) -> None:
    assert caption(parse_scene_graph(lines)) == expected


def test_mentions_are_in_the_order_of_the_caption() -> None:
    graph = parse_scene_graph("sun\ndog|on|rug\ntree|behind|dog\ncat")
    text, start = caption(graph), 0
    for position in mentions(graph):
        start = text.index(graph.objects[position].phrase, start) + 1
    assert [graph.objects[k].name for k in mentions(graph)] == ["dog", "rug", "tree", "dog", "sun", "cat"]


def test_ordinals_beyond_ten() -> None:
    objects = tuple(SceneObject("dog") for _ in range(23))
    relations = tuple(Relation(i, "near", 0) for i in range(1, 23)) + tuple(
        Relation(i, "on", 0) for i in (10, 20, 21, 22)
    )
    text = caption(SceneGraph(objects, relations))
    again = [f"the {ordinal} dog on the second dog" for ordinal in ("11th", "21st", "22nd", "23rd")]
    assert text.split(", ")[-4:] == again


PHRASES = st.sampled_from(["red circle", "red square", "circle", "old dog"])


@THOROUGH
@given(st.lists(PHRASES, min_size=2, max_size=7), st.data())
def test_every_object_and_relation_is_said_once(phrases: list[str], data: st.DataObject) -> None:
    objects = tuple(SceneObject(phrase.split()[-1], tuple(phrase.split()[:-1])) for phrase in phrases)
    ends = st.tuples(st.integers(0, len(objects) - 1), st.integers(0, len(objects) - 1)).filter(lambda e: e[0] != e[1])
    pairs = data.draw(st.lists(ends, max_size=6))
    graph = SceneGraph(objects, tuple(Relation(s, f"relates{i}to", o) for i, (s, o) in enumerate(pairs)))
    text = caption(graph)
    clauses = text.split(", ")
    mention = r"(?:an?|another|the(?: \w+)?) "
    for i, (subject, object_) in enumerate(pairs):
        assert re.fullmatch(f"{mention}{phrases[subject]} relates{i}to {mention}{phrases[object_]}", clauses[i])
    alone = [phrases[i] for i in range(len(objects)) if not any(i in pair for pair in pairs)]
    assert len(clauses) == len(pairs) + len(alone)
    for clause, phrase in zip(clauses[len(pairs) :], alone, strict=True):
        assert re.fullmatch(f"(?:an?|another) {phrase}", clause)
    introductions = re.findall(r"\b(?:an?|another) ", text)
    assert len(introductions) == len(objects)
    assert caption(graph) == text
