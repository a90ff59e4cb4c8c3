"""Which metrics there are, what each needs, and that every set of pictures gets new ones."""

from pathlib import Path

import pytest

from train.data.shapes.shapes_dataset import Shapes
from train.report.detected_objects import DetectedGraphs
from train.report.graph_overlap import GraphFiles, GraphOverlap
from train.report.obedience import Obedience, has_judge
from train.report.picture_metrics import MetricOptions, Metrics
from train.running.command_line import UsageError

SPLIT = Shapes().split("held-out", 3)


def metrics(*names: str, **options) -> Metrics:
    return Metrics(MetricOptions(names, **options), names, Shapes())


@pytest.mark.parametrize(
    ("name", "option"),
    [("fid", "feature-network"), ("lpips", "lpips-network"), ("clip", "clip"), ("detector", "detector")],
)
def test_a_metric_without_its_network_says_which_option_names_it(name: str, option: str):
    with pytest.raises(UsageError, match=f"--metrics {name} needs a network: write --{option} <path>"):
        metrics(name, force=True).check([SPLIT], 2)


def test_downloads_are_offered_where_there_is_one():
    with pytest.raises(UsageError, match="or --download-networks"):
        metrics("clip").check([SPLIT], 1)
    with pytest.raises(UsageError, match="write --detector <path>$"):
        metrics("detector", download_networks=True).check([SPLIT], 1)


def test_graphs_of_pictures_come_from_files_or_a_model(tmp_path: Path):
    for options in ({}, {"vlm": "a/model", "picture_graphs": tmp_path}):
        with pytest.raises(UsageError, match="write --picture-graphs <folder> or --vlm <a model>"):
            metrics("sg-iou", **options).check([SPLIT], 1)
    made = metrics("sg-iou", picture_graphs=tmp_path)
    with pytest.raises(UsageError, match="there are no graphs of pictures in"):
        made.fresh(SPLIT, "vi", None)
    (tmp_path / "held-out" / "vi").mkdir(parents=True)
    (metric,) = made.fresh(SPLIT, "vi", None)
    assert isinstance(metric, GraphOverlap) and isinstance(metric.reader, GraphFiles)
    assert metric.reader.folder == tmp_path / "held-out" / "vi"


def test_too_few_pictures_or_samples_are_refused_before_anything_is_drawn():
    with pytest.raises(UsageError, match="KID of 6 drawn and 3 true pictures would say nothing"):
        metrics("kid").check([SPLIT], 2)
    with pytest.raises(UsageError, match="write --samples 2"):
        metrics("lpips").check([SPLIT], 1)
    with pytest.raises(UsageError, match="there is no metric 'fod'; write --metrics judge best-of fid"):
        metrics("fod").check([SPLIT], 1)


def test_networks_are_loaded_once_and_metrics_made_anew(networks: Path):
    made = metrics("judge", "detector", detector=str(networks / "owl"))
    made.check([SPLIT], 1)
    first, second = made.fresh(SPLIT, "i", None), made.fresh(SPLIT, "vi", None)
    assert [type(metric) for metric in first] == [Obedience, DetectedGraphs]
    assert first[1] is not second[1] and first[1].detector is second[1].detector
    assert "scores above 0.1" in made.networks["detector"] and "SHA-256" in made.networks["detector"]
    assert made.true_features(SPLIT, 64) is None  # nobody asks for them


def test_shapes_has_a_judge():
    assert has_judge(Shapes(), SPLIT)
    blind = Shapes()
    blind.judge = lambda picture, graph: None
    assert not has_judge(blind, SPLIT)
