"""The node that lets every place of a picture read the phrase of what belongs there. It needs no trained weights."""

import logging
from functools import partial

import comfy.sd
from comfy.model_patcher import ModelPatcher
from comfy_api.latest import io
from server import PromptServer
from torch import Tensor

from ..sg_models.graph.scene_graph import SceneGraph
from .graph_regions import graph_regions
from .per_picture import LATENT_TOOLTIP, per_picture
from .regional_inputs import check_fits, side_by_side
from .regional_patch import RegionalPatch
from .single_values import one
from .socket_types import CATEGORY, SceneGraphSocket

NODE = "Regional Prompt"


class SGRegionalPrompt(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        part = {"min": 0.0, "max": 1.0, "step": 0.01}
        return io.Schema(
            node_id="SGRegionalPrompt",
            display_name=NODE,
            category=CATEGORY,
            description="Every object's phrase is read inside its box, the prompt everywhere else: on any Stable "
            "Diffusion 1.x, 2.x or SDXL, without an adapter. One UNet call per step, as without it.",
            search_aliases=["regional prompt", "attention couple", "regions", "boxes to prompts", "without training"],
            is_input_list=True,  # a list of graphs is a graph for each picture of a batch
            inputs=[
                # the first three as the outputs: whoever bypasses the node gets each of them back in its place
                io.Model.Input(
                    "model", tooltip="Any model whose UNet reads prompts by cross-attention, LoRAs and all."
                ),
                io.Conditioning.Input(
                    "positive",
                    tooltip="The prompt, which is read wherever no box is. Let it name all: Scene Graph Caption does.",
                ),
                io.Conditioning.Input("negative", tooltip="The negative prompt. It has no regions."),
                SceneGraphSocket.Input(
                    "scene_graph",
                    tooltip="A graph whose objects have boxes, written in it (@ x0 y0 x1 y1) or by Arrange Scene "
                    "Graph. A list of graphs (Create List) is a graph for each picture of a batch.",
                ),
                io.Clip.Input(
                    "clip",
                    tooltip="The CLIP that encoded the prompt. It reads each object's phrase literally: no prompt "
                    "weights, no embeddings.",
                ),
                io.Float.Input(
                    "strength",
                    default=1.0,
                    min=0.0,
                    max=2.0,
                    step=0.05,
                    tooltip="How much of the regions there is: 0 leaves the model as it was, at no cost; above 1 what "
                    "they change is exaggerated.",
                ),
                io.Float.Input(
                    "base_weight",
                    default=0.3,
                    tooltip="How much a place inside a box still reads the prompt. More holds the picture together, "
                    "less keeps objects apart.",
                    **part,
                ),
                io.Float.Input(
                    "start",
                    default=0.0,
                    advanced=True,
                    tooltip="The part of sampling after which the regions come in.",
                    **part,
                ),
                io.Float.Input(
                    "end",
                    default=1.0,
                    advanced=True,
                    tooltip="The part of sampling after which the regions are let go and the prompt alone finishes the "
                    "picture: softer edges, and less time.",
                    **part,
                ),
                io.Mask.Input(
                    "masks",
                    optional=True,
                    tooltip="A mask for each object, in the graph's order, instead of its box: from Predict Layout, or "
                    "any other. Of several graphs: all masks of the first, then those of the next.",
                ),
                io.Latent.Input("latent", optional=True, tooltip=LATENT_TOOLTIP),
            ],
            hidden=[io.Hidden.unique_id],
            outputs=[
                io.Model.Output(id="model_out", display_name="model", tooltip="The model with regional attention."),
                io.Conditioning.Output(
                    id="positive_out",
                    display_name="positive",
                    tooltip="The prompt with the regions. Connect it to the same sampler as the model.",
                ),
                io.Conditioning.Output(
                    id="negative_out",
                    display_name="negative",
                    tooltip="The negative prompt, marked as without regions. Connect it to the same sampler.",
                ),
            ],
        )

    @classmethod
    def execute(
        cls,
        model: list[ModelPatcher],
        positive: list[list],
        negative: list[list],
        scene_graph: list[SceneGraph],
        clip: list[comfy.sd.CLIP],
        strength: list[float],
        base_weight: list[float],
        start: list[float],
        end: list[float],
        masks: list[Tensor] | None = None,
        latent: list[dict] | None = None,
    ) -> io.NodeOutput:
        single = partial(one, NODE, lists="Graphs, masks and prompts")
        base, without = single("model", model), single("negative", negative)
        if strength[0] == 0.0 or start[0] >= end[0]:
            return io.NodeOutput(base, side_by_side(positive, len(scene_graph), None), without)
        found = graph_regions(scene_graph, single("clip", clip), masks)
        check_fits(base, found.contexts, positive, without)
        cls.say(found.warnings)
        drawn = single("latent", latent) if latent else None
        contexts, places = (per_picture(rows, drawn, NODE, "graphs") for rows in (found.contexts, found.places))
        prompt = side_by_side(positive, len(scene_graph), places.places if places.chosen else None)
        whole_run = start[0] == 0.0 and end[0] == 1.0
        to_sigma = base.get_model_object("model_sampling").percent_to_sigma
        schedule = None if whole_run else (to_sigma(start[0]), to_sigma(end[0]))
        patch = RegionalPatch(base_weight[0], strength[0], schedule, found.phrases, found.extents)
        return io.NodeOutput(
            patch.apply_to(base),
            patch.attach(prompt, contexts, places),
            patch.attach_none(without, contexts, places),
        )

    @classmethod
    def say(cls, warnings: list[str]) -> None:
        """On the node and in the log: what of the graph has no place of its own."""
        for warning in warnings:
            logging.warning("%s: %s", NODE, warning)
        if hasattr(PromptServer, "instance"):  # not where a script calls the node
            text = "\n".join(f"Warning: {warning}" for warning in warnings)
            PromptServer.instance.send_progress_text(text, cls.hidden.unique_id)
