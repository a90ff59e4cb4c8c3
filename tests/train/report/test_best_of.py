"""What keeping the best of several pictures is said to gain, against all ways to take some of them."""

from itertools import combinations
from types import SimpleNamespace

import numpy as np
import pytest

from sg_models.graph.scene_graph import Relation, SceneGraph, SceneObject
from sg_models.verification.verdict import Verdict
from train.report.best_of import BestOf
from train.report.metrics import with_interval
from train.report.picture_metric import DrawnPictures

GRAPH = SceneGraph(
    (SceneObject("dog"), SceneObject("cat")),
    (Relation(0, "left of", 1), Relation(1, "right of", 0), Relation(0, "above", 1)),
)
# by the picture's first pixel: how many of the three relations hold, and how many things are seen beside the graph
SEEN = {0: (0, 0), 1: (1, 0), 2: (2, 1), 3: (3, 1), 4: (3, 0)}


def judge(picture: np.ndarray, graph: SceneGraph) -> Verdict:
    held, beside = SEEN[int(picture[0, 0, 0])]
    things = [SimpleNamespace(box=(0, 0, 1, 1)) for _ in range(2 + beside)]
    return Verdict(things, things[:2], (True, True), tuple(k < held for k in range(3)))


def figures(*samples: list[int]) -> dict[str, list[float]]:
    metric = BestOf(SimpleNamespace(name="hand-made", judge=judge))
    pictures = np.zeros((len(samples), len(samples[0]), 2, 2, 3), np.uint8)
    pictures[:, :, 0, 0, 0] = samples
    metric.see(DrawnPictures(range(len(samples)), [GRAPH] * len(samples), pictures))
    return metric.figures()


def test_it_is_the_mean_over_all_ways_to_draw_so_many():
    samples = [[0, 4, 1, 3, 2, 0, 3, 1], [1, 1, 2, 0, 0, 4, 4, 3]]
    found = figures(*samples)
    for drawn in (1, 2, 4, 8):
        kept = [[max(taken) for taken in combinations(of_graph, drawn)] for of_graph in samples]
        exact = np.mean([[best == 4 for best in of_graph] for of_graph in kept])
        relations = np.mean([[SEEN[best][0] / 3 for best in of_graph] for of_graph in kept])
        assert found[f"exact graph, best of {drawn}"][0] == pytest.approx(exact, abs=1e-4)
        assert found[f"relation accuracy, best of {drawn}"][0] == pytest.approx(relations, abs=1e-4)


def test_of_pictures_that_obey_as_well_the_one_with_nothing_else_is_kept():
    assert figures([3, 4], [4, 3])["exact graph, best of 2"][0] == 1.0


def test_one_picture_of_a_graph_is_what_the_judge_says():
    found = figures([4, 0], [3, 1])
    assert found["exact graph, best of 1"][0] == 0.25
    assert found["relation accuracy, best of 1"] == with_interval(np.array([1.5, 2.0]), np.array([3.0, 3.0]))
    assert set(found) == {f"{m}, best of {n}" for m in ("exact graph", "relation accuracy") for n in (1, 2)}
