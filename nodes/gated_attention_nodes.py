"""The node that makes a model obey a scene graph through gated self-attention."""

import comfy.model_sampling
import comfy.supported_models
from comfy.model_base import ModelType
from comfy.model_patcher import ModelPatcher
from comfy_api.latest import io

from ..sg_models.bases import sg_mini
from ..sg_models.layers.gated_attention import as_padding
from .adapter_kinds import GSA, check_kind
from .gated_attention_patch import GatedAttentionPatch
from .sg_mini_base import SGMini
from .socket_types import CATEGORY, AdapterSocket, EmbedsSocket, GraphEmbeds, LoadedAdapter

PREDICTIONS = {ModelType.EPS: "epsilon", ModelType.V_PREDICTION: "v_prediction"}
WRONG_FAMILY = (
    "Apply Scene Graph needs a Stable Diffusion 2.x or SG-Mini model, got {family}. Load the base that the adapter was "
    "trained on: {base}."
)
OTHER_ADAPTER = (
    "The embeds were made by another adapter than the one connected here. Connect the same Load Scene Graph Adapter "
    "node to Encode Scene Graph and to Apply Scene Graph."
)


class GatedSelfAttentionPatch(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="GatedSelfAttentionPatch",
            display_name="Apply Scene Graph",
            category=CATEGORY,
            description="Makes the model obey a scene graph: every transformer block of the UNet also attends to the "
            "graph's objects and relations. Costs one UNet call per step, as without it.",
            search_aliases=["gated self-attention", "gligen", "gsa", "apply scene graph", "scene graph conditioning"],
            inputs=[
                io.Model.Input("model", tooltip="The base that the adapter was trained on, LoRAs and all."),
                AdapterSocket.Input("adapter", tooltip="The adapter that also encoded the graph."),
                EmbedsSocket.Input("embeds", tooltip="The encoded graph, from Encode Scene Graph."),
                io.Conditioning.Input("positive", tooltip="The prompt. It gets the graph's tokens."),
                io.Conditioning.Input("negative", tooltip='The negative prompt. It gets the tokens for "no graph".'),
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
                    "the details.",
                ),
                io.Boolean.Input(
                    "on_negative",
                    default=True,
                    advanced=True,
                    tooltip='Whether the negative prompt gets the tokens for "no graph" that the adapter was trained '
                    "with. Off, the adapter's layers run on the positive half of each step alone: the graph costs half "
                    "as much, and SG-Mini hardly obeys less.",
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
        adapter: LoadedAdapter,
        embeds: GraphEmbeds,
        positive: list,
        negative: list,
        strength: float,
        start: float,
        end: float,
        on_negative: bool = True,
    ) -> io.NodeOutput:
        check_kind(adapter, "Apply Scene Graph", GSA)
        if embeds.made_by != adapter.identity:
            raise ValueError(OTHER_ADAPTER)
        adapter.file.check_base(*base_and_prediction(model, adapter.file.base))
        if strength == 0.0 or start >= end:
            return io.NodeOutput(model, positive, negative)
        whole_run = start == 0.0 and end == 1.0
        to_sigma = model.get_model_object("model_sampling").percent_to_sigma
        schedule = None if whole_run else (to_sigma(start), to_sigma(end))
        patch = GatedAttentionPatch(adapter.patcher, strength, schedule, skip_padding=not on_negative)
        nulls = embeds.null_tokens if on_negative else as_padding(embeds.null_tokens)
        return io.NodeOutput(
            patch.apply_to(model),
            patch.attach(positive, embeds.tokens),
            patch.attach(negative, nulls),  # always, and with as many tokens: else the UNet runs twice per step
        )


def base_and_prediction(model: ModelPatcher, wanted_base: str) -> tuple[str, str]:
    """Which of this project's bases a model is, and what it predicts ("epsilon" or "v_prediction").

    Raises `ValueError` in words if it is none of them.
    """
    config, predicted = model.model.model_config, prediction_type(model)
    if predicted is not None and isinstance(config, SGMini):
        return sg_mini.NAME, predicted
    if predicted is not None and type(config) is comfy.supported_models.SD20:
        return ("sd21" if predicted == "v_prediction" else "sd21-base"), predicted
    what = f"{type(config).__name__} ({model.model.model_type.name})"
    raise ValueError(WRONG_FAMILY.format(family=what, base=wanted_base))


def prediction_type(model: ModelPatcher) -> str | None:
    """What a model predicts, None for anything but "epsilon" and "v_prediction".

    ComfyUI guesses it from the checkpoint's weights; core's *ModelSamplingDiscrete* is how users set it right.
    """
    sampling = model.object_patches.get("model_sampling")
    if sampling is None:
        return PREDICTIONS.get(model.model.model_type)
    return "v_prediction" if isinstance(sampling, comfy.model_sampling.V_PREDICTION) else "epsilon"
