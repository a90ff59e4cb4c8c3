"""The node that reads a scene graph with Structure-CLIP, for the LoRA of variant (ii)."""

import comfy.model_management
from comfy_api.latest import io

from ..sg_models.graph.caption import caption
from ..sg_models.graph.scene_graph import SceneGraph
from .adapter_kinds import STRUCTURE_CLIP, check_kind
from .phrase_vectors import caption_states, word_means
from .socket_types import CATEGORY, AdapterSocket, LoadedAdapter, SceneGraphSocket

NO_CLIP = (
    "Structure-CLIP Encode got no CLIP: the checkpoint that it comes from holds no text encoder. Connect the CLIP "
    "output of a Load Checkpoint node whose file has one."
)
WRONG_CLIP = (
    "This CLIP has words of {got} numbers, but {name} was trained on {base} with {wanted}. Connect the CLIP output of "
    "the Load Checkpoint node that loads {base}."
)


class SGStructureCLIPEncode(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="SGStructureCLIPEncode",
            display_name="Structure-CLIP Encode",
            category=CATEGORY,
            description="A scene graph as conditioning: its caption, read by CLIP, with the knowledge of its triples "
            "added. For a model with the LoRA that was trained on it.",
            search_aliases=["structure-clip", "knowledge encoder", "scene graph to conditioning"],
            inputs=[
                SceneGraphSocket.Input("scene_graph", tooltip="The graph that the picture shall obey."),
                io.Clip.Input(
                    "clip",
                    tooltip="The CLIP of the base model's own checkpoint, without a LoRA. The caption is taken "
                    "literally (no prompt weights, no embeddings) and cut at CLIP's 77 tokens.",
                ),
                AdapterSocket.Input("adapter", tooltip="A structure-clip file; it holds the knowledge encoder."),
                io.Float.Input(
                    "knowledge",
                    default=1.0,
                    min=0.0,
                    max=5.0,
                    step=0.05,
                    advanced=True,
                    tooltip="How much the triples count beside the caption: 1 is as in training, 0 is CLIP alone.",
                ),
            ],
            outputs=[
                io.Conditioning.Output(
                    id="conditioning", display_name="conditioning", tooltip="The positive conditioning of a sampler."
                )
            ],
        )

    @classmethod
    def execute(cls, scene_graph: SceneGraph, clip, adapter: LoadedAdapter, knowledge: float) -> io.NodeOutput:
        # importing this takes torch-geometric with it: over a second that ComfyUI's start must not pay
        from ..sg_models.adapters.structure_clip import graph_knowledge, with_knowledge

        check_kind(adapter, "Structure-CLIP Encode", STRUCTURE_CLIP)
        if clip is None:
            raise ValueError(NO_CLIP)
        states = caption_states(clip, caption(scene_graph))  # [1, 77, D]
        encoder = adapter.knowledge.model
        comfy.model_management.load_models_gpu([adapter.knowledge])
        told = graph_knowledge([scene_graph], lambda words: checked_words(words, clip, adapter), encoder)
        weight = knowledge * adapter.file.config["knowledge_weight"]
        return io.NodeOutput([[with_knowledge(states, told.to(states), weight), {}]])


def checked_words(words: list[str], clip, adapter: LoadedAdapter):
    """Word vectors [P, W] for an adapter's knowledge encoder; raises `ValueError` in words for another base's CLIP."""
    encoder = adapter.knowledge.model
    vectors = word_means(clip, words, encoder.length)
    wanted = encoder.word.in_features
    if vectors.shape[1] != wanted:
        raise ValueError(
            WRONG_CLIP.format(got=vectors.shape[1], name=adapter.file.name, base=adapter.file.base, wanted=wanted)
        )
    return vectors.to(adapter.knowledge.load_device)
