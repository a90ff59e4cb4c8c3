"""Nodes that make a scene graph and turn one into words. They need no model."""

from comfy_api.latest import io, ui

from ..sg_models.graph.caption import caption
from ..sg_models.graph.scene_graph import SceneGraph, SceneGraphError
from .pictures import image_tensor
from .socket_types import CATEGORY, SceneGraphSocket

PREVIEW_SIZE = (512, 384)  # pixels
DEFAULT_GRAPH = "small red circle | left of | large blue square"


class SceneGraphInput(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="SceneGraphInput",
            display_name="Scene Graph",
            category=CATEGORY,
            description="Objects and the relations between them, as text. Run the node to see the graph drawn on it.",
            search_aliases=["scene graph", "relations", "objects", "layout", "SGC"],
            is_output_node=True,
            inputs=[
                io.String.Input(
                    "text",
                    multiline=True,
                    dynamic_prompts=False,
                    default=DEFAULT_GRAPH,
                    tooltip="One relation per line: subject | predicate | object. A line without bars is an object "
                    "alone. Write dog#2 for a second dog. JSON in the formats of this pack, sg2im, Visual Genome, "
                    "LAION-SG and networkx node-link is read too.",
                )
            ],
            outputs=[
                SceneGraphSocket.Output(
                    id="scene_graph",
                    display_name="scene_graph",
                    tooltip="The graph, for Encode Scene Graph and Scene Graph Caption.",
                )
            ],
        )

    @classmethod
    def validate_inputs(cls, text: str | None = None) -> bool | str:
        if text is None:  # comes from another node, so that it is known only when that node has run
            return True
        try:
            read_graph(text)
        except SceneGraphError as error:
            return str(error)
        return True

    @classmethod
    def execute(cls, text: str) -> io.NodeOutput:
        # takes networkx with it, as in read_graph
        from ..sg_models.drawing.graph_drawing import draw_scene_graph

        graph = read_graph(text)
        drawing = image_tensor(draw_scene_graph(graph, *PREVIEW_SIZE))
        return io.NodeOutput(graph, ui=ui.PreviewImage(drawing, cls=cls))


class SGCaption(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="SGCaption",
            display_name="Scene Graph Caption",
            category=CATEGORY,
            description="A scene graph as one sentence, for CLIP Text Encode: what a text-only model is given.",
            search_aliases=["scene graph to text", "caption"],
            inputs=[SceneGraphSocket.Input("scene_graph", tooltip="The graph to put into words.")],
            outputs=[
                io.String.Output(
                    id="caption",
                    display_name="caption",
                    tooltip="Names every object with its attributes and states every relation.",
                )
            ],
        )

    @classmethod
    def execute(cls, scene_graph) -> io.NodeOutput:
        return io.NodeOutput(caption(scene_graph))


def read_graph(text: str) -> SceneGraph:
    """`parse_scene_graph`, imported when first needed: networkx is a quarter of a second of ComfyUI's start."""
    from ..sg_models.graph.formats import parse_scene_graph

    return parse_scene_graph(text)
