"""The command line of `train/sample.py`: what it draws, and what it says when it cannot."""

import io
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sg_models.arrangement.arrange import arrange
from sg_models.files import whole_file
from train.running.command_line import UsageError, run
from train.sample import Config, judge, main, read_graphs

REPOSITORY = Path(__file__).resolve().parents[2]
LINES = "small red circle | left of | large blue square\n"
JSON = '{"objects": [{"name": "star"}, {"name": "cross"}], "relations": []}'
TWO = '[{"objects": ["circle", "star"], "relationships": [[0, "above", 1]]}, {"objects": ["square"]}]'


@pytest.fixture
def graphs(tmp_path: Path) -> Path:
    folder = tmp_path / "graphs"
    folder.mkdir()
    (folder / "one.txt").write_text(LINES, "utf-8")
    (folder / "two.json").write_text(JSON, "utf-8")
    (folder / "notes.md").write_text("not a graph", "utf-8")
    return folder


@pytest.fixture
def options(sg_mini_checkpoint: Path, adapter_file: Path, tmp_path: Path) -> dict:
    return {"base": str(sg_mini_checkpoint), "adapter": str(adapter_file), "out": tmp_path / "out", "steps": 1}


def pictures(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir())


def command(*arguments, text: str = "") -> subprocess.CompletedProcess:
    """The script as people call it, from another folder than the repository's."""
    line = [sys.executable, str(REPOSITORY / "train" / "sample.py"), *map(str, arguments)]
    quiet = {"PYTHONWARNINGS": "ignore::FutureWarning,ignore::DeprecationWarning"}  # of the libraries to each other
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "PYTHONPATH": str(REPOSITORY)} | quiet
    return subprocess.run(line, input=text, capture_output=True, text=True, env=environment, timeout=300)


def test_files_a_folder_and_standard_input_in_one_process(graphs: Path, options: dict, tmp_path: Path):
    (tmp_path / "pair.json").write_text(TWO, "utf-8")
    done = command(
        *("--base", options["base"], "--adapter", options["adapter"], "--out", options["out"]),
        *("--graph", tmp_path / "pair.json", graphs, "-"),
        *("--n", 2, "--seed", 3, "--steps", 1, "--batch-size", 3),
        text=LINES,
    )
    assert done.returncode == 0, done.stderr
    names = ("graph", "one", "pair-1", "pair-2", "two")
    assert pictures(options["out"]) == [f"{name}_{k}.png" for name in names for k in range(2)]
    assert "10 pictures" in done.stdout
    for path in options["out"].iterdir():
        assert Image.open(path).size == (128, 128) and Image.open(path).mode == "RGB"


def test_a_mistake_ends_in_one_sentence_and_code_2(tmp_path: Path, options: dict):
    (tmp_path / "bad.txt").write_text("a | b\n", "utf-8")
    done = command("--base", options["base"], "--graph", tmp_path / "bad.txt", "--out", options["out"])
    assert done.returncode == 2
    assert done.stderr.startswith("error: ") and "bad.txt" in done.stderr and "line 1" in done.stderr
    assert len(done.stderr.splitlines()) == 1 and "Traceback" not in done.stderr
    assert not options["out"].exists()


