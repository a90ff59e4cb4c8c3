"""YOLOX: decoding of raw outputs made by hand, and the real network on a picture drawn with a known answer."""

import math
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from sg_models.graph.scene_graph import Relation, SceneGraph, SceneObject
from sg_models.verification.detection import DetectedObject, without_duplicates
from sg_models.verification.detector_error import DetectorError
from sg_models.verification.yolox import COCO_NAMES, Yolox, decode, letterbox
from train.report.detected_objects import OOR, RELATIONS, DetectedGraphs
from train.report.picture_metric import DrawnPictures

NANO = Path(__file__).resolve().parents[4] / "shared/data/detector-yolox-nano/yolox_nano.onnx"
needs_nano = pytest.mark.skipif(not NANO.exists(), reason="the detector's file, ../shared/data, is not here")
ROWS = 52 * 52 + 26 * 26 + 13 * 13


def test_a_row_of_each_stride_is_decoded_to_its_place():
    raw = np.zeros((ROWS, 85), np.float32)
    rows = {0: (0, 0, 8), 52 * 52 + 26 * 2 + 3: (3, 2, 16), ROWS - 1: (12, 12, 32)}  # row: cell x, cell y, stride
    for row in rows:
        raw[row, :4] = 0.5, 0.25, math.log(2), math.log(3)
        raw[row, 4], raw[row, 5 + 16] = 0.8, 0.5
    boxes, scores = decode(raw, 416)
    for row, (x, y, stride) in rows.items():
        centre = (x + 0.5) * stride, (y + 0.25) * stride
        expected = centre[0] - stride, centre[1] - 1.5 * stride, centre[0] + stride, centre[1] + 1.5 * stride
        assert boxes[row] == pytest.approx(expected, rel=1e-5)
        assert scores[row].argmax() == 16 and scores[row, 16] == pytest.approx(0.4)
    assert np.count_nonzero(scores) == 3


def test_of_boxes_of_one_object_the_best_is_kept():
    seen = [
        DetectedObject("dog", (0, 0, 10, 10), 0.6),
        DetectedObject("dog", (1, 0, 11, 10), 0.9),
        DetectedObject("dog", (30, 0, 40, 10), 0.5),
        DetectedObject("cat", (0, 0, 10, 10), 0.4),
    ]
    assert without_duplicates(seen) == [seen[1], seen[2], seen[3]]
    assert without_duplicates([]) == []


def test_pictures_are_letterboxed_top_left_in_bgr():
    picture = np.zeros((100, 200, 3), np.uint8)
    picture[:, :, 0] = 200
    square, scale = letterbox(picture, 416)
    assert square.shape == (1, 3, 416, 416) and scale == 2.08
    assert (square[0, 2, :208] == 200).all() and (square[0, :2, :208] == 0).all()
    assert (square[0, :, 208:] == 114).all()


def stop_sign_and_clock() -> np.ndarray:
    """A stop sign on the left and a clock on the right, uint8 [480, 640, 3]."""
    picture = Image.new("RGB", (640, 480), (150, 190, 230))
    draw = ImageDraw.Draw(picture)
    draw.rectangle((0, 330, 640, 480), (90, 130, 70))
    draw.rectangle((154, 180, 166, 420), (120, 120, 120))
    for radius, colour in ((80, "white"), (74, (190, 20, 30))):
        turns = [math.pi / 8 + k * math.pi / 4 for k in range(8)]
        draw.polygon([(160 + radius * math.cos(a), 180 + radius * math.sin(a)) for a in turns], colour)
    draw.text((160, 180), "STOP", "white", ImageFont.load_default(size=56), anchor="mm")
    draw.ellipse((380, 90, 560, 270), (40, 30, 20))
    draw.ellipse((389, 99, 551, 261), (250, 250, 240))
    for hour in range(1, 13):
        angle = math.pi * hour / 6 - math.pi / 2
        place = 470 + 68 * math.cos(angle), 180 + 68 * math.sin(angle)
        draw.text(place, str(hour), "black", ImageFont.load_default(size=22), anchor="mm")
    draw.line((470, 180, 510, 162), "black", 6)
    draw.line((470, 180, 461, 121), "black", 4)
    return np.asarray(picture)


@needs_nano
def test_the_real_network_sees_what_is_drawn_and_where():
    picture = stop_sign_and_clock()
    seen = {thing.name: thing for thing in Yolox(NANO).detect(picture, list(COCO_NAMES))}
    assert set(seen) == {"stop sign", "clock"}
    assert seen["stop sign"].box == pytest.approx((80, 100, 240, 260), abs=12)
    assert seen["clock"].box == pytest.approx((380, 90, 560, 270), abs=12)
    assert [thing.name for thing in Yolox(NANO).detect(picture, ["clock"])] == ["clock"]


@needs_nano
def test_occurrence_and_relations_of_a_picture_with_a_known_answer():
    objects = tuple(map(SceneObject, ("Stop sign", "clock", "clock", "unicorn")))
    relations = (
        Relation(0, "to the left of", 1),  # holds
        Relation(0, "right of", 1),  # does not
        Relation(1, "looking at", 0),  # no box decides
        Relation(3, "left of", 1),  # nor does one of what it does not know
    )
    metric = DetectedGraphs(Yolox(NANO))
    picture = stop_sign_and_clock()[None, None]
    metric.see(DrawnPictures([0], [SceneGraph(objects, relations)], picture))
    figures = metric.figures()
    assert figures[OOR][0] == pytest.approx(2 / 3, abs=1e-4)  # there is no second clock
    assert figures[RELATIONS][0] == 0.5
    assert metric.notes() == {
        "objects without a name that the detector knows": "1 of 4, in no figure",
        "relations that no box decides": "2 of 4, in no figure",
    }


@needs_nano
def test_a_threshold_hides_what_is_less_certain():
    assert Yolox(NANO, 0.999).detect(stop_sign_and_clock(), list(COCO_NAMES)) == []


def test_a_file_that_is_no_onnx_is_refused_in_words(tmp_path: Path):
    (tmp_path / "model.onnx").write_bytes(b"nothing")
    with pytest.raises(DetectorError, match="cannot be read as an ONNX file"):
        Yolox(tmp_path / "model.onnx")
