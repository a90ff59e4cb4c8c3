"""The comparison: what is measured once is kept, what has changed is measured anew, and the distance is Fréchet's."""

from pathlib import Path

import numpy as np
import pytest

from sg_models.adapters.variants import SEVEN
from train import compare
from train.compare import FEATURES, Config, Pictures, Task, distance_with_interval, frechet_distance, load_or_measure
from train.data.shapes.scene import scene, seeds
from train.data.shapes.shapes_dataset import Shapes
from train.data.spatial_relations import nests
from train.report.comparison_page import CEILING, COLUMNS, Comparison, Row, markdown, title, write_csv

NAMES = (CEILING, *SEVEN)
TASK = Task("i", "held-out", 2)


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return Config(graphs=4, run_dir=tmp_path / "compare", docs=tmp_path / "docs")


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[Task]:
    """Every measurement that was really made."""
    made: list[Task] = []

    def measure(config: Config, task: Task) -> Pictures:
        made.append(task)
        return Pictures(np.full((4, config.graphs, 2), task.seed), np.zeros((config.graphs, FEATURES)), 0.5)

    monkeypatch.setattr(compare, "measure", measure)
    return made


def test_a_measurement_is_kept(config: Config, calls: list):
    first, again = (load_or_measure(config, TASK) for _ in range(2))
    assert calls == [TASK]
    assert np.array_equal(first.counts, again.counts) and again.seconds == 0.5


def test_a_row_is_of_all_seeds(config: Config, monkeypatch: pytest.MonkeyPatch):
    def measure(config: Config, task: Task) -> Pictures:
        counts = np.stack([np.full((4, config.graphs), task.seed), np.full((4, config.graphs), 2)], axis=-1)
        seconds = [0.5, 0.7, 9.0][task.seed]  # the last one beside something else
        return Pictures(counts, np.full((config.graphs, FEATURES), task.seed), seconds)

    monkeypatch.setattr(compare, "measure", measure)
    monkeypatch.setattr(compare, "FID_RESAMPLES", 2)
    found = compare.row(config, "i", "held-out", np.zeros((config.graphs, FEATURES), np.float32))
    assert found.figures["relation accuracy"][0] == 0.5  # (0 + 1 + 2) of 3 · 2
    assert found.seconds == 0.7


def test_graphs_with_an_object_inside_another_are_told_apart(config: Config, monkeypatch: pytest.MonkeyPatch):
    config.graphs = 60
    nested = np.array([nests(scene(s).graph) for s in seeds("held-out", config.graphs)])
    assert 0 < nested.sum() < config.graphs

    def measure(config: Config, task: Task) -> Pictures:
        one = np.stack([~nested, np.ones_like(nested)], axis=-1).astype(int)  # right where nothing is nested
        return Pictures(np.stack([one] * 4), np.zeros((config.graphs, FEATURES)), 0.5)

    monkeypatch.setattr(compare, "measure", measure)
    found = compare.nesting(config, "i", "held-out")
    assert [figures[0] for figures in found.values()] == [1.0, 1.0, 0.0, 0.0]


def test_given_boxes_are_a_task_of_their_own(config: Config, calls: list):
    for boxes in (False, True):
        load_or_measure(config, Task("vi", "held-out", 0, boxes))
    assert [task.boxes for task in calls] == [False, True]


@pytest.mark.parametrize("change", ["weights", "graphs", "steps", "mixed_precision"])
def test_other_weights_or_settings_are_measured_anew(
    config: Config, calls: list, change: str, monkeypatch: pytest.MonkeyPatch
):
    load_or_measure(config, TASK)
    if change == "weights":
        monkeypatch.setattr(compare, "fingerprint", lambda variant, base: "other weights")
    else:
        setattr(config, change, {"graphs": 5, "steps": 26, "mixed_precision": "no"}[change])
    load_or_measure(config, TASK)
    assert len(calls) == 2


def test_every_variant_has_its_own_fingerprint():
    files = {name: compare.variant_files(name, "sg-mini") for name in NAMES}
    assert all(paths[0].name == "sg_mini.safetensors" for paths in files.values()), "all stand on the base"
    shipped = {name: compare.fingerprint(name, "sg-mini") for name, paths in files.items() if len(paths) > 1}
    assert len(set(shipped.values())) == len(shipped) > 0
    assert compare.fingerprint("i", "sg-mini") not in shipped.values()


def normal(mean: float, scale: float, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(mean, scale, (4000, FEATURES)).astype(np.float32)


def test_distance_of_a_set_to_itself_is_zero():
    features = normal(0, 1, 0)
    assert frechet_distance(features, features) == pytest.approx(0, abs=1e-3)


def test_distance_of_two_normals_is_the_formulas():
    """|μ - ν|² + Σ (σ - τ)² for independent features (Heusel et al. 2017, equation 6)."""
    expected = FEATURES * (0.5**2 + (2 - 1) ** 2)
    assert frechet_distance(normal(0.5, 2, 0), normal(0, 1, 1)) == pytest.approx(expected, rel=0.05)


def test_distance_lies_in_its_interval(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(compare, "FID_RESAMPLES", 20)
    near, far = normal(0, 1, 0)[:500], normal(0.5, 1, 0)[:500]
    for features in (near, far):
        value, low, high = distance_with_interval(features, normal(0, 1, 1))
        assert 0 <= low < value < high


def test_pages_name_every_figure(tmp_path: Path):
    figures = {metric: [0.5, 0.4, 0.6] for metric in COLUMNS[:-1]} | {"FID": [1.25, 1.0, 1.5]}
    rows = [Row("held-out", name, figures, 1_200_000, 7000, 0.25) for name in NAMES]
    layouts = {("held-out", "vi"): {"box IoU": 0.375, "layouts obeyed": 1.0}}
    nesting = {"vi": {"exact graph, one inside another": [0.375, 0.25, 0.5]}}
    found = Comparison(rows, [Row("held-out", "iv", figures, 1, 2, 0.125)], layouts, nesting)
    page = markdown(found, dataset=Shapes.title, graphs=500, seeds=3, steps=25, mixed_precision="bf16")
    for name in NAMES:
        assert f"({name}) {title(name)}" in page
    for figure in (
        "1.250 [1.000, 1.500]",
        "1.20 M",
        "7,000",
        "0.375",
        "bfloat16",
        "synthetic world",
        "0.375 [0.250, 0.500]",
    ):
        assert figure in page
    write_csv(found, tmp_path / "results.csv")
    lines = (tmp_path / "results.csv").read_text("utf-8").splitlines()
    assert len(lines) == 2 + len(rows)
    assert lines[0].split(",")[:4] == ["split", "boxes", "variant", "object recall"]
    assert lines[-1].startswith("held-out,given,iv,0.5,0.4,0.6,")


def test_true_pictures_are_measured_as_they_are(config: Config):
    found = compare.measure(config, Task("autoencoder", "held-out", 0))
    assert found.counts.shape == (4, 4, 2) and found.features.shape == (4, FEATURES)
    assert found.counts[0, :, 0].sum() >= 0.9 * found.counts[0, :, 1].sum(), "the autoencoder keeps nearly all objects"