def refusal(monkeypatch, capsys, *arguments, text: str = "") -> str:
    """The one sentence with which the script ends, in this process."""
    monkeypatch.setattr(sys, "argv", ["sample.py", *map(str, arguments)])
    monkeypatch.setattr(sys, "stdin", io.StringIO(text))
    capsys.readouterr()
    with pytest.raises(SystemExit) as ended:
        run(main, Config)
    said = capsys.readouterr().err
    assert ended.value.code == 2
    assert said.startswith("error: ") and len(said.splitlines()) == 1, said
    return said


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("g.txt", b"a | left of\n", "line 1"),
        ("g.txt", b"", "g.txt"),
        ("g.json", b"{", "g.json"),
        ("g.json", b'{"objects": []}', "at least one object"),
        ("g.json", b'{"objects": [{"name": "a"}], "relations": [{"subject": 0, "predicate": "on", "object": 7}]}', "7"),
        ("g.txt", b"\xff\xfe\x00", "UTF-8"),
        ("g.png", b"", ".json, .jsonl or .txt"),
        ("g.txt", b"\n".join(b"thing%d" % i for i in range(13)), "13 objects"),
    ],
    ids=["open end", "empty", "no JSON", "no object", "no such object", "no UTF-8", "another ending", "too many"],
)
def test_a_bad_graph(name: str, content: bytes, said: str, tmp_path, options, monkeypatch, capsys):
    (tmp_path / name).write_bytes(content)
    arguments = ("--base", options["base"], "--adapter", options["adapter"], "--out", options["out"])
    text = refusal(monkeypatch, capsys, "--graph", tmp_path / name, *arguments).replace(f"{tmp_path}{os.sep}", "")
    assert said in text and text.startswith("error: g")
    assert not options["out"].exists()


def test_a_bad_graph_on_standard_input(options, monkeypatch, capsys):
    assert "standard input" in refusal(monkeypatch, capsys, "--graph", "-", "--base", options["base"], text="a | b")


def test_nothing_to_read(tmp_path: Path, graphs: Path, options, monkeypatch, capsys):
    (tmp_path / "empty").mkdir()
    for source, said in (
        (tmp_path / "empty", "no .json, .jsonl or .txt"),
        (tmp_path / "none.txt", "no file or folder"),
    ):
        assert said in refusal(monkeypatch, capsys, "--graph", source, "--base", options["base"])
    twice = graphs / "one.txt"
    assert "one_0.png" in refusal(monkeypatch, capsys, "--graph", twice, twice, "--base", options["base"])


def test_a_bad_base(graphs: Path, tmp_path: Path, options, monkeypatch, capsys):
    (tmp_path / "bad.safetensors").write_bytes(b"nothing")
    for name, said in (("none.safetensors", "there is no file"), ("bad.safetensors", "not a readable")):
        text = refusal(monkeypatch, capsys, "--graph", graphs, "--base", tmp_path / name)
        assert said in text and name in text


def test_a_base_that_is_nowhere(graphs: Path, tmp_path: Path, monkeypatch, capsys):
    assert "nowhere" in refusal(monkeypatch, capsys, "--graph", graphs, "--base", tmp_path / "nowhere")


def test_a_bad_adapter(graphs: Path, tmp_path: Path, options, monkeypatch, capsys):
    (tmp_path / "bad.safetensors").write_bytes(b"nothing")
    known = ("--graph", graphs, "--base", options["base"], "--out", options["out"])
    for name, said in (
        (tmp_path / "none.safetensors", "there is no file"),
        (tmp_path / "bad.safetensors", "not a readable"),
        (options["base"], "not a scene-graph adapter"),
        ("viii", "no adapter 'viii'"),
    ):
        assert said in refusal(monkeypatch, capsys, *known, "--adapter", name)
    assert not options["out"].exists()


@pytest.mark.parametrize("option", [("--n", 0), ("--steps", 0), ("--batch-size", 0), ("--side", 4), ("--side", -8)])
def test_a_number_that_makes_no_sense(option, graphs: Path, options, monkeypatch, capsys):
    arguments = ("--base", options["base"], "--adapter", options["adapter"], "--out", options["out"], "--steps", 1)
    assert option[0] in refusal(monkeypatch, capsys, "--graph", graphs, *arguments, *option)
    assert not options["out"].exists()


def test_a_folder_that_is_a_file(graphs: Path, tmp_path: Path, options, monkeypatch, capsys):
    (tmp_path / "file").write_text("")
    arguments = ("--base", options["base"], "--adapter", options["adapter"], "--steps", 1)
    assert "file" in refusal(monkeypatch, capsys, "--graph", graphs, *arguments, "--out", tmp_path / "file")


