"""Compares all variants on Shapes: obedience, likeness to true pictures, size and speed, in one table.

    python train/compare.py

Every variant draws the same held-out graphs from the same noise, with several sampling seeds. What it measures goes
into `runs/compare`, one file per variant, split and seed, so that it goes on where it was stopped; files of other
weights or settings are measured anew. Out come `docs/results.md`, a CSV and a figure of the same graphs drawn by all.
"""

import csv
import hashlib
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torchmetrics.image.fid import FrechetInceptionDistance
from tqdm import tqdm

from sg_models import sg_mini
from sg_models.scene_graph import SceneGraph
from sg_models.whole_file import whole_file
from train.base_model import BaseModel, load_base
from train.command_line import run
from train.comparison_figure import draw_comparison
from train.conditioning import CAPTION_GUIDANCE, GRAPH_GUIDANCE
from train.evaluate import METRICS, TEST_SPLITS, verdict_counts, with_interval
from train.graph_variation import without_boxes
from train.oracle import judge
from train.picture_grid import to_pil
from train.sampling import STEPS, draw_graphs, starting_noise
from train.shapes import render, scene, seeds
from train.trained_adapter import NO_ADAPTER, load_variant, variant_files

CEILING = "autoencoder"  # true pictures through the autoencoder: as well as a variant could do
NAMES = {
    CEILING: "true pictures, decoded",
    "i": "text, CLIP",
    "ii": "text, Structure-CLIP, LoRA",
    "iii": "layout, BERT, ControlNet",
    "iv": "layout, CLIP, ControlNet",
    "v": "embeddings, BERT, gated self-attention",
    "vi": "embeddings, CLIP, gated self-attention",
    "vii": "embeddings, Structure-CLIP, gated self-attention",
}
FEATURES = 64  # of a picture: its latents, averaged to 4 × 4
FID_RESAMPLES = 200
CHUNK = 50


@dataclass
class Config:
    base: str = sg_mini.NAME
    graphs: int = 500
    """held-out graphs per split"""
    seeds: int = 3
    """sampling seeds: pictures per graph"""
    steps: int = STEPS
    run_dir: Path = Path("runs/compare")
    docs: Path = Path("docs")
    """results.md, results.csv and results.png are written there"""


@dataclass
class Pictures:
    """What was measured on the pictures of one variant, split and seed."""

    counts: np.ndarray  # [4 metrics, G graphs, 2]: hits, and how many there could be
    features: np.ndarray  # [G, FEATURES]
    seconds: float  # per picture


def measured(config: Config, variant: str, split: str, seed: int) -> Pictures:
    """The measurement in `run_dir`, made now if it is not there."""
    path = config.run_dir / f"{variant}-{split}-{seed}.npz"
    made_from = f"{fingerprint(variant, config.base)} {config.graphs} {config.steps}"
    if path.exists():
        with np.load(path) as kept:
            if str(kept["made_from"]) == made_from:
                return Pictures(kept["counts"], kept["features"], float(kept["seconds"]))
    found = measure(config, variant, split, seed)
    with whole_file(path) as file, file.open("wb") as stream:
        np.savez(
            stream, counts=found.counts, features=found.features, seconds=found.seconds, made_from=np.array(made_from)
        )
    return found


def fingerprint(variant: str, base: str) -> str:
    """SHA-256 of the weights that a variant is made of."""
    digest = hashlib.sha256()
    for path in variant_files(variant, base):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def measure(config: Config, variant: str, split: str, seed: int) -> Pictures:
    """Draws each graph of a split once and judges the pictures."""
    base = load_base(config.base).to("cuda" if torch.cuda.is_available() else "cpu").frozen()
    scenes = [scene(s) for s in seeds(split, config.graphs)]
    graphs = [without_boxes(s.graph) for s in scenes]
    noise = starting_noise(base, seed, len(graphs), sg_mini.SIDE)
    condition = None if variant == CEILING else load_variant(base, NO_ADAPTER if variant == "i" else variant)
    verdicts, features, seconds = [], [], 0.0
    for first in tqdm(range(0, len(graphs), CHUNK), desc=f"({variant}), {split}, seed {seed}"):
        part = slice(first, first + CHUNK)
        start = time.perf_counter()
        if condition is None:
            pictures = base.decode(latents_of(base, [render(s) for s in scenes[part]]))
        else:
            pictures = draw_graphs(base, condition, graphs[part], noise[part], steps=config.steps)
        seconds += time.perf_counter() - start
        seen = [np.asarray(to_pil(picture)) for picture in pictures]
        verdicts += [judge(picture, graph) for picture, graph in zip(seen, graphs[part], strict=True)]
        features.append(picture_features(base, seen))
    counts = verdict_counts(verdicts)
    return Pictures(np.array([counts[metric] for metric in METRICS]), np.concatenate(features), seconds / len(graphs))


def true_features(config: Config, split: str) -> np.ndarray:
    """Of the true pictures of the same scenes."""
    base = load_base(config.base).frozen()
    scenes = [scene(s) for s in seeds(split, config.graphs)]
    parts = [scenes[first : first + CHUNK] for first in range(0, len(scenes), CHUNK)]
    return np.concatenate([picture_features(base, [render(s) for s in part]) for part in parts])


def latents_of(base: BaseModel, pictures: Sequence[np.ndarray]) -> Tensor:
    """Latents [B, 4, h, w] of pictures, uint8 [H, W, 3] each."""
    x = torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).float() / 127.5 - 1
    return base.encode_pictures(x.to(base.device))


