"""Detectors of an open vocabulary through transformers' real classes, with random weights."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from sg_models.verification.detector_error import DetectorError
from sg_models.verification.open_vocabulary import GroundingDino, Owl, detector_of
from sg_models.verification.shapes.oracle import ShapesOracle
from train.report.detectors import open_detector
from train.report.network_files import Source
from train.running.command_line import UsageError

PICTURE = np.random.default_rng(0).integers(0, 256, (100, 140, 3), dtype=np.uint8)
NAMES = ["dog", "big red fire hydrant"]


@pytest.mark.parametrize(("name", "kind"), [("owl", Owl), ("dino", GroundingDino)])
def test_the_whole_path_of_a_detector(networks: Path, name: str, kind: type):
    detector = open_detector(Source(str(networks / name)), 0.0)
    assert isinstance(detector, kind) and detector.names is None
    found = detector.detect(PICTURE, NAMES)
    assert found and {thing.name for thing in found} <= set(NAMES)
    assert [thing.score for thing in found] == sorted((thing.score for thing in found), reverse=True)
    assert open_detector(Source(str(networks / name)), 1.0).detect(PICTURE, NAMES) == []


def test_a_name_longer_than_owl_reads_is_cut(networks: Path):
    assert open_detector(Source(str(networks / "owl")), 0.0).detect(PICTURE, ["very " * 30 + "big dog"])


def test_boxes_of_grounding_dino_get_the_name_whose_words_they_fit(networks: Path, monkeypatch):
    """[CLS] dog . big red fire hydrant . [SEP]: two boxes, sure of a token each."""
    detector = open_detector(Source(str(networks / "dino")))
    logits = torch.full((1, 2, 256), -20.0)
    logits[0, 0, 5] = logits[0, 1, 1] = 3.0  # red, dog
    boxes = torch.tensor([[[0.5, 0.5, 0.2, 0.4], [0.1, 0.1, 0.2, 0.2]]])

    class Model:
        config, device = detector.model.config, "cpu"

        def __call__(self, **inputs):
            return SimpleNamespace(logits=logits, pred_boxes=boxes)

    monkeypatch.setattr(detector, "model", Model())
    first, second = detector.detect(PICTURE, NAMES)
    assert {first.name, second.name} == set(NAMES)
    by_name = {thing.name: thing.box for thing in (first, second)}
    assert by_name["dog"] == pytest.approx((0, 0, 28, 20), abs=1e-3)
    assert by_name["big red fire hydrant"] == pytest.approx((56, 30, 84, 70), abs=1e-3)


def test_more_names_than_grounding_dino_reads_are_refused(networks: Path):
    with pytest.raises(DetectorError, match="reads 256 tokens at once"):
        open_detector(Source(str(networks / "dino"))).detect(PICTURE, ["dog"] * 200)


def test_what_is_no_detector_is_refused_in_words(networks: Path, tmp_path: Path):
    for name in (tmp_path, networks / "clip", "nobody/nothing"):
        with pytest.raises(UsageError, match="there is no detector .* OWLv2 or Grounding DINO"):
            open_detector(Source(str(name)))
    with pytest.raises(UsageError, match="there is no file .*onnx"):
        open_detector(Source(str(tmp_path / "yolox.onnx")))


def test_a_model_of_another_kind_is_refused_in_words():
    with pytest.raises(DetectorError, match="kind detr is no detector .* OWLv2 or Grounding DINO"):
        detector_of(SimpleNamespace(config=SimpleNamespace(model_type="detr")), None)


def test_the_oracle_of_shapes_is_a_detector_by_name():
    assert isinstance(open_detector(Source("shapes")), ShapesOracle)