def read(folder: Path) -> dict[str, np.ndarray]:
    return {path.name: np.asarray(Image.open(path)).astype(int) for path in folder.iterdir()}


def test_pictures_depend_on_graph_and_seed_and_not_on_company(graphs: Path, options: dict, tmp_path: Path):
    main(Config(graph=[str(graphs)], **options, n=2, seed=1))
    main(Config(graph=[str(graphs / "two.json")], **(options | {"out": tmp_path / "alone"}), n=1, seed=1))
    main(Config(graph=[str(graphs / "two.json")], **(options | {"out": tmp_path / "other"}), n=1, seed=2))
    all_, alone, other = (read(folder) for folder in (options["out"], tmp_path / "alone", tmp_path / "other"))
    assert np.abs(all_["two_0.png"] - alone["two_0.png"]).max() <= 1  # batches round differently
    assert np.abs(all_["two_0.png"] - other["two_0.png"]).max() > 1
    assert np.abs(all_["two_0.png"] - all_["two_1.png"]).max() > 1
    assert not np.array_equal(all_["one_0.png"], all_["two_0.png"])


def test_no_adapter_draws_the_caption(graphs: Path, options: dict):
    main(Config(graph=[str(graphs / "one.txt")], **(options | {"adapter": "none"}), n=1))
    assert pictures(options["out"]) == ["one_0.png"]


def test_regional_prompts_are_read_inside_their_boxes(graphs: Path, options: dict, tmp_path: Path):
    (graphs / "placed.txt").write_text("red circle @ 0 0 0.5 1 | left of | blue square @ 0.5 0 1 1\n", "utf-8")
    drawn = {}
    for name, more in (("plain", {}), ("regional", {"regional": True}), ("none", {"regional": True, "strength": 0.0})):
        changes = {"adapter": "none", "out": tmp_path / name} | more
        main(Config(graph=[str(graphs / "placed.txt")], **(options | changes), n=1))
        drawn[name] = read(tmp_path / name)["placed_0.png"]
    assert np.abs(drawn["regional"] - drawn["plain"]).max() > 1
    assert np.array_equal(drawn["none"], drawn["plain"])


def test_regional_prompts_need_a_box(graphs: Path, options, monkeypatch, capsys):
    arguments = ("--graph", graphs / "one.txt", "--base", options["base"], "--out", options["out"], "--adapter", "none")
    assert "need a box" in refusal(monkeypatch, capsys, *arguments, "--regional")
    assert "--base-weight" in refusal(monkeypatch, capsys, *arguments, "--regional", "--base-weight", 2)
    assert not options["out"].exists()


def test_arranged_boxes_are_drawn(graphs: Path, options: dict, tmp_path: Path):
    """As if they had been written in the graph: arrangement seed + k for picture k."""
    graph = read_graphs([str(graphs / "one.txt")])["one"]
    drawn = []
    main(Config(graph=[str(graphs / "one.txt")], n=2, seed=3, arrange=True, **options))
    for k in range(2):
        (tmp_path / "one.json").write_text(arrange(graph, 3 + k).graph.to_json(), "utf-8")
        main(Config(graph=[str(tmp_path / "one.json")], n=2, seed=3, **{**options, "out": tmp_path / f"given-{k}"}))
        drawn.append((options["out"] / f"one_{k}.png").read_bytes())
        assert drawn[k] == (tmp_path / f"given-{k}" / f"one_{k}.png").read_bytes()
    main(Config(graph=[str(graphs / "one.txt")], n=1, seed=3, **{**options, "out": tmp_path / "as predicted"}))
    assert (tmp_path / "as predicted" / "one_0.png").read_bytes() != drawn[0]


def test_another_size(graphs: Path, options: dict):
    main(Config(graph=[str(graphs / "one.txt")], **options, n=1, side=96))
    assert Image.open(options["out"] / "one_0.png").size == (96, 96)


