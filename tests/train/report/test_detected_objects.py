"""Occurrence and relations from detections made by hand."""

import numpy as np
import pytest

from sg_models.graph.scene_graph import Relation, SceneGraph, SceneObject
from sg_models.verification.detection import DetectedObject
from train.report.detected_objects import OOR, RELATIONS, DetectedGraphs, holds
from train.report.picture_metric import DrawnPictures

LEFT, RIGHT, AROUND = (0, 40, 10, 50), (80, 40, 90, 50), (0, 0, 100, 100)


class Scripted:
    """Sees in each picture what its first pixel tells it to."""

    names, attributes, threshold = None, None, 0.5

    def __init__(self, *answers: list[DetectedObject]) -> None:
        self.answers = answers

    def detect(self, picture: np.ndarray, names: list[str]) -> list[DetectedObject]:
        return [thing for thing in self.answers[picture[0, 0, 0]] if thing.name in names]


def thing(name: str, box: tuple[float, float, float, float]) -> DetectedObject:
    return DetectedObject(name, box, 0.9)


def drawn(graphs: list[SceneGraph], answers: list[list[int]]) -> DrawnPictures:
    pictures = np.zeros((len(graphs), len(answers[0]), 4, 4, 3), np.uint8)
    pictures[:, :, 0, 0, 0] = answers
    return DrawnPictures(range(len(graphs)), graphs, pictures)


def test_samples_of_a_graph_are_counted_together_and_missing_ends_fail():
    graph = SceneGraph((SceneObject("dog"), SceneObject("cat")), (Relation(0, "left of", 1),))
    metric = DetectedGraphs(
        Scripted([thing("dog", LEFT), thing("cat", RIGHT)], [thing("dog", RIGHT), thing("cat", LEFT)], [], [])
    )
    metric.see(drawn([graph, graph], [[0, 1], [0, 2]]))
    assert metric.figures()[OOR][0] == pytest.approx(6 / 8)
    assert metric.figures()[RELATIONS][0] == pytest.approx(2 / 4)


@pytest.mark.parametrize(
    ("predicate", "subject", "object_", "expected"),
    [
        ("left of", LEFT, RIGHT, True),
        ("on the right of", LEFT, RIGHT, False),
        ("inside", LEFT, (-5, 30, 20, 60), True),
        ("surrounding", AROUND, (20, 20, 30, 30), True),
        ("above", (40, 0, 50, 10), (40, 80, 50, 90), True),
    ],
)
def test_relations_are_those_of_boxes(predicate, subject, object_, expected):
    seen = [thing("dog", subject), thing("cat", object_)]
    assert holds(Relation(0, predicate, 1), "dog", "cat", seen) is expected


def test_one_dog_is_not_left_of_itself():
    assert not holds(Relation(0, "left of", 1), "dog", "dog", [thing("dog", LEFT)])
    assert holds(Relation(0, "left of", 1), "dog", "dog", [thing("dog", RIGHT), thing("dog", LEFT)])


def test_a_detector_is_asked_for_nothing_that_it_does_not_know():
    class Strict(Scripted):
        names = frozenset({"dog"})

        def detect(self, picture, names):
            raise AssertionError("asked")

    metric = DetectedGraphs(Strict())
    metric.see(drawn([SceneGraph((SceneObject("unicorn"),))], [[0]]))
    assert metric.figures()[OOR] == [0.0, 0.0, 1.0]  # nothing was decided
    assert metric.notes()["objects without a name that the detector knows"] == "1 of 1, in no figure"
