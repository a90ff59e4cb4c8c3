"""Of several pictures of a graph those are kept that obey best, each with its report."""

from pathlib import Path

import numpy as np
from PIL import Image

from sg_models.graph.formats import parse_scene_graph
from sg_models.verification.shapes.oracle import ShapesOracle
from train.data.shapes.scene import Scene, ShapeObject, render, scene
from train.report.kept_pictures import Kept

GRAPH = parse_scene_graph("small red circle | left of | large blue square")


def shapes(*placed: tuple[str, str, str, float]) -> Image.Image:
    things = [
        ShapeObject(shape, colour, size, x, 64, 12.5 if size == "small" else 22) for shape, colour, size, x in placed
    ]
    return Image.fromarray(render(Scene(5, tuple(things), 218, scene(0).graph)))


CIRCLE, SQUARE = ("circle", "red", "small"), ("square", "blue", "large")
RIGHT = shapes((*CIRCLE, 25), (*SQUARE, 90))
TURNED = shapes((*CIRCLE, 100), (*SQUARE, 40))
GREEN = shapes(("circle", "green", "small", 25), (*SQUARE, 90))
MISSING = shapes((*CIRCLE, 25))


def kept(folder: Path, name: str) -> np.ndarray:
    return np.asarray(Image.open(folder / name))


def test_the_best_are_written_in_order_when_all_are_there(tmp_path: Path, capsys):
    pictures = Kept(tmp_path, 2, 4, ShapesOracle())
    for place, picture in enumerate((MISSING, TURNED, RIGHT)):
        pictures.add("desk", place, GRAPH, picture)
    assert list(tmp_path.iterdir()) == []
    pictures.add("desk", 3, GRAPH, MISSING)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["desk_0.png", "desk_0.txt", "desk_1.png", "desk_1.txt"]
    assert np.array_equal(kept(tmp_path, "desk_0.png"), np.asarray(RIGHT))
    assert np.array_equal(kept(tmp_path, "desk_1.png"), np.asarray(TURNED))
    assert (tmp_path / "desk_0.txt").read_text().startswith("picture 2 of 4: obedience 1.000; the exact graph")
    assert capsys.readouterr().out == "desk: kept 2, 1 of 4, obedience 1.000, 0.800\n"
    assert not pictures.waiting, "pictures that were let go are still in memory"


def test_graphs_in_turn_do_not_mix(tmp_path: Path):
    pictures = Kept(tmp_path, 1, 2, ShapesOracle())
    for place, (one, other) in enumerate(((GREEN, RIGHT), (RIGHT, GREEN))):
        pictures.add("one", place, GRAPH, one)
        pictures.add("other", place, GRAPH, other)
    assert (tmp_path / "one_0.txt").read_text().startswith("picture 1 of 2")
    assert (tmp_path / "other_0.txt").read_text().startswith("picture 0 of 2")


def test_without_a_detector_every_picture_is_written_at_once(tmp_path: Path):
    Kept(tmp_path, 2, 2, None).add("desk", 1, GRAPH, MISSING)
    assert [path.name for path in tmp_path.iterdir()] == ["desk_1.png"]
