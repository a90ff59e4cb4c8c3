"""Draws scene graphs without ComfyUI.

python train/sample.py --base sg-mini --adapter vi --graph graphs/desk.txt --out pictures --n 4 --seed 0
"""

import sys
from dataclasses import dataclass
from pathlib import Path

import torch
from tqdm import tqdm

from sg_models.files.whole_file import whole_file
from sg_models.graph.formats import parse_scene_graphs
from sg_models.graph.scene_graph import SceneGraph, SceneGraphError
from train.bases.load import BaseOptions, load_base
from train.conditioning.sampling import STEPS, draw_graphs, starting_noise
from train.conditioning.trained_adapter import load_variant
from train.report.picture_grid import to_pil
from train.running.command_line import UsageError, run

STANDARD_INPUT = "-"
ENDINGS = (".json", ".txt")


@dataclass(kw_only=True)
class Config(BaseOptions):
    graph: list[str]
    """.json or .txt files in any accepted format, folders of them, or - for standard input"""
    adapter: str = "vi"
    """a variant's name, the path of an adapter file, or none: the graph as a caption, variant (i)"""
    bert: str | None = None
    """a folder or hub id of the BERT that the adapter was trained with, if not the packaged one"""
    out: Path = Path("pictures")
    n: int = 4
    """pictures per graph"""
    seed: int = 0
    """picture k of every graph starts from the k-th noise of this seed"""
    steps: int = STEPS
    guidance: float | None = None
    """classifier-free guidance; if left out, what serves the variant best"""
    side: int | None = None
    """pixels; the base's own size if left out"""
    batch_size: int = 16


def main(config: Config) -> None:
    if config.n < 1 or config.steps < 1 or config.batch_size < 1:
        raise UsageError("--n, --steps and --batch-size must be at least 1")
    if config.side is not None and (config.side < 16 or config.side % 8):
        raise UsageError("--side must be a multiple of 8, and at least 16")
    graphs = read_graphs(config.graph)
    base = load_base(config.base, config.prediction_type).to("cuda" if torch.cuda.is_available() else "cpu").freeze()
    condition = load_variant(base, config.adapter, config.bert)
    for name, graph in graphs.items():
        _named(name, lambda graph=graph: condition.check_fits(graph))
    config.out.mkdir(parents=True, exist_ok=True)
    noise = starting_noise(base, config.seed, config.n, config.side)
    jobs = [(name, k) for name in graphs for k in range(config.n)]
    for start in tqdm(range(0, len(jobs), config.batch_size), unit="batch", disable=len(jobs) <= config.batch_size):
        part = jobs[start : start + config.batch_size]
        pictures = draw_graphs(
            base,
            condition,
            [graphs[name] for name, _ in part],
            noise[[k for _, k in part]],
            steps=config.steps,
            guidance=config.guidance,
        )
        for (name, k), picture in zip(part, pictures, strict=True):
            with whole_file(config.out / f"{name}_{k}.png") as file:
                to_pil(picture).save(file, "PNG")
    print(f"{len(jobs)} pictures in {config.out}")


def read_graphs(sources: list[str]) -> dict[str, SceneGraph]:
    """Scene graphs by the name that their pictures get: the file's, with a number where a file holds several."""
    graphs: dict[str, SceneGraph] = {}
    for source in sources:
        for name, text in _texts(source):
            place = "standard input" if source == STANDARD_INPUT else source
            found = _named(place, lambda text=text: parse_scene_graphs(text))
            for i, graph in enumerate(found, start=1):
                key = name if len(found) == 1 else f"{name}-{i}"
                if key in graphs:
                    raise UsageError(f"two graphs would both be drawn as {key}_0.png; rename one of the files")
                graphs[key] = graph
    return graphs


def _texts(source: str) -> list[tuple[str, str]]:
    if source == STANDARD_INPUT:
        return [("graph", sys.stdin.read())]
    path = Path(source)
    files = sorted(f for f in path.iterdir() if f.suffix in ENDINGS) if path.is_dir() else [path]
    if not files:
        raise UsageError(f"there are no {' or '.join(ENDINGS)} files in {path}")
    for file in files:
        if not file.is_file():
            raise UsageError(f"there is no file or folder {file}")
        if file.suffix not in ENDINGS:
            raise UsageError(f"{file} does not end in {' or '.join(ENDINGS)}")
    return [(file.stem, _named(str(file), lambda file=file: _read(file))) for file in files]


def _read(file: Path) -> str:
    try:
        return file.read_text("utf-8-sig")
    except UnicodeDecodeError as error:
        raise SceneGraphError(f"this is not UTF-8 text (byte {error.start}); save it as UTF-8") from error


def _named(source: str, action):
    """Calls `action`; a scene graph's error then says which file it is about."""
    try:
        return action()
    except SceneGraphError as error:
        raise SceneGraphError(f"{source}: {error}") from error


if __name__ == "__main__":
    run(main, Config)
