"""Compares graph conditioning (gc) with captions and with the paper's ablation of it, on one page.

    python train/train_picture_tower.py --seed 1 --run-dir runs/judge --out runs/judge/picture_tower.safetensors
    python train/compare_graph_conditioning.py

All draw the same test graphs of Shapes, each several times, from the same noise. The ablation's adapters are looked
for in folders of `--ablation`, of the names and with the options that docs/training.md gives them; those that are not
there are left out, and it says so. Pictures are kept in `--run-dir`, and the same command goes on where it was stopped.
Out come docs/graph_conditioning.md and the first pictures of each row.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from tqdm import tqdm

from sg_models.adapters.variants import CAPTION_VARIANT, VARIANTS
from sg_models.bases import sg_mini
from sg_models.files.whole_file import whole_file
from sg_models.graph.scene_graph import SceneGraph
from sg_models.layers.graph_batch import graph_batch
from sg_models.verification.shapes.oracle import ShapesOracle
from train.bases.load import load_base
from train.conditioning.graph_conditioner import GraphConditioningConditioner
from train.conditioning.sampling import draw_graphs, starting_noise
from train.conditioning.trained_adapter import load_variant, variant_files
from train.data.dataset import VALIDATION, Split
from train.data.graph_variation import without_boxes
from train.data.shapes.shapes_dataset import Shapes, ShapesSplit
from train.objectives.graph_alignment import retrieval
from train.objectives.picture_features import OF_SG_MINI, open_picture_tower
from train.report.detected_objects import OOR, DetectedGraphs
from train.report.graph_conditioning_page import ABLATION, AMONG, Row, graph_conditioning_page
from train.report.guidance_page import TRUE
from train.report.guided_pictures import diversity, fidelity, open_judge
from train.report.metrics import METRICS
from train.report.network_files import fingerprint
from train.report.obedience import Obedience
from train.report.picture_folder import PictureFolder, write_report
from train.report.picture_grid import save_grid, to_pil
from train.report.picture_metric import DrawnPictures
from train.report.training_cost import training_cost
from train.running.command_line import UsageError, run

VARIANT = VARIANTS["gc"]
SHOWN = 8  # graphs of the figure
CHUNK = 10  # graphs at once


@dataclass
class Config:
    graphs: int = 250
    """test graphs of a split"""
    samples: int = 2
    """pictures of each graph, each from noise of its own"""
    steps: int = 8
    """of DDIM, as in docs/results.md"""
    seed: int = 0
    ablation: Path = Path("runs/gc-ablation")
    """a folder for each adapter of the ablation"""
    picture_tower: str = OF_SG_MINI
    """the one that graphs were aligned with"""
    judge: Path = Path("runs/judge/picture_tower.safetensors")
    """a picture tower that nothing was aligned with"""
    run_dir: Path = Path("runs/compare-gc")
    docs: Path = Path("docs")
    """graph_conditioning.md and graph_conditioning.png are written there"""


class Bench:
    """What all rows share."""

    def __init__(self, config: Config) -> None:
        if config.samples < 2 or config.graphs < 2:
            raise UsageError("diversity is between pictures of one graph; write --samples 2 and --graphs 2 at least")
        self.config, self.data, self.judge = config, Shapes(), open_judge(config.judge)
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        self.tower = open_picture_tower(config.picture_tower, self.device)
        true = ShapesSplit(VALIDATION, TRUE)
        self.true = self.judge.embed(true.pictures(range(TRUE), sg_mini.SIDE))

    def row(self, split: Split, name: str, adapter: str) -> tuple[Row, np.ndarray]:
        """An adapter, by name or by file, on a split; and its first pictures, uint8 [SHOWN, H, W, 3]."""
        pictures, found = self.pictures(split, name, adapter), {}
        graphs = [without_boxes(graph) for graph in split.graphs]
        metrics = Obedience(self.data), DetectedGraphs(ShapesOracle())
        for metric in metrics:
            metric.see(DrawnPictures(range(len(graphs)), graphs, pictures))
            found |= metric.figures()
        apart: dict[str, Any] = {
            "distance to true": fidelity(self.judge, pictures.reshape(-1, *pictures.shape[2:]), self.true),
            "diversity": diversity(self.judge, list(pictures)),
            "own picture first": self.own_picture_first(split, adapter),
        }
        figures = {key: value for key, value in found.items() if key in (*METRICS, OOR)} | apart
        cost = training_cost(variant_files(adapter, sg_mini.NAME)[1:])
        return Row(split.name, name, figures, *cost), pictures[:SHOWN, 0]

    def pictures(self, split: Split, name: str, adapter: str) -> np.ndarray:
        """All samples of all graphs, uint8 [G, S, H, W, 3]; those that `run_dir` has are read."""
        config, kept = self.config, PictureFolder(self.config.run_dir / split.name / name)
        write_report(kept.folder, self._settings(split, adapter))
        missing = [place for place in range(len(split.graphs)) if not kept.has([place], config.samples)]
        for place, drawn in self._draw(split, adapter, missing) if missing else ():
            for sample, picture in enumerate(drawn):
                kept.write(place, sample, picture)
        return np.array(kept.read(range(len(split.graphs)), config.samples))

    @torch.no_grad()
    def own_picture_first(self, split: Split, adapter: str) -> float | None:
        """How often a graph's vector has its own true picture nearest, of those of the first graphs of a split."""
        condition = load_variant(load_base(sg_mini.NAME).to(self.device).freeze(), adapter)
        if not isinstance(condition, GraphConditioningConditioner):
            return None
        places = range(min(AMONG, len(split.graphs)))
        graphs = [split.graphs[place] for place in places]
        batch = graph_batch(graphs, condition.encode(graphs)).to(self.device)
        pictures = torch.cat([self.tower(split.pictures([place], sg_mini.SIDE)) for place in places])
        return retrieval(F.normalize(condition.adapter.vectors(batch).cpu(), dim=-1) @ pictures.T)

    def _draw(self, split: Split, adapter: str, places: Sequence[int]) -> Iterator[tuple[int, list[np.ndarray]]]:
        config = self.config
        base = load_base(sg_mini.NAME).to(self.device).freeze()  # one of its own: adapters change its UNet
        condition, count = load_variant(base, adapter), len(split.graphs)
        noise = torch.stack([starting_noise(base, config.seed + s, count) for s in range(config.samples)])

        def draw(graphs: list[SceneGraph], start: Tensor) -> list[np.ndarray]:
            return [np.asarray(to_pil(one)) for one in draw_graphs(base, condition, graphs, start, steps=config.steps)]

        for first in tqdm(range(0, len(places), CHUNK), desc=f"{adapter}, {split.name}"):
            part = list(places[first : first + CHUNK])
            graphs = [without_boxes(split.graphs[place]) for place in part]
            drawn = [draw(graphs, of_sample[part]) for of_sample in noise]
            yield from zip(part, (list(samples) for samples in zip(*drawn, strict=True)), strict=True)

    def _settings(self, split: Split, adapter: str) -> dict[str, Any]:
        """What pictures were drawn with; others of the same name are refused."""
        config, weights = self.config, [fingerprint(path) for path in variant_files(adapter, sg_mini.NAME)]
        return {"weights": weights, "data": split.fingerprint(), "steps": config.steps, "first seed": config.seed}


