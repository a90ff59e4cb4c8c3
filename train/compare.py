"""Compares the seven variants on a data set: obedience, likeness to true pictures, layouts, size, speed, on one page.

    python train/compare.py

Every variant draws the same held-out graphs from the same noise, with several sampling seeds. What it measures goes
into `runs/compare`, one file per variant, split and seed, so that it goes on where it was stopped; files of other
weights or settings are measured anew. Out come `docs/results.md`, a CSV and a figure of the same graphs drawn by all.
"""

import hashlib
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn
from torchmetrics.image.fid import FrechetInceptionDistance
from tqdm import tqdm

from sg_models.adapters.variants import CAPTION_VARIANT, GSA, LAYOUT_CONTROLNET, SEVEN, VARIANTS
from sg_models.bases import sg_mini
from sg_models.files.whole_file import whole_file
from train.bases.base_model import BaseModel
from train.bases.load import load_base
from train.conditioning.conditioners import Conditioner, GSAConditioner, LayoutConditioner
from train.conditioning.sampling import draw_graphs, starting_noise
from train.conditioning.trained_adapter import load_variant, trained_variants, variant_files
from train.data.dataset import Split
from train.data.graph_samples import GraphSamples
from train.data.graph_variation import without_boxes
from train.data.known_datasets import DatasetOptions, open_dataset
from train.data.spatial_relations import nests
from train.losses.layout_losses import box_figures
from train.report.comparison_figure import draw_comparison
from train.report.comparison_page import CEILING, Comparison, Row, markdown, title, write_csv
from train.report.metrics import METRICS, judge_all, verdict_counts, with_interval
from train.report.page_sections import with_sections_of
from train.report.picture_grid import to_pil
from train.report.training_cost import training_cost
from train.running.command_line import run
from train.running.precision import autocast, resolve

FEATURES = 64  # of a picture: its latents, averaged to 4 × 4
FID_RESAMPLES = 200
SHOWN = 8  # graphs of the figure
CHUNK = 5  # pictures at once: on a CPU, whose caches these fit into, a little faster than 25


@dataclass
class Config(DatasetOptions):
    base: str = sg_mini.NAME
    graphs: int = 500
    """held-out graphs per split"""
    seeds: int = 3
    """sampling seeds: pictures per graph; the pictures with given boxes are drawn with the first alone"""
    steps: int = 8
    """of DDIM; what pictures obey is settled early, and this many cost a third of the default's time"""
    mixed_precision: Literal["auto", "no", "bf16"] = "auto"
    """how pictures are drawn; auto is bf16 where the device has instructions for it, else no"""
    run_dir: Path = Path("runs/compare")
    docs: Path = Path("docs")
    """results.md, results.csv and results.png are written there"""


@dataclass(frozen=True)
class Task:
    """What is measured in one go: each graph of a split, drawn once."""

    variant: str
    split: str
    seed: int
    boxes: bool = False
    """whether the graphs give their boxes"""

    @property
    def name(self) -> str:
        """Of its file."""
        return f"{self.variant}-{self.split}-{self.seed}" + "-boxes" * self.boxes


@dataclass
class Pictures:
    """What was measured on the pictures of one task."""

    counts: np.ndarray  # [4 metrics, G graphs, 2]: hits, and how many there could be
    features: np.ndarray  # [G, FEATURES]
    seconds: float  # per picture


def load_or_measure(config: Config, task: Task) -> Pictures:
    """The measurement in `run_dir`, made now if it is not there."""
    path = config.run_dir / f"{task.name}.npz"
    settings = (config.dataset, config.graphs, config.steps, config.mixed_precision)
    made_from = " ".join(map(str, (fingerprint(task.variant, config.base), *settings)))
    if path.exists():
        with np.load(path) as kept:
            if str(kept["made_from"]) == made_from:
                return Pictures(kept["counts"], kept["features"], float(kept["seconds"]))
    found = measure(config, task)
    with whole_file(path) as file, file.open("wb") as stream:
        np.savez(stream, **asdict(found), made_from=np.array(made_from))
    return found


