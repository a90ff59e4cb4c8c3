"""The page of graph conditioning beside captions and its ablation, docs/graph_conditioning.md."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from train.conditioning.conditioners import CAPTION_GUIDANCE
from train.report.detected_objects import OOR
from train.report.guidance_page import TRUE
from train.report.metrics import METRICS

AMONG = 100  # pictures that a graph's vector is to find its own among
ABLATION = {  # the folders of --ablation, and what their adapters were trained with
    "no-mmd": "GCA, no MMD",
    "no-gca": "MMD, no GCA",
    "neither": "neither",
    "full": "GCA and MMD, the whole UNet instead of a LoRA",
    "append": "GCA and MMD, the vector behind the labels",
    "replace": "GCA and MMD, the vector instead of the labels",
}
TITLES = {"i": "(i) the graph as a caption", "gc": "(gc) GCA and MMD, as shipped", **ABLATION}
OTHERS = (OOR, "own picture first", "diversity", "distance to true")


@dataclass(frozen=True)
class Row:
    """One adapter on one split."""

    split: str
    name: str  # of TITLES
    figures: dict[str, Any]  # METRICS and OTHERS: value and 95 % interval, a number, or None where it has none
    parameters: int  # added to the base
    steps: int  # of training


class Measured(Protocol):
    """What the page says of how it was measured."""

    graphs: int
    samples: int
    steps: int


def graph_conditioning_page(rows: Sequence[Row], config: Measured) -> str:
    """The page from all rows."""
    shown, among = list(dict.fromkeys(row.name for row in rows)), min(AMONG, config.graphs)
    words = [
        "# Graph conditioning, measured",
        f"Written by `python train/compare_graph_conditioning.py`, on SG-Mini: {config.graphs} test graphs of Shapes "
        f"a split, without boxes, {config.samples} pictures of each, {config.steps} DDIM steps, guidance "
        f"{CAPTION_GUIDANCE:g}; 95 % intervals. The first four figures are those of [results.md](results.md). *OOR* "
        "is the object occurrence ratio: how many of a graph's objects a detector finds by name, here Shapes' "
        f"oracle, whatever their colour. *Own picture first*: of {among} true pictures the graph's own is nearest to "
        f"the graph's vector (chance {1 / among:.2g}). *Diversity* is LPIPS' formula between pictures of one graph, "
        f"and *distance to true* a Fréchet distance to {TRUE} true pictures, both on a picture tower of SG-Mini that "
        "nothing was aligned with (AlexNet's and Inception's weights do not ship); they can be held against each "
        "other, and against those of [guidance.md](guidance.md), alone. Steps are those of both stages.",
        _table(rows),
        f"The first graphs, a row each: {', '.join(['true pictures', *(TITLES[name] for name in shown)])}.",
        "![A row of pictures for each](graph_conditioning.png)",
    ]
    return "\n\n".join(words) + "\n"


def _table(rows: Sequence[Row]) -> str:
    columns = ["split", "", *METRICS, *OTHERS, "parameters", "steps"]
    lines = ["| " + " | ".join(columns) + " |", "|---" * len(columns) + "|"]
    for row in rows:
        figures = [_cell(row.figures[name]) for name in (*METRICS, *OTHERS)]
        cost = [f"{row.parameters / 1e6:.2f} M", f"{row.steps:,}"] if row.parameters else ["–", "–"]
        lines.append("| " + " | ".join([row.split, TITLES[row.name], *figures, *cost]) + " |")
    return "\n".join(lines)


def _cell(figure: Any) -> str:
    if figure is None:
        return "–"
    if isinstance(figure, float):
        return f"{figure:.3f}"
    value, low, high = figure
    return f"{value:.3f} [{low:.3f}, {high:.3f}]"
