"""Nodes that give every object of a scene graph a box, and hand one box to core's nodes. They need no model."""

import logging
from typing import Any

from comfy_api.latest import io, ui
from server import PromptServer

from ..sg_models.graph.scene_graph import SceneGraph
from .graph_boxes import box_masks, core_boxes, whole_cells
from .pictures import image_tensor
from .socket_types import CATEGORY, SceneGraphSocket

ARRANGE = "Arrange Scene Graph"
NO_SUCH_BOX = "Pick Box was asked for box {number} of picture {picture}, and there are {count}; write 1 to {count}."
NO_SUCH_PICTURE = "Pick Box was asked for picture {picture}, and there are boxes of {count}; write 1 to {count}."
NO_BOXES = "Pick Box got no boxes for picture {picture}. Connect the bboxes of Arrange Scene Graph or of a detector."


class SGArrange(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        pixels = {"default": 512, "min": 64, "max": 4096, "step": 8}
        return io.Schema(
            node_id="SGArrange",
            display_name=ARRANGE,
            category=CATEGORY,
            description="Gives every object of a scene graph a box, so that left of, right of, above, below, inside "
            "and surrounding hold exactly and the rest is as in real pictures. Needs no model. Given boxes stay.",
            search_aliases=["layout", "arrange", "bounding boxes from graph", "scene layout", "regions"],
            is_output_node=True,
            inputs=[
                SceneGraphSocket.Input("scene_graph", tooltip="The graph. Boxes that it gives (@ x0 y0 x1 y1) stay."),
                io.Int.Input(
                    "seed",
                    default=0,
                    min=0,
                    max=0xFFFFFFFFFFFFFFFF,
                    control_after_generate=True,
                    tooltip="Each seed is another arrangement that the graph allows.",
                ),
                io.Int.Input("width", tooltip="Of the picture, in pixels. Its proportions count.", **pixels),
                io.Int.Input("height", tooltip="Of the picture, in pixels. Its proportions count.", **pixels),
            ],
            hidden=[io.Hidden.unique_id],
            outputs=[
                SceneGraphSocket.Output(
                    id="scene_graph_out",
                    display_name="scene_graph",
                    tooltip="The graph with a box for every object, for Encode Scene Graph or Regional Prompt.",
                ),
                io.BoundingBox.Output(
                    id="bboxes",
                    display_name="bboxes",
                    tooltip="A box per object, in pixels, for Pick Box and for core's box nodes.",
                ),
                io.Mask.Output(
                    id="masks", display_name="masks", tooltip="A mask per object, its box, in the graph's order."
                ),
                io.Image.Output(id="drawing", display_name="drawing", tooltip="The boxes with their labels."),
            ],
        )

    @classmethod
    def execute(cls, scene_graph: SceneGraph, seed: int, width: int, height: int) -> io.NodeOutput:
        # imported when first needed: scipy and Pillow's fonts are half a second of ComfyUI's start
        from ..sg_models.arrangement.arrange import arrange
        from ..sg_models.drawing.layout_drawing import draw_boxes

        found = arrange(scene_graph, seed, width / height)
        for reason in found.reasons:
            logging.warning("%s: %s", ARRANGE, reason)
        boxes = [thing.box for thing in found.graph.objects if thing.box is not None]
        drawing = image_tensor(draw_boxes(found.graph, (width, height)))
        said = "\n".join((found.summary(), *found.reasons))
        if hasattr(PromptServer, "instance"):  # not where a script calls the node
            PromptServer.instance.send_progress_text(said, cls.hidden.unique_id)
        return io.NodeOutput(
            found.graph,
            [core_boxes(found.graph, boxes, width, height)],
            box_masks(boxes, width, height),
            drawing,
            ui={**ui.PreviewImage(drawing, cls=cls).as_dict(), **ui.PreviewText(said).as_dict()},
        )


class SGPickBox(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="SGPickBox",
            display_name="Pick Box",
            category=CATEGORY,
            description="One box as text and whole numbers, for core's nodes that take them: CLIP Text Encode, "
            "Conditioning (Set Area), GLIGEN Textbox Apply.",
            search_aliases=["bounding box to area", "select box", "gligen", "area"],
            inputs=[
                io.BoundingBox.Input(
                    "bboxes", force_input=True, tooltip="From Arrange Scene Graph, Predict Layout or a detector."
                ),
                io.Int.Input(
                    "number",
                    default=1,
                    min=1,
                    max=4096,
                    tooltip="Which box: in the order of the graph's objects, from 1.",
                ),
                io.Int.Input(
                    "picture",
                    default=1,
                    min=1,
                    max=4096,
                    advanced=True,
                    optional=True,
                    tooltip="Of which picture of a batch, from 1.",
                ),
            ],
            outputs=[
                io.String.Output(id="label", display_name="label", tooltip="What is in the box: the object's phrase."),
                io.BoundingBox.Output(id="bbox", display_name="bbox", tooltip="The box, for core's Crop Image."),
                *(
                    io.Int.Output(
                        id=side, display_name=side, tooltip=f"{words}, in pixels, of whole cells of the latent."
                    )
                    for side, words in (
                        ("x", "The box's left edge"),
                        ("y", "The box's upper edge"),
                        ("width", "The box's width"),
                        ("height", "The box's height"),
                    )
                ),
            ],
        )

    @classmethod
    def execute(cls, bboxes: Any, number: int, picture: int = 1) -> io.NodeOutput:
        frames = [[bboxes]] if isinstance(bboxes, dict) else bboxes
        if frames and isinstance(frames[0], dict):
            frames = [frames]
        if picture > len(frames):
            raise ValueError(NO_SUCH_PICTURE.format(picture=picture, count=len(frames)))
        frame = frames[picture - 1]
        if not frame:
            raise ValueError(NO_BOXES.format(picture=picture))
        if number > len(frame):
            raise ValueError(NO_SUCH_BOX.format(number=number, picture=picture, count=len(frame)))
        box = frame[number - 1]
        return io.NodeOutput(box.get("label", ""), box, *whole_cells(box))
