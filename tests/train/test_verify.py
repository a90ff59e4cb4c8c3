"""The command line of `train/verify.py`, on true pictures of Shapes and wrong ones."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sg_models.graph.scene_graph import SceneGraph
from train.data.shapes.scene import render, scene, seeds
from train.running.command_line import UsageError
from train.verify import Config, main

FIRST, SECOND = (scene(seed) for seed in seeds("val", 2, 70_000_000))


def write(folder: Path, name: str, shown) -> None:
    folder.mkdir(exist_ok=True)
    Image.fromarray(render(shown)).save(folder / name)


def graph_file(folder: Path, name: str, graph: SceneGraph) -> str:
    folder.mkdir(exist_ok=True)
    path = folder / f"{name}.json"
    path.write_text(json.dumps(graph.to_dict()), "utf-8")
    return str(path)


def test_pictures_are_held_against_the_graph_of_their_name(tmp_path: Path, capsys):
    pictures, graphs, out = tmp_path / "pictures", tmp_path / "graphs", tmp_path / "out"
    write(pictures, "first_0.png", FIRST)
    write(pictures, "first_1.png", SECOND)
    write(pictures, "second_0.png", SECOND)
    named = [graph_file(graphs, "first", FIRST.graph), graph_file(graphs, "second", SECOND.graph)]
    main(Config(pictures=pictures, graph=named, detector="shapes", out=out))
    figures = json.loads((out / "scores.json").read_text())
    assert [figures[f"{name}.png"]["exact"] for name in ("first_0", "first_1", "second_0")] == [True, False, True]
    assert figures["first_0.png"]["relations of all"][0] == len(FIRST.graph.relations)
    assert (out / "first_0.txt").read_text().startswith("obedience 1.000; the exact graph")
    assert np.asarray(Image.open(out / "first_1.png")).shape[1] == 512
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "1.000 exact  first_0.png" and lines[2].endswith("first_1.png"), "the best come first"


def test_one_graph_is_that_of_all_pictures(tmp_path: Path):
    write(tmp_path / "pictures", "anything.png", FIRST)
    graph = graph_file(tmp_path / "graphs", "desk", FIRST.graph)
    main(
        Config(pictures=tmp_path / "pictures" / "anything.png", graph=[graph], detector="shapes", out=tmp_path / "out")
    )
    assert json.loads((tmp_path / "out" / "scores.json").read_text())["anything.png"]["exact"]


def test_what_is_missing_is_said(tmp_path: Path):
    write(tmp_path / "pictures", "other_0.png", FIRST)
    graphs = [graph_file(tmp_path / "graphs", name, FIRST.graph) for name in ("one", "two")]
    with pytest.raises(UsageError, match="nothing says what the pictures show; write --detector"):
        main(Config(pictures=tmp_path / "pictures", graph=graphs[:1]))
    with pytest.raises(UsageError, match="other_0.png is of none of the graphs one, two; name it <graph>_<number>.png"):
        main(Config(pictures=tmp_path / "pictures", graph=graphs, detector="shapes"))
    with pytest.raises(UsageError, match="there are no pictures"):
        main(Config(pictures=tmp_path / "graphs", graph=graphs, detector="shapes"))
