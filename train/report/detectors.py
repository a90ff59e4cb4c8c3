"""Detectors by the name of a file, a folder or a hub, or of a world whose pictures an oracle reads."""

from pathlib import Path

from transformers import AutoModelForZeroShotObjectDetection, AutoProcessor

from sg_models.verification.detection import Detector
from sg_models.verification.open_vocabulary import detector_of
from sg_models.verification.shapes.oracle import ORACLE, ShapesOracle
from sg_models.verification.yolox import Yolox
from train.report.network_files import Source
from train.running.command_line import UsageError


def open_detector(source: Source, threshold: float | None = None, device: str = "cpu") -> Detector:
    """The detector; raises `UsageError` or `DetectorError` where there is none."""
    if source.name == ORACLE:
        return ShapesOracle()
    if source.name.endswith(".onnx"):
        if source.path is None:
            raise UsageError(f"there is no file {source.name}; name the .onnx file of a YOLOX")
        return Yolox(Path(source.name), threshold)
    try:
        model = AutoModelForZeroShotObjectDetection.from_pretrained(source.name, **source.pretrained())
        processor = AutoProcessor.from_pretrained(source.name, local_files_only=not source.download)
    except (OSError, ValueError) as error:
        raise UsageError(
            f"there is no detector {source.name} here; name a folder of OWLv2 or Grounding DINO in transformers' "
            "format with safetensors, a YOLOX .onnx file, or write --download-networks with a hub id"
        ) from error
    return detector_of(model.to(device).eval(), processor, threshold)
