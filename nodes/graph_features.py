"""What an adapter sees of a graph: vectors of its phrases, from the encoder that the adapter was trained with."""

from collections.abc import Callable

import comfy.model_management
import comfy.sd
import torch

from ..sg_models.adapters.adapter import Adapter
from ..sg_models.adapters.phrase_features import Features, phrase_features
from ..sg_models.adapters.variants import BERT, CLIP, STRUCTURE_CLIP
from ..sg_models.bases.known_bases import BASES
from ..sg_models.graph.scene_graph import SceneGraph
from .loaded_adapter import LoadedGraphAdapter, LoadedStructureClip
from .loaded_base import FAMILIES
from .phrase_vectors import bert_vectors, clip_vectors, word_means
from .socket_types import LoadedBert

NO_CLIP = (
    "{name} was trained on CLIP phrases, and {node} got no CLIP: none is connected, or the checkpoint that it comes "
    "from holds no text encoder. Connect the CLIP output of a Load Checkpoint node whose file has one."
)
OTHER_CLIP = (
    "The CLIP that is connected to {node} is not the one of {base}, which {name} was trained on. Connect the CLIP "
    "output of the Load Checkpoint node that loads {base}."
)
WRONG_CLIP = (
    "This CLIP gives {what} of {got} numbers, but {name} was trained on {base} with {wanted}. Connect the CLIP output "
    "of the Load Checkpoint node that loads {base}."
)
NO_BERT = (
    "{name} was trained on BERT phrases, and {node} got no BERT. Connect a Load BERT Phrase Encoder node to its bert "
    "input."
)
WRONG_BERT = (
    "This BERT gives phrases of {got} numbers, but {name} was trained with {wanted}. Choose the BERT that it was "
    "trained on in Load BERT Phrase Encoder."
)
UNKNOWN_ENCODER = "{name} was trained on {encoder} phrases, which this version cannot encode. Update the pack."


def graph_features(
    graph: SceneGraph, adapter: LoadedGraphAdapter, clip: comfy.sd.CLIP | None, bert: LoadedBert | None, node: str
) -> list[Features]:
    """The features of one graph.

    Raises `ValueError` in words, in the name of a node, if the encoder that the adapter was trained with is not
    connected, or if another one is.
    """
    file = adapter.file
    if file.phrase_encoder not in ENCODERS:
        raise ValueError(UNKNOWN_ENCODER.format(name=file.name, encoder=file.phrase_encoder))
    return ENCODERS[file.phrase_encoder](graph, adapter, clip, bert, node)


def clip_features(
    graph: SceneGraph, adapter: LoadedGraphAdapter, clip: comfy.sd.CLIP | None, bert: LoadedBert | None, node: str
) -> list[Features]:
    check_clip(clip, adapter.file, node)
    return phrase_features([graph], lambda phrases: checked_clip_vectors(clip, phrases, adapter.file))


def bert_features(
    graph: SceneGraph, adapter: LoadedGraphAdapter, clip: comfy.sd.CLIP | None, bert: LoadedBert | None, node: str
) -> list[Features]:
    if bert is None:
        raise ValueError(NO_BERT.format(name=adapter.file.name, node=node))
    return phrase_features([graph], lambda phrases: checked_bert_vectors(bert, phrases, adapter.file))


def structure_clip_features(
    graph: SceneGraph, adapter: LoadedGraphAdapter, clip: comfy.sd.CLIP | None, bert: LoadedBert | None, node: str
) -> list[Features]:
    # importing this takes torch-geometric with it: over a second that ComfyUI's start must not pay
    from ..sg_models.adapters.structure_clip import knowledge_features

    check_clip(clip, adapter.file, node)
    comfy.model_management.load_models_gpu([adapter.knowledge])
    return knowledge_features([graph], word_encoder(clip, adapter), adapter.knowledge.model)


# by the names of `sg_models.adapters.variants.PHRASE_ENCODERS`
ENCODERS = {CLIP: clip_features, BERT: bert_features, STRUCTURE_CLIP: structure_clip_features}


def check_clip(clip: comfy.sd.CLIP | None, file: Adapter, node: str) -> None:
    """Raises `ValueError` in words unless the CLIP is of the kind that belongs to the adapter's base.

    Stable Diffusion 2.1 and 2.1-base have the same one, so that those two cannot be told apart by it.
    """
    if clip is None:
        raise ValueError(NO_CLIP.format(name=file.name, node=node))
    if getattr(clip.tokenizer, "clip_name", None) != FAMILIES[BASES[file.base].family].clip_name:
        raise ValueError(OTHER_CLIP.format(name=file.name, base=BASES[file.base].title, node=node))


def checked_clip_vectors(clip: comfy.sd.CLIP, phrases: list[str], file: Adapter) -> torch.Tensor:
    vectors, wanted = clip_vectors(clip, phrases), file.config["phrase_dim"]
    check_clip_size(vectors, "phrases", wanted, file)
    return vectors


def checked_bert_vectors(bert: LoadedBert, phrases: list[str], file: Adapter) -> torch.Tensor:
    vectors, wanted = bert_vectors(bert, phrases), file.config["phrase_dim"]
    if vectors.shape[-1] != wanted:
        raise ValueError(WRONG_BERT.format(got=vectors.shape[-1], name=file.name, wanted=wanted))
    return vectors


def check_clip_size(vectors: torch.Tensor, what: str, wanted: int, file: Adapter) -> None:
    """Raises `ValueError` in words if vectors [..., D] of a CLIP are not as wide as an adapter wants them."""
    got = vectors.shape[-1]
    if got != wanted:
        base = BASES[file.base].title
        raise ValueError(WRONG_CLIP.format(what=what, got=got, name=file.name, base=base, wanted=wanted))


def word_encoder(
    clip: comfy.sd.CLIP, adapter: LoadedGraphAdapter | LoadedStructureClip
) -> Callable[[list[str]], torch.Tensor]:
    """From P words to vectors [P, W] for the knowledge encoder of an adapter; raises `ValueError` as above."""
    encoder = adapter.knowledge.model

    def encode(words: list[str]) -> torch.Tensor:
        vectors = word_means(clip, words, encoder.length)
        check_clip_size(vectors, "words", encoder.word.in_features, adapter.file)
        return vectors.to(adapter.knowledge.load_device)

    return encode
