"""The node that makes a model obey a scene graph through gated self-attention."""

from collections.abc import Callable

import comfy.conds
import comfy.model_management
import torch
from comfy.model_patcher import ModelPatcher
from comfy_api.latest import io
from torch import Tensor

from ..sg_models.graph.visible_boxes import check_visible
from ..sg_models.layers.gated_attention import as_padding
from .gated_attention_patch import GatedAttentionPatch
from .loaded_adapter import LoadedGatedAttention, LoadedGligen, check_kind
from .loaded_base import check_model
from .per_picture import LATENT_TOOLTIP, per_picture
from .socket_types import CATEGORY, AdapterSocket, EmbedsSocket, EncodedGraphs

NODE = "Apply Scene Graph"
OTHER_ADAPTER = (
    "The embeds were made by another adapter than the one connected here. Connect the same Load Scene Graph Adapter "
    "node to Encode Scene Graph and to Apply Scene Graph."
)


class GatedSelfAttentionPatch(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="GatedSelfAttentionPatch",
            display_name=NODE,
            category=CATEGORY,
            description="Makes the model obey a scene graph: every transformer block of the UNet also attends to the "
            "graph's objects and relations. Costs one UNet call per step, as without it.",
            search_aliases=["gated self-attention", "gligen", "gsa", "apply scene graph", "scene graph conditioning"],
            inputs=[
                # the first three as the outputs: whoever bypasses the node gets each of them back in its place
                io.Model.Input("model", tooltip="The base that the adapter was trained on, LoRAs and all."),
                io.Conditioning.Input("positive", tooltip="The prompt. It gets the graph's tokens."),
                io.Conditioning.Input("negative", tooltip='The negative prompt. It gets the tokens for "no graph".'),
                AdapterSocket.Input("adapter", tooltip="The adapter that also encoded the graph."),
                EmbedsSocket.Input("embeds", tooltip="The encoded graph, from Encode Scene Graph."),
                io.Float.Input(
                    "strength",
                    default=1.0,
                    min=0.0,
                    max=2.0,
                    step=0.05,
                    tooltip="How strongly the picture follows the graph. 1 is what the adapter was trained with; 0 "
                    "leaves the model as it was, at no cost.",
                ),
                io.Float.Input(
                    "start",
                    default=0.0,
                    min=0.0,
                    max=1.0,
                    step=0.01,
                    advanced=True,
                    tooltip="The part of sampling after which the graph comes in. The layout is settled early: "
                    "leave this at 0 unless you know why.",
                ),
                io.Float.Input(
                    "end",
                    default=1.0,
                    min=0.0,
                    max=1.0,
                    step=0.01,
                    advanced=True,
                    tooltip="The part of sampling after which the graph is let go, so that the base alone finishes "
                    "the details. With GLIGEN's weights 0.3 to 0.4: later they cost realism, and may repeat objects. "
                    "This pack's own adapters lose much obedience below 1.",
                ),
                io.Boolean.Input(
                    "on_negative",
                    default=True,
                    advanced=True,
                    tooltip='Whether the negative prompt gets the tokens for "no graph" that the adapter was trained '
                    "with. Off, the adapter's layers run on the positive half of each step alone: the graph costs "
                    "little over half as much, and SG-Mini hardly obeys less.",
                ),
                io.Latent.Input("latent", optional=True, tooltip=LATENT_TOOLTIP),
                io.Boolean.Input(
                    "masks",
                    default=False,
                    optional=True,
                    advanced=True,
                    tooltip="For GLIGEN's weights alone: whether an object is seen from inside its box only, as with "
                    "this pack's own adapters, which always do so. GLIGEN was not trained so.",
                ),
            ],
            outputs=[
                io.Model.Output(id="model_out", display_name="model", tooltip="The model with the graph's attention."),
                io.Conditioning.Output(
                    id="positive_out",
                    display_name="positive",
                    tooltip="The prompt with the graph's tokens. Connect it to the same sampler as the model.",
                ),
                io.Conditioning.Output(
                    id="negative_out",
                    display_name="negative",
                    tooltip='The negative prompt with the "no graph" tokens. Connect it to the same sampler.',
                ),
            ],
        )

    @classmethod
    def execute(
        cls,
        model: ModelPatcher,
        positive: list,
        negative: list,
        adapter: LoadedGatedAttention | LoadedGligen,
        embeds: EncodedGraphs,
        strength: float,
        start: float,
        end: float,
        on_negative: bool = True,
        latent: dict | None = None,
        masks: bool = False,
    ) -> io.NodeOutput:
        check_kind(adapter, NODE, LoadedGatedAttention, LoadedGligen)
        if embeds.made_by != adapter.identity:
            raise ValueError(OTHER_ADAPTER)
        check_model(model, adapter.file, NODE)
        if strength == 0.0 or start >= end:
            return io.NodeOutput(model, positive, negative)
        whole_run = start == 0.0 and end == 1.0
        to_sigma = model.get_model_object("model_sampling").percent_to_sigma
        schedule = None if whole_run else (to_sigma(start), to_sigma(end))
        is_gligen = isinstance(adapter, LoadedGligen)
        patch = GatedAttentionPatch(
            adapter.patcher,
            strength,
            schedule,
            skip_padding=not on_negative,
            masked=masks or not is_gligen,
            check_size=visibility_check(embeds) if is_gligen else None,
        )
        tokens, nulls = grounding_tokens(adapter, embeds)
        return io.NodeOutput(
            patch.apply_to(model),
            patch.attach(positive, per_picture(tokens, latent, NODE, "graphs")),
            # always, and with as many tokens: else the UNet runs twice per step
            patch.attach(negative, comfy.conds.CONDRegular(nulls if on_negative else as_padding(nulls))),
        )


def visibility_check(embeds: EncodedGraphs) -> Callable[[tuple[int, int]], None]:
    """What raises `SceneGraphError` for a box that is too small in latents of a size (h, w)."""

    def check(size: tuple[int, int]) -> None:
        for encoded in embeds.graphs:
            check_visible(encoded.graph, size, "GLIGEN needs")

    return check


def grounding_tokens(adapter: LoadedGatedAttention | LoadedGligen, embeds: EncodedGraphs) -> tuple[Tensor, Tensor]:
    """What gated self-attention is given of G graphs [G, T, D + 5], and what stands for "no graph" [1, T, D + 5]."""
    comfy.model_management.load_models_gpu([adapter.patcher])
    ground, device = adapter.patcher.model.ground, adapter.patcher.load_device
    tokens = torch.cat([ground(g.objects, g.relations, g.batch) for g in (graph.to(device) for graph in embeds.graphs)])
    nulls = adapter.patcher.model.null_tokens(1).to(tokens)
    keep = comfy.model_management.intermediate_device()
    return tokens.to(keep), nulls.to(keep)
