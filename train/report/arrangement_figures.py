"""How boxes for graphs compare with those of real pictures: what holds, how near they are, and how they vary."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from sg_models.arrangement.rules import centres_hold, read_rules, rule_holds
from sg_models.graph.scene_graph import SceneGraph
from sg_models.graph.spatial_wordings import INSIDE

# boxes [S, O, 4] of a graph, for each of S seeds
Arrange = Callable[[SceneGraph, int], np.ndarray]
COLUMNS = ("directions", "of them exact", "containment", "IoU, mean", "IoU, best of 8", "overlap", "spread")


@dataclass(frozen=True)
class Figures:
    """Of one way to arrange, on one set of graphs; each of `COLUMNS`, and the best IoU of each graph."""

    values: dict[str, float]
    best: np.ndarray  # [G]


def measure(graphs: Sequence[SceneGraph], arrange: Arrange, seeds: int) -> Figures:
    """Arranges each graph once for each seed and holds the boxes against the true ones."""
    held: dict[str, list[bool]] = {name: [] for name in COLUMNS[:3]}
    means, best, overlaps, spreads = [], [], [], []
    for graph in graphs:
        truth = true_boxes(graph)
        found = arrange(graph, seeds)
        near = np.stack([paired_iou(boxes, truth) for boxes in found])  # [S, O]
        means.append(near.mean())
        best.append(near.mean(1).max())
        spreads.append(((found[..., :2] + found[..., 2:]) / 2).std(0).mean())
        for boxes in found:
            count_held(graph, boxes, held)
            overlaps += unrelated_overlaps(graph, boxes)
    values = {name: mean(held[name]) for name in COLUMNS[:3]}
    rest = (mean(means), mean(best), mean(overlaps), mean(spreads))
    return Figures(values | dict(zip(COLUMNS[3:], rest, strict=True)), np.array(best))


def count_held(graph: SceneGraph, boxes: np.ndarray, held: dict[str, list[bool]]) -> None:
    """Adds whether each relation of a graph that says where things are holds for boxes [O, 4]."""
    for rule in read_rules(graph)[0]:
        if rule.meaning == INSIDE:
            held["containment"].append(rule_holds(rule, boxes))
        else:
            held["directions"].append(centres_hold(rule, boxes))
            held["of them exact"].append(rule_holds(rule, boxes))


def unrelated_overlaps(graph: SceneGraph, boxes: np.ndarray) -> list[float]:
    """For each pair of objects that no relation joins: what they share, in parts of the smaller box."""
    related = {frozenset((r.subject, r.object)) for r in graph.relations}
    count = len(boxes)
    return [
        float(shared(boxes[i], boxes[j]) / max(min(area(boxes[i]), area(boxes[j])), 1e-9))
        for i in range(count)
        for j in range(i)
        if frozenset((i, j)) not in related
    ]


def true_boxes(graph: SceneGraph) -> np.ndarray:
    """A graph's boxes, all given: [O, 4]."""
    return np.array([thing.box for thing in graph.objects], float)


def paired_iou(boxes: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Intersection over union of boxes with others, one with one: [O]."""
    both = shared(boxes, others)
    return both / np.maximum(area(boxes) + area(others) - both, 1e-9)


def shared(boxes: np.ndarray, others: np.ndarray) -> np.ndarray:
    """The area that boxes share with others, one with one."""
    start, end = np.maximum(boxes[..., :2], others[..., :2]), np.minimum(boxes[..., 2:], others[..., 2:])
    return np.maximum(end - start, 0).prod(-1)


def area(boxes: np.ndarray) -> np.ndarray:
    return (boxes[..., 2:] - boxes[..., :2]).prod(-1)


def mean(values: Sequence[float] | Sequence[bool]) -> float:
    """NaN for none."""
    return float(np.mean(values)) if len(values) else float("nan")


def mean_difference(ours: np.ndarray, others: np.ndarray, samples: int = 2000) -> tuple[float, float, float]:
    """The mean of ours less others', graph by graph, with its 95 % interval, bootstrapped over graphs."""
    difference = ours - others
    places = np.random.default_rng(0).integers(len(difference), size=(samples, len(difference)))
    low, high = np.quantile(difference[places].mean(1), (0.025, 0.975))
    return float(difference.mean()), float(low), float(high)
