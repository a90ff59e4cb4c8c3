"""What `measure_arrange.py` measured, as a section of a page."""

from collections.abc import Sequence
from dataclasses import dataclass

from train.report.arrangement_figures import COLUMNS, Figures, mean_difference

OURS = "learned prior + solver"
TRUTH = "(true boxes)"


@dataclass(frozen=True)
class SetRows:
    """One set of graphs: figures and nats per object, by the way to arrange; nats of `objects` objects."""

    title: str
    graphs: int
    objects: int
    rows: dict[str, Figures]
    nats: dict[str, float]


@dataclass(frozen=True)
class Measured:
    """All that was measured. Of NSR-1K the directions that hold, by the way to arrange; of new names nats per object,
    IoU, and the best of all seeds, by what is known of them."""

    sets: list[SetRows]
    nsr: dict[str, tuple[float, float]]
    nsr_graphs: int
    new_names: dict[str, tuple[float, float, float]]
    new_objects: int
    milliseconds: tuple[float, float]


def page(
    found: Measured, *, command: str, seeds: int, temperature: float, names: list[str], steps: Sequence[int]
) -> str:
    """The section in Markdown; `steps` are those of training the prior, (d), and the prior without some names."""
    parts = [
        "## Arranging: boxes for graphs without any",
        f"Measured by `{command}`. Graphs of real pictures without their boxes, cropped to squares; the true boxes "
        f"judge. {seeds} seeds a graph. *Directions*: left of, right of, above, below, in all their wordings; they "
        "hold if the centres are the right way round and neither box is inside the other, *exactly* if no other "
        "direction is greater, which is sg2im's rule. *Containment*: inside and surrounding. Where annotators "
        "contradict themselves (a kite in the sky and below it), some cannot hold. *Nats*: −log density of an object's "
        "true box, given those before it where a model is joint, over centre and log sides in parts of the picture, no "
        "deviation under 0.02; less is better. *IoU* with the true boxes: one graph has many right layouts, so the "
        "best of the seeds says more. *Overlap*: of pairs that no relation joins, in parts of the smaller box; best as "
        "in true pictures. *Spread*: of centres over the seeds.",
        "(a) has a Gaussian for each name, (b) one for each name's size; (c) is the learned prior alone, each sample "
        f"independent, at temperature {temperature:g} as beside the solver; (d) is sg2im's design trained on the same "
        "pictures, its likelihood a Gaussian of what it misses on validation graphs. Of (a) and (d) the best of 8 "
        "counts their one answer and 7 drawn from their Gaussians at the same temperature. The prior was trained for "
        "{:,} steps, (d) for {:,}, and the prior without some names for {:,}, of as many graphs each.".format(*steps),
        *(_set(rows) for rows in found.sets),
        _nsr(found),
        _new_names(found, names),
        f"One arrangement of 8 objects takes {found.milliseconds[0]:.0f} ms of processor time (median; the prior "
        f"alone {found.milliseconds[1]:.0f} ms) on a CPU of two cores.",
        "24 arrangements of real graphs, 8 of each set, the first seed; below each what its graph says.",
        "![Boxes with names, and relations](arrange.png)",
    ]
    return "\n\n".join(parts)


def _set(rows: SetRows) -> str:
    header = ["", *COLUMNS[:3], "nats", *COLUMNS[3:]]
    lines = ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    for name, figures in rows.rows.items():
        cells = [_number(figures.values[column]) for column in COLUMNS]
        nats = _number(rows.nats[name]) if name in rows.nats else "–"
        lines.append("| " + " | ".join([name, *cells[:3], nats, *cells[3:]]) + " |")
    ours = rows.rows[OURS].best
    others = {name: figures for name, figures in rows.rows.items() if name not in (OURS, TRUTH)}
    margins = []
    for name, figures in others.items():
        value, low, high = mean_difference(ours, figures.best)
        margins.append(f"{name} {value:+.3f} [{low:+.3f}, {high:+.3f}]")
    return (
        f"### {rows.title}\n\n{rows.graphs} graphs; nats of {rows.objects:,} objects.\n\n"
        + "\n".join(lines)
        + f"\n\nBest of 8, {OURS} less each of the others, 95 % intervals: {'; '.join(margins)}."
    )


def _nsr(found: Measured) -> str:
    lines = ["| | directions | of them exact |", "|---|---|---|"]
    lines += [f"| {name} | {_number(loose)} | {_number(exact)} |" for name, (loose, exact) in found.nsr.items()]
    return (
        f"### NSR-1K\n\nTwo objects and a direction (LayoutGPT's benchmark, {found.nsr_graphs} graphs, all that its "
        "validation split has with one).\n\n" + "\n".join(lines)
    )


def _new_names(found: Measured, names: list[str]) -> str:
    lines = ["| | nats | IoU, mean | IoU, best of 8 |", "|---|---|---|---|"]
    lines += [f"| {name} | " + " | ".join(map(_number, figures)) + " |" for name, figures in found.new_names.items()]
    return (
        f"### Names that were never seen\n\nA second prior, trained without {', '.join(names)}, on the "
        f"{found.new_objects:,} objects of these names in the three sets; the best of 8 is that of each object.\n\n"
        + "\n".join(lines)
    )


def _number(value: float) -> str:
    return "–" if value != value else f"{value:.3f}"