@pytest.mark.parametrize("part", ["replace", "save"])
def test_nothing_half_written_is_left(part: str, graphs: Path, options: dict, monkeypatch):
    options["out"].mkdir()
    (options["out"] / "one_0.png").write_bytes(b"old")

    def fail(*given, **_):
        if part == "save":
            Path(given[1]).write_bytes(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(whole_file.os if part == "replace" else Image.Image, part, fail)
    with pytest.raises(OSError, match="disk full"):
        main(Config(graph=[str(graphs / "one.txt")], **options, n=1))
    assert {p.name: p.read_bytes() for p in options["out"].iterdir()} == {"one_0.png": b"old"}


def test_a_byte_order_mark_is_no_part_of_the_graph(tmp_path: Path):
    (tmp_path / "g.txt").write_bytes(b"\xef\xbb\xbf" + LINES.encode())
    assert read_graphs([str(tmp_path / "g.txt")])["g"].objects[0].phrase == "small red circle"


def test_a_folder_is_read_in_order_of_names(graphs: Path):
    assert list(read_graphs([str(graphs)])) == ["one", "two"]


def test_what_is_left_out_and_what_contradicts_itself_is_said(tmp_path: Path, capsys):
    (tmp_path / "g.json").write_text(
        '{"objects": ["a", "b"], "relationships": [[0, "above", 1], [0, "on", 0]]}', "utf-8"
    )
    (tmp_path / "h.txt").write_text("a | above | b\nb | above | a\n", "utf-8")
    assert list(read_graphs([str(tmp_path)])) == ["g", "h"]
    left_out, contradiction = capsys.readouterr().err.splitlines()
    assert "g.json: left out 1 relation: an object joined to itself" in left_out
    assert "h.txt: 'a above b' and 'b above a' cannot both hold" in contradiction


def test_sizes_beside_the_graphs_are_no_graphs(tmp_path: Path):
    record = '{"image_id": 7, "objects": [{"object_id": 1, "names": ["dog"], "x": 10, "y": 10, "w": 30, "h": 50}]}'
    (tmp_path / "g.json").write_text(record, "utf-8")
    (tmp_path / "image_data.json").write_text('[{"image_id": 7, "width": 100, "height": 100}]', "utf-8")
    graphs = read_graphs([str(tmp_path)])
    assert list(graphs) == ["g"] and graphs["g"].objects[0].box == (0.1, 0.1, 0.4, 0.6)


def test_the_best_of_several_are_kept_with_their_reports(graphs: Path, options: dict, tmp_path: Path):
    one = [str(graphs / "one.txt")]
    main(Config(graph=one, **options | {"out": tmp_path / "all"}, n=6))
    main(Config(graph=one, **options, n=2, best_of=3, batch_size=4))
    assert pictures(options["out"]) == ["one_0.png", "one_0.txt", "one_1.png", "one_1.txt"]
    for kept in ("one_0", "one_1"):
        said = (options["out"] / f"{kept}.txt").read_text("utf-8")
        place = said.removeprefix("picture ").split(" of 6: obedience")[0]
        picture = np.asarray(Image.open(options["out"] / f"{kept}.png")).astype(int)
        assert np.abs(read(tmp_path / "all")[f"one_{place}.png"] - picture).max() <= 1


def test_the_best_of_another_base_needs_a_detector(graphs: Path, options: dict, monkeypatch, capsys):
    with pytest.raises(UsageError, match="write --detector"):
        judge(Config(graph=["-"], base="sd21-base"), "sd21-base")
    arguments = ("--graph", graphs / "one.txt", "--base", options["base"], "--out", options["out"], "--best-of", 2)
    assert "there is no file nowhere.onnx" in refusal(monkeypatch, capsys, *arguments, "--detector", "nowhere.onnx")
    assert not options["out"].exists()
