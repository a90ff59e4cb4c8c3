"""The node that encodes a scene graph for an adapter."""

import comfy.model_management
from comfy_api.latest import io

from ..sg_models.graph.scene_graph import SceneGraph
from ..sg_models.layers.graph_batch import graph_batch
from .graph_features import graph_features
from .loaded_adapter import LoadedGatedAttention, LoadedGligen, LoadedGraphAdapter, LoadedLayoutControlNet, check_kind
from .socket_types import (
    CATEGORY,
    AdapterSocket,
    BertSocket,
    EmbedsSocket,
    EncodedGraph,
    EncodedGraphs,
    LoadedBert,
    SceneGraphSocket,
)

NODE = "Encode Scene Graph"


class GraphEncoder(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="GraphEncoder",
            display_name=NODE,
            category=CATEGORY,
            description="Encodes a scene graph's objects and relations for an adapter, which makes of them the tokens "
            "that a model attends to, or a layout.",
            search_aliases=["graph encoder", "scene graph conditioning", "grounding tokens"],
            inputs=[
                SceneGraphSocket.Input("scene_graph", tooltip="The graph that the picture shall obey."),
                io.Clip.Input(
                    "clip",
                    optional=True,
                    tooltip="The CLIP of the base model's own checkpoint: it encodes the graph's phrases, each taken "
                    "literally (no prompt weights, no embeddings). Only adapters of BERT phrases do without.",
                ),
                AdapterSocket.Input("adapter", tooltip="The adapter that will use the graph; it holds the encoder."),
                BertSocket.Input(
                    "bert",
                    optional=True,
                    tooltip="From Load BERT Phrase Encoder, for an adapter that was trained on BERT phrases.",
                ),
                io.Int.Input(
                    "layout_seed",
                    default=0,
                    min=0,
                    max=0xFFFFFFFFFFFFFFFF,
                    control_after_generate=io.ControlAfterGenerate.fixed,
                    optional=True,
                    tooltip="Each seed places the objects anew, by all that the graph says; 0 is the one layout that "
                    "the adapter finds best. Boxes that the graph gives stay. Set it to randomize for variety. "
                    "GLIGEN's weights place nothing: with them, the seed is Arrange Scene Graph's.",
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
        cls,
        scene_graph: SceneGraph,
        adapter: LoadedGraphAdapter,
        clip=None,
        bert: LoadedBert | None = None,
        layout_seed: int = 0,
    ) -> io.NodeOutput:
        # importing this takes networkx with it, which ComfyUI's start must not pay
        from ..sg_models.adapters.varied_layouts import vary_layouts

        check_kind(adapter, NODE, LoadedGatedAttention, LoadedGligen, LoadedLayoutControlNet)
        patcher = adapter.patcher
        patcher.model.check_fits(scene_graph)
        features = graph_features(scene_graph, adapter, clip, bert, NODE)
        comfy.model_management.load_models_gpu([patcher])
        [scene_graph] = vary_layouts(patcher.model, [scene_graph], features, [layout_seed])
        batch = graph_batch([scene_graph], features).to(patcher.load_device)
        objects, relations = patcher.model.encode(batch)
        encoded = EncodedGraph(scene_graph, batch, objects, relations)
        keep = comfy.model_management.intermediate_device()
        return io.NodeOutput(EncodedGraphs((encoded.to(keep),), made_by=adapter.identity))
