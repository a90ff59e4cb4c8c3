"""How pictures obey their graphs, as the data set's own judge sees it."""

import numpy as np

from sg_models.verification.verdict import Verdict
from train.data.dataset import Dataset, Split
from train.report.metrics import judge_all, summary
from train.report.picture_metric import DrawnPictures, Figures


class Obedience:
    """The four metrics of `train/report/metrics.py`, over all samples of all graphs."""

    def __init__(self, data: Dataset) -> None:
        self.data = data
        self.verdicts: list[Verdict] = []

    def see(self, drawn: DrawnPictures) -> None:
        samples = drawn.pictures.shape[1]
        graphs = [graph for graph in drawn.graphs for _ in range(samples)]
        self.verdicts += judge_all(self.data, list(drawn.flat), graphs)

    def figures(self) -> Figures:
        return summary(self.verdicts)

    def notes(self) -> dict[str, str]:
        return {}


def has_judge(data: Dataset, split: Split) -> bool:
    """Whether anything can tell how a picture of a data set obeys its graph."""
    return data.judge(np.zeros((64, 64, 3), np.uint8), split.graphs[0]) is not None
