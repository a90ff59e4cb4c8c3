"""The command line of `train/arrange.py`: canonical JSON with boxes, and drawings."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from sg_models.arrangement.arrange import arrange
from sg_models.graph.line_syntax import parse_lines
from sg_models.graph.scene_graph import SceneGraph
from train.arrange import Config, main
from train.running.command_line import UsageError

REPOSITORY = Path(__file__).resolve().parents[2]
LINES = "cup | left of | plate\nspoon | in | cup\n"


def test_every_arrangement_is_a_graph_and_a_picture(tmp_path: Path):
    (tmp_path / "table.txt").write_text(LINES, "utf-8")
    main(Config(graph=[str(tmp_path / "table.txt")], out=tmp_path / "out", n=3, seed=4, width=512, height=256))
    names = [f"table_{k}.{ending}" for k in range(3) for ending in ("json", "png")]
    assert sorted(file.name for file in (tmp_path / "out").iterdir()) == names
    for k in range(3):
        text = (tmp_path / "out" / f"table_{k}.json").read_text("utf-8")
        assert SceneGraph.from_dict(json.loads(text)) == arrange(parse_lines(LINES), 4 + k, 2.0).graph
        with Image.open(tmp_path / "out" / f"table_{k}.png") as picture:
            assert picture.size == (512, 256)


def test_what_cannot_hold_is_said_once(tmp_path: Path):
    line = [
        sys.executable,
        str(REPOSITORY / "train" / "arrange.py"),
        "--graph",
        "-",
        "--out",
        str(tmp_path),
        "--n",
        "2",
    ]
    text = "cup @ 0.6 0.4 0.8 0.6\nbox @ 0.1 0.4 0.3 0.6\ncup | left of | box\n"
    environment = os.environ | {"PYTHONWARNINGS": "ignore::FutureWarning,ignore::DeprecationWarning"}
    done = subprocess.run(line, input=text, capture_output=True, text=True, env=environment, timeout=300)
    assert done.returncode == 0, done.stderr
    said = "warning: graph: 'cup left of box' cannot hold with the boxes given for 'cup' and 'box'"
    assert done.stderr.splitlines() == [said]
    assert done.stdout.splitlines() == [f"2 arrangements in {tmp_path}"]


@pytest.mark.parametrize("wrong", [{"n": 0}, {"seed": -1}, {"width": 10}])
def test_options_out_of_range_are_refused(tmp_path: Path, wrong: dict):
    with pytest.raises(UsageError):
        main(Config(graph=["-"], out=tmp_path, **wrong))
