"""Measures how well pictures obey their graphs, on a data set's test splits, with its own judge.

    python train/evaluate.py --base sg-mini --adapter vi --json results.json

Variant (i), the graph as a caption, is measured beside the adapter on the same graphs and the same noise. Shapes is a
synthetic world: it says which conditioning works, not how Stable Diffusion 2.1 would do on photographs.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from sg_models.adapters.variants import CAPTION_VARIANT
from sg_models.bases import sg_mini
from sg_models.files.whole_file import whole_file
from train.bases.base_model import BaseModel
from train.bases.load import load_base
from train.conditioning.conditioners import Conditioner, GSAConditioner
from train.conditioning.sampling import STEPS, draw_graphs, starting_noise
from train.conditioning.trained_adapter import NO_ADAPTER, load_variant
from train.data.dataset import Dataset
from train.data.graph_variation import without_boxes
from train.data.known_datasets import DatasetOptions, open_dataset
from train.data.verdict import Verdict
from train.report.metrics import judge_all, result_table, summary
from train.report.picture_grid import to_pil
from train.running.command_line import UsageError, run


@dataclass
class Config(DatasetOptions):
    base: str = sg_mini.NAME
    adapter: str = "vi"
    """a variant's name, the path of an adapter file, or none"""
    bert: str | None = None
    """a folder or hub id of the BERT that the adapter was trained with, if not the packaged one"""
    graphs: int = 500
    """held-out graphs per split"""
    seed: int = 0
    steps: int = STEPS
    guidance: float | None = None
    """of both variants; if left out, what serves each best"""
    on_negative: bool = True
    """of gated self-attention: whether the negative prompt gets the tokens for "no graph", or is the base's own"""
    batch_size: int = 50
    json: Path | None = None
    """write the figures there too"""


def main(config: Config) -> None:
    if config.graphs < 2:
        raise UsageError("--graphs must be at least 2: an interval needs more than one graph")
    data = open_dataset(config)
    variants = {name: load(config, name) for name in (CAPTION_VARIANT, config.adapter) if name != NO_ADAPTER}
    results = {
        split: {name: measure(*loaded, name, data, split, config) for name, loaded in variants.items()}
        for split in data.test_splits
    }
    print(result_table(results))
    if config.json:
        settings = {"base": config.base, "graphs": config.graphs, "seed": config.seed, "steps": config.steps}
        settings["on_negative"] = config.on_negative
        guidance = {name: condition.guidance for name, (_, condition) in variants.items()}
        if config.guidance is not None:
            guidance = dict.fromkeys(variants, config.guidance)
        text = json.dumps(settings | {"guidance": guidance, "results": results}, indent=1)
        with whole_file(config.json) as file:
            file.write_text(text + "\n", "utf-8")


def load(config: Config, name: str) -> tuple[BaseModel, Conditioner]:
    """A variant, and a base of its own: variants change the UNet that they are put into."""
    base = load_base(config.base).to("cuda" if torch.cuda.is_available() else "cpu").freeze()
    condition = load_variant(base, name, config.bert)
    if isinstance(condition, GSAConditioner):
        condition.on_negative = config.on_negative
    elif name == config.adapter and not config.on_negative:
        raise UsageError(f"--no-on-negative is for gated self-attention, (v) to (vii); ({name}) has none")
    return base, condition


def measure(
    base: BaseModel, condition: Conditioner, name: str, data: Dataset, split: str, config: Config
) -> dict[str, Any]:
    """Draws each graph of a split once and judges the pictures; each metric with its 95 % interval."""
    graphs = [without_boxes(graph) for graph in data.split(split, config.graphs).graphs]
    noise = starting_noise(base, config.seed, len(graphs))
    verdicts: list[Verdict] = []
    for start in tqdm(range(0, len(graphs), config.batch_size), desc=f"({name}), {split}"):
        part = slice(start, start + config.batch_size)
        pictures = draw_graphs(base, condition, graphs[part], noise[part], steps=config.steps, guidance=config.guidance)
        verdicts += judge_all(data, [np.asarray(to_pil(p)) for p in pictures], graphs[part])
    return summary(verdicts)


if __name__ == "__main__":
    run(main, Config)
