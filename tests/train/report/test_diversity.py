"""LPIPS between samples of one graph."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torchmetrics.functional.image.lpips import _NoTrainLpips

from sg_models.graph.scene_graph import SceneGraph, SceneObject
from train.report.diversity import DS, Diversity, lpips_network
from train.report.network_files import Source
from train.report.picture_metric import DrawnPictures
from train.running.command_line import UsageError

GRAPHS = [SceneGraph((SceneObject("dog"),))] * 3


def drawn(side: int = 64, samples: int = 2) -> DrawnPictures:
    numbers = np.random.default_rng(0).integers(0, 256, (3, samples, side, side, 3), dtype=np.uint8)
    return DrawnPictures(range(3), GRAPHS, numbers)


def test_equal_pictures_have_no_distance_and_others_have(alexnet_file: Path):
    network = lpips_network(Source(str(alexnet_file)))
    same, different = Diversity(network), Diversity(network)
    pictures = drawn()
    same.see(DrawnPictures(range(3), GRAPHS, np.repeat(pictures.pictures[:, :1], 2, axis=1)))
    different.see(pictures)
    assert same.figures() == {DS: [0, 0, 0]}
    value, low, high = different.figures()[DS]
    assert 0 < low <= value <= high


def test_the_backbone_is_the_files(alexnet_file: Path):
    network = lpips_network(Source(str(alexnet_file)))
    state = torch.load(alexnet_file, weights_only=True)
    assert torch.equal(network.net.state_dict()["slice3.6.weight"], state["features.6.weight"])
    heads = _NoTrainLpips(net="alex", pnet_rand=True).lin0.state_dict()
    assert all(torch.equal(network.lin0.state_dict()[name], tensor) for name, tensor in heads.items())


def test_all_pairs_of_samples_count(alexnet_file: Path):
    network = lpips_network(Source(str(alexnet_file)))
    three = drawn(samples=3)
    pairs = []
    for a, b in ((0, 1), (0, 2), (1, 2)):
        metric = Diversity(network)
        metric.see(DrawnPictures(range(3), GRAPHS, three.pictures[:, [a, b]]))
        pairs.append(metric.figures()[DS][0])
    metric = Diversity(network)
    metric.see(three)
    assert metric.figures()[DS][0] == pytest.approx(np.mean(pairs), abs=1e-4)


def test_too_small_pictures_and_wrong_files_are_refused_in_words(alexnet_file: Path, inception_file: Path):
    with pytest.raises(UsageError, match="lpips needs pictures of 64 pixels, these have 32 × 32"):
        Diversity(lpips_network(Source(str(alexnet_file)))).see(drawn(32))
    with pytest.raises(UsageError, match="does not hold torchvision's AlexNet"):
        lpips_network(Source(str(inception_file)))
