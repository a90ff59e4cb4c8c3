"""The graph type: what it accepts, what it normalises, what it refuses and in which words."""

import dataclasses
import json
import math
from copy import deepcopy

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sg_models.graph.scene_graph import (
    MAX_ATTRIBUTES,
    MAX_OBJECTS,
    MAX_PHRASE_CHARS,
    MAX_RELATIONS,
    Relation,
    SceneGraph,
    SceneGraphError,
    SceneObject,
)

# No deadline: a busy machine is no fault of the code.
THOROUGH = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])

DOG, CAT = SceneObject("dog"), SceneObject("cat")

JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)


@st.composite
def scene_graphs(draw: st.DrawFn) -> SceneGraph:
    text = st.text(st.characters(exclude_categories=["Cc", "Cs", "Z"]), min_size=1, max_size=8)
    words = st.lists(text, min_size=1, max_size=3).map(" ".join)
    edge = st.integers(0, 1000)
    boxes = st.tuples(edge, edge, edge, edge).filter(lambda b: b[0] < b[2] and b[1] < b[3])
    boxes = boxes.map(lambda b: (b[0] / 1000, b[1] / 1000, b[2] / 1000, b[3] / 1000))
    objects = draw(
        st.lists(
            st.builds(SceneObject, words, st.lists(words, max_size=3).map(tuple), st.none() | boxes),
            min_size=1,
            max_size=5,
        )
    )
    pairs = [(i, j) for i in range(len(objects)) for j in range(len(objects)) if i != j]
    if not pairs:
        return SceneGraph(tuple(objects))
    edges = draw(st.lists(st.tuples(st.sampled_from(pairs), words), max_size=6))
    return SceneGraph(tuple(objects), tuple(Relation(i, predicate, j) for (i, j), predicate in edges))


@THOROUGH
@given(scene_graphs())
def test_canonical_json_round_trip(graph: SceneGraph) -> None:
    assert SceneGraph.from_dict(json.loads(graph.to_json())) == graph
    graph.to_json().encode("utf-8")


@THOROUGH
@given(scene_graphs())
def test_from_dict_leaves_its_input_alone(graph: SceneGraph) -> None:
    record = graph.to_dict()
    before = deepcopy(record)
    SceneGraph.from_dict(record)
    assert record == before


def test_canonical_json_leaves_out_what_is_empty() -> None:
    graph = SceneGraph(
        (SceneObject("dog", ("brown",), (0.1, 0.4, 0.6, 0.9)), SceneObject("motorcycle")),
        (Relation(0, "on", 1),),
    )
    assert graph.to_json() == (
        '{"objects": [{"name": "dog", "attributes": ["brown"], "box": [0.1, 0.4, 0.6, 0.9]}, '
        '{"name": "motorcycle"}], "relations": [{"subject": 0, "predicate": "on", "object": 1}]}'
    )
    assert SceneGraph((DOG,)).to_dict() == {"objects": [{"name": "dog"}], "relations": []}


def test_text_is_normalised_and_keeps_its_case() -> None:
    item = SceneObject("  Great\t Dane\n", (" very  big ",))
    assert (item.name, item.attributes, item.phrase) == ("Great Dane", ("very big",), "very big Great Dane")
    assert Relation(0, " left \n of ", 1).predicate == "left of"


def test_lists_become_tuples_and_numbers_become_floats() -> None:
    item = SceneObject("dog", ["brown"], [0, np.float32(0.5), 1, 1])  # type: ignore[arg-type]
    assert item.attributes == ("brown",)
    assert item.box == (0.0, 0.5, 1.0, 1.0)
    assert all(type(number) is float for number in item.box or ())
    assert hash(SceneGraph([item, CAT])) == hash(SceneGraph((item, CAT)))  # type: ignore[arg-type]


def test_graphs_are_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        DOG.name = "cat"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("box", "message"),
    [
        ((0.5, 0.5, 0.2, 0.3), "box: looks like x, y, width, height; write x0, y0, x1, y1"),
        ((0.2, 0.5, 0.6, 0.3), "box: looks like x, y, width, height; write x0, y0, x1, y1"),
        ((0.9, 0.5, 0.2, 0.6), "box: the box is empty or its corners are swapped"),
        ((0.5, 0.5, 0.5, 0.9), "box: the box is empty or its corners are swapped"),
        ((0.1, 0.2, 0.0, 0.9), "box: the box is empty or its corners are swapped"),
        ((0.0, 0.0, 1e-60, 1.0), "box: the box is too thin"),
        ((0.5, 0.1, 0.5 + 1e-12, 0.9), "box: the box is too thin"),
        ((0, 0, 640, 480), r"box\[2\]: 640 is outside of 0 to 1; if these are pixels, divide"),
        ((-0.1, 0, 1, 1), r"box\[0\]: -0.1 is outside"),
        ((0, math.nan, 1, 1), r"box\[1\]: nan is outside"),
        ((0, 0, math.inf, 1), r"box\[2\]: inf is outside"),
        ((0, 0, 10**5000, 1), r"box\[2\]: a huge number is outside"),
        ((False, 0, 1, 1), r"box\[0\]: expected a number, got false"),
        ((0, 0, "1", 1), r"box\[2\]: expected a number, got '1'"),
        ((0, 0, 1), "box: a box has four numbers, not 3"),
        ("0 0 1 1", "box: expected a list, got '0 0 1 1'"),
    ],
)
def test_boxes_that_are_no_boxes(box: object, message: str) -> None:
    with pytest.raises(SceneGraphError, match=message):
        SceneObject("dog", box=box)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "attributes", "message"),
    [
        ("", (), "name: the text is empty"),
        (" \n", (), "name: the text is empty"),
        (7, (), "name: expected text, got 7"),
        (None, (), "name: expected text, got null"),
        ("a\x00b", (), "name: the text holds the unprintable character"),
        ("\ud800", (), "name: the text holds the unprintable character"),
        ("dog", "brown", "attributes: expected a list, got 'brown'"),
        ("dog", ("brown", ""), r"attributes\[1\]: the text is empty"),
        ("x" * (MAX_PHRASE_CHARS + 1), (), f"201 characters; write at most {MAX_PHRASE_CHARS}"),
        ("x" * (MAX_PHRASE_CHARS - 1), ("y",), f"201 characters; write at most {MAX_PHRASE_CHARS}"),
        ("dog", ("a",) * (MAX_ATTRIBUTES + 1), f"attributes: 33 attributes; write at most {MAX_ATTRIBUTES}"),
    ],
)
def test_text_that_is_refused(name: object, attributes: object, message: str) -> None:
    with pytest.raises(SceneGraphError, match=message):
        SceneObject(name, attributes)  # type: ignore[arg-type]


