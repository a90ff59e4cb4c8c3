"""The node that turns a scene graph into grounding tokens."""

import comfy.model_management
import torch
from comfy_api.latest import io

from .phrase_vectors import phrase_vectors
from .socket_types import CATEGORY, AdapterSocket, EmbedsSocket, GraphEmbeds, LoadedAdapter, SceneGraphSocket

NO_CLIP = (
    "Encode Scene Graph got no CLIP: the checkpoint that it comes from holds no text encoder. Connect the CLIP output "
    "of a Load Checkpoint node whose file has one."
)
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
            description="Encodes a scene graph's objects and relations as the tokens that an adapter attends to, and "
            "gives a box to every object that has none.",
            search_aliases=["graph encoder", "scene graph conditioning", "grounding tokens"],
            inputs=[
                SceneGraphSocket.Input("scene_graph", tooltip="The graph that the picture shall obey."),
                io.Clip.Input(
                    "clip",
                    tooltip="The CLIP of the base model's own checkpoint: it encodes the graph's phrases, each taken "
                    "literally (no prompt weights, no embeddings).",
                ),
                AdapterSocket.Input("adapter", tooltip="The adapter that will use the tokens; it holds the encoder."),
            ],
            outputs=[
                EmbedsSocket.Output(
                    id="embeds",
                    display_name="embeds",
                    tooltip="One token per object and relation, for Apply Scene Graph with the same adapter.",
                )
            ],
        )

    @classmethod
    def execute(cls, scene_graph, clip, adapter: LoadedAdapter) -> io.NodeOutput:
        # importing this takes torch-geometric with it: over a second that ComfyUI's start must not pay
        from ..sg_models.gsa_adapter import graph_phrases

        if clip is None:
            raise ValueError(NO_CLIP)
        vectors = phrase_vectors(clip, graph_phrases([scene_graph]))
        check_width(vectors, adapter)
        comfy.model_management.load_models_gpu([adapter.patcher])
        tokens = adapter.patcher.model.tokens([scene_graph], vectors)  # [1, T, D + 5]
        null_tokens = adapter.patcher.model.null_tokens(len(tokens)).to(tokens)  # [1, T, D + 5]
        keep = comfy.model_management.intermediate_device()
        return io.NodeOutput(GraphEmbeds(tokens.to(keep), null_tokens.to(keep), made_by=adapter.identity))


def check_width(vectors: dict[str, torch.Tensor], adapter: LoadedAdapter) -> None:
    """Raises `ValueError` in words if the text encoder is not the one that the adapter was trained with."""
    wanted = adapter.file.config["phrase_dim"]
    for vector in vectors.values():
        if len(vector) != wanted:
            raise ValueError(
                WRONG_CLIP.format(got=len(vector), name=adapter.file.name, base=adapter.file.base, wanted=wanted)
            )
