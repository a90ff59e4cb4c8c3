"""Detectors of an open vocabulary, by models that a host has loaded through transformers.

Sources: Minderer et al. 2023, "Scaling Open-Vocabulary Object Detection" (OWLv2); Liu et al. 2023, "Grounding DINO".
"""

from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from .detection import DetectedObject, without_duplicates
from .detector_error import DetectorError

OWL_THRESHOLD, DINO_THRESHOLD = 0.1, 0.25  # what their authors take
GROUNDING_DINO, OWLS = "grounding-dino", ("owlvit", "owlv2")


def detector_of(model: Any, processor: Any, threshold: float | None = None) -> "Owl | GroundingDino":
    """The detector of a model of transformers and its processor; `threshold` is the authors' if left out.

    Raises `DetectorError` for a model of another kind.
    """
    kind = model.config.model_type
    if kind == GROUNDING_DINO:
        return GroundingDino(model, processor, threshold)
    if kind in OWLS:
        return Owl(model, processor, threshold)
    raise DetectorError(f"a model of kind {kind} is no detector that is known here; take OWLv2 or Grounding DINO")


class Owl:
    """OWL-ViT and OWLv2: a score for each box and each name."""

    names: frozenset[str] | None = None
    attributes: frozenset[str] | None = None

    def __init__(self, model: Any, processor: Any, threshold: float | None = None) -> None:
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
    attributes: frozenset[str] | None = None

    def __init__(self, model: Any, processor: Any, threshold: float | None = None) -> None:
        self.model, self.processor = model, processor
        self.threshold = DINO_THRESHOLD if threshold is None else threshold

    @torch.no_grad()
    def detect(self, picture: np.ndarray, names: list[str]) -> list[DetectedObject]:
        """Raises `DetectorError` for more names than it can read at once."""
        text = " ".join(f"{name.replace('.', ' ').casefold()}." for name in names)
        inputs = self.processor(images=Image.fromarray(picture), text=text, return_tensors="pt").to(self.model.device)
        limit, tokens = self.model.config.max_text_len, self._tokens(inputs["input_ids"][0])
        if len(tokens) < len(names) or inputs["input_ids"].shape[1] > limit:
            raise DetectorError(f"Grounding DINO reads {limit} tokens at once, these names have more: {text[:80]} …")
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
