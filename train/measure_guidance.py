"""Measures guidance while sampling on SG-Mini: by language, by a picture's content and style, and by graphs.

    python train/train_picture_tower.py --seed 1 --run-dir runs/judge --out runs/judge/picture_tower.safetensors
    python train/measure_guidance.py

Pictures start from the same noise in all rows. Language and pictures guide what is drawn from "an image", graphs what
is drawn from their captions; their boxes are those of the true scenes. Each row is kept in `--run-dir` as soon as it is
measured, and the same command goes on where it was stopped. Out comes docs/guidance.md, with pictures of each row.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from sg_models.adapters.variants import CAPTION_VARIANT
from sg_models.bases import sg_mini
from sg_models.files.whole_file import whole_file
from sg_models.guidance.eyes import Eye
from sg_models.guidance.graph_guidance import GraphObjective
from sg_models.guidance.guidance import Guidance, Objective
from sg_models.guidance.scales import (
    AUTO,
    CONTENT,
    GRAPH,
    LANGUAGE,
    LIMITS,
    NOISED,
    PARTS,
    PREDICTED,
    SCALES,
    SPATIAL,
    STYLE,
    parts,
)
from sg_models.guidance.semantic_guidance import language, likeness
from sg_models.verification.shapes.silhouettes import COLOURS, SHAPES
from train.bases.clip_towers import SGMiniText
from train.bases.load import load_base
from train.conditioning.conditioners import GRAPH_PROMPT, Conditions
from train.conditioning.guides import GuideOptions, one_after_another, open_eye
from train.conditioning.sampling import STEPS, Guide, draw_graphs, sample_latents, starting_noise
from train.conditioning.trained_adapter import load_variant
from train.data.dataset import VALIDATION
from train.data.shapes.scene import HELD_OUT_PAIRS
from train.data.shapes.shapes_dataset import Shapes, ShapesSplit
from train.report.guidance_page import NOTHING, TRUE, guidance_page
from train.report.guided_pictures import colour_gap, diversity, fidelity, open_judge, retrieval, shows
from train.report.metrics import judge_all, summary
from train.report.picture_grid import save_grid, to_pil
from train.running.command_line import run

SHOWN = 8


@dataclass
class Config:
    base: str = sg_mini.NAME
    texts: int = 16
    """named objects to guide by"""
    per_text: int = 4
    references: int = 32
    """pictures to guide by, each twice, told apart from --among"""
    among: int = 100
    graphs: int = 100
    """held-out graphs"""
    variant: str = "vi"
    """the adapter that graph guidance is held against"""
    steps: int = STEPS
    seed: int = 0
    batch_size: int = 16
    eyes: tuple[str, ...] = (AUTO,)
    """for texts and pictures; clean takes some five times as long"""
    judge: Path = Path("runs/judge/picture_tower.safetensors")
    """a picture tower that does not guide"""
    noised_clip: Path | None = None
    """the file of the eyes, the shipped one if left out"""
    run_dir: Path = Path("runs/guidance")
    docs: Path = Path("docs")
    """guidance.md and guidance.png are written there"""


@dataclass(frozen=True)
class Row:
    """One way to guide: `kind` as that of `--guide`, through an eye, or nothing at all; `towards` what is measured."""

    towards: str  # LANGUAGE, CONTENT (a picture) or GRAPH
    kind: str = NOTHING
    eye: str | None = None

    @property
    def name(self) -> str:
        return "-".join(part for part in (self.towards, self.kind, self.eye) if part)


def rows(eyes: Sequence[str], variant: str) -> list[Row]:
    """All of them, in the order of the tables."""
    kinds = {LANGUAGE: [LANGUAGE], CONTENT: [CONTENT, SPATIAL, STYLE]}
    guided = [Row(towards, kind, eye) for towards, of_it in kinds.items() for kind in of_it for eye in eyes]
    of_graphs = [Row(GRAPH), Row(GRAPH, GRAPH, AUTO), Row(GRAPH, variant)]
    return [*(Row(towards) for towards in kinds), *guided, *of_graphs]


class Bench:
    """SG-Mini, the judge, and what all rows share."""

    def __init__(self, config: Config) -> None:
        self.config, self.base = config, load_base(config.base).freeze()
        self.judge, self.text = open_judge(config.judge), SGMiniText(config.base)
        options = GuideOptions(noised_clip=config.noised_clip)
        kinds = {*config.eyes, NOISED, PREDICTED} - {AUTO}
        self.eyes = {kind: open_eye(kind, options, self.base, self.text) for kind in kinds}
        split = ShapesSplit(VALIDATION, TRUE)
        self.true = self.judge.embed(split.pictures(range(TRUE), sg_mini.SIDE))
        self.references = split.pictures(range(config.among), sg_mini.SIDE)
        self.graphs = ShapesSplit(Shapes.test_splits[0], config.graphs).graphs
        self.names = [f"{colour} {shape}" for shape in SHAPES for colour in COLOURS]

    def named(self) -> list[str]:
        """The objects to guide by, one for each picture."""
        known = [name for name in self.names if tuple(name.split()) not in HELD_OUT_PAIRS]
        chosen = np.random.default_rng(self.config.seed).choice(known, self.config.texts, replace=False)
        return [str(name) for name in chosen.repeat(self.config.per_text)]

    def guide(self, row: Row, objective: Callable[[Eye, slice], Objective]) -> Callable[[slice], Guide | None]:
        """For each part of the pictures, what guides them; `objective(eye, part)` is what an eye is to see in them."""
        if row.eye is None:
            return lambda part: None
        chosen = parts(row.kind, row.eye, encoder=True)

        def of(part: slice) -> Guide:
            guidances = []
            for kind, times in chosen.items():
                eye, scale = self.eyes[kind], SCALES[kind][row.kind]
                guidances.append((Guidance(eye, objective(eye, part), scale, LIMITS[row.kind]), *times))
            return one_after_another(guidances)

        return of

    def from_nothing(self, guide: Callable[[slice], Guide | None], count: int) -> np.ndarray:
        """Pictures, uint8 [count, H, W, 3], drawn from "an image"."""
        prompt, noise = self.base.encode_prompts([GRAPH_PROMPT]), starting_noise(self.base, self.config.seed, count)

        def draw(part: slice) -> Tensor:
            start = noise[part]
            context = prompt.expand(len(start), -1, -1)
            steps = self.config.steps
            conditions = Conditions(context, context)
            return sample_latents(self.base, conditions, start, steps=steps, guidance=1.0, guide=guide(part))

        return self._in_parts(lambda part: self.base.decode(draw(part)), count)

    def from_graphs(self, row: Row, guide: Callable[[slice], Guide | None]) -> np.ndarray:
        """A picture of each graph, uint8 [G, H, W, 3], drawn from its caption, or by an adapter."""
        adapter = row.eye is None and row.kind != NOTHING
        base = load_base(self.config.base).freeze()  # one of its own: an adapter changes its base's UNet
        condition = load_variant(base, row.kind if adapter else CAPTION_VARIANT)
        noise, steps = starting_noise(self.base, self.config.seed, len(self.graphs)), self.config.steps

        def draw(part: slice) -> Tensor:
            graphs = self.graphs[part]
            return draw_graphs(base, condition, graphs, noise[part], steps=steps, guide=guide(part))

        return self._in_parts(draw, len(self.graphs))

    def _in_parts(self, draw: Callable[[slice], Tensor], count: int) -> np.ndarray:
        size, found = self.config.batch_size, []
        for start in tqdm(range(0, count, size), leave=False):
            with torch.no_grad():
                pictures = draw(slice(start, min(start + size, count)))
            found += [np.asarray(to_pil(picture)) for picture in pictures]
        return np.stack(found)


def measure(bench: Bench, row: Row) -> tuple[dict[str, Any], np.ndarray]:
    """A row's figures, and its pictures."""
    return {LANGUAGE: by_language, CONTENT: by_picture, GRAPH: by_graph}[row.towards](bench, row)


