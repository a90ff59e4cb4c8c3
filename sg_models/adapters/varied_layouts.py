"""Graphs with a layout of their own for each seed, whichever adapter predicts it."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Protocol

import torch
from torch import Tensor

from ..graph.layout_variation import vary_layout
from ..graph.scene_graph import SceneGraph
from ..layers.graph_batch import GraphBatch, graph_batch
from .phrase_features import Features

PREDICTED = 0  # the seed of the layout as it is predicted


class PredictsBoxes(Protocol):
    """An adapter that places the objects of a graph."""

    def predict_boxes(self, graphs: GraphBatch) -> Tensor: ...

    def parameters(self) -> Iterator[Tensor]: ...


def vary_layouts(
    adapter: PredictsBoxes, graphs: Sequence[SceneGraph], features: Sequence[Features], seeds: Sequence[int]
) -> list[SceneGraph]:
    """The same graphs with a box for every object, drawn by one seed for each; those of seed `PREDICTED` unchanged.

    `features` are those of each graph. Boxes that a graph gives stay as they are.
    """
    chosen = [i for i, seed in enumerate(seeds) if seed != PREDICTED]
    if not chosen:
        return list(graphs)
    batch = graph_batch([graphs[i] for i in chosen], [features[i] for i in chosen])
    with torch.no_grad():
        boxes = adapter.predict_boxes(batch.to(next(adapter.parameters()).device)).tolist()
    varied = list(graphs)
    for i in chosen:
        own, boxes = boxes[: len(graphs[i].objects)], boxes[len(graphs[i].objects) :]
        placed = vary_layout(graphs[i], own, seeds[i])
        things = (replace(thing, box=box) for thing, box in zip(graphs[i].objects, placed, strict=True))
        varied[i] = SceneGraph(tuple(things), graphs[i].relations)
    return varied
