"""Detectors by the name of a file, a folder or a hub, or of a world whose pictures an oracle reads."""

from dataclasses import dataclass
from pathlib import Path

from transformers import AutoModelForZeroShotObjectDetection, AutoProcessor

from sg_models.verification.detection import Detector
from sg_models.verification.open_vocabulary import detector_of
from sg_models.verification.shapes.oracle import ORACLE, ShapesOracle
from sg_models.verification.yolox import Yolox
from train.report.network_files import Source, device
from train.running.command_line import UsageError


def open_detector(source: Source, threshold: float | None = None, on: str = "cpu") -> Detector:
    """The detector; raises `UsageError` or `DetectorError` where there is none."""
    if source.name == ORACLE:
        return ShapesOracle()
    if source.name.endswith(".onnx"):
        if source.path is None:
            raise UsageError(f"there is no file {source.name}; name the .onnx file of a YOLOX")
        return Yolox(Path(source.name), threshold)
    try:
        place = source.loadable()
        model = AutoModelForZeroShotObjectDetection.from_pretrained(place, use_safetensors=True)
        processor = AutoProcessor.from_pretrained(place)
    except (OSError, ValueError) as error:
        raise UsageError(
            f"there is no detector {source.name} here; name a folder of OWLv2 or Grounding DINO in transformers' "
            "format with safetensors, a YOLOX .onnx file, or write --download-networks with a hub id"
        ) from error
    return detector_of(model.to(on).eval(), processor, threshold)


@dataclass
class DetectorOptions:
    """Who says what pictures show."""

    detector: str | None = None
    """a YOLOX .onnx file (COCO's 80 names), a folder or hub id of OWLv2 or Grounding DINO (any name), or shapes: the
    oracle of that world, for pictures of SG-Mini"""
    detector_threshold: float | None = None
    """the score from which on an object counts as seen; if left out, what the detector's authors take"""
    download_networks: bool = False
    """let a detector be downloaded that a hub id names"""

    def open(self) -> Detector:
        """The detector; raises `UsageError` or `DetectorError` where there is none."""
        if self.detector is None:
            raise UsageError(
                "nothing says what the pictures show; write --detector with a YOLOX .onnx file or a folder of OWLv2 or "
                "Grounding DINO or, for pictures of SG-Mini, --detector shapes"
            )
        return open_detector(Source(self.detector, self.download_networks), self.detector_threshold, device())
