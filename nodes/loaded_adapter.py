"""Adapter files under ComfyUI's memory management: a class for each kind, and which nodes a kind is for."""

from dataclasses import dataclass
from typing import ClassVar

from comfy.controlnet import ControlNet
from comfy.model_patcher import ModelPatcher

from ..sg_models.adapters.adapter import Adapter
from ..sg_models.adapters.variants import (
    GRAPH_CONDITIONING,
    GSA,
    LAYOUT_CONTROLNET,
    STRUCTURE_CLIP,
    files_in_words,
    noised_clip_name,
)
from .file_identity import FileIdentity

WRONG_KIND = (
    "{name} is for {nodes}, and it is connected to {node}. Connect it there instead, or load a file of {files} in Load "
    "Scene Graph Adapter."
)


@dataclass(frozen=True)
class LoadedAdapter:
    """An adapter file: `file` without its tensors, which have moved into modules, and the file's `identity`."""

    file: Adapter
    identity: FileIdentity

    nodes: ClassVar[str]  # for which this kind is, in the words of a sentence
    files: ClassVar[str]  # of this kind


@dataclass(frozen=True)
class LoadedGraphAdapter(LoadedAdapter):
    """One that encodes graphs.

    `patcher.model` has the graph encoder, and what makes of its output what the kind is for. `knowledge` is the encoder
    of phrases that depend on their graph, None where the adapter was trained on CLIP's or BERT's.
    """

    patcher: ModelPatcher
    knowledge: ModelPatcher | None


@dataclass(frozen=True)
class LoadedGatedAttention(LoadedGraphAdapter):
    """Of variants (v), (vi) and (vii): `patcher.model` is a `GSAAdapter`."""

    nodes = "Encode Scene Graph and Apply Scene Graph"
    files = files_in_words(GSA)


@dataclass(frozen=True)
class LoadedGligen(LoadedGraphAdapter):
    """GLIGEN's public weights: `patcher.model` is a `GligenAdapter`."""

    nodes = LoadedGatedAttention.nodes
    files = "GLIGEN's weights, such as gligen_sd14_textbox_pruned_fp16"


@dataclass(frozen=True)
class LoadedLayoutControlNet(LoadedGraphAdapter):
    """Of variants (iii) and (iv): `patcher.model` is a `LayoutAdapter`.

    `prompt_dim` is the width of the prompts that the ControlNet was trained with.
    """

    controlnet: ControlNet
    prompt_dim: int

    nodes = "Encode Scene Graph, Predict Layout and Apply Layout ControlNet"
    files = files_in_words(LAYOUT_CONTROLNET)


@dataclass(frozen=True)
class LoadedGraphConditioning(LoadedGraphAdapter):
    """Of (gc): `patcher.model` is a `GraphConditioning`."""

    nodes = "Graph Conditioning"
    files = files_in_words(GRAPH_CONDITIONING)


@dataclass(frozen=True)
class LoadedStructureClip(LoadedAdapter):
    """Of variant (ii): its knowledge encoder."""

    knowledge: ModelPatcher

    nodes = "Structure-CLIP Encode"
    files = files_in_words(STRUCTURE_CLIP)


@dataclass(frozen=True)
class LoadedNoisedClip(LoadedAdapter):
    """Eyes of guidance: `patcher.model` has the encoder for noisy latents, `noised`, and may have a tower, `clean`."""

    patcher: ModelPatcher

    nodes = "Language, Image and Graph Guidance"
    files = f"an eye for noise, such as {noised_clip_name('sg-mini').removesuffix('.safetensors')}"


def check_kind(adapter: LoadedAdapter, node: str, *kinds: type[LoadedAdapter]) -> None:
    """Raises `ValueError` in words if an adapter is of none of these kinds, the ones that a node takes."""
    if not isinstance(adapter, kinds):
        files = ", or of ".join(kind.files for kind in kinds)
        raise ValueError(WRONG_KIND.format(name=adapter.file.name, nodes=adapter.nodes, node=node, files=files))
