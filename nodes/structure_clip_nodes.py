"""The node that reads a scene graph with Structure-CLIP, for the LoRA of variant (ii)."""

import comfy.model_management
from comfy_api.latest import io

from ..sg_models.graph.caption import caption
from ..sg_models.graph.scene_graph import SceneGraph
from .graph_features import check_clip, check_clip_size, word_encoder
from .loaded_adapter import LoadedStructureClip, check_kind
from .phrase_vectors import caption_states
from .socket_types import CATEGORY, AdapterSocket, SceneGraphSocket

NODE = "Structure-CLIP Encode"


class SGStructureCLIPEncode(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="SGStructureCLIPEncode",
            display_name=NODE,
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
    def execute(cls, scene_graph: SceneGraph, clip, adapter: LoadedStructureClip, knowledge: float) -> io.NodeOutput:
        # importing this takes torch-geometric with it: over a second that ComfyUI's start must not pay
        from ..sg_models.adapters.structure_clip import graph_knowledge, with_knowledge

        check_kind(adapter, NODE, LoadedStructureClip)
        check_clip(clip, adapter.file, NODE)
        states = caption_states(clip, caption(scene_graph))  # [1, 77, D]
        encoder = adapter.knowledge.model
        check_clip_size(states, "captions", encoder.dim, adapter.file)
        comfy.model_management.load_models_gpu([adapter.knowledge])
        triples = graph_knowledge([scene_graph], word_encoder(clip, adapter), encoder)
        weight = knowledge * adapter.file.config["knowledge_weight"]
        return io.NodeOutput([[with_knowledge(states, triples.to(states), weight), {}]])
