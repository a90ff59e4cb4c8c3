"""Nodes that make a scene graph and turn one into words. They need no model."""

import logging

from comfy_api.latest import io, ui
from server import PromptServer

from ..sg_models.graph.caption import caption
from ..sg_models.graph.reading import Reading, read_scene_graphs
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
                    'alone. Write dog#2 for a second dog, and "cup of tea" in quotes for a name of several words. JSON '
                    "of this pack, sg2im, Visual Genome, GQA, LAION-SG, networkx and caption parsers is read too.",
                )
            ],
            hidden=[io.Hidden.unique_id],
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
            read_scene_graphs(text).single()
        except SceneGraphError as error:
            return str(error)
        return True

    @classmethod
    def execute(cls, text: str) -> io.NodeOutput:
        # imported when first needed: networkx is a quarter of a second of ComfyUI's start
        from ..sg_models.drawing.graph_drawing import draw_scene_graph

        reading = read_scene_graphs(text)
        graph = reading.single()
        drawing = image_tensor(draw_scene_graph(graph, *PREVIEW_SIZE))
        said = "\n".join((_contents(graph), *_warnings(reading)))
        # The front end draws `text` on PreviewAny alone; this is how every other node says something.
        PromptServer.instance.send_progress_text(said, cls.hidden.unique_id)
        return io.NodeOutput(
            graph, ui={**ui.PreviewImage(drawing, cls=cls).as_dict(), **ui.PreviewText(said).as_dict()}
        )


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


def _warnings(reading: Reading) -> list[str]:
    """What was left out of the graph and what in it contradicts itself, for the node, and for the log."""
    warnings = [*reading.warnings, *reading.contradictions()]
    for warning in warnings:
        logging.warning("Scene Graph: %s", warning)
    return [f"Warning: {warning}" for warning in warnings]


def _contents(graph: SceneGraph) -> str:
    """What was read, in short: "2 objects, 1 relation"."""
    counts = ((len(graph.objects), "object"), (len(graph.relations), "relation"))
    return ", ".join(f"{count} {word if count == 1 else f'{word}s'}" for count, word in counts)
