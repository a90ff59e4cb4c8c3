"""What a graph costs while sampling, and what it gives for that: obedience and time by strength, end, negative, steps.

    python train/compare_influence.py

One adapter of gated self-attention draws the same validation graphs from the same noise with every setting. Settings
take turns on a few graphs at a time, so that whatever else the machine does slows all of them alike; times are of the
processor (of the wall on a GPU), over those of the base alone in as many steps. What is measured goes into `--run-dir`
a few graphs at a time, and goes on where it was stopped. Out comes `docs/influence.md`.
"""

import hashlib
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from sg_models.bases import sg_mini
from sg_models.files.whole_file import whole_file
from sg_models.graph.scene_graph import SceneGraph
from train.bases.base_model import BaseModel
from train.bases.load import load_base
from train.conditioning.conditioners import GRAPH_PROMPT, Conditions, GSAConditioner
from train.conditioning.influence import Influence
from train.conditioning.sampling import draw_graphs, sample_latents, starting_noise
from train.conditioning.trained_adapter import load_variant, variant_files
from train.data.dataset import VALIDATION, Dataset
from train.data.graph_variation import without_boxes
from train.data.known_datasets import DatasetOptions, open_dataset
from train.report.influence_page import BASE, SETTINGS, Measured, Setting, influence_page
from train.report.metrics import METRICS, judge_all, verdict_counts
from train.report.network_files import fingerprint
from train.report.picture_grid import to_pil
from train.running.command_line import UsageError, run

CHUNK = 5  # pictures at once: on a CPU, whose caches these fit into, a little faster than 25


@dataclass
class Config(DatasetOptions):
    base: str = sg_mini.NAME
    adapter: str = "vi"
    """a variant's name or the path of an adapter file of gated self-attention"""
    graphs: int = 100
    """validation graphs, each drawn once with every setting"""
    seed: int = 0
    run_dir: Path = Path("runs/influence")
    docs: Path = Path("docs")
    """influence.md is written there"""


def main(config: Config) -> None:
    if config.graphs < 2:
        raise UsageError("--graphs must be at least 2: an interval needs more than one graph")
    base = load_base(config.base).to("cuda" if torch.cuda.is_available() else "cpu").freeze()
    condition = load_variant(base, config.adapter)
    if not isinstance(condition, GSAConditioner):
        raise UsageError(
            f"({config.adapter}) has no gated self-attention; name v, vi, vii or an adapter file of theirs"
        )
    data = open_dataset(config)
    graphs = [without_boxes(graph) for graph in data.split(VALIDATION, config.graphs).graphs]
    noise = starting_noise(base, config.seed, config.graphs)
    parts = [range(first, min(first + CHUNK, len(graphs))) for first in range(0, len(graphs), CHUNK)]
    measured = []
    for part in tqdm(parts, unit="graphs", unit_scale=CHUNK):
        chosen = [graphs[place] for place in part]
        measured.append(load_or_measure(config, data, condition, chosen, noise[list(part)]))
    page = influence_page(Measured.together(measured), config.adapter, data.title, config.graphs)
    with whole_file(config.docs / "influence.md") as file:
        file.write_text(page, "utf-8")
    print(f"{config.docs / 'influence.md'}\n\n{page}")


def load_or_measure(
    config: Config, data: Dataset, condition: GSAConditioner, graphs: Sequence[SceneGraph], noise: Tensor
) -> Measured:
    """The measurement of some graphs in `run_dir`, made now if it is not there."""
    weights = [fingerprint(path) for path in variant_files(config.adapter, config.base)]
    made_from = repr((weights, SETTINGS, config.seed, graphs, noise.tolist()))
    path = config.run_dir / f"{hashlib.sha256(made_from.encode()).hexdigest()[:16]}.npz"
    if path.exists():
        with np.load(path) as kept:
            return Measured(kept["counts"], kept["seconds"])
    found = measure(data, condition, graphs, noise)
    with whole_file(path) as file, file.open("wb") as stream:
        np.savez(stream, counts=found.counts, seconds=found.seconds)
    return found


def measure(data: Dataset, condition: GSAConditioner, graphs: Sequence[SceneGraph], noise: Tensor) -> Measured:
    """Draws some graphs with every setting in turn, and with the base alone, and judges the pictures."""
    counts = np.zeros((len(SETTINGS), len(METRICS), len(graphs), 2), int)
    seconds = np.zeros(len(SETTINGS))
    for place, setting in enumerate(SETTINGS):
        start = now()
        pictures = draw(condition, graphs, noise, setting)
        seconds[place] = now() - start
        if setting in BASE:
            continue
        verdicts = judge_all(data, [np.asarray(to_pil(picture)) for picture in pictures], graphs)
        found = verdict_counts(verdicts)
        counts[place] = [found[metric] for metric in METRICS]
    return Measured(counts, seconds)


def draw(condition: GSAConditioner, graphs: Sequence[SceneGraph], noise: Tensor, setting: Setting) -> Tensor:
    """Pictures [B, 3, H, W] in [0, 1] of a whole run, from phrases to pixels."""
    if setting in BASE:
        return draw_prompts(condition.base, condition.guidance, noise, setting.steps)
    condition.influence = Influence(setting.strength, 0.0, setting.end)
    condition.on_negative = setting.on_negative
    return draw_graphs(condition.base, condition, graphs, noise, steps=setting.steps)


@torch.no_grad()
def draw_prompts(base: BaseModel, guidance: float, noise: Tensor, steps: int) -> Tensor:
    """The same without graphs, by the base alone."""
    prompts = base.encode_prompts([GRAPH_PROMPT, ""])[:, None].expand(-1, len(noise), -1, -1)
    latents = sample_latents(base, Conditions(*prompts), noise.to(base.device), steps=steps, guidance=guidance)
    return base.decode(latents)


def now() -> float:
    """Seconds of the processor; of the wall where a GPU works."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
        return time.perf_counter()
    return time.process_time()


if __name__ == "__main__":
    run(main, Config)
