"""Nodes that turn a scene graph into a layout, and steer a model with it through a ControlNet."""

import comfy.model_management
import torch
from comfy.model_patcher import ModelPatcher
from comfy_api.latest import io, ui

from ..sg_models.graph.scene_graph import SceneGraph
from .adapter_kinds import LAYOUT_CONTROLNET, check_kind
from .gated_attention_nodes import base_and_prediction
from .scene_graph_nodes import image_tensor
from .socket_types import (
    CATEGORY,
    AdapterSocket,
    EmbedsSocket,
    GraphEmbeds,
    LayoutSocket,
    LoadedAdapter,
    LoadedLayout,
    ObjectEmbeds,
)

DOWNSAMPLING = 8  # of latents, the size of layout maps
WRONG_EMBEDS = (
    "Predict Layout needs the embeds of a layout adapter (variants iii and iv), and these were made by another kind. "
    "Connect the same Load Scene Graph Adapter node to Encode Scene Graph and to Predict Layout."
)
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
            display_name="Predict Layout",
            category=CATEGORY,
            description="Decides where each object of a scene graph goes and what outline it has. Boxes that the graph "
            "gives are kept, object by object.",
            search_aliases=["layout", "scene layout", "bounding boxes from graph", "sg2im"],
            is_output_node=True,
            inputs=[
                AdapterSocket.Input("adapter", tooltip="The adapter that encoded the graph; it holds the predictor."),
                EmbedsSocket.Input("embeds", tooltip="The encoded graph, from Encode Scene Graph."),
                io.Int.Input("width", tooltip="Of the picture in pixels: for boxes and masks.", **pixels),
                io.Int.Input("height", tooltip="Of the picture in pixels: for boxes and masks.", **pixels),
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
    def execute(cls, adapter: LoadedAdapter, embeds: ObjectEmbeds, width: int, height: int) -> io.NodeOutput:
        # importing these takes torch-geometric or Pillow's fonts with it, which ComfyUI's start must not pay
        from ..sg_models.drawing.layout_drawing import draw_layout, semantic_map
        from ..sg_models.layers.layout import warp

        check_kind(adapter, "Predict Layout", LAYOUT_CONTROLNET)
        check_embeds(adapter, embeds)
        comfy.model_management.load_models_gpu([adapter.patcher])
        predictor, graph = adapter.patcher.model.layout, embeds.graph
        layout = predictor(
            embeds.objects, embeds.relations, embeds.data, (height // DOWNSAMPLING, width // DOWNSAMPLING)
        )
        fits, background = predictor.object_logits(layout.semantics, embeds.data.x, embeds.data.batch)
        classes = torch.cat([background, fits]).argmax(dim=0)  # [h, w]
        masks = warp(layout.masks, layout.boxes, (height, width)).float()
        keep = comfy.model_management.intermediate_device()
        drawing = image_tensor(draw_layout(graph, layout.boxes, (width, height)))
        return io.NodeOutput(
            LoadedLayout(layout.control.to(keep), made_by=adapter.identity),
            core_boxes(graph, layout.boxes, width, height),
            masks.to(keep),
            drawing,
            image_tensor(semantic_map(classes, graph, (width, height))),
            ui=ui.PreviewImage(drawing, cls=cls),
        )


class SGControlNetApply(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        part = {"min": 0.0, "max": 1.0, "step": 0.01, "advanced": True}
        return io.Schema(
            node_id="SGControlNetApply",
            display_name="Apply Layout ControlNet",
            category=CATEGORY,
            description="Steers the picture with a scene graph's layout, as core's Apply ControlNet does with an "
            "image, and lets cfg strengthen it. Chains with other ControlNets.",
            search_aliases=["layout controlnet", "scene layout", "apply layout"],
            inputs=[
                AdapterSocket.Input("adapter", tooltip="The adapter that made the layout; it holds the ControlNet."),
                LayoutSocket.Input("layout", tooltip="From Predict Layout."),
                io.Conditioning.Input("positive", tooltip='The prompt; "an image" in training.'),
                io.Conditioning.Input("negative", tooltip="The negative prompt."),
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
            ],
            outputs=[
                io.Conditioning.Output(id="positive_out", display_name="positive", tooltip="For the sampler."),
                io.Conditioning.Output(id="negative_out", display_name="negative", tooltip="For the sampler."),
            ],
        )

    @classmethod
    def execute(
        cls,
        adapter: LoadedAdapter,
        layout: LoadedLayout,
        positive: list,
        negative: list,
        strength: float,
        start: float,
        end: float,
        on_negative: bool = False,
        model: ModelPatcher | None = None,
    ) -> io.NodeOutput:
        check_kind(adapter, "Apply Layout ControlNet", LAYOUT_CONTROLNET)
        if layout.made_by != adapter.identity:
            raise ValueError(OTHER_ADAPTER.format(what="layout"))
        if model is not None:
            adapter.file.check_base(*base_and_prediction(model, adapter.file.base))
        if strength == 0.0 or start >= end:
            return io.NodeOutput(positive, negative)
        copies: dict = {}  # one per ControlNet before it: conditionings that share theirs stay in one UNet call

        def with_control(extras: dict) -> dict:
            before = extras.get("control")
            if before not in copies:
                hinted = adapter.controlnet.copy().set_cond_hint(layout.control, strength, (start, end))
                copies[before] = hinted.set_previous_controlnet(before)
            return {**extras, "control": copies[before], "control_apply_to_uncond": False}

        positive = [[prompt, with_control(extras)] for prompt, extras in positive]
        if on_negative:
            negative = [[prompt, with_control(extras)] for prompt, extras in negative]
        return io.NodeOutput(positive, negative)


def check_embeds(adapter: LoadedAdapter, embeds: ObjectEmbeds | GraphEmbeds) -> None:
    """Raises `ValueError` in words if the embeds are not a layout adapter's, or another one's."""
    if not isinstance(embeds, ObjectEmbeds):
        raise ValueError(WRONG_EMBEDS)
    if embeds.made_by != adapter.identity:
        raise ValueError(OTHER_ADAPTER.format(what="graph"))


def core_boxes(graph: SceneGraph, boxes: torch.Tensor, width: int, height: int) -> list[list[dict]]:
    """Boxes [O, 4] as core's BOUNDING_BOX: one frame of pixels from the top left, with the objects' phrases."""
    frame = []
    for thing, box in zip(graph.objects, boxes.tolist(), strict=True):
        x0, y0, x1, y1 = (round(v * side) for v, side in zip(box, (width, height) * 2, strict=True))
        frame.append({"x": x0, "y": y0, "width": max(x1 - x0, 1), "height": max(y1 - y0, 1), "label": thing.phrase})
    return [frame]
