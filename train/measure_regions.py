"""Measures what regional prompts do on a base without any training: the caption alone, and with a phrase in each box.

    python train/measure_regions.py --graphs 100

The same graphs and the same noise for all rows; boxes are those of the true scenes, or predicted by the adapter of a
variant. Judged by the data set's own judge, which Shapes has. Written to a section of docs/results.md.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from sg_models.adapters.variants import CAPTION_VARIANT
from sg_models.bases import sg_mini
from sg_models.files.whole_file import whole_file
from sg_models.graph.scene_graph import SceneGraph
from sg_models.layers.graph_batch import graph_batch
from train.bases.base_model import BaseModel
from train.bases.load import load_base
from train.conditioning.conditioners import CAPTION_GUIDANCE, Conditioner, GSAConditioner, LayoutConditioner
from train.conditioning.influence import Influence
from train.conditioning.regional_conditioner import RegionalConditioner
from train.conditioning.sampling import draw_graphs, starting_noise
from train.conditioning.trained_adapter import load_variant
from train.data.graph_variation import without_boxes
from train.data.known_datasets import DatasetOptions, open_dataset
from train.report.metrics import METRICS, judge_all, summary
from train.report.page_sections import with_section
from train.report.picture_grid import to_pil
from train.running.command_line import UsageError, run

SECTION = "regional prompts"


@dataclass
class Config(DatasetOptions):
    base: str = sg_mini.NAME
    graphs: int = 100
    """of the first test split"""
    predictor: str = "vi"
    """the variant whose adapter predicts boxes"""
    base_weights: tuple[float, ...] = (0.0, 0.3)
    ends: tuple[float, ...] = (0.5, 1.0)
    steps: int = 8
    seed: int = 0
    batch_size: int = 10
    docs: Path = Path("docs")
    """results.md there gets a section"""


def main(config: Config) -> None:
    data = open_dataset(config)
    split = data.split(data.test_splits[0], config.graphs)
    bare = [without_boxes(graph) for graph in split.graphs]
    layouts = {"true": list(split.graphs), "predicted": predicted(config, bare)}
    base = load_base(config.base).to("cuda" if torch.cuda.is_available() else "cpu").freeze()
    caption = load_variant(base, CAPTION_VARIANT)
    noise = starting_noise(base, config.seed, config.graphs)
    found: dict[str, Any] = {}

    def measure(name: str, condition: Conditioner, graphs: list[SceneGraph]) -> None:
        pictures = draw(config, base, condition, graphs, noise, name)
        found[name] = summary(judge_all(data, pictures, bare))
        print(table({name: found[name]}).splitlines()[-1], flush=True)

    measure("caption alone", caption, bare)
    for boxes, weight, end in product(layouts, config.base_weights, config.ends):
        condition = RegionalConditioner(base, caption, weight, Influence(end=end))
        measure(f"{boxes} boxes, base weight {weight}, end {end}", condition, layouts[boxes])
    page = config.docs / "results.md"
    with whole_file(page) as file:
        earlier = page.read_text("utf-8") if page.exists() else ""
        file.write_text(with_section(earlier, SECTION, section(config, split.name, found)), "utf-8")


def section(config: Config, split: str, found: dict[str, Any]) -> str:
    """The figures in words and a table."""
    words = (
        f"Measured by `python train/measure_regions.py --graphs {config.graphs}`: {config.graphs} {split} graphs, one "
        f"sampling seed, {config.steps} DDIM steps, guidance {CAPTION_GUIDANCE:g}; variant (i)'s caption alone, and "
        "with every object's phrase in its box besides. Predicted boxes are those of the adapter of variant "
        f"({config.predictor}). 95 % intervals over graphs. SG-Mini's prompts hardly bind words to things: of Stable "
        "Diffusion this says nothing."
    )
    return f"## Regional prompts on SG-Mini\n\n{words}\n\n{table(found)}"


def table(found: dict[str, Any]) -> str:
    lines = [f"| | {' | '.join(METRICS)} |", "|---" * (1 + len(METRICS)) + "|"]
    for name, figures in found.items():
        cells = (f"{value:.3f} [{low:.3f}, {high:.3f}]" for value, low, high in map(figures.get, METRICS))
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


@torch.no_grad()
def predicted(config: Config, graphs: Sequence[SceneGraph]) -> list[SceneGraph]:
    """The graphs with the boxes that an adapter predicts."""
    variant = load_variant(load_base(config.base).freeze(), config.predictor)
    if not isinstance(variant, GSAConditioner | LayoutConditioner):
        raise UsageError(f"({config.predictor}) predicts no boxes; write --predictor iii, iv, v, vi or vii")
    boxes = variant.adapter.predict_boxes(graph_batch(graphs, variant.encode(graphs))).clamp(0, 1)
    parts = boxes.split([len(graph.objects) for graph in graphs])
    return [with_boxes(graph, part.tolist()) for graph, part in zip(graphs, parts, strict=True)]


def with_boxes(graph: SceneGraph, boxes: list[list[float]]) -> SceneGraph:
    things = (replace(thing, box=tuple(box)) for thing, box in zip(graph.objects, boxes, strict=True))
    return SceneGraph(tuple(things), graph.relations)


def draw(
    config: Config, base: BaseModel, condition: Conditioner, graphs: Sequence[SceneGraph], noise: Tensor, name: str
) -> list[np.ndarray]:
    """A picture of each graph, uint8 [H, W, 3]."""
    pictures = []
    for start in tqdm(range(0, len(graphs), config.batch_size), desc=name):
        part = slice(start, start + config.batch_size)
        drawn = draw_graphs(base, condition, graphs[part], noise[part], steps=config.steps)
        pictures += [np.asarray(to_pil(picture)) for picture in drawn]
    return pictures


if __name__ == "__main__":
    run(main, Config)
