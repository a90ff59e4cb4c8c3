"""Nodes that put graphs side by side in one batch: a graph for each picture of a run."""

import torch
from comfy_api.latest import io

from .socket_types import CATEGORY, EmbedsSocket, EncodedGraphs, LayoutSocket, LoadedLayout

OTHER_ADAPTERS = (
    "{node} got the {what} of two different adapters. Connect the same Load Scene Graph Adapter node to everything "
    "that makes them."
)
OTHER_SIZES = (
    "Batch Layouts got layouts of {first} and {second} cells. Give both Predict Layout nodes the width and height of "
    "the pictures."
)


class SGBatchEmbeds(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="SGBatchEmbeds",
            display_name="Batch Scene Graphs",
            category=CATEGORY,
            description="A graph for each picture of a batch: the first picture gets the first graph, and so on; with "
            "more pictures than graphs they begin anew. Chain it for more than two.",
            search_aliases=["batch embeds", "several graphs", "graph per picture"],
            inputs=[
                EmbedsSocket.Input("embeds_1", tooltip="From Encode Scene Graph, or from another of these nodes."),
                EmbedsSocket.Input("embeds_2", tooltip="The graphs that follow, encoded for the same adapter."),
            ],
            outputs=[
                EmbedsSocket.Output(
                    id="embeds",
                    display_name="embeds",
                    tooltip="For Apply Scene Graph or, with a layout adapter, Predict Layout.",
                )
            ],
        )

    @classmethod
    def execute(cls, embeds_1: EncodedGraphs, embeds_2: EncodedGraphs) -> io.NodeOutput:
        if embeds_1.made_by != embeds_2.made_by:
            raise ValueError(OTHER_ADAPTERS.format(node="Batch Scene Graphs", what="embeds"))
        return io.NodeOutput(EncodedGraphs(embeds_1.graphs + embeds_2.graphs, embeds_1.made_by))


class SGBatchLayouts(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="SGBatchLayouts",
            display_name="Batch Layouts",
            category=CATEGORY,
            description="A layout for each picture of a batch: the first picture gets the first layout, and so on; "
            "with more pictures than layouts they begin anew. Chain it for more than two.",
            search_aliases=["several layouts", "layout per picture"],
            inputs=[
                LayoutSocket.Input("layout_1", tooltip="From Predict Layout, or from another of these nodes."),
                LayoutSocket.Input("layout_2", tooltip="The layouts that follow, of the same adapter and size."),
            ],
            outputs=[LayoutSocket.Output(id="layout", display_name="layout", tooltip="For Apply Layout ControlNet.")],
        )

    @classmethod
    def execute(cls, layout_1: LoadedLayout, layout_2: LoadedLayout) -> io.NodeOutput:
        if layout_1.made_by != layout_2.made_by:
            raise ValueError(OTHER_ADAPTERS.format(node="Batch Layouts", what="layouts"))
        first, second = (f"{x.control.shape[-1]} × {x.control.shape[-2]}" for x in (layout_1, layout_2))
        if first != second:
            raise ValueError(OTHER_SIZES.format(first=first, second=second))
        control = torch.cat([layout_1.control, layout_2.control])
        return io.NodeOutput(LoadedLayout(layout_1.graphs + layout_2.graphs, control, layout_1.made_by))
