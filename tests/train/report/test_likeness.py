"""Fréchet and kernel distance and the inception score against known answers, through a linear network."""

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from scipy import linalg
from torch import nn

from sg_models.graph.scene_graph import SceneGraph, SceneObject
from train.report.likeness import (
    FID,
    IS,
    KID,
    MINIMUM,
    DistanceTo,
    Features,
    Likeness,
    check_enough,
    features_of,
    frechet_distance,
    frechet_distance_with_interval,
    inception,
    inception_score,
    kernel_distance,
)
from train.report.network_files import Source
from train.report.picture_metric import DrawnPictures
from train.running.command_line import UsageError

DIMENSIONS = 5


def closed_form(mean: np.ndarray, cov: np.ndarray, true_mean: np.ndarray, true_cov: np.ndarray) -> float:
    """|m - m'|² + tr(C + C' - 2 √(C C'))."""
    root = linalg.sqrtm(cov @ true_cov).real
    return float(((mean - true_mean) ** 2).sum() + np.trace(cov + true_cov - 2 * root))


class Linear(nn.Module):
    """Some pixels times a matrix, as features and as logits."""

    def __init__(self) -> None:
        super().__init__()
        self.matrix = torch.randn(12, DIMENSIONS, generator=torch.Generator().manual_seed(0)).double() / 10

    def forward(self, pictures: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        features = pictures.flatten(1).double() @ self.matrix
        return features, features


def pictures(count: int, centre: float, spread: float, seed: int) -> np.ndarray:
    """Normally distributed pixels, uint8 [N, 2, 2, 3]."""
    numbers = np.random.default_rng(seed).normal(centre, spread, (count, 2, 2, 3))
    return numbers.round().clip(0, 255).astype(np.uint8)


def as_drawn(some: np.ndarray, samples: int = 1) -> DrawnPictures:
    count = len(some) // samples
    graphs = [SceneGraph((SceneObject("dog"),))] * count
    return DrawnPictures(range(count), graphs, some.reshape(count, samples, *some.shape[1:]))


def test_the_frechet_distance_of_gaussians_is_the_closed_form():
    """Of pixels that are normally distributed, through a linear network, so that its features are, too."""
    network = Linear()
    matrix = network.matrix.numpy()
    drawn, true = (features_of(network, pictures(20_000, *of)) for of in ((110, 20, 0), (128, 30, 1)))
    mean, true_mean = np.full(12, 110) @ matrix, np.full(12, 128) @ matrix
    expected = closed_form(mean, 400 * matrix.T @ matrix, true_mean, 900 * matrix.T @ matrix)
    assert frechet_distance(drawn.features, true.features) == pytest.approx(expected, rel=0.02)


def test_the_frechet_distance_of_samples_is_that_of_their_own_moments():
    rng = np.random.default_rng(0)
    one, other = rng.normal(size=(50, DIMENSIONS)), rng.normal(0.5, 2, (60, DIMENSIONS))
    expected = closed_form(one.mean(0), np.cov(one.T), other.mean(0), np.cov(other.T))
    assert frechet_distance(one, other) == pytest.approx(expected, rel=1e-6)
    assert frechet_distance(one, one) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("count", [3, 200])
@pytest.mark.parametrize("true_count", [4, 300])
def test_the_fast_distance_is_the_general_one(count: int, true_count: int):
    rng = np.random.default_rng(0)
    features, true = rng.normal(0.5, 2, (count, DIMENSIONS)), rng.normal(size=(true_count, DIMENSIONS))
    assert DistanceTo(true)(features) == pytest.approx(frechet_distance(features, true), rel=1e-5)


def test_the_frechet_interval_holds_its_value_and_keeps_samples_of_a_graph_together():
    rng = np.random.default_rng(0)
    alone = rng.normal(0.4, 1, (200, DIMENSIONS))
    twice = np.repeat(alone, 2, axis=0)  # two samples of each graph that are the same say no more than one
    true = rng.normal(size=(400, DIMENSIONS))
    value, low, high = frechet_distance_with_interval(alone, true)
    assert low < value < high
    _, low_twice, high_twice = frechet_distance_with_interval(twice, true, samples=2)
    assert high_twice - low_twice == pytest.approx(high - low, rel=0.05)
    _, low_apart, high_apart = frechet_distance_with_interval(twice, true)
    assert high_apart - low_apart < 0.85 * (high - low)


def test_the_inception_score_of_known_logits():
    """Sure of one of ten classes, all alike frequent: exp(log 10); the same of every picture: 1."""
    sure = np.tile(np.eye(10) * 100, (100, 1))
    value, low, high = inception_score(sure)
    assert value == pytest.approx(10, rel=0.06)  # parts of a hundred have not quite ten of each
    assert value <= 10 and low < value < high
    assert inception_score(np.ones((100, 10)))[0] == pytest.approx(1)
    assert inception_score(sure) == [value, low, high]


def test_the_kernel_distance_of_equal_sets_is_near_zero_and_of_others_is_not():
    rng = np.random.default_rng(0)
    one, same, other = (rng.normal(mean, 1, (600, DIMENSIONS)) for mean in (0, 0, 0.5))
    value, low, high = kernel_distance(one, same)
    assert abs(value) < 0.05 and low < 0 < high
    value, low, _ = kernel_distance(one, other)
    assert low > 0.1 and low < value


def test_the_kernel_interval_is_of_about_the_width_of_repeated_measurements():
    rng = np.random.default_rng(0)
    true = rng.normal(size=(300, DIMENSIONS))
    found = [kernel_distance(rng.normal(0.3, 1, (300, DIMENSIONS)), true) for _ in range(12)]
    spread = 1.96 * np.std([value for value, *_ in found], ddof=1)
    margin = np.mean([high - value for value, _, high in found])
    assert 0.5 < margin / spread < 2.5  # it holds the true pictures' chance, too


def test_few_pictures_are_refused_in_words_unless_forced():
    with pytest.raises(UsageError, match=r"FID, IS of 30 drawn and 5000 true pictures would say nothing.*--force"):
        check_enough(30, 5000, (FID, IS), force=False)
    check_enough(30, 5000, (FID,), force=True)
    check_enough(MINIMUM, MINIMUM, (FID,), force=False)
    metric = Likeness((FID,), Linear(), features_of(Linear(), pictures(30, 128, 20, 0)))
    metric.see(as_drawn(pictures(30, 128, 20, 1)))
    with pytest.raises(UsageError, match="say nothing"):
        metric.figures()


def test_a_set_is_measured_by_a_metric_of_its_own():
    """As figures of SGCond were not: its score was of all that it had ever seen, true pictures among them."""
    network = Linear()
    true = features_of(network, pictures(40, 128, 20, 0))
    some, others = pictures(40, 128, 20, 1), pictures(40, 60, 5, 2)
    first, second, again = (Likeness((FID, IS, KID), network, true, force=True) for _ in range(3))
    first.see(as_drawn(some))
    second.see(as_drawn(others))
    again.see(as_drawn(some[:20]))
    again.see(as_drawn(some[20:]))
    assert first.figures() == again.figures() != second.figures()
    assert list(first.figures()) == [FID, IS, KID]
    assert "forced" in first.notes()["pictures compared"]


def test_inception_reads_torch_fidelitys_file_and_its_tensors(inception_file: Path, tmp_path: Path):
    network = inception(Source(str(inception_file)))
    some = np.random.default_rng(0).integers(0, 256, (2, 16, 16, 3), dtype=np.uint8)
    found = features_of(network, some)
    assert found.features.shape == (2, 2048) and found.logits.shape == (2, 1008)
    tensors = tmp_path / "inception.safetensors"
    save_file(torch.load(inception_file, weights_only=True), tensors)
    assert torch.equal(inception(Source(str(tensors))).fc.weight, network.fc.weight)


def test_files_that_are_no_inception_are_refused_in_words(alexnet_file: Path, tmp_path: Path):
    with pytest.raises(UsageError, match="does not hold the InceptionV3 of weights-inception-2015-12-05-6726825d.pth"):
        inception(Source(str(alexnet_file)))
    with pytest.raises(UsageError, match="there is no file .*--download-networks"):
        inception(Source(str(tmp_path / "nothing.pth")))


class Evil:
    """What a pickle may do."""

    def __reduce__(self):
        return (print, ("opened",))


def test_no_pickle_is_opened(tmp_path: Path, capsys):
    path = tmp_path / "weights.pth"
    torch.save({"fc.weight": Evil()}, path)
    with pytest.raises(UsageError, match="it holds more than tensors"):
        inception(Source(str(path)))
    assert "opened" not in capsys.readouterr().out


def test_features_know_how_many_they_are():
    assert len(Features(np.zeros((3, 2)), np.zeros((3, 4)))) == 3
