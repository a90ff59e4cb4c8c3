"""The line syntax as people write it: one object in many spellings, and text that is no graph at all."""

import unicodedata

import pytest

from sg_models.graph.known_names import KNOWN_NAMES, is_known_name
from sg_models.graph.line_syntax import format_lines, parse_lines
from sg_models.graph.reading import read_scene_graphs
from sg_models.graph.scene_graph import Relation, SceneGraphError, SceneObject


@pytest.mark.parametrize(
    "other",
    [
        "Brown Dog",
        "the brown dog",
        "A brown dog.",
        "- brown dog",
        "2. brown dog",
        "(2) brown dog",
        "brown\u200b dog",
        "brown dog # the same one",
        "dog",
        "brown dog#1",
        "“brown” dog",
    ],
)
def test_one_object_in_another_spelling(other: str) -> None:
    graph = parse_lines(f"brown dog | near | cat\n{other}")
    assert graph.objects == (SceneObject("dog", ("brown",)), SceneObject("cat"))


def test_order_of_attributes_and_unicode_form_do_not_count() -> None:
    assert len(parse_lines("small red dog\nred small dog").objects) == 1
    both = "café\n" + unicodedata.normalize("NFD", "café")
    assert parse_lines(both).objects == (SceneObject("café"),)


def test_a_name_alone_that_could_be_several_is_refused() -> None:
    with pytest.raises(
        SceneGraphError, match="^line 3: 'dog' could be several objects; write one of: brown dog, black"
    ):
        parse_lines("brown dog\nblack dog\ndog | on | mat")


def test_is_gives_attributes() -> None:
    graph = parse_lines("circle | is | red\ncircles#2 | are | small, blue and round\nred circle | left of | star")
    assert graph.objects[0] == SceneObject("circle", ("red",))
    assert graph.objects[1] == SceneObject("circles", ("small", "blue", "round"))
    assert graph.relations == (Relation(0, "left of", 2),)


@pytest.mark.parametrize("line", ["circle | is | left of star", "circle | is | the star"])
def test_is_gives_nothing_else(line: str) -> None:
    with pytest.raises(SceneGraphError, match="^line 1: "):
        parse_lines(line)


def test_names_of_several_words() -> None:
    graph = parse_lines('red fire hydrant | near | "cup of tea"\nTraffic Lights\nwhite shirt\nwooden table')
    assert [(item.attributes, item.name) for item in graph.objects] == [
        (("red",), "fire hydrant"),
        ((), "cup of tea"),
        ((), "Traffic Lights"),
        (("white",), "shirt"),
        (("wooden",), "table"),
    ]
    assert parse_lines(format_lines(graph)) == graph


def test_known_names_are_names() -> None:
    assert is_known_name(["Tennis", "courts"]) and not is_known_name(["wooden", "table"])
    assert all(2 <= len(name.split()) <= 3 for name in KNOWN_NAMES) and len(KNOWN_NAMES) > 400


@pytest.mark.parametrize("line", ["dog｜on｜cat", "dog\ton\tcat", "* dog | on | cat", "dog | on | cat # a comment"])
def test_other_separators(line: str) -> None:
    assert parse_lines(line) == parse_lines("dog | on | cat")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("dog -> cat", "'->' holds an arrow"),
        ("dog → cat", "'→' holds an arrow"),
        ("dog | -> | cat", "'->' holds an arrow"),
        ("objects:\n  - name: dog", "'objects:' holds a colon"),
        ("dog, on, cat", "'dog,' holds a comma"),
        ("dog | on | {cat}", "'{cat}' holds a brace"),
        ("A dog sits on a mat.", "'on' looks like a sentence"),
        ("man riding a horse", "'a' looks like a sentence"),
        ("dog and cat", "'and' looks like a sentence"),
        ("one two three four five six dog", "6 words before the name"),
        ('dog "big', "the quotes are not closed"),
        ('dog"big"', "quotes go around a whole name"),
        ("dog - cat", "'-' holds no letter"),
        ("dog\tcat", "2 parts between bars"),
        ("(1) dog -> cat", "'->' holds an arrow"),
        ("(dog on cat", "'(dog' holds a character that no name has"),
        ("a " * 5000, "the line has 9999 characters"),
    ],
)
def test_text_that_is_no_graph(text: str, message: str) -> None:
    with pytest.raises(SceneGraphError) as refused:
        read_scene_graphs(text)
    assert str(refused.value).startswith("line 1: ") and message in str(refused.value)


GRAPH = '{"objects": ["sky", "grass"], "relationships": [[0, "above", 1]]}'


@pytest.mark.parametrize(
    ("text", "warnings"),
    [
        (f"```json\n{GRAPH}\n```", 0),
        (f"~~~\n{GRAPH}\n~~~\n", 0),
        ("```\nsky | above | grass\n```", 0),
        (f"Here is your graph:\n```json\n{GRAPH}\n```\nEnjoy!", 1),
        (f"Here is your graph: {GRAPH} Enjoy!", 1),
        ("( sky , above , grass )", 0),
        ('[("sky", "above", "grass")]', 0),
    ],
)
def test_what_stands_around_a_graph(text: str, warnings: int) -> None:
    reading = read_scene_graphs(text)
    assert reading.single() == parse_lines("sky | above | grass")
    assert len(reading.warnings) == warnings


@pytest.mark.parametrize("text", [f"One: {GRAPH} two: {GRAPH}", f"```\n{GRAPH}\n```\n```\n{GRAPH}\n```"])
def test_two_graphs_in_prose_are_refused(text: str) -> None:
    with pytest.raises(SceneGraphError):
        read_scene_graphs(text)


def test_json_lines_are_several_graphs() -> None:
    assert len(read_scene_graphs(f"{GRAPH}\n{GRAPH}\n").graphs) == 2
