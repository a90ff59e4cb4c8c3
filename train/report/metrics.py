"""How well pictures obey their graphs, over all pictures that were judged: four metrics with 95 % intervals."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy import stats

from sg_models.graph.scene_graph import SceneGraph
from sg_models.verification.verdict import Verdict
from train.data.dataset import Dataset
from train.data.spatial_relations import is_nested
from train.running.command_line import UsageError

METRICS = ("object recall", "attribute binding", "relation accuracy", "exact graph")
RESAMPLES = 2000


def judge_all(data: Dataset, pictures: Sequence[np.ndarray], graphs: Sequence[SceneGraph]) -> list[Verdict]:
    """What a data set's judge says of pictures, uint8 [H, W, 3] each; raises `UsageError` where it has none."""
    verdicts = [data.judge(picture, graph) for picture, graph in zip(pictures, graphs, strict=True)]
    found = [verdict for verdict in verdicts if verdict is not None]
    if len(found) < len(verdicts):
        raise UsageError(
            f"nothing can tell whether a picture of {data.name} obeys its graph; measure on a data set that has a judge"
        )
    return found


def summary(verdicts: list[Verdict]) -> dict[str, Any]:
    """The four metrics over all objects, relations and graphs of some verdicts: `{metric: [value, low, high]}`."""
    return {metric: with_interval(*np.array(pairs).T) for metric, pairs in verdict_counts(verdicts).items()}


def verdict_counts(verdicts: list[Verdict]) -> dict[str, list[tuple[int, int]]]:
    """For each metric and verdict: what was right, and out of how many."""
    return {
        "object recall": [(sum(d is not None for d in v.matched), len(v.matched)) for v in verdicts],
        "attribute binding": [(sum(v.bound), len(v.bound)) for v in verdicts],
        "relation accuracy": [(sum(v.related), len(v.related)) for v in verdicts],
        "exact graph": [(int(v.exact), 1) for v in verdicts],
    }


def nested_relations(verdicts: Sequence[Verdict], graphs: Sequence[SceneGraph]) -> list[tuple[int, int]]:
    """For each verdict, of the relations that say that one object is inside another: how many hold, out of how many."""
    nested = [[k for k, relation in enumerate(graph.relations) if is_nested(relation)] for graph in graphs]
    return [(sum(v.related[k] for k in places), len(places)) for v, places in zip(verdicts, nested, strict=True)]


def with_interval(hits: np.ndarray, totals: np.ndarray) -> list[float]:
    """A ratio over graphs with its 95 % interval: [value, low, high].

    Bootstrapped over whole graphs, since the objects of one picture succeed and fail together; where there is nothing
    to resample (all right or all wrong), Wilson's interval over the graphs.
    """
    hits, totals = hits[totals > 0], totals[totals > 0]
    if not len(totals):
        return [0.0, 0.0, 1.0]  # nothing was asked, so nothing is known
    value = float(hits.sum() / totals.sum())
    if value in (0.0, 1.0):
        right = len(hits) if value else 0
        low, high = stats.binomtest(right, len(hits)).proportion_ci(method="wilson")
    elif len(hits) == 1:
        low, high = 0.0, 1.0  # one graph says nothing about others
    else:
        interval = stats.bootstrap(
            (hits, totals),
            lambda h, t, axis: h.sum(axis=axis) / t.sum(axis=axis),
            paired=True,
            vectorized=True,
            n_resamples=RESAMPLES,
            method="percentile",
            rng=np.random.default_rng(0),
        ).confidence_interval
        low, high = interval
    return [round(value, 4), round(float(low), 4), round(float(high), 4)]


def mean_with_interval(values: np.ndarray) -> list[float]:
    """A mean over graphs, of one value each, with its bootstrapped 95 % interval: [value, low, high]."""
    rng = np.random.default_rng(0)
    means = np.array([rng.choice(values, len(values)).mean() for _ in range(RESAMPLES)])
    low, high = np.percentile(means, [2.5, 97.5])
    return [round(float(value), 4) for value in (values.mean(), low, high)]


def result_table(results: dict[str, dict[str, Any]]) -> str:
    """The results, by split and variant, as a Markdown table; a figure that some variant lacks is a dash there."""
    rows = [(split, name, figures) for split, variants in results.items() for name, figures in variants.items()]
    columns = list(dict.fromkeys(column for *_, figures in rows for column in figures))
    lines = ["| split | variant | " + " | ".join(columns) + " |", "|---" * (2 + len(columns)) + "|"]
    for split, name, figures in rows:
        cells = [_cell(figures[column]) if column in figures else "–" for column in columns]
        lines.append(f"| {split} | ({name}) | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _cell(figure: Sequence[float]) -> str:
    value, low, high = figure
    return f"{value:.3f} [{low:.3f}, {high:.3f}]"
