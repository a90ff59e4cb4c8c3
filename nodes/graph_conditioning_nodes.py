"""The node that puts a scene graph among the labels of its objects, for what was trained to read that: (gc)."""

import comfy.conds
import comfy.model_management
import comfy.sd
import torch
from comfy_api.latest import io

from ..sg_models.graph.caption import labels
from ..sg_models.graph.scene_graph import SceneGraph
from .graph_features import check_clip_size, graph_features
from .loaded_adapter import LoadedGraphConditioning, check_kind
from .per_picture import LATENT_TOOLTIP, per_picture
from .phrase_vectors import text_states
from .single_values import one
from .socket_types import CATEGORY, AdapterSocket, SceneGraphSocket

NODE = "Graph Conditioning"
COUNTED = "scene_graph_pictures"


class SGGraphConditioning(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="SGGraphConditioning",
            display_name=NODE,
            category=CATEGORY,
            description="A scene graph as conditioning: the labels of its objects, read by CLIP, with one vector of "
            "the whole graph among them. For a model with the LoRA that was trained on it.",
            search_aliases=["graph conditioning", "clip-aligned graph", "scene graph to conditioning", "gca"],
            is_input_list=True,  # a list of graphs is a graph for each picture of a batch
            inputs=[
                SceneGraphSocket.Input(
                    "scene_graph",
                    tooltip="The graph that the picture shall obey. A list of graphs (Create List) is a graph for each "
                    "picture of a batch.",
                ),
                io.Clip.Input(
                    "clip",
                    tooltip="The CLIP of the base model's own checkpoint, without a LoRA. Labels and phrases are taken "
                    "literally (no prompt weights, no embeddings).",
                ),
                AdapterSocket.Input(
                    "adapter", tooltip="A graph-conditioning file; it holds the graph encoder, aligned with CLIP."
                ),
                io.Latent.Input("latent", optional=True, tooltip=LATENT_TOOLTIP),
            ],
            outputs=[
                io.Conditioning.Output(
                    id="positive", display_name="positive", tooltip="The positive conditioning of a sampler."
                ),
                io.Conditioning.Output(
                    id="negative",
                    display_name="negative",
                    tooltip="What the model learned as no graph: the negative conditioning of the same sampler.",
                ),
            ],
        )

    @classmethod
    def execute(
        cls,
        scene_graph: list[SceneGraph],
        clip: list[comfy.sd.CLIP],
        adapter: list[LoadedGraphConditioning],
        latent: list[dict] | None = None,
    ) -> io.NodeOutput:
        loaded, reader = one(NODE, "adapter", adapter), one(NODE, "clip", clip)
        check_kind(loaded, NODE, LoadedGraphConditioning)
        features = [graph_features(graph, loaded, reader, None, NODE)[0] for graph in scene_graph]
        texts = [labels(graph) for graph in scene_graph]
        states, ends = text_states(reader, [*texts, ""])  # [G + 1, 77, D]
        check_clip_size(states, "words", loaded.file.config["context_dim"], loaded.file)
        comfy.model_management.load_models_gpu([loaded.patcher])
        device, keep = loaded.patcher.load_device, comfy.model_management.intermediate_device()
        states, module = states.to(device), loaded.patcher.model
        positive = module.context(scene_graph, features, states[:-1], ends[:-1]).to(keep)
        negative = module.signal.without_graph(states[-1:], ends[-1:]).to(keep)
        drawn = one(NODE, "latent", latent) if latent else None
        rows = per_picture(positive, drawn, NODE, "graphs")
        if len(scene_graph) == 1:
            return io.NodeOutput([[rows.cond, {}]], [[negative, {}]])
        # what a prompt has too many rows of, ComfyUI leaves out: a number for each row beside it is counted, and unread
        counted = {COUNTED: rows.with_rows(torch.zeros(len(rows.cond), 1))}
        uncounted = {COUNTED: comfy.conds.CONDRegular(torch.zeros(1, 1))}  # the same, or the UNet runs twice per step
        return io.NodeOutput([[rows.cond, {"model_conds": counted}]], [[negative, {"model_conds": uncounted}]])
