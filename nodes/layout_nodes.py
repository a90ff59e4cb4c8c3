"""Nodes that turn a scene graph into a layout, and steer a model with it through a ControlNet."""

import comfy.model_management
import torch
from comfy.model_patcher import ModelPatcher
from comfy_api.latest import io, ui
from torch import Tensor

from .graph_boxes import core_boxes
from .layout_control import DOWNSAMPLING, check_prompts, lay_out, with_layout
from .loaded_adapter import LoadedLayoutControlNet, check_kind
from .loaded_base import check_model
from .per_picture import LATENT_TOOLTIP, per_picture
from .pictures import image_tensor
from .socket_types import (
    CATEGORY,
    AdapterSocket,
    EmbedsSocket,
    EncodedGraph,
    EncodedGraphs,
    LayoutSocket,
    LoadedLayout,
)

PREDICT, APPLY = "Predict Layout", "Apply Layout ControlNet"
OTHER_ADAPTER = (
    "The {what} was made by another adapter than the one connected here. Connect the same Load Scene Graph Adapter "
    "node to Encode Scene Graph, Predict Layout and Apply Layout ControlNet."
)


class LayoutPredictor(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        pixels = {"default": 512, "min": 64, "max": 4096, "step": DOWNSAMPLING}
        return io.Schema(
            node_id="LayoutPredictor",
            display_name=PREDICT,
            category=CATEGORY,
            description="Decides where each object of a scene graph goes and what outline it has. Boxes that the graph "
            "gives are kept, object by object.",
            search_aliases=["layout", "scene layout", "bounding boxes from graph", "sg2im"],
            is_output_node=True,
            inputs=[
                AdapterSocket.Input("adapter", tooltip="The adapter that encoded the graph; it holds the predictor."),
                EmbedsSocket.Input("embeds", tooltip="The encoded graph, from Encode Scene Graph."),
                io.Int.Input("width", tooltip="Of the picture in pixels: for boxes, masks and drawings.", **pixels),
                io.Int.Input("height", tooltip="Of the picture in pixels: for boxes, masks and drawings.", **pixels),
            ],
            outputs=[
                LayoutSocket.Output(id="layout", display_name="layout", tooltip="For Apply Layout ControlNet."),
                io.BoundingBox.Output(
                    id="bboxes", display_name="bboxes", tooltip="A box per object, in pixels, for core's box nodes."
                ),
                io.Mask.Output(id="masks", display_name="masks", tooltip="A mask per object, in the graph's order."),
                io.Image.Output(id="drawing", display_name="drawing", tooltip="The boxes with their labels."),
                io.Image.Output(
                    id="semantic_map",
                    display_name="semantic map",
                    tooltip="Each place in the colour of what it shows, for ordinary segmentation ControlNets.",
                ),
            ],
        )

    @classmethod
    def execute(cls, adapter: LoadedLayoutControlNet, embeds: EncodedGraphs, width: int, height: int) -> io.NodeOutput:
        check_kind(adapter, PREDICT, LoadedLayoutControlNet)
        if embeds.made_by != adapter.identity:
            raise ValueError(OTHER_ADAPTER.format(what="graph"))
        comfy.model_management.load_models_gpu([adapter.patcher])
        each = [predict(graph, adapter.patcher, width, height) for graph in embeds.graphs]
        controls, boxes, masks, drawings, semantic_maps = zip(*each, strict=True)
        drawing = torch.cat(drawings)
        return io.NodeOutput(
            LoadedLayout(embeds.graphs, torch.cat(controls), made_by=adapter.identity),
            list(boxes),
            torch.cat(masks),
            drawing,
            torch.cat(semantic_maps),
            ui=ui.PreviewImage(drawing, cls=cls),
        )


def predict(
    encoded: EncodedGraph, patcher: ModelPatcher, width: int, height: int
) -> tuple[Tensor, list[dict], Tensor, Tensor, Tensor]:
    """The layout of a graph for a picture of that size in pixels.

    What a ControlNet is given [1, K, h, w], core's boxes, masks [O, H, W], and two pictures [1, H, W, 3]: the boxes
    drawn, and the semantic map.
    """
    # importing these takes torch-geometric or Pillow's fonts with it, which ComfyUI's start must not pay
    from ..sg_models.drawing.layout_drawing import draw_layout, semantic_map
    from ..sg_models.layers.layout import warp

    graph, batch = encoded.graph, encoded.to(patcher.load_device).batch
    layout = lay_out(encoded, patcher, (height // DOWNSAMPLING, width // DOWNSAMPLING))
    fits, background = patcher.model.layout.object_logits(layout.semantics, batch.x, batch.batch)
    classes = torch.cat([background, fits]).argmax(dim=0)  # [h, w]
    masks = warp(layout.masks, layout.boxes, (height, width)).float()
    keep = comfy.model_management.intermediate_device()
    return (
        layout.control.to(keep),
        core_boxes(graph, layout.boxes.tolist(), width, height),
        masks.to(keep),
        image_tensor(draw_layout(graph, layout.boxes, (width, height))),
        image_tensor(semantic_map(classes, graph, (width, height))),
    )


class SGControlNetApply(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        part = {"min": 0.0, "max": 1.0, "step": 0.01, "advanced": True}
        return io.Schema(
            node_id="SGControlNetApply",
            display_name=APPLY,
            category=CATEGORY,
            description="Steers the picture with a scene graph's layout, as core's Apply ControlNet does with an "
            "image, and lets cfg strengthen it. Chains with other ControlNets.",
            search_aliases=["layout controlnet", "scene layout", "apply layout"],
            inputs=[
                # the first two as the outputs: whoever bypasses the node gets both of them back in their places
                io.Conditioning.Input("positive", tooltip='The prompt; "an image" in training.'),
                io.Conditioning.Input("negative", tooltip="The negative prompt."),
                AdapterSocket.Input("adapter", tooltip="The adapter that made the layout; it holds the ControlNet."),
                LayoutSocket.Input("layout", tooltip="From Predict Layout."),
                io.Float.Input(
                    "strength",
                    default=1.0,
                    min=0.0,
                    max=10.0,
                    step=0.05,
                    tooltip="How strongly the picture follows the layout. 0 leaves all as it was, at no cost.",
                ),
                io.Float.Input(
                    "start", default=0.0, tooltip="The part of sampling after which the layout comes in.", **part
                ),
                io.Float.Input(
                    "end", default=1.0, tooltip="The part of sampling after which the layout is let go.", **part
                ),
                io.Boolean.Input(
                    "on_negative",
                    default=False,
                    tooltip="Whether the negative prompt gets the layout, too, as with core's Apply ControlNet. Off, "
                    "cfg strengthens the layout as it does a prompt, which obeys a graph far better.",
                ),
                io.Model.Input(
                    "model", optional=True, tooltip="The base, only to check that the adapter was trained on it."
                ),
                io.Latent.Input("latent", optional=True, tooltip=LATENT_TOOLTIP),
            ],
            outputs=[
                io.Conditioning.Output(id="positive_out", display_name="positive", tooltip="For the sampler."),
                io.Conditioning.Output(id="negative_out", display_name="negative", tooltip="For the sampler."),
            ],
        )

    @classmethod
    def execute(
        cls,
        positive: list,
        negative: list,
        adapter: LoadedLayoutControlNet,
        layout: LoadedLayout,
        strength: float,
        start: float,
        end: float,
        on_negative: bool = False,
        model: ModelPatcher | None = None,
        latent: dict | None = None,
    ) -> io.NodeOutput:
        check_kind(adapter, APPLY, LoadedLayoutControlNet)
        if layout.made_by != adapter.identity:
            raise ValueError(OTHER_ADAPTER.format(what="layout"))
        if model is not None:
            check_model(model, adapter.file, APPLY)
        check_prompts(adapter, positive=positive, negative=negative)
        if strength == 0.0 or start >= end:
            return io.NodeOutput(positive, negative)
        control = per_picture(layout.control, latent, APPLY, "layouts")
        both = (positive, negative) if on_negative else (positive,)
        controlled = with_layout(both, adapter, layout, control, strength, (start, end))
        return io.NodeOutput(*controlled, *(positive, negative)[len(both) :])
