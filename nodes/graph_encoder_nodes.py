"""The node that encodes a scene graph for an adapter: as grounding tokens, or as what a layout is predicted from."""

import comfy.model_management
import torch
from comfy_api.latest import io

from ..sg_models.adapters.phrase_features import Features, phrase_features
from ..sg_models.graph.scene_graph import SceneGraph
from .adapter_kinds import GSA, LAYOUT_CONTROLNET, check_kind
from .phrase_vectors import bert_vectors, clip_vectors
from .socket_types import (
    CATEGORY,
    AdapterSocket,
    BertSocket,
    EmbedsSocket,
    GraphEmbeds,
    LoadedAdapter,
    LoadedBert,
    ObjectEmbeds,
    SceneGraphSocket,
)
from .structure_clip_nodes import checked_words

NO_CLIP = (
    "{name} was trained on CLIP phrases, and Encode Scene Graph got no CLIP: none is connected, or the checkpoint that "
    "it comes from holds no text encoder. Connect the CLIP output of a Load Checkpoint node whose file has one."
)
NO_BERT = (
    "{name} was trained on BERT phrases, and Encode Scene Graph got no BERT. Connect a Load BERT Phrase Encoder node "
    "to its bert input."
)
WRONG_BERT = (
    "This BERT gives phrases of {got} numbers, but {name} was trained with {wanted}. Choose the BERT that it was "
    "trained on in Load BERT Phrase Encoder."
)
UNKNOWN_ENCODER = "{name} was trained on {encoder} phrases, which this version cannot encode. Update the pack."
WRONG_CLIP = (
    "This CLIP gives phrases of {got} numbers, but {name} was trained on {base} with {wanted}. Connect "
    "the CLIP output of the Load Checkpoint node that loads {base}."
)


class GraphEncoder(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="GraphEncoder",
            display_name="Encode Scene Graph",
            category=CATEGORY,
            description="Encodes a scene graph's objects and relations for an adapter: as tokens that it attends to, "
            "each object with a box, or as what a layout is predicted from.",
            search_aliases=["graph encoder", "scene graph conditioning", "grounding tokens"],
            inputs=[
                SceneGraphSocket.Input("scene_graph", tooltip="The graph that the picture shall obey."),
                io.Clip.Input(
                    "clip",
                    optional=True,
                    tooltip="The CLIP of the base model's own checkpoint: it encodes the graph's phrases, each taken "
                    "literally (no prompt weights, no embeddings). Only adapters of BERT phrases do without.",
                ),
                AdapterSocket.Input("adapter", tooltip="The adapter that will use the tokens; it holds the encoder."),
                BertSocket.Input(
                    "bert",
                    optional=True,
                    tooltip="From Load BERT Phrase Encoder, for an adapter that was trained on BERT phrases.",
                ),
            ],
            outputs=[
                EmbedsSocket.Output(
                    id="embeds",
                    display_name="embeds",
                    tooltip="For Apply Scene Graph or, with a layout adapter, Predict Layout. Connect the same adapter "
                    "there.",
                )
            ],
        )

    @classmethod
    def execute(
        cls, scene_graph: SceneGraph, adapter: LoadedAdapter, clip=None, bert: LoadedBert | None = None
    ) -> io.NodeOutput:
        check_kind(adapter, "Encode Scene Graph", GSA, LAYOUT_CONTROLNET)
        if adapter.knowledge is not None:
            features = known(scene_graph, adapter, clip)
        else:
            features = phrase_features([scene_graph], lambda phrases: encoded(phrases, adapter, clip, bert))
        comfy.model_management.load_models_gpu([adapter.patcher])
        embeds = object_embeds if adapter.file.kind == LAYOUT_CONTROLNET else graph_embeds
        return io.NodeOutput(embeds(scene_graph, features, adapter))


def graph_embeds(graph: SceneGraph, features: list[Features], adapter: LoadedAdapter) -> GraphEmbeds:
    """The tokens that gated self-attention is given."""
    tokens = adapter.patcher.model.tokens([graph], features)  # [1, T, D + 5]
    null_tokens = adapter.patcher.model.null_tokens(len(tokens)).to(tokens)  # [1, T, D + 5]
    keep = comfy.model_management.intermediate_device()
    return GraphEmbeds(tokens.to(keep), null_tokens.to(keep), made_by=adapter.identity)


def object_embeds(graph: SceneGraph, features: list[Features], adapter: LoadedAdapter) -> ObjectEmbeds:
    """What a layout is predicted from."""
    # importing this takes torch-geometric with it: over a second that ComfyUI's start must not pay
    from ..sg_models.adapters.layout_adapter import graph_batch

    adapter.patcher.model.check_fits(graph)
    data = graph_batch([graph], features).to(adapter.patcher.load_device)
    objects, relations = adapter.patcher.model.graph_encoder(data.x, data.edge_attr, data.edge_index)
    return ObjectEmbeds(graph, data, objects, relations, made_by=adapter.identity)


def known(graph: SceneGraph, adapter: LoadedAdapter, clip) -> list[Features]:
    """A graph's features from the frozen knowledge encoder in an adapter; raises `ValueError` in words without CLIP."""
    from ..sg_models.adapters.structure_clip import knowledge_features

    if clip is None:
        raise ValueError(NO_CLIP.format(name=adapter.file.name))
    comfy.model_management.load_models_gpu([adapter.knowledge])
    return knowledge_features([graph], lambda words: checked_words(words, clip, adapter), adapter.knowledge.model)


def encoded(phrases: list[str], adapter: LoadedAdapter, clip, bert: LoadedBert | None) -> torch.Tensor:
    """Phrase vectors [P, D] from the encoder that the adapter was trained with.

    Raises `ValueError` in words if that is not connected, or if another one is.
    """
    file = adapter.file
    wanted = file.config["phrase_dim"]
    if file.phrase_encoder == "clip":
        if clip is None:
            raise ValueError(NO_CLIP.format(name=file.name))
        vectors, wrong = clip_vectors(clip, phrases), WRONG_CLIP
    elif file.phrase_encoder == "bert":
        if bert is None:
            raise ValueError(NO_BERT.format(name=file.name))
        vectors, wrong = bert_vectors(bert, phrases), WRONG_BERT
    else:
        raise ValueError(UNKNOWN_ENCODER.format(name=file.name, encoder=file.phrase_encoder))
    if vectors.shape[1] != wanted:
        raise ValueError(wrong.format(got=vectors.shape[1], name=file.name, base=file.base, wanted=wanted))
    return vectors
