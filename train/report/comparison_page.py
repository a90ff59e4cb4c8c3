"""What `compare.py` measured as a page to read and as a table for programs."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sg_models.adapters.variants import VARIANTS
from sg_models.files.whole_file import whole_file
from train.conditioning.conditioners import CAPTION_GUIDANCE, GRAPH_GUIDANCE
from train.conditioning.sampling import STEPS
from train.report.metrics import METRICS
from train.running.precision import NAMES as PRECISIONS

CEILING = "autoencoder"  # true pictures through the autoencoder: as well as a variant could do
CEILING_TITLE = "true pictures, decoded"
COLUMNS = (*METRICS, "FID")


@dataclass(frozen=True)
class Row:
    """One variant on one split."""

    split: str
    variant: str
    figures: dict[str, list[float]]  # each of COLUMNS: value, and both ends of its 95 % interval
    parameters: int  # added to the base
    steps: int  # of training
    seconds: float  # per picture


@dataclass(frozen=True)
class Comparison:
    """All that was measured."""

    rows: list[Row]
    with_boxes: list[Row]  # the same graphs with their true boxes
    layouts: dict[tuple[str, str], dict[str, float]]  # by split and variant
    nesting: dict[str, dict[str, list[float]]]  # by variant: figures like those of rows, of some of the graphs alone


def title(variant: str) -> str:
    """A variant in words, or the ceiling."""
    return CEILING_TITLE if variant == CEILING else VARIANTS[variant].title


def markdown(found: Comparison, *, dataset: str, graphs: int, seeds: int, steps: int, mixed_precision: str) -> str:
    """The page; the keyword arguments are the data set's title and the settings that it was measured with."""
    parts = [
        "# Seven variants compared",
        f"Measured by `python train/compare.py` on {dataset}: {graphs} held-out graphs a split, "
        f"without boxes, {seeds} sampling seeds, {steps} DDIM steps in {PRECISIONS[mixed_precision]}, guidance "
        f"{CAPTION_GUIDANCE:g} for text and {GRAPH_GUIDANCE:g} for graphs; 95 % intervals, bootstrapped over graphs "
        "(FID: 1.96 standard deviations of resampled pictures). FID is the Fréchet distance between the autoencoder's "
        "latents, averaged to 4 × 4, of drawn and true pictures; it cannot be compared with other people's FID, which "
        "is in [published.md](published.md). Steps are those of the adapter's training, with those of the adapter that "
        "it started from; [training.md](training.md) says which did. Seconds are those of drawing alone.",
        _table(found.rows),
        "## With the true boxes",
        f"The same {graphs} graphs with the boxes of their true scenes, one sampling seed.",
        _table(found.with_boxes),
        "## An object inside another",
        "What is hardest, for the autoencoder too: the held-out graphs of the first table, apart by whether they have "
        "one object inside another.",
        _nesting_table(found.nesting),
        "## Predicted layouts",
        f"Boxes predicted for the {graphs} graphs of a split: their mean IoU with the true ones, which a graph hardly "
        "says, and how many layouts obey all relations of their graph, which it does say.",
        _layout_table(found.layouts),
        "## The same graphs, drawn by all variants",
        f"The first held-out graphs, {STEPS} steps, the same noise for all.",
        "![A row of pictures per variant](results.png)",
    ]
    return "\n\n".join(parts) + "\n"


def write_csv(found: Comparison, path: Path) -> None:
    """The pictures' figures, for programs."""
    ends = [f"{column}{end}" for column in COLUMNS for end in ("", " low", " high")]
    with whole_file(path) as file, file.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(["split", "boxes", "variant", *ends, "parameters", "steps", "seconds"])
        for boxes, rows in (("predicted", found.rows), ("given", found.with_boxes)):
            for row in rows:
                figures = [value for column in COLUMNS for value in row.figures[column]]
                writer.writerow([row.split, boxes, row.variant, *figures, row.parameters, row.steps, row.seconds])


def _table(rows: Sequence[Row]) -> str:
    lines = _head(["split", "variant", *COLUMNS, "parameters", "steps", "s per picture"])
    for row in rows:
        figures = [_with_interval(row.figures[column]) for column in COLUMNS]
        cost = [f"{row.parameters / 1e6:.2f} M", f"{row.steps:,}", f"{row.seconds:.2f}"]
        lines.append(_line([row.split, f"({row.variant}) {title(row.variant)}", *figures, *cost]))
    return "\n".join(lines)


def _layout_table(layouts: dict[tuple[str, str], dict[str, float]]) -> str:
    names = list(next(iter(layouts.values()))) if layouts else []
    lines = _head(["split", "variant", *names])
    for (split, variant), figures in layouts.items():
        lines.append(_line([split, f"({variant}) {title(variant)}", *(f"{figures[name]:.3f}" for name in names)]))
    return "\n".join(lines)


def _nesting_table(nesting: dict[str, dict[str, list[float]]]) -> str:
    lines = _head(["variant", *next(iter(nesting.values()))])
    lines += [
        _line([f"({variant}) {title(variant)}", *(_with_interval(figure) for figure in figures.values())])
        for variant, figures in nesting.items()
    ]
    return "\n".join(lines)


def _with_interval(figure: Sequence[float]) -> str:
    value, low, high = figure
    return f"{value:.3f} [{low:.3f}, {high:.3f}]"


def _head(columns: Sequence[str]) -> list[str]:
    return [_line(columns), "|---" * len(columns) + "|"]


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"
