"""The figures of the evaluation, on verdicts made by hand."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sg_models.graph.scene_graph import SceneGraph, SceneObject
from sg_models.verification.shapes.oracle import Detection
from sg_models.verification.verdict import Verdict
from train.conditioning.conditioners import GSAConditioner
from train.data.shapes.shapes_dataset import Shapes
from train.evaluate import Config, at_side, default_metrics, load, main
from train.report.metrics import METRICS, judge_all, result_table, summary, with_interval
from train.running.command_line import UsageError

SEEN = Detection("circle", "red", "small", (0.0, 0.0, 9.0, 9.0), (5.0, 5.0))


def verdict(matched: str, bound: str, related: str = "", extra: int = 0) -> Verdict:
    """From strings of 1 (right) and 0 (wrong)."""
    hits = [tuple(c == "1" for c in text) for text in (matched, bound, related)]
    return Verdict((SEEN,) * (sum(hits[0]) + extra), tuple(SEEN if hit else None for hit in hits[0]), hits[1], hits[2])


def test_each_metric_counts_its_own_thing():
    result = summary(
        [
            verdict("111", "110", "10"),
            verdict("10", "10", "0"),
            verdict("11", "11", "1"),
            verdict("11", "11", "1", extra=1),  # all right, but for what is too much
        ]
    )
    assert tuple(result) == METRICS
    values = {metric: figures[0] for metric, figures in result.items()}
    assert values == {
        "object recall": pytest.approx(8 / 9, abs=1e-4),
        "attribute binding": pytest.approx(7 / 9, abs=1e-4),
        "relation accuracy": pytest.approx(3 / 5, abs=1e-4),
        "exact graph": pytest.approx(1 / 4),
    }


def test_every_interval_holds_its_value():
    result = summary([verdict("11", "10", "1")] * 12 + [verdict("10", "00", "0")] * 5 + [verdict("11", "11", "1")] * 20)
    for value, low, high in result.values():
        assert 0 <= low < value < high <= 1


def test_figures_are_the_same_again():
    rng = np.random.default_rng(0)
    hits, totals = rng.integers(0, 4, 60), np.full(60, 4)
    first = with_interval(hits, totals)
    np.random.seed(9)
    assert with_interval(hits, totals) == first


def test_the_interval_is_of_about_95_percent():
    """Of an ordinary proportion it is the normal approximation's."""
    hits = np.array([1] * 300 + [0] * 100)
    value, low, high = with_interval(hits, np.ones(400, int))
    half = 1.96 * np.sqrt(0.75 * 0.25 / 400)
    assert value == 0.75
    assert (low, high) == (pytest.approx(0.75 - half, abs=0.008), pytest.approx(0.75 + half, abs=0.008))


def test_whole_graphs_are_resampled():
    """Objects of one picture succeed and fail together, so that they count for less than as many pictures."""
    together = with_interval(np.array([4, 0] * 25), np.full(50, 4))
    apart = with_interval(np.array([2] * 50), np.full(50, 4))
    assert together[0] == apart[0] == 0.5
    assert together[2] - together[1] > 0.2 > 0.01 > apart[2] - apart[1]


@pytest.mark.parametrize(("hit", "value"), [(1, 1.0), (0, 0.0)])
def test_all_right_or_all_wrong_is_not_certain(hit: int, value: float):
    got, low, high = with_interval(np.full(500, 2 * hit), np.full(500, 2))
    assert got == value
    assert 0.005 < high - low < 0.01  # Wilson, of 500 graphs
    assert (high == 1.0) if hit else (low == 0.0)


def test_graphs_without_relations_leave_no_nan():
    result = summary([verdict("11", "11")] * 3 + [verdict("10", "10")])
    json.dumps(result, allow_nan=False)
    result_table({"held-out": {"vi": result}})


def test_the_table_has_a_row_per_variant_and_split():
    figures = {metric: [0.5, 0.25, 0.75] for metric in METRICS}
    lines = result_table({"held-out": {"i": figures, "vi": figures}, "compositional": {"i": figures, "vi": figures}})
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines.splitlines()]
    assert [row[:2] for row in rows[2:]] == [
        [split, variant] for split in ("held-out", "compositional") for variant in ("(i)", "(vi)")
    ]
    assert len({len(row) for row in rows}) == 1
    assert rows[2][2] == "0.500 [0.250, 0.750]"


def test_the_whole_script_twice_writes_the_same_file(sg_mini_checkpoint: Path, adapter_file: Path, tmp_path, capsys):
    files = [tmp_path / "a.json", tmp_path / "b.json"]
    for file in files:
        main(Config(base=str(sg_mini_checkpoint), adapter=str(adapter_file), graphs=3, steps=1, json=file))
    assert files[0].read_bytes() == files[1].read_bytes()
    written = json.loads(files[0].read_text())
    assert set(written["results"]) == {"held-out", "compositional"}
    assert all(len(variants) == 2 and "i" in variants for variants in written["results"].values())
    assert "| held-out | (i) |" in capsys.readouterr().out
    assert {p.name for p in tmp_path.iterdir()} == {"a.json", "b.json"}


def test_a_data_set_without_a_judge_is_refused_in_words():
    class Photographs(Shapes):
        name = "photographs"

        def judge(self, picture: np.ndarray, graph: SceneGraph) -> None:
            return None

    graph = SceneGraph((SceneObject("dog"),))
    with pytest.raises(UsageError, match="nothing can tell whether a picture of photographs obeys its graph"):
        judge_all(Photographs(), [np.zeros((8, 8, 3), np.uint8)], [graph])