def test_limits_themselves_are_allowed() -> None:
    SceneObject("x" * MAX_PHRASE_CHARS)
    SceneObject("dog", ("a",) * MAX_ATTRIBUTES)
    SceneGraph((DOG,) * MAX_OBJECTS, (Relation(0, "on", 1),) * MAX_RELATIONS)


@pytest.mark.parametrize(
    ("objects", "relations", "message"),
    [
        ((), (), "objects: a scene graph has at least one object"),
        (
            (DOG, CAT),
            (Relation(0, "on", 2),),
            r"relations\[0\].object: there is no object 2; write a position from 0 to 1",
        ),
        ((DOG, CAT), (Relation(-1, "on", 1),), r"relations\[0\].subject: there is no object -1"),
        (("dog",), (), r"objects\[0\]: expected a SceneObject, got 'dog'"),
        ((DOG, CAT), ((0, "on", 1),), r"relations\[0\]: expected a Relation, got a list of 3"),
        ((DOG,) * (MAX_OBJECTS + 1), (), f"objects: 257 objects; write at most {MAX_OBJECTS}"),
        (
            (DOG, CAT),
            (Relation(0, "on", 1),) * (MAX_RELATIONS + 1),
            f"1025 relations; write at most {MAX_RELATIONS}",
        ),
    ],
)
def test_graphs_that_are_refused(objects: object, relations: object, message: str) -> None:
    with pytest.raises(SceneGraphError, match=message):
        SceneGraph(objects, relations)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("ends", "message"),
    [
        ((True, 0), "subject: expected the position of an object, got true"),
        ((0, 1.0), "object: expected the position of an object, got 1.0"),
        (("0", 1), "subject: expected the position of an object, got '0'"),
        ((3, 3), "object: the subject and the object are both object 3"),
    ],
)
def test_relations_that_are_refused(ends: tuple[object, object], message: str) -> None:
    with pytest.raises(SceneGraphError, match=message):
        Relation(ends[0], "on", ends[1])  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ({}, '^objects: is missing; write "objects"'),
        (
            {"objects": [{"name": "dog"}], "relation": []},
            "^unknown key 'relation'; write one of: objects, relations",
        ),
        ({"objects": {"name": "dog"}}, "^objects: expected a list, got a JSON object"),
        (
            {"objects": ["dog"], "relations": []},
            r"^objects\[0\]: expected a JSON object, got 'dog'; write {\"name\"",
        ),
        ({"objects": [{"nam": "dog"}]}, r"^objects\[0\]: unknown key 'nam'"),
        ({"objects": [{}]}, r"^objects\[0\].name: is missing"),
        (
            {"objects": [{"name": "a", "attributes": [1]}]},
            r"^objects\[0\].attributes\[0\]: expected text, got 1",
        ),
        (
            {"objects": [{"name": "a", "box": [0.5, 0.5, 0.2, 0.2]}]},
            r"^objects\[0\].box: looks like x, y, width, height",
        ),
        (
            {"objects": [{"name": "a"}], "relations": [[0, "on", 1]]},
            r"^relations\[0\]: expected a JSON object",
        ),
        (
            {"objects": [{"name": "a"}], "relations": [{"subject": 0, "object": 1}]},
            r"^relations\[0\].predicate: is missing",
        ),
    ],
)
def test_canonical_json_that_is_refused(record: dict[str, object], message: str) -> None:
    with pytest.raises(SceneGraphError, match=message):
        SceneGraph.from_dict(record)


@THOROUGH
@given(JSON_VALUES, JSON_VALUES, JSON_VALUES)
def test_only_scene_graph_errors_escape(first: object, second: object, third: object) -> None:
    for make in (
        lambda: SceneObject(first, second, third),  # type: ignore[arg-type]
        lambda: Relation(first, second, third),  # type: ignore[arg-type]
        lambda: SceneGraph(first, second),  # type: ignore[arg-type]
        lambda: SceneGraph.from_dict({"objects": first, "relations": second}),
        lambda: SceneGraph.from_dict(first),  # type: ignore[arg-type]
        lambda: SceneGraph.from_dict({"objects": [{"name": first, "attributes": second, "box": third}]}),
    ):
        try:
            make()
        except SceneGraphError as error:
            assert str(error)
