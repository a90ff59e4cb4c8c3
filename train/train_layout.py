"""Pretrains the layout of variants (iii) and (iv): from a scene graph to boxes, masks and a coarse semantic layout.

    python train/train_layout.py                  # CLIP phrases, for (iv)
    python train/train_layout.py --phrases bert   # for (iii)

Nothing of the base takes part but its text model. The maps are made with the true boxes, as in sg2im; what is predicted
is used when there are none. `train_controlnet.py` goes on from the file that this writes.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch_geometric.data import Batch, Data
from tqdm import tqdm

from sg_models.adapters.adapter import Adapter, read_adapter, write_adapter
from sg_models.adapters.layout_adapter import LAYOUT_KIND, LayoutAdapter
from sg_models.adapters.phrase_features import Features, RememberedPhrases
from sg_models.graph.scene_graph import SceneGraph
from sg_models.layers.layout import MASK_SIDE, Layout
from train.bases.dry_run import EmptyBase, Plan, print_plan
from train.bases.load import TrainingOptions, training_base
from train.conditioning.initial_weights import start_from
from train.conditioning.phrase_encoders import phrase_encoder
from train.data.graph_samples import GraphSamples
from train.data.graph_variation import without_boxes
from train.data.shapes.scene import stencil
from train.losses.layout_losses import cell_classes, cell_loss, layout_figures, layout_loss
from train.running.command_line import run
from train.running.loop import LoopConfig, train

SHOWN = 256  # validation graphs


@dataclass
class Config(LoopConfig, TrainingOptions):
    phrases: Literal["clip", "bert"] = "clip"
    bert: str | None = None
    """a folder or hub id of another BERT than the packaged one"""
    init_from: Path | None = None
    """an adapter file to start from, of whichever phrases; a checkpoint in run_dir wins"""
    steps: int = 6000
    batch_size: int = 64
    learning_rate: float = 1e-3
    mixed_precision: str = "no"
    run_dir: Path | None = None
    """checkpoints and logs, runs/layout-<phrases> if left out"""
    pictures: int = 24000
    """training scenes"""
    graph_dim: int = 128
    graph_hidden: int = 256
    graph_layers: int = 4
    box_layers: int = 3
    objects: int = 24
    """most objects of a graph"""
    layout_width: int = 64
    channels: int = 16
    """of the map that the ControlNet is given"""
    preview_every: int = 1000
    out: Path | None = None
    """the pretrained layout, runs/layout-<phrases>/layout.safetensors if left out"""


class LayoutSamples(GraphSamples):
    """Graphs with true masks [O, M, M] as `mask`."""

    def data(self, graph: SceneGraph, features: Features, whole: SceneGraph) -> Data:
        data = super().data(graph, features, whole)
        data.mask = torch.stack([torch.from_numpy(stencil(o.name, (MASK_SIDE, MASK_SIDE))) for o in whole.objects])
        return data


class LayoutLosses(nn.Module):
    """All that a layout is trained on; the maps are made with the true boxes."""

    def __init__(self, adapter: LayoutAdapter, size: tuple[int, int]) -> None:
        super().__init__()
        self.adapter, self.size = adapter, size

    def forward(self, graphs: Batch) -> tuple[dict[str, Tensor], Layout]:
        """A batch of `LayoutSamples` → the losses by name, and the layout with the true boxes."""
        predictor = self.adapter.layout
        objects, relations = self.adapter.graph_encoder(graphs.x, graphs.edge_attr, graphs.edge_index)
        boxes, true = predictor.box(objects, relations, graphs), graphs.layout
        layout = predictor.composed(objects, true, graphs, self.size)
        cells = cell_classes(graphs.mask.float(), true, graphs.batch, self.size)
        losses = {
            "boxes": layout_loss(boxes, graphs),
            "masks": F.binary_cross_entropy(layout.masks.clamp(1e-4, 1 - 1e-4), graphs.mask.float()),
            "cells": cell_loss(predictor, layout.semantics, graphs.x, graphs.batch, cells),
        }
        return losses, layout


def layout_sizes(config: Config, phrase_dim: int) -> dict[str, int]:
    """An adapter's `config` (see `LayoutAdapter`) for a phrase encoder."""
    names = ("graph_dim", "graph_hidden", "graph_layers", "box_layers", "objects", "layout_width", "channels")
    return {name: getattr(config, name) for name in names} | {"phrase_dim": phrase_dim}


def measure(model: LayoutAdapter, graphs: Batch) -> dict[str, float]:
    """Of boxes predicted for graphs without any: mean IoU with the true ones, and how many layouts obey their graph."""
    features = model.graph_encoder(graphs.x, graphs.edge_attr, graphs.edge_index)
    return layout_figures(model.layout.box(*features, graphs), graphs)


def planned(config: Config, base: EmptyBase) -> Plan:
    """For `--dry-run`; of activations it counts the decoder's, which are most of them."""
    adapter = LayoutAdapter(layout_sizes(config, base.context_dim))
    decoder = nn.Sequential(adapter.layout.decoder, adapter.layout.semantic)
    return Plan(adapter, lambda count: decoder(torch.empty(count, config.graph_dim + 1, base.side, base.side)))


def main(config: Config) -> None:
    if config.dry_run:
        return print_plan(config, planned)
    base = training_base(config)
    config.run_dir = config.run_dir or Path("runs") / f"layout-{config.phrases}"
    out = config.out or config.run_dir / "layout.safetensors"
    encoder = phrase_encoder(config.phrases, base, config.bert)
    encode = RememberedPhrases(encoder)
    nothing = torch.zeros(config.pictures, 0)  # no pictures take part
    samples = LayoutSamples(nothing, "train", encode)
    validation = LayoutSamples(nothing[:SHOWN], "val", encode)
    told = validation.batch([without_boxes(graph) for graph in validation.graphs], validation.graphs).to(base.device)
    adapter_config = layout_sizes(config, encoder.dim)
    torch.manual_seed(config.seed)
    adapter = LayoutAdapter(adapter_config)
    earlier = 0
    if config.init_from:
        earlier = start_from(adapter, read_adapter(config.init_from), config.phrases, encoder.dim)
    size = (base.unet.config["sample_size"],) * 2

    def loss(
        model: nn.Module, batch: tuple[Tensor, Batch, Tensor], generator: torch.Generator
    ) -> tuple[Tensor, dict[str, float]]:
        losses, _ = model(batch[1].to(base.device))
        return torch.stack(list(losses.values())).sum(), {name: value.item() for name, value in losses.items()}

    def report(model: nn.Module) -> dict[str, float]:
        figures = measure(model.adapter, told)
        tqdm.write(", ".join(f"{name} {value:.3f}" for name, value in figures.items()))
        return figures

    model = train(config, LayoutLosses(adapter, size), loss, samples, report=report)
    state = {name: tensor.half() for name, tensor in model.adapter.state_dict().items()}
    write_adapter(
        out,
        Adapter(
            LAYOUT_KIND,
            base.name,
            base.prediction_type,
            encoder.name,
            adapter_config,
            "shapes",
            earlier + config.steps,
            state,
        ),
    )


if __name__ == "__main__":
    run(main, Config)
