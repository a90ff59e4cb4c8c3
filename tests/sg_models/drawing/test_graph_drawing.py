"""The picture of a graph: nothing overlaps, nothing leaves the picture, equal graphs give equal pictures.

The private planning functions are tested because what they promise cannot be read off pixels.
"""

from functools import lru_cache
from itertools import combinations

import numpy as np
import pytest

from sg_models.drawing import graph_drawing, graph_drawing_plan, label_font
from sg_models.drawing.graph_drawing import draw_scene_graph
from sg_models.graph.formats import parse_scene_graph
from sg_models.graph.scene_graph import MAX_PHRASE_CHARS, Relation, SceneGraph, SceneObject

BEACH = """man | riding | brown horse
man | wearing | black hat
brown horse | on | beach
ocean | behind | beach
dog | next to | brown horse
dog | looking at | man
cloud | above | ocean
white boat | on | ocean"""
SHAPES = "small red circle | left of | large blue square\nlarge blue square | right of | small red circle"
BOXED = "sun @ 0.7 0.05 0.9 0.2 | above | tree @ 0.6 0.3 0.95 0.9\nhouse @ 0.1 0.4 0.4 0.9 | left of | tree"
TYPICAL = [
    "dog",
    SHAPES,
    f"{SHAPES}\nsmall red circle | near | large blue square",
    "a\nb\nc\nd",
    BEACH,
    BOXED,
]


@lru_cache
def _planned(lines: str, width: int = 512, height: int = 512):
    graph = parse_scene_graph(lines)
    factor = graph_drawing.SUPERSAMPLING
    scene = graph_drawing_plan.fitting_scene(graph, width * factor, height * factor, factor)
    return scene, graph_drawing_plan.best_plan(graph, scene)


@pytest.mark.parametrize("lines", TYPICAL)
@pytest.mark.parametrize("size", [(512, 512), (768, 384)])
def test_objects_and_labels_are_apart_and_inside(lines: str, size: tuple[int, int]) -> None:
    scene, plan = _planned(lines, *size)
    centres = np.concatenate([plan.centres, plan.labels])
    sizes = np.concatenate([scene.node_sizes, scene.label_sizes])
    for first, second in combinations(range(len(centres)), 2):
        gap = np.abs(centres[first] - centres[second]) - (sizes[first] + sizes[second]) / 2
        assert gap.max() > -scene.font_size / 10, (first, second)
    assert (centres - sizes / 2 >= 0).all()
    assert (centres + sizes / 2 <= (scene.width, scene.height)).all()


@pytest.mark.parametrize("lines", TYPICAL)
def test_arrows_run_from_subject_to_object_past_the_others(lines: str) -> None:
    scene, plan = _planned(lines)
    assert graph_drawing_plan._hits(scene, plan.centres, plan.curves) == 0
    for (subject, object_), curve in zip(scene.ends, plan.curves, strict=True):
        for end, node in ((curve[0], subject), (curve[-1], object_)):
            distance = np.abs(end - plan.centres[node]) - scene.node_sizes[node] / 2
            assert 0 < distance.max() < scene.font_size


