"""Gives every object of scene graphs a box, so that their relations hold; needs no model.

python train/arrange.py --graph graphs/desk.txt --out arranged --n 8 --seed 0
"""

import sys
from dataclasses import dataclass
from pathlib import Path

from sg_models.arrangement.arrange import arrange
from sg_models.drawing.layout_drawing import draw_boxes
from sg_models.files.whole_file import whole_file
from train.data.graph_sources import read_graphs
from train.running.command_line import UsageError, run

LEAST, MOST = 64, 4096  # pixels of a side


@dataclass(kw_only=True)
class Config:
    graph: list[str]
    """.json, .jsonl or .txt files in any accepted format, folders of them, or - for standard input"""
    out: Path = Path("arranged")
    """gets <name>_<k>.json, the graph as canonical JSON with boxes, and <name>_<k>.png, the boxes drawn"""
    n: int = 8
    """arrangements per graph"""
    seed: int = 0
    """arrangement k of every graph is that of seed + k"""
    width: int = 512
    """of the picture, in pixels: with the height it says its proportions"""
    height: int = 512


def main(config: Config) -> None:
    if config.n < 1 or config.seed < 0:
        raise UsageError("--n must be at least 1 and --seed at least 0")
    if not all(LEAST <= side <= MOST for side in (config.width, config.height)):
        raise UsageError(f"--width and --height must be {LEAST} to {MOST}")
    graphs = read_graphs(config.graph)
    config.out.mkdir(parents=True, exist_ok=True)
    for name, graph in graphs.items():
        for k in range(config.n):
            found = arrange(graph, config.seed + k, config.width / config.height)
            for reason in found.reasons if k == 0 else ():
                print(f"warning: {name}: {reason}", file=sys.stderr)
            with whole_file(config.out / f"{name}_{k}.json") as file:
                file.write_text(found.graph.to_json() + "\n", "utf-8")
            with whole_file(config.out / f"{name}_{k}.png") as file:
                draw_boxes(found.graph, (config.width, config.height)).save(file, "PNG")
    print(f"{len(graphs) * config.n} arrangements in {config.out}")


if __name__ == "__main__":
    run(main, Config)
