"""Boxes for objects whose boxes a data set does not know, from a trained layout (`prepare.py --boxes`)."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import partial
from itertools import islice
from pathlib import Path

import torch

from sg_models.adapters.adapter import AdapterError, build_module, read_adapter
from sg_models.adapters.gsa_adapter import GSAAdapter, build_gsa_adapter
from sg_models.adapters.layout_adapter import LayoutAdapter, build_layout_adapter
from sg_models.adapters.phrase_features import EncodeGraphs
from sg_models.adapters.variants import GSA, LAYOUT, LAYOUT_CONTROLNET
from sg_models.graph.scene_graph import SceneGraph, SceneGraphError
from sg_models.layers.graph_batch import graph_batch
from train.bases.load import load_base
from train.conditioning.phrase_encoders import graph_features
from train.data.prepared.preparer import Counts
from train.data.prepared.records import Record
from train.running.command_line import UsageError

AT_ONCE = 64  # records
MODULES = {
    GSA: build_gsa_adapter,
    LAYOUT_CONTROLNET: build_layout_adapter,
    LAYOUT: lambda file: build_module(file, partial(LayoutAdapter, file.config), file.state_dict),
}


def check_file(path: Path) -> Path:
    """The same path; raises `UsageError` where there is no such file."""
    if not path.is_file():
        raise UsageError(f"there is no adapter file {path} for --boxes; train/train_layout.py writes one")
    return path


def placed(records: Iterable[Record], path: Path, base: str, counts: Counts) -> Iterator[Record]:
    """The same records, whose objects without a box have the one that an adapter file predicts; given ones stay.

    Counts boxes that are still missing since a graph has more objects than the adapter takes.
    """
    adapter, encode = open_adapter(path, base)
    records = iter(records)
    while batch := list(islice(records, AT_ONCE)):
        graphs = {i: record.graph for i, record in enumerate(batch) if _lacks_boxes(record.graph)}
        fitting = {i: graph for i, graph in graphs.items() if _fits(adapter, graph, counts)}
        boxes = dict(zip(fitting, place(adapter, encode, list(fitting.values())), strict=True))
        yield from (replace(record, graph=boxes.get(i, record.graph)) for i, record in enumerate(batch))


def open_adapter(path: Path, base_name: str) -> tuple[GSAAdapter | LayoutAdapter, EncodeGraphs]:
    """An adapter that places objects, and what encodes graphs for it.

    Raises `AdapterError` or `UsageError` for files of another kind or base.
    """
    file = read_adapter(path)
    if file.kind not in MODULES:
        raise AdapterError(f"{file.name} is an adapter of kind {file.kind}, which places no objects")
    base = load_base(base_name).freeze()
    file.check_base(base.name, base.prediction_type)
    adapter = MODULES[file.kind](file).float().eval()
    if isinstance(adapter, GSAAdapter) and not adapter.places_objects:
        raise AdapterError(f"{file.name} was trained without boxes, so it places no objects; name another file")
    return adapter, graph_features(file.phrase_encoder, base, file=file)


@torch.no_grad()
def place(adapter: GSAAdapter | LayoutAdapter, encode: EncodeGraphs, graphs: list[SceneGraph]) -> list[SceneGraph]:
    """Graphs with a box for every object; those that they have stay."""
    if not graphs:
        return []
    boxes = iter(adapter.predict_boxes(graph_batch(graphs, encode(graphs))).clamp(0, 1).tolist())
    placed_objects = (
        tuple(replace(item, box=item.box or tuple(box)) for item, box in zip(graph.objects, boxes, strict=False))
        for graph in graphs
    )
    return [replace(graph, objects=objects) for graph, objects in zip(graphs, placed_objects, strict=True)]


def _lacks_boxes(graph: SceneGraph) -> bool:
    return any(item.box is None for item in graph.objects)


def _fits(adapter: GSAAdapter | LayoutAdapter, graph: SceneGraph, counts: Counts) -> bool:
    try:
        adapter.check_fits(graph)
    except SceneGraphError:
        lacking = sum(item.box is None for item in graph.objects)
        counts.leave_out("box", "a graph larger than what the adapter of --boxes takes", lacking)
        return False
    return True