def by_language(bench: Bench, row: Row) -> tuple[dict[str, Any], np.ndarray]:
    """Towards a named object each: whether it is there, and whether the picture finds its name among all."""
    names = bench.named()
    texts = bench.text.embed([f"a {name}" for name in names])
    pictures = bench.from_nothing(bench.guide(row, lambda eye, part: language(texts[part])), len(names))
    candidates = bench.text.embed([f"a {name}" for name in bench.names])
    shown = np.mean([shows(picture, name) for picture, name in zip(pictures, names, strict=True)])
    return {
        "shows it": float(shown),
        **retrieval(bench.judge.embed(pictures), candidates, [bench.names.index(name) for name in names]),
        **common(bench, pictures, bench.config.per_text),
    }, pictures


def by_picture(bench: Bench, row: Row) -> tuple[dict[str, Any], np.ndarray]:
    """Towards a true picture each, twice: whether it is found among others, and how far colours are from its own."""
    right = np.arange(bench.config.references).repeat(2)
    with torch.no_grad():
        latents = bench.base.encode_pictures(bench.references[right])
    guide = bench.guide(row, lambda eye, part: likeness(row.kind, eye, latents[part]))
    pictures = bench.from_nothing(guide, len(right))
    gaps = [colour_gap(picture, bench.references[k]) for picture, k in zip(pictures, right, strict=True)]
    return {
        "colours off": float(np.mean(gaps)),
        **retrieval(bench.judge.embed(pictures), bench.judge.embed(bench.references), right),
        **common(bench, pictures, 2),
    }, pictures


