"""The command line of `train/read_graph.py`, on a Python that has no other library."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "train" / "read_graph.py"
BLOCKED = ("torch", "torch_geometric", "diffusers", "tyro", "accelerate", "networkx", "numpy", "PIL")


@pytest.fixture
def command(tmp_path: Path):
    """Runs the script where importing any of the `BLOCKED` fails."""
    blocked = tmp_path / "blocked"
    for name in BLOCKED:
        (blocked / name).mkdir(parents=True)
        (blocked / name / "__init__.py").write_text("raise ImportError('blocked')", "utf-8")

    def run(*arguments, text: str = "") -> subprocess.CompletedProcess:
        environment = os.environ | {"PYTHONPATH": str(blocked), "PYTHONIOENCODING": "utf-8"}
        line = [sys.executable, str(SCRIPT), *map(str, arguments)]
        return subprocess.run(line, input=text, capture_output=True, encoding="utf-8", env=environment, cwd=tmp_path)

    return run


def test_json_by_default_one_graph_a_line(command) -> None:
    done = command("-", text='[{"objects": ["sky"]}, {"objects": ["sea", "sun"], "relationships": [[1, "above", 0]]}]')
    assert done.returncode == 0 and done.stderr == ""
    assert [len(json.loads(line)["objects"]) for line in done.stdout.splitlines()] == [1, 2]


def test_lines_with_an_empty_line_between_graphs(command) -> None:
    done = command("-", "--to", "lines", text='[{"objects": ["fire hydrant"]}, {"objects": ["sea"]}]')
    assert done.stdout == '"fire hydrant"\n\nsea\n'


def test_warnings_on_standard_error(command, tmp_path: Path) -> None:
    (tmp_path / "g.json").write_text('{"objects": ["a", "b"], "relationships": [[0, "near", 0]]}', "utf-8")
    (tmp_path / "h.txt").write_text("a | left of | b\nb | left of | a\n", "utf-8")
    done = command("g.json", "h.txt")
    assert done.returncode == 0 and len(done.stdout.splitlines()) == 2
    assert done.stderr.splitlines() == [
        "warning: g.json: left out 1 relation: an object joined to itself (at relationships[0])",
        "warning: h.txt: 'a left of b' and 'b left of a' cannot both hold",
    ]


def test_sizes_from_the_option_and_from_beside_the_file(command, tmp_path: Path) -> None:
    record = {"image_id": 7, "objects": [{"object_id": 1, "names": ["dog"], "x": 10, "y": 10, "w": 30, "h": 50}]}
    (tmp_path / "g.json").write_text(json.dumps(record), "utf-8")
    assert '"box": [0.1, 0.2, 0.4, 1.0]' in command("g.json", "--size", "100x50").stdout
    (tmp_path / "image_data.json").write_text('[{"image_id": 7, "width": 100, "height": 100}]', "utf-8")
    assert '"box": [0.1, 0.1, 0.4, 0.6]' in command("g.json").stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [(["-"], "standard input: line 1: 'on' looks like a sentence"), (["none.json"], "there is no file or folder")],
)
def test_a_refusal_is_one_sentence_and_code_1(command, arguments: list[str], said: str) -> None:
    done = command(*arguments, text="A dog sits on a mat.")
    assert done.returncode == 1 and done.stdout == ""
    assert done.stderr.startswith("error: ") and said in done.stderr and len(done.stderr.splitlines()) == 1


def test_a_size_that_is_none(command) -> None:
    assert "write pixels, such as 800x600" in command("-", "--size", "big").stderr
