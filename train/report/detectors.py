"""Detectors by the name of a file, a folder or a hub: open vocabulary from transformers, or YOLOX from an ONNX file.

Sources: Minderer et al. 2023, "Scaling Open-Vocabulary Object Detection" (OWLv2); Liu et al. 2023, "Grounding DINO".
"""

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from transformers import (
    AutoConfig,
    AutoModelForZeroShotObjectDetection,
    AutoProcessor,
    GroundingDinoForObjectDetection,
    GroundingDinoProcessor,
)

from train.report.detection import DetectedObject, Detector, without_duplicates
from train.report.network_files import Source
from train.report.yolox import Yolox
from train.running.command_line import UsageError

OWL_THRESHOLD, DINO_THRESHOLD = 0.1, 0.25  # what their authors take
GROUNDING_DINO = "grounding-dino"


def open_detector(source: Source, threshold: float | None = None, device: str = "cpu") -> Detector:
    """The detector; raises `UsageError` where there is none."""
    if source.name.endswith(".onnx"):
        if source.path is None:
            raise UsageError(f"there is no file {source.name}; name the .onnx file of a YOLOX")
        return Yolox(source.path, threshold)
    try:
        kind = AutoConfig.from_pretrained(source.name, local_files_only=not source.download).model_type
        model = AutoModelForZeroShotObjectDetection.from_pretrained(source.name, **source.pretrained())
        processor = AutoProcessor.from_pretrained(source.name, local_files_only=not source.download)
    except (OSError, ValueError) as error:
        raise UsageError(
            f"there is no detector {source.name} here; name a folder of OWLv2 or Grounding DINO in transformers' "
            "format with safetensors, a YOLOX .onnx file, or write --download-networks with a hub id"
        ) from error
    model = model.to(device).eval()
    if kind == GROUNDING_DINO:
        return GroundingDino(model, processor, threshold)
    return Owl(model, processor, threshold)


class Owl:
    """OWL-ViT and OWLv2: a score for each box and each name."""

    names: frozenset[str] | None = None

    def __init__(self, model, processor, threshold: float | None = None) -> None:
        self.model, self.processor = model, processor
        self.length = model.config.text_config.max_position_embeddings  # tokens of a name; more are cut off
        self.threshold = OWL_THRESHOLD if threshold is None else threshold

    @torch.no_grad()
    def detect(self, picture: np.ndarray, names: list[str]) -> list[DetectedObject]:
        asked = [f"a photo of a {name}" for name in names]  # as it was trained
        words = {"padding": "max_length", "truncation": True, "max_length": self.length}
        inputs = self.processor(text=[asked], images=Image.fromarray(picture), return_tensors="pt", **words)
        outputs = self.model(**inputs.to(self.model.device))
        (found,) = self.processor.post_process_grounded_object_detection(
            outputs, threshold=self.threshold, target_sizes=[picture.shape[:2]], text_labels=[names]
        )
        return _objects(found["boxes"], found["scores"], found["text_labels"])


class GroundingDino:
    """Grounding DINO: a score for each box and each token of "a dog. a red car.", whose words belong to names."""

    names: frozenset[str] | None = None

    def __init__(
        self, model: GroundingDinoForObjectDetection, processor: GroundingDinoProcessor, threshold: float | None = None
    ) -> None:
        self.model, self.processor = model, processor
        self.threshold = DINO_THRESHOLD if threshold is None else threshold

    @torch.no_grad()
    def detect(self, picture: np.ndarray, names: list[str]) -> list[DetectedObject]:
        """Raises `UsageError` for more names than it can read at once."""
        text = " ".join(f"{name.replace('.', ' ').casefold()}." for name in names)
        inputs = self.processor(images=Image.fromarray(picture), text=text, return_tensors="pt").to(self.model.device)
        limit, tokens = self.model.config.max_text_len, self._tokens(inputs["input_ids"][0])
        if len(tokens) < len(names) or inputs["input_ids"].shape[1] > limit:
            raise UsageError(f"Grounding DINO reads {limit} tokens at once, these names have more: {text[:80]} …")
        outputs = self.model(**inputs)
        per_token = outputs.logits[0].sigmoid()  # [Q, tokens]
        per_name = torch.stack([per_token[:, where].amax(dim=1) for where in tokens], dim=1)  # [Q, names]
        scores, best = per_name.max(dim=1)  # [Q]
        height, width, _ = picture.shape
        corners = _corners(outputs.pred_boxes[0]) * torch.tensor([width, height] * 2, device=scores.device)
        kept = scores > self.threshold
        return _objects(corners[kept], scores[kept], [names[k] for k in best[kept].tolist()])

    def _tokens(self, ids: Tensor) -> list[Tensor]:
        """The places of each name's tokens: between special tokens and full stops, in order."""
        tokenizer = self.processor.tokenizer
        stop = tokenizer.convert_tokens_to_ids(".")
        words = ~torch.isin(ids, torch.tensor([stop, *tokenizer.all_special_ids], device=ids.device))
        words |= ids == tokenizer.unk_token_id  # a word that it does not know is a word
        number = (ids == stop).cumsum(0)
        return [torch.nonzero(words & (number == k))[:, 0] for k in range(int(number[-1]))]


def _corners(boxes: Tensor) -> Tensor:
    centre, size = boxes[..., :2], boxes[..., 2:]
    return torch.cat([centre - size / 2, centre + size / 2], dim=-1)


def _objects(boxes: Tensor, scores: Tensor, names: list[str]) -> list[DetectedObject]:
    found = zip(names, boxes.tolist(), scores.tolist(), strict=True)
    return without_duplicates([DetectedObject(name, tuple(box), score) for name, box, score in found])