def picture_features(base: BaseModel, pictures: Sequence[np.ndarray]) -> np.ndarray:
    """What the Fréchet distance compares: the autoencoder's latents, averaged to 4 × 4: [B, FEATURES]."""
    return nn.functional.adaptive_avg_pool2d(latents_of(base, pictures), 4).flatten(1).cpu().numpy()


def frechet_distance(features: np.ndarray, true: np.ndarray) -> float:
    """Fréchet distance of features [N, FEATURES] to those of true pictures, by torchmetrics."""
    same = nn.Identity()
    same.num_features = FEATURES  # pyright: ignore[reportAttributeAccessIssue]
    metric = FrechetInceptionDistance(feature=same)
    metric.update(torch.from_numpy(true), real=True)
    metric.update(torch.from_numpy(features), real=False)
    return float(metric.compute())


def distance_with_interval(features: np.ndarray, true: np.ndarray) -> list[float]:
    """The Fréchet distance with its 95 % interval, bootstrapped over pictures: [value, low, high]."""
    rng = np.random.default_rng(0)
    resampled = [
        frechet_distance(features[rng.integers(len(features), size=len(features))], true) for _ in range(FID_RESAMPLES)
    ]
    low, high = np.percentile(resampled, [2.5, 97.5])
    return [frechet_distance(features, true), float(low), float(high)]


def row(config: Config, variant: str, split: str, true: np.ndarray) -> dict[str, Any]:
    """One variant on one split, over all sampling seeds."""
    count = 1 if variant == CEILING else config.seeds
    found = [measured(config, variant, split, seed) for seed in range(count)]
    # the pictures of one graph succeed and fail together: they are resampled together
    counts = np.sum([one.counts for one in found], axis=0)  # [4, G, 2]
    figures = {metric: with_interval(*counts[k].T) for k, metric in enumerate(METRICS)}
    figures["FID"] = distance_with_interval(np.concatenate([one.features for one in found]), true)
    return {"split": split, "variant": variant, **figures, "seconds": float(np.mean([one.seconds for one in found]))}


def trained(variant: str, base: str) -> tuple[int, int | None]:
    """How many parameters a variant adds to its base, and in how many steps they were trained."""
    from safetensors import safe_open

    parameters, steps = 0, None
    for path in variant_files(variant, base)[1:]:
        with safe_open(path, "pt") as file:
            parameters += sum(int(np.prod(file.get_slice(name).get_shape())) for name in file.keys())
            steps = int((file.metadata() or {}).get("scene_graph.steps", steps or 0)) or steps
    return parameters, steps


def markdown(config: Config, rows: list[dict[str, Any]]) -> str:
    """The table as a page of its own."""
    columns = [*METRICS, "FID"]
    lines = [
        "# Seven variants compared",
        "",
        f"Measured by `python train/compare.py` on Shapes, a synthetic world: {config.graphs} held-out graphs a split, "
        f"{config.seeds} sampling seeds, {config.steps} DDIM steps, guidance {CAPTION_GUIDANCE:g} for text and "
        f"{GRAPH_GUIDANCE:g} for graphs; 95 % intervals, bootstrapped over graphs (FID: over pictures). FID is the "
        "Fréchet distance between the autoencoder's latents, averaged to 4 × 4, of drawn and true pictures; it cannot "
        "be compared with other people's FID.",
        "",
        "| split | variant | " + " | ".join(columns) + " | parameters | steps | s per picture |",
        "|---" * (5 + len(columns)) + "|",
    ]
    for one in rows:
        cells = [f"{v:.3f} [{low:.3f}, {high:.3f}]" for v, low, high in (one[column] for column in columns)]
        parameters, steps = trained(one["variant"], config.base)
        lines.append(
            f"| {one['split']} | ({one['variant']}) {NAMES[one['variant']]} | "
            + " | ".join(cells)
            + f" | {parameters / 1e6:.2f} M | {steps or '–'} | {one['seconds']:.2f} |"
        )
    return "\n".join([*lines, "", "![The same graphs, drawn by all variants](results.png)", ""])


def write_csv(rows: list[dict[str, Any]], path: Path) -> None:
    """The same figures for programs."""
    columns = [*METRICS, "FID"]
    with whole_file(path) as file, file.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(
            ["split", "variant", *(f"{c}{end}" for c in columns for end in ("", " low", " high")), "seconds"]
        )
        for one in rows:
            writer.writerow([one["split"], one["variant"], *(v for c in columns for v in one[c]), one["seconds"]])


def main(config: Config) -> None:
    variants = [name for name in NAMES if name in (CEILING, "i") or len(variant_files(name, config.base)) > 1]
    if missing := ", ".join(f"({name})" for name in NAMES if name not in variants):
        print(f"left out, for they are not trained: {missing}")
    rows = []
    for split in TEST_SPLITS:
        true = true_features(config, split)
        rows += [row(config, variant, split, true) for variant in variants]
    text = markdown(config, rows)
    print(text)
    with whole_file(config.docs / "results.md") as file:
        file.write_text(text, "utf-8")
    write_csv(rows, config.docs / "results.csv")
    shown: list[SceneGraph] = [without_boxes(scene(s).graph) for s in seeds(TEST_SPLITS[0], 8)]
    drawn = {name: NAMES[name] for name in variants if name != CEILING}
    draw_comparison(config.base, drawn, shown, config.docs / "results.png")


if __name__ == "__main__":
    run(main, Config)
