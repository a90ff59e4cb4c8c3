"""YOLOX, a detector of COCO's 80 classes, from an ONNX file as its authors export it (without decoding in the network).

Source: Ge et al. 2021, "YOLOX", section 2.1; its pre-processing: BGR from 0 to 255, in the top left corner of a square
that is otherwise 114.
"""

from pathlib import Path

import numpy as np
from PIL import Image

from .detection import DetectedObject, without_duplicates
from .detector_error import DetectorError

STRIDES = (8, 16, 32)
PADDING = 114
THRESHOLD = 0.3
NO_RUNTIME = (
    "{name} is an ONNX file, and the Python package onnxruntime, which runs those, is not there ({error}): pip install "
    "onnxruntime, into the Python that this runs in"
)
COCO_NAMES = (
    "person|bicycle|car|motorcycle|airplane|bus|train|truck|boat|traffic light|fire hydrant|stop sign|parking meter|"
    "bench|bird|cat|dog|horse|sheep|cow|elephant|bear|zebra|giraffe|backpack|umbrella|handbag|tie|suitcase|frisbee|"
    "skis|snowboard|sports ball|kite|baseball bat|baseball glove|skateboard|surfboard|tennis racket|bottle|"
    "wine glass|cup|fork|knife|spoon|bowl|banana|apple|sandwich|orange|broccoli|carrot|hot dog|pizza|donut|cake|"
    "chair|couch|potted plant|bed|dining table|toilet|tv|laptop|mouse|remote|keyboard|cell phone|microwave|oven|"
    "toaster|sink|refrigerator|book|clock|vase|scissors|teddy bear|hair drier|toothbrush"
).split("|")


class Yolox:
    """Detects COCO's 80 classes; any other name it does not know."""

    names: frozenset[str] | None = frozenset(COCO_NAMES)
    attributes: frozenset[str] | None = None

    def __init__(self, path: Path, threshold: float | None = None) -> None:
        """Raises `DetectorError` for a file that is no YOLOX of 80 classes, and where onnxruntime is missing."""
        try:
            import onnxruntime  # which ComfyUI does not bring
        except ImportError as error:
            raise DetectorError(NO_RUNTIME.format(name=path.name, error=error)) from error
        self.threshold = THRESHOLD if threshold is None else threshold
        try:
            self.session = onnxruntime.InferenceSession(path, providers=onnxruntime.get_available_providers())
        except Exception as error:  # onnxruntime has errors of its own for each of its ways to fail
            raise DetectorError(f"{path} cannot be read as an ONNX file: {str(error)[:200]}") from error
        (taken, *_), (given, *_) = self.session.get_inputs(), self.session.get_outputs()
        self.side, columns = taken.shape[-1], given.shape[-1]
        if not isinstance(self.side, int) or columns != 5 + len(COCO_NAMES):
            raise DetectorError(f"{path} takes {taken.shape} and gives {given.shape}; a YOLOX gives [1, N, 85]")
        self.input = taken.name

    def detect(self, picture: np.ndarray, names: list[str]) -> list[DetectedObject]:
        """Those of `names` that are seen in a picture, uint8 [H, W, 3]; boxes in its pixels."""
        square, scale = letterbox(picture, self.side)
        (raw,) = self.session.run(None, {self.input: square})
        boxes, scores = decode(np.asarray(raw)[0], self.side)
        best = scores.argmax(axis=1)
        seen = [
            DetectedObject(COCO_NAMES[best[k]], tuple((boxes[k] / scale).tolist()), float(scores[k, best[k]]))
            for k in np.flatnonzero(scores.max(axis=1) > self.threshold)
        ]
        return [thing for thing in without_duplicates(seen) if thing.name in names]


def letterbox(picture: np.ndarray, side: int) -> tuple[np.ndarray, float]:
    """A picture, uint8 [H, W, 3] in RGB, as the network takes it, float32 [1, 3, side, side], and how it was scaled."""
    height, width, _ = picture.shape
    scale = min(side / height, side / width)
    size = round(width * scale), round(height * scale)
    square = np.full((side, side, 3), PADDING, np.uint8)
    square[: size[1], : size[0]] = np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.BILINEAR))
    return square[:, :, ::-1].transpose(2, 0, 1)[None].astype(np.float32), scale


def decode(raw: np.ndarray, side: int) -> tuple[np.ndarray, np.ndarray]:
    """Raw outputs [N, 5 + C] → boxes [N, 4], (x0, y0, x1, y1) in the network's pixels, and scores [N, C].

    A row stands for a cell of a grid: centre relative to the cell and logarithms of the size, both in strides, then how
    sure it is of an object, and of each class.
    """
    cells, strides = [], []
    for stride in STRIDES:
        count = side // stride
        y, x = np.mgrid[:count, :count]
        cells.append(np.stack([x, y], axis=-1).reshape(-1, 2))
        strides.append(np.full((count * count, 1), stride))
    grid, step = np.concatenate(cells), np.concatenate(strides)  # [N, 2], [N, 1]
    centre, size = (raw[:, :2] + grid) * step, np.exp(raw[:, 2:4]) * step
    return np.concatenate([centre - size / 2, centre + size / 2], axis=1), raw[:, 4:5] * raw[:, 5:]
