"""Graphs per second: our graph encoder and layout against sg2im's design, of equal sizes, in one process.

    python benchmarks/graphs.py result.json

sg2im's design is written here after Johnson et al. 2018 and the sizes of its published models: five triple convolutions
of 128 and 512 with ReLU, a box and a mask network, and a layout for which every object's features are spread over its
mask one by one. What is timed ends with the composed map, at the latent size of a 512² picture.
"""

import json
import random
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch_geometric.data import Batch, Data

from sg_models.layers.graph_encoder import GraphEncoder
from sg_models.layers.layout import MASK_SIDE, LayoutPredictor, compose

PHRASE_DIM, DIM, HIDDEN, LAYERS = 1024, 128, 512, 5
SIZE = (64, 64)
BATCHES = (1, 64, 1024)
ROUNDS = 5
PART = 64  # graphs at once, where a batch of them would not fit into memory


class Sg2imConv(nn.Module):
    """One triple convolution as sg2im has it: ReLU after every layer, means by scattering, no residual."""

    def __init__(self) -> None:
        super().__init__()
        self.triple = nn.Sequential(
            *(nn.Linear(3 * DIM, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, 2 * HIDDEN + DIM), nn.ReLU())
        )
        self.pooled = nn.Sequential(nn.Linear(HIDDEN, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, DIM), nn.ReLU())

    def forward(self, objects: Tensor, relations: Tensor, edges: Tensor) -> tuple[Tensor, Tensor]:
        subject, object_ = edges
        parts = self.triple(torch.cat([objects[subject], relations, objects[object_]], dim=1))
        to_subject, new, to_object = parts.split([HIDDEN, DIM, HIDDEN], dim=1)
        pooled = objects.new_zeros(len(objects), HIDDEN)
        pooled = pooled.index_add(0, subject, to_subject).index_add(0, object_, to_object)
        counts = torch.bincount(edges.flatten(), minlength=len(objects)).clamp(min=1)
        return self.pooled(pooled / counts[:, None]), new


class Sg2im(nn.Module):
    """Phrase vectors to the composed map."""

    def __init__(self) -> None:
        super().__init__()
        self.object_in, self.relation_in = nn.Linear(PHRASE_DIM, DIM), nn.Linear(PHRASE_DIM, DIM)
        self.layers = nn.ModuleList(Sg2imConv() for _ in range(LAYERS))
        self.box = nn.Sequential(nn.Linear(DIM, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, 4), nn.ReLU())
        grow = [
            part
            for _ in range(4)  # doublings from 1 × 1 to 16 × 16
            for part in (nn.Upsample(scale_factor=2), nn.BatchNorm2d(DIM), nn.Conv2d(DIM, DIM, 3, padding=1), nn.ReLU())
        ]
        self.mask = nn.Sequential(*grow, nn.Conv2d(DIM, 1, 1), nn.Sigmoid())

    def forward(self, data: Data) -> Tensor:
        objects, relations = self.object_in(data.x), self.relation_in(data.edge_attr)
        for layer in self.layers:
            objects, relations = layer(objects, relations, data.edge_index)
        self.box(objects)
        masks = self.mask(objects[:, :, None, None])  # [O, 1, M, M]
        spread = F.grid_sample(objects[:, :, None, None] * masks, grid(data.box), align_corners=False)
        return objects.new_zeros(data.num_graphs, DIM, *SIZE).index_add(0, data.batch, spread)


class Ours(nn.Module):
    """The same with our modules."""

    def __init__(self, graph_layers: int, box_layers: int, hidden: int) -> None:
        super().__init__()
        self.encoder = GraphEncoder(PHRASE_DIM, DIM, hidden, graph_layers)
        self.layout = LayoutPredictor(DIM, hidden, box_layers, 24, PHRASE_DIM, 64, 16)

    def forward(self, data: Data) -> Tensor:
        objects, relations = self.encoder(data.x, data.edge_attr, data.edge_index)
        self.layout.box(objects, relations, data)
        masks = self.layout.mask(objects).sigmoid()
        return compose(objects, data.box, masks, data.batch, data.num_graphs, SIZE)


def grid(boxes: Tensor) -> Tensor:
    """Where each cell of the map lies in each object's mask: [O, 4] → [O, h, w, 2]."""
    height, width = SIZE
    x0, y0, x1, y1 = (edge[:, None] for edge in boxes.unbind(-1))
    u = 2 * ((torch.arange(width) + 0.5) / width - x0) / (x1 - x0) - 1
    v = 2 * ((torch.arange(height) + 0.5) / height - y0) / (y1 - y0) - 1
    return torch.stack([u[:, None].expand(-1, height, -1), v[:, :, None].expand(-1, -1, width)], dim=-1)


def graphs(count: int) -> list[Data]:
    """Random graphs of three to eight objects and as many relations, as sg2im's COCO graphs have."""
    rng, made = random.Random(0), []
    for _ in range(count):
        objects = rng.randint(3, 8)
        start = torch.rand(objects, 2) * 0.5
        made.append(
            Data(
                x=torch.randn(objects, PHRASE_DIM),
                edge_attr=torch.randn(objects, PHRASE_DIM),
                edge_index=torch.randint(objects, (2, objects)),
                box=torch.cat([start, start + 0.1 + 0.4 * torch.rand(objects, 2)], dim=1),
                has_box=torch.zeros(objects, dtype=torch.bool),
                instance=torch.arange(objects),
            )
        )
    return made


@torch.inference_mode()
def main(result: Path) -> None:
    torch.manual_seed(0)
    designs: dict[str, Callable[[Data], Tensor]] = {
        "sg2im's design": Sg2im().eval(),
        "ours, of its sizes": Ours(LAYERS, 0, HIDDEN).eval(),
        "ours, as the scripts train it": Ours(4, 3, 256).eval(),
    }
    rates: dict[str, dict[str, float]] = {name: {} for name in designs}
    for batch in BATCHES:
        made = graphs(batch)
        parts = [Batch.from_data_list(made[i : i + PART]) for i in range(0, batch, PART)]
        seconds: dict[str, list[float]] = {name: [] for name in designs}
        for repeat in range(ROUNDS + 1):
            for name, design in designs.items():
                started = time.perf_counter()
                for part in parts:
                    design(part)
                if repeat:  # the first one warms up
                    seconds[name].append(time.perf_counter() - started)
        for name in designs:
            rates[name][str(batch)] = batch / statistics.median(seconds[name])
            print(f"{name}, {batch}: {rates[name][str(batch)]:.1f} graphs/s", flush=True)
    result.write_text(json.dumps({"graphs_per_second": rates, "threads": torch.get_num_threads(), "mask": MASK_SIDE}))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
