"""The page of measured guidance, docs/guidance.md."""

from collections.abc import Mapping
from typing import Any

from sg_models.guidance.scales import (
    AUTO,
    CLEAN,
    CONTENT,
    GRAPH,
    LANGUAGE,
    NOISED,
    PREDICTED,
    SCALES,
    parts,
)
from train.report.guided_pictures import TOP
from train.report.metrics import METRICS

NOTHING = "none"  # the row without guidance
TRUE = 1000  # pictures for the Fréchet distance
EYES = {
    AUTO: "auto",
    NOISED: "noised eye",
    PREDICTED: "predicted eye",
    CLEAN: "clean eye",
}
Key = tuple[str, str, str | None]  # towards what, the kind of guidance, the eye


def guidance_page(figures: Mapping[Key, Mapping[str, Any]], config: Mapping[str, Any]) -> str:
    """The page from the figures of all rows; `config` is that of `measure_guidance.py`."""
    sections = [
        "# Guidance while sampling, measured",
        f"Written by `python train/measure_guidance.py`, on SG-Mini with {config['steps']} DDIM steps. Nothing of the "
        "base is retrained. *auto* looks through the shipped encoder of noisy latents, at those (noised eye), at the "
        "clean latents that the model predicts (predicted eye), or at both, as serves each kind best; the *clean eye*, "
        "where it has a row, is the picture tower beside it, on the decoded prediction. *Scale* is that of each eye. "
        "Figures are judged by networks that do not guide: a picture tower of the same kind trained from another seed, "
        "and Shapes' oracle. *Distance to true* is the Fréchet distance of that tower's vectors to those of "
        f"{TRUE} true pictures, *diversity* LPIPS' formula on its maps (AlexNet's weights do not ship), between the "
        "pictures of one guidance; both can be held against each other on this page alone. Pictures of all rows: "
        "[guidance.png](guidance.png), a row each, in the order of the tables.",
        _language(figures, config),
        _picture(figures, config),
        _graph(figures, config),
    ]
    return "\n\n".join(sections) + "\n"


def _language(figures: Mapping[Key, Mapping[str, Any]], config: Mapping[str, Any]) -> str:
    count = config["texts"] * config["per_text"]
    words = (
        f"{count} pictures, each drawn from “an image” and guided by the name of one of {config['texts']} objects, "
        "such as “a red circle”. *Shows it*: the oracle sees it. *Top k*: its name is among the k nearest of all 45."
    )
    columns = ["shows it", *(f"top {k}" for k in TOP), "distance to true", "diversity"]
    return f"## By language\n\n{words}\n\n{_table(figures, LANGUAGE, columns)}"


def _picture(figures: Mapping[Key, Mapping[str, Any]], config: Mapping[str, Any]) -> str:
    words = (
        f"{2 * config['references']} pictures, each drawn from “an image” and guided by one of {config['references']} "
        f"true pictures. *Top k*: that one is among the k nearest of {config['among']}. *Colours off*: the part of a "
        "picture whose colour would have to change to have the colours of the guiding one."
    )
    columns = [*(f"top {k}" for k in TOP), "colours off", "distance to true", "diversity"]
    return f"## By a picture\n\n{words}\n\n{_table(figures, CONTENT, columns)}"


def _graph(figures: Mapping[Key, Mapping[str, Any]], config: Mapping[str, Any]) -> str:
    plain = figures[GRAPH, NOTHING, None]["relation accuracy"][0]
    adapter = figures[GRAPH, config["variant"], None]["relation accuracy"][0]
    gap = adapter - plain
    closed = "there is no gap to be closed"
    if gap > 0:
        shares = [
            f"{(found['relation accuracy'][0] - plain) / gap:.2f} of it ({EYES[str(eye)]})"
            for (_, kind, eye), found in figures.items()
            if kind == GRAPH
        ]
        closed = f"guidance closes {', '.join(shares)}"
    words = (
        f"{config['graphs']} held-out graphs, drawn from their captions, variant (i): alone, guided by them with the "
        f"boxes of their scenes, and variant ({config['variant']}) with these boxes. From the first row to the last "
        f"relation accuracy has a gap of {gap:.3f}; {closed}."
    )
    return f"## By a graph\n\n{words}\n\n{_table(figures, GRAPH, [*METRICS, 'distance to true'])}"


def _table(figures: Mapping[Key, Mapping[str, Any]], towards: str, columns: list[str]) -> str:
    lines = ["| | scale | " + " | ".join(columns) + " |", "|---" * (2 + len(columns)) + "|"]
    for (of_it, kind, eye), found in figures.items():
        if of_it == towards:
            name = f"{kind}, {EYES[eye]}" if eye else "no guidance" if kind == NOTHING else f"variant ({kind})"
            scale = ", ".join(f"{SCALES[one][kind]:g}" for one in parts(kind, eye, True)) if eye else "–"
            lines.append(f"| {name} | {scale} | " + " | ".join(_cell(found[column]) for column in columns) + " |")
    return "\n".join(lines)


def _cell(figure: Any) -> str:
    if isinstance(figure, float):
        return f"{figure:.3f}"
    value, low, high = figure
    return f"{value:.3f} [{low:.3f}, {high:.3f}]"