def test_each_variant_has_a_unet_of_its_own():
    (plain, _), (grounded, _) = (load(Config(), name) for name in ("i", "vi"))
    assert plain.unet is not grounded.unet


def test_the_negative_prompt_is_left_alone_where_it_is_asked_for():
    _, condition = load(Config(on_negative=False), "vi")
    assert isinstance(condition, GSAConditioner)
    assert not condition.on_negative
    with pytest.raises(UsageError, match=r"--no-on-negative is for gated self-attention.*\(iv\) has none"):
        load(Config(adapter="iv", on_negative=False), "iv")


def measured(tmp_path: Path, **options) -> dict:
    """What the script writes for three held-out graphs and the caption alone."""
    file = tmp_path / "found.json"
    main(Config(**{"adapter": "none", "graphs": 3, "steps": 1, "split": "held-out", "json": file} | options))
    return json.loads(file.read_text())


def test_kept_pictures_give_the_same_figures_without_drawing(sg_mini_checkpoint: Path, tmp_path: Path, monkeypatch):
    drawing = {"base": str(sg_mini_checkpoint), "samples": 2}
    first = measured(tmp_path, **drawing)
    assert measured(tmp_path, **drawing, out=tmp_path / "out") == first
    monkeypatch.setattr("train.evaluate.draw_graphs", None)
    assert measured(tmp_path, **drawing, out=tmp_path / "out") == first  # nothing is drawn again
    assert measured(tmp_path, samples=2, pictures=tmp_path / "out") == first
    with pytest.raises(UsageError, match="drawn with another first seed"):
        measured(tmp_path, **drawing, out=tmp_path / "out", seed=9)


def test_more_samples_are_other_pictures_and_the_first_stays(sg_mini_checkpoint: Path, tmp_path: Path):
    out = tmp_path / "out"
    measured(tmp_path, base=str(sg_mini_checkpoint), out=out)
    before = (out / "held-out" / "i" / "000002-0.png").read_bytes()
    measured(tmp_path, base=str(sg_mini_checkpoint), out=out, samples=2)
    assert (out / "held-out" / "i" / "000002-0.png").read_bytes() == before
    assert (out / "held-out" / "i" / "000002-1.png").read_bytes() != before


def test_pictures_of_another_system_are_measured(tmp_path: Path):
    folder = tmp_path / "theirs"
    folder.mkdir()
    true = Shapes().split("held-out", 3).pictures(range(3), 128)
    for place, picture in enumerate(true):
        Image.fromarray(picture).save(folder / f"{place}.png")
    found = measured(tmp_path, pictures=folder)
    assert {value for value, *_ in found["results"]["held-out"]["theirs"].values()} == {1}
    assert "nobody said" in found["protocol"]["(theirs) drawn with"]
    with pytest.raises(UsageError, match="pictures of one split; write --split held-out or compositional"):
        measured(tmp_path, pictures=folder, split=None)
    with pytest.raises(UsageError, match="there is no picture 000003-0.png"):
        measured(tmp_path, pictures=folder, graphs=4)


def test_pictures_of_another_size_are_cut_to_their_middle_and_resized():
    wide = np.zeros((20, 60, 3), np.uint8)
    wide[:, 20:40] = 200
    assert at_side(wide, 10).shape == (10, 10, 3)
    assert (at_side(wide, 10)[:, 3:7] == 200).all() and at_side(wide, 10).min() > 180  # Lanczos looks past the edge
    square = np.zeros((10, 10, 3), np.uint8)
    assert at_side(square, 10) is square


def test_what_cannot_be_asked_for_is_refused_in_words(tmp_path: Path):
    for options, words in (
        ({"graphs": 1}, "--graphs must be at least 2"),
        ({"samples": 0}, "--samples and --batch-size must be at least 1"),
        ({"pictures": tmp_path, "out": tmp_path}, "write one of them"),
        ({"metrics": ("fid",)}, "FID of 3 drawn and 3 true pictures would say nothing"),
    ):
        with pytest.raises(UsageError, match=words):
            measured(tmp_path, **options)
    with pytest.raises(UsageError, match="nothing can tell whether .* say what to measure, such as --metrics fid"):
        default_metrics(False, "coco")


def test_several_adapters_and_the_best_of_their_samples(sg_mini_checkpoint: Path, adapter_file: Path, tmp_path: Path):
    options = {"base": str(sg_mini_checkpoint), "graphs": 2, "split": "held-out", "steps": 1}
    adapters, kept = f"{adapter_file},none", tmp_path / "figures.json"
    main(Config(adapter=adapters, samples=2, metrics=("judge", "best-of"), json=kept, **options))
    figures = json.loads(kept.read_text())["results"]["held-out"]
    assert set(figures) == {"i", str(adapter_file)}
    for of_variant in figures.values():
        assert {"exact graph", "exact graph, best of 1", "exact graph, best of 2"} <= set(of_variant)
        assert of_variant["exact graph, best of 1"][0] == of_variant["exact graph"][0]
    with pytest.raises(UsageError, match="best-of keeps one of several pictures of a graph; write --samples 8"):
        main(Config(metrics=("best-of",), **options))
