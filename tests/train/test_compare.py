"""The comparison: what is measured once is kept, what has changed is measured anew, and the distance is Fréchet's."""

from pathlib import Path

import numpy as np
import pytest

from train import compare
from train.compare import FEATURES, Config, Pictures, distance_with_interval, frechet_distance, measured


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return Config(graphs=4, run_dir=tmp_path / "compare", docs=tmp_path / "docs")


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[tuple]:
    """Every measurement that was really made."""
    made: list[tuple] = []

    def measure(config: Config, variant: str, split: str, seed: int) -> Pictures:
        made.append((variant, split, seed))
        return Pictures(np.full((4, config.graphs, 2), seed), np.zeros((config.graphs, FEATURES)), 0.5)

    monkeypatch.setattr(compare, "measure", measure)
    return made


def test_a_measurement_is_kept(config: Config, calls: list):
    first, again = (measured(config, "i", "held-out", 2) for _ in range(2))
    assert calls == [("i", "held-out", 2)]
    assert np.array_equal(first.counts, again.counts) and again.seconds == 0.5


@pytest.mark.parametrize("change", ["weights", "graphs", "steps"])
def test_other_weights_or_settings_are_measured_anew(
    config: Config, calls: list, change: str, monkeypatch: pytest.MonkeyPatch
):
    measured(config, "i", "held-out", 0)
    if change == "weights":
        monkeypatch.setattr(compare, "fingerprint", lambda variant, base: "other weights")
    else:
        setattr(config, change, getattr(config, change) + 1)
    measured(config, "i", "held-out", 0)
    assert len(calls) == 2


def test_every_variant_has_its_own_fingerprint():
    files = {name: compare.variant_files(name, "sg-mini") for name in compare.NAMES}
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
    _, low, high = distance_with_interval(normal(0.5, 1, 0)[:500], normal(0, 1, 1))
    assert 0 < low < high


def test_pages_name_every_figure(config: Config):
    figures = {metric: [0.5, 0.4, 0.6] for metric in compare.METRICS} | {"FID": [1.25, 1.0, 1.5]}
    rows = [{"split": "held-out", "variant": name, **figures, "seconds": 0.25} for name in compare.NAMES]
    page = compare.markdown(config, rows)
    for name, description in compare.NAMES.items():
        assert f"({name}) {description}" in page
    assert "1.250 [1.000, 1.500]" in page and "synthetic world" in page
    compare.write_csv(rows, config.docs / "results.csv")
    lines = (config.docs / "results.csv").read_text("utf-8").splitlines()
    assert len(lines) == 1 + len(rows)
    assert lines[0].split(",")[:3] == ["split", "variant", "object recall"]