def fingerprint(variant: str, base: str) -> str:
    """SHA-256 of the weights that a variant is made of."""
    digest = hashlib.sha256()
    for path in variant_files(variant, base):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def measure(config: Config, task: Task) -> Pictures:
    """Draws each graph of a split once and judges the pictures."""
    base = load_base(config.base).to("cuda" if torch.cuda.is_available() else "cpu").freeze()
    data = open_dataset(config)
    split = data.split(task.split, config.graphs)
    noise = starting_noise(base, task.seed, config.graphs)
    condition = None if task.variant == CEILING else load_variant(base, task.variant)
    for part in (base.unet, base.vae):  # a seventh faster on a CPU with AVX2
        part.to(memory_format=torch.channels_last)
    verdicts, features, seconds = [], [], 0.0
    for places in tqdm(chunks(config.graphs), desc=task.name):
        graphs = [split.graphs[place] for place in places]
        start = time.perf_counter()
        with autocast(base.device, config.mixed_precision):
            pictures = draw(base, condition, split, places, noise[places], task.boxes, config.steps)
        seconds += time.perf_counter() - start
        seen = [np.asarray(to_pil(picture.float())) for picture in pictures]
        verdicts += judge_all(data, seen, graphs)
        features.append(picture_features(base, np.stack(seen)))
    counts = verdict_counts(verdicts)
    return Pictures(np.array([counts[metric] for metric in METRICS]), np.concatenate(features), seconds / config.graphs)


def draw(
    base: BaseModel,
    condition: Conditioner | None,
    split: Split,
    places: list[int],
    noise: Tensor,
    boxes: bool,
    steps: int,
) -> Tensor:
    """Pictures [B, 3, H, W] of some scenes by a variant; by none, the true ones through the autoencoder."""
    if condition is None:
        return base.decode(base.encode_pictures(split.pictures(places, base.side)))
    graphs = [split.graphs[place] if boxes else without_boxes(split.graphs[place]) for place in places]
    return draw_graphs(base, condition, graphs, noise, steps=steps)


def true_features(config: Config, split: str) -> np.ndarray:
    """Of the true pictures of the same scenes."""
    base, scenes = load_base(config.base).freeze(), open_dataset(config).split(split, config.graphs)
    parts = (scenes.pictures(places, base.side) for places in chunks(config.graphs))
    return np.concatenate([picture_features(base, part) for part in parts])


def chunks(count: int) -> list[list[int]]:
    """The places 0 to count - 1, a few at a time."""
    return [list(range(first, min(first + CHUNK, count))) for first in range(0, count, CHUNK)]


def picture_features(base: BaseModel, pictures: np.ndarray) -> np.ndarray:
    """What the Fréchet distance compares, of pictures, uint8 [B, H, W, 3]: latents averaged to 4 × 4: [B, FEATURES]."""
    return nn.functional.adaptive_avg_pool2d(base.encode_pictures(pictures), 4).flatten(1).cpu().numpy()


def frechet_distance(features: np.ndarray, true: np.ndarray) -> float:
    """Fréchet distance of features [N, FEATURES] to those of true pictures, by torchmetrics."""
    same = nn.Identity()
    same.num_features = FEATURES
    metric = FrechetInceptionDistance(feature=same)
    metric.update(torch.from_numpy(true), real=True)
    metric.update(torch.from_numpy(features), real=False)
    return float(metric.compute())


def distance_with_interval(features: np.ndarray, true: np.ndarray) -> list[float]:
    """The Fréchet distance with its 95 % interval: [value, low, high].

    Of resampled pictures the spread alone is taken: the distance grows where pictures repeat, and percentiles with it.
    """
    rng = np.random.default_rng(0)
    resampled = [
        frechet_distance(features[rng.integers(len(features), size=len(features))], true) for _ in range(FID_RESAMPLES)
    ]
    value, margin = frechet_distance(features, true), 1.96 * float(np.std(resampled))
    return [value, max(value - margin, 0.0), value + margin]


def of_all_seeds(config: Config, variant: str, split: str, boxes: bool = False) -> list[Pictures]:
    """The measurements of a variant on a split: with given boxes, and of the ceiling, there is one."""
    count = 1 if variant == CEILING or boxes else config.seeds
    return [load_or_measure(config, Task(variant, split, seed, boxes)) for seed in range(count)]