def by_graph(bench: Bench, row: Row) -> tuple[dict[str, Any], np.ndarray]:
    """Towards a graph each, with its boxes: whether the picture obeys it."""
    guide = bench.guide(row, lambda eye, part: GraphObjective(bench.graphs[part], bench.text.embed))
    pictures = bench.from_graphs(row, guide)
    found = summary(judge_all(Shapes(), list(pictures), bench.graphs))
    return {**found, "distance to true": fidelity(bench.judge, pictures, bench.true)}, pictures


def common(bench: Bench, pictures: np.ndarray, samples: int) -> dict[str, float]:
    """Likeness to true pictures, and unlikeness of what the same guidance makes of other noise."""
    groups = np.split(pictures, len(pictures) // samples)
    return {
        "distance to true": fidelity(bench.judge, pictures, bench.true),
        "diversity": diversity(bench.judge, groups),
    }


def load_or_measure(bench: Bench, row: Row) -> tuple[dict[str, Any], np.ndarray]:
    """A row's figures and first pictures as `run_dir` has them, measured now if they are not there."""
    path = bench.config.run_dir / f"{row.name}.npz"
    made_from = repr((replace(bench.config, eyes=(), run_dir=Path(), docs=Path()), SCALES, PARTS, LIMITS))
    if path.exists():
        with np.load(path) as kept:
            if str(kept["made_from"]) == made_from:
                return json.loads(str(kept["figures"])), kept["pictures"]
    figures, pictures = measure(bench, row)
    print(f"{row.name}: {figures}", flush=True)
    with whole_file(path) as file, file.open("wb") as stream:
        np.savez(stream, figures=json.dumps(figures), pictures=pictures[:SHOWN], made_from=made_from)
    return figures, pictures[:SHOWN]


def main(config: Config) -> None:
    bench = Bench(config)
    found = {row: load_or_measure(bench, row) for row in rows(config.eyes, config.variant)}
    figures = {(row.towards, row.kind, row.eye): values for row, (values, _) in found.items()}
    sheet = np.concatenate([pictures for _, pictures in found.values()])
    save_grid(torch.from_numpy(sheet).permute(0, 3, 1, 2).float() / 255, str(config.docs / "guidance.png"), SHOWN)
    page = config.docs / "guidance.md"
    with whole_file(page) as file:
        file.write_text(guidance_page(figures, asdict(config)), "utf-8")
    print(page)


if __name__ == "__main__":
    run(main, Config)