@pytest.mark.parametrize("lines", [SHAPES, f"{SHAPES}\nsmall red circle | near | large blue square"])
def test_relations_between_the_same_objects_run_apart(lines: str) -> None:
    scene, plan = _planned(lines)
    middles = [curve[len(curve) // 2] for curve in plan.curves]
    for first, second in combinations(middles, 2):
        assert np.hypot(*(first - second)) > scene.font_size


def test_objects_stand_at_their_boxes() -> None:
    scene, plan = _planned(BOXED)
    expected = np.array([(0.8, 0.125), (0.775, 0.6), (0.25, 0.65)]) * (scene.width, scene.height)
    assert np.allclose(plan.centres, expected, atol=2 * scene.font_size)


def test_boxes_that_would_hide_objects_are_not_followed() -> None:
    scene, plan = _planned("\n".join(f"object{i} @ 0.45 0.45 0.55 0.55" for i in range(8)))
    assert graph_drawing_plan._node_overlap(scene, plan.centres) == 0


def test_boxes_that_would_put_an_object_on_an_arrow_are_not_followed() -> None:
    scene, plan = _planned("a @ 0 0.4 0.2 0.6 | near | c @ 0.8 0.4 1 0.6\nb @ 0.4 0.4 0.6 0.6")
    assert graph_drawing_plan._hits(scene, plan.centres, plan.curves) == 0


@pytest.mark.parametrize(("width", "height"), [(512, 512), (300, 200), (64, 64), (1024, 256)])
def test_size_and_mode(width: int, height: int) -> None:
    image = draw_scene_graph(parse_scene_graph(SHAPES), width, height)
    assert (image.size, image.mode) == ((width, height), "RGB")
    assert len(set(image.resize((64, 64)).tobytes())) > 3  # something is drawn


def test_equal_graphs_give_equal_pictures_and_direction_shows() -> None:
    first, second = (draw_scene_graph(parse_scene_graph(BEACH)).tobytes() for _ in range(2))
    assert first == second
    there = draw_scene_graph(parse_scene_graph("a\nb\na | on | b")).tobytes()
    back = draw_scene_graph(parse_scene_graph("a\nb\nb | on | a")).tobytes()
    assert there != back


def test_the_arrow_head_is_at_the_object() -> None:
    """Of a level arrow, only the head reaches the rows above its line."""
    pixels = np.asarray(draw_scene_graph(parse_scene_graph("a @ 0 0.4 0.2 0.6 | on | b @ 0.8 0.4 1 0.6")))
    arrow_colour = np.array([int(graph_drawing.ARROW[i : i + 2], 16) for i in (1, 3, 5)])
    columns = np.flatnonzero((np.abs(pixels[252].astype(int) - arrow_colour) < 12).all(axis=-1))
    assert len(columns) and columns.min() > 256


@pytest.mark.parametrize("size", [(63, 512), (512, 4097)])
def test_sizes_out_of_range(size: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="each side must be 64 to 4096"):
        draw_scene_graph(parse_scene_graph("dog"), *size)


def test_long_and_foreign_names_are_drawn_inside() -> None:
    names = ("x" * MAX_PHRASE_CHARS, " ".join(["word"] * 40), "чёрная кошка", "茶色の犬", "e\u0301", "🐶")
    graph = SceneGraph(tuple(SceneObject(name) for name in names), (Relation(0, "y" * MAX_PHRASE_CHARS, 1),))
    pixels = np.asarray(draw_scene_graph(graph))
    border = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    assert np.abs(border.astype(int) - border[0]).max() < 8  # the filter that shrinks the picture may ring


def test_wrapping_keeps_short_text_and_cuts_long_text_visibly() -> None:
    assert graph_drawing_plan._wrap("small red circle", 20, 1000) == ["small red circle"]
    assert graph_drawing_plan._wrap("small red circle", 20, 100) == ["small red", "circle"]
    assert "".join(graph_drawing_plan._wrap("abcdefghijklmnop", 20, 60)) == "abcdefghijklmnop"
    lines = graph_drawing_plan._wrap("word " * 40, 20, 100)
    assert len(lines) == graph_drawing_plan.MAX_LINES
    assert lines[-1].endswith("...")
    assert all(label_font.font_for(line, 20).getlength(line) <= 110 for line in lines)


def test_accents_are_dropped_where_no_font_has_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(label_font, "_font_names", lambda: ("",))
    assert label_font.drawable("größer Kühlschrank") == "großer Kuhlschrank"
    assert label_font.drawable("small red circle") == "small red circle"


def test_a_large_graph_is_drawn() -> None:
    objects = tuple(SceneObject(f"object{i}") for i in range(60))
    relations = tuple(Relation(i, "near", (i * 7 + 1) % 60) for i in range(60) if i != (i * 7 + 1) % 60)
    assert draw_scene_graph(SceneGraph(objects, relations)).size == (512, 512)


@pytest.mark.parametrize("predicate", ["left of", "right of", "above", "below", "on"])
def test_spatial_relations_are_drawn_the_right_way_round(predicate: str) -> None:
    things = tuple(SceneObject(name) for name in ("dog", "cat", "tree"))
    graph = SceneGraph(things, (Relation(0, predicate, 1), Relation(2, "next to", 1)))
    scene = graph_drawing_plan.fitting_scene(graph, 512, 512, 1)
    dog, cat, _ = graph_drawing_plan.best_plan(graph, scene).centres
    across, down = dog - cat
    assert {"left of": across < 0, "right of": across > 0, "below": down > 0}.get(predicate, down < 0)
