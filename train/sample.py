"""Draws scene graphs without ComfyUI.

python train/sample.py --base sg-mini --adapter vi --graph graphs/desk.txt --out pictures --n 4 --seed 0
"""

import sys
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from tqdm import tqdm

from sg_models.arrangement.arrange import arrange
from sg_models.bases import sg_mini
from sg_models.graph.scene_graph import SceneGraph, SceneGraphError
from sg_models.verification.detection import Detector
from sg_models.verification.shapes.oracle import ORACLE
from train.bases.load import BaseOptions, load_base
from train.conditioning.guides import GuideOptions, open_guides
from train.conditioning.influence import InfluenceOptions
from train.conditioning.regional_conditioner import RegionalConditioner
from train.conditioning.sampling import STEPS, draw_graphs, starting_noise
from train.conditioning.trained_adapter import load_variant
from train.data.graph_sources import read_graphs
from train.report.detectors import DetectorOptions
from train.report.kept_pictures import Kept
from train.report.picture_grid import to_pil
from train.running.command_line import UsageError, run


@dataclass(kw_only=True)
class Config(BaseOptions, InfluenceOptions, DetectorOptions, GuideOptions):
    graph: list[str]
    """.json, .jsonl or .txt files in any accepted format, folders of them, or - for standard input"""
    adapter: str = "vi"
    """a variant's name, the path of an adapter file, or none: the graph as a caption, variant (i)"""
    bert: str | None = None
    """a folder or hub id of the BERT that the adapter was trained with, if not the packaged one"""
    regional: bool = False
    """add regional prompts: each object's phrase is read inside its box, beside what the adapter does; strength, start
    and end are then those of the regions. Needs no training with --adapter none, but boxes"""
    base_weight: float = 0.3
    """with --regional: how much a place inside a box still reads the prompt"""
    out: Path = Path("pictures")
    n: int = 4
    """pictures per graph"""
    best_of: int = 1
    """draw so many for each of them, and keep those that obey best, the best first, with a report beside each; by
    --detector or, with SG-Mini, by its world's oracle"""
    seed: int = 0
    """picture k of every graph starts from the k-th noise of this seed, and has the layout of seed + k"""
    arrange: bool = False
    """give every object a box first, so that the relations hold; arrangement seed + k for picture k"""
    vary_layouts: bool = True
    """whether pictures of one graph get layouts of their own; the first one of seed 0 has the layout as predicted"""
    steps: int = STEPS
    guidance: float | None = None
    """classifier-free guidance; if left out, what serves the variant best"""
    side: int | None = None
    """pixels; the base's own size if left out"""
    batch_size: int = 16


def main(config: Config) -> None:
    if config.n < 1 or config.steps < 1 or config.batch_size < 1 or config.best_of < 1:
        raise UsageError("--n, --best-of, --steps and --batch-size must be at least 1")
    if config.side is not None and (config.side < 16 or config.side % 8):
        raise UsageError("--side must be a multiple of 8, and at least 16")
    if not 0 <= config.base_weight <= 1:
        raise UsageError("--base-weight is a part: 0 to 1")
    graphs = read_graphs(config.graph)
    base = load_base(config.base, config.prediction_type).to("cuda" if torch.cuda.is_available() else "cpu").freeze()
    condition = load_variant(base, config.adapter, config.bert, None if config.regional else config.influence())
    if config.regional:
        condition = RegionalConditioner(base, condition, config.base_weight, config.influence())
    guides = open_guides(config, base, config.base)
    for name, graph in graphs.items():
        boxed = arranged(graph, config.seed, name) if config.arrange else graph
        _named(name, lambda graph=boxed: condition.check_fits(graph))
        if guides:
            _named(name, lambda graph=boxed: guides.of([graph]))
    detector = judge(config, base.name) if config.best_of > 1 else None
    config.out.mkdir(parents=True, exist_ok=True)
    drawn = config.n * config.best_of
    noise = starting_noise(base, config.seed, drawn, config.side)
    jobs = [(name, k) for name in graphs for k in range(drawn)]
    kept = Kept(config.out, config.n, drawn, detector)
    for start in tqdm(range(0, len(jobs), config.batch_size), unit="batch", disable=len(jobs) <= config.batch_size):
        part = jobs[start : start + config.batch_size]
        chosen = [graphs[name] for name, _ in part]
        if config.arrange:
            chosen = [arrange(graph, config.seed + k).graph for graph, (_, k) in zip(chosen, part, strict=True)]
        elif config.vary_layouts:
            chosen = condition.vary(chosen, [config.seed + k for _, k in part])
        pictures = draw_graphs(
            base,
            condition,
            chosen,
            noise[[k for _, k in part]],
            steps=config.steps,
            guidance=config.guidance,
            guide=guides.of(chosen) if guides else None,
        )
        for (name, k), picture in zip(part, pictures, strict=True):
            kept.add(name, k, graphs[name], to_pil(picture))
    print(f"{len(graphs) * config.n} pictures in {config.out}")


def arranged(graph: SceneGraph, seed: int, name: str) -> SceneGraph:
    """A graph with a box for every object; what cannot hold goes to standard error."""
    found = arrange(graph, seed)
    for reason in found.reasons:
        print(f"warning: {name}: {reason}", file=sys.stderr)
    return found.graph


def judge(config: Config, base: str) -> Detector:
    """What says which pictures obey best; raises `UsageError` where nothing does."""
    oracle = config.detector is None and base == sg_mini.NAME
    return replace(config, detector=ORACLE).open() if oracle else config.open()


def _named(source: str, action):
    """Calls `action`; a scene graph's error then says which file it is about."""
    try:
        return action()
    except SceneGraphError as error:
        raise SceneGraphError(f"{source}: {error}") from error


if __name__ == "__main__":
    run(main, Config)