def counts(found: Sequence[Pictures]) -> dict[str, np.ndarray]:
    """Hits, and how many there could be, of each graph in all its pictures: [G, 2] by metric.

    The pictures of one graph succeed and fail together, so that they are resampled together.
    """
    return dict(zip(METRICS, np.sum([one.counts for one in found], axis=0), strict=True))


def nesting(config: Config, variant: str, split: str) -> dict[str, list[float]]:
    """Relations and exact graphs, apart for graphs with and without an object inside another."""
    nested = np.array([nests(graph) for graph in open_dataset(config).split(split, config.graphs).graphs])
    found = counts(of_all_seeds(config, variant, split))
    return {
        f"{metric}, {name}": with_interval(*found[metric][which].T)
        for name, which in (("none inside another", ~nested), ("one inside another", nested))
        for metric in METRICS[2:]
    }


def row(config: Config, variant: str, split: str, true: np.ndarray, boxes: bool = False) -> Row:
    """One variant on one split, over all sampling seeds."""
    found = of_all_seeds(config, variant, split, boxes)
    figures = {metric: with_interval(*of_graphs.T) for metric, of_graphs in counts(found).items()}
    figures["FID"] = distance_with_interval(np.concatenate([one.features for one in found]), true)
    seconds = float(np.median([one.seconds for one in found]))  # what else the machine did slows some of them down
    return Row(split, variant, figures, *training_cost(variant_files(variant, config.base)[1:]), seconds)


def layouts(base: BaseModel, variant: str, split: Split) -> dict[str, float]:
    """Mean IoU of a variant's predicted boxes with the true ones, and how many layouts obey their graph."""
    loaded = load_variant(base, variant)
    assert isinstance(loaded, GSAConditioner | LayoutConditioner), variant
    bare = GraphSamples(split, torch.zeros(len(split.graphs), 0), loaded.encode).without_boxes().to(base.device)
    return box_figures(loaded.adapter.predict_boxes(bare), bare)


def compare(config: Config, variants: Sequence[str]) -> Comparison:
    """Everything the page shows."""
    data = open_dataset(config)
    with_layout = [name for name in variants if name != CEILING and VARIANTS[name].kind in (GSA, LAYOUT_CONTROLNET)]
    true = {split: true_features(config, split) for split in data.test_splits}
    split = data.test_splits[0]
    return Comparison(
        rows=[row(config, variant, split, true[split]) for split in data.test_splits for variant in variants],
        with_boxes=[
            row(config, variant, split, true[split], boxes=True)
            for variant in with_layout
            if VARIANTS[variant].kind == LAYOUT_CONTROLNET  # all that the UNet sees of a graph is its layout
        ],
        layouts={
            (split, variant): layouts(load_base(config.base).freeze(), variant, data.split(split, config.graphs))
            for split in data.test_splits
            for variant in with_layout
        },
        nesting={variant: nesting(config, variant, split) for variant in variants},
    )


def main(config: Config) -> None:
    config = replace(config, mixed_precision=resolve(config.mixed_precision))
    trained = (name for name in trained_variants(config.base) if name in SEVEN)
    variants = [CEILING, CAPTION_VARIANT, *trained]
    if missing := ", ".join(f"({name})" for name in SEVEN if name not in variants):
        print(f"left out, for they are not trained: {missing}")
    found = compare(config, variants)
    settings = {name: getattr(config, name) for name in ("graphs", "seeds", "steps", "mixed_precision")}
    data = open_dataset(config)
    text = markdown(found, dataset=data.title, **settings)
    print(text)
    results = config.docs / "results.md"
    with whole_file(results) as file:
        earlier = results.read_text("utf-8") if results.exists() else ""
        file.write_text(with_sections_of(text, earlier), "utf-8")
    write_csv(found, config.docs / "results.csv")
    shown = [without_boxes(graph) for graph in data.split(data.test_splits[0], SHOWN).graphs]
    titles = {name: title(name) for name in variants if name != CEILING}
    draw_comparison(config.base, titles, shown, config.docs / "results.png")


if __name__ == "__main__":
    run(main, Config)