def adapters(config: Config) -> dict[str, str]:
    """What is compared, by row: a variant's name, or the path of an adapter file; what is not trained is left out."""
    files = {name: config.ablation / name / VARIANT.adapter_names(sg_mini.NAME)[0] for name in ABLATION}
    found = {name: str(path) for name, path in files.items() if path.exists()}
    if missing := [str(files[name]) for name in ABLATION if name not in found]:
        print(f"left out, for they are not trained: {', '.join(missing)}")
    return {CAPTION_VARIANT: CAPTION_VARIANT, VARIANT.name: VARIANT.name, **found}


def main(config: Config) -> None:
    bench, rows, sheet = Bench(config), [], []
    for name in bench.data.test_splits:
        split = bench.data.split(name, config.graphs)
        true = split.pictures(range(min(SHOWN, config.graphs)), sg_mini.SIDE)
        found = [bench.row(split, row, adapter) for row, adapter in adapters(config).items()]
        rows += [row for row, _ in found]
        if not sheet:
            sheet = [true, *(pictures for _, pictures in found)]
    grid = torch.from_numpy(np.concatenate(sheet)).permute(0, 3, 1, 2).float() / 255
    save_grid(grid, str(config.docs / "graph_conditioning.png"), len(sheet[0]))
    page = config.docs / "graph_conditioning.md"
    with whole_file(page) as file:
        file.write_text(graph_conditioning_page(rows, config), "utf-8")
    print(page)


if __name__ == "__main__":
    run(main, Config)
