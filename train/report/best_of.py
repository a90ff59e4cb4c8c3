"""What is gained by drawing several pictures of a graph and keeping the one that obeys best, as the judge sees it."""

from math import comb

import numpy as np

from train.data.dataset import Dataset
from train.report.metrics import METRICS, judge_all, verdict_counts, with_interval
from train.report.picture_metric import DrawnPictures, Figures

DRAWN = (1, 2, 4, 8, 16, 32)  # pictures of a graph, of which one is kept
SHOWN = ("relation accuracy", "exact graph")


class BestOf:
    """Obedience of the picture that is kept of N, for every N of `DRAWN` up to the samples of a graph.

    It is the mean over all ways to take N of the S samples: if they are in order of obedience, the sample of rank r is
    the best of N with probability C(S - 1 - r, N - 1) / C(S, N). So every sample counts, and one drawing gives the
    whole curve.
    """

    def __init__(self, data: Dataset) -> None:
        self.data = data
        self.counts: dict[str, list[np.ndarray]] = {metric: [] for metric in SHOWN}  # per graph [S, 2], best first

    def see(self, drawn: DrawnPictures) -> None:
        for graph, pictures in zip(drawn.graphs, drawn.pictures, strict=True):
            verdicts = judge_all(self.data, list(pictures), [graph] * len(pictures))
            counts = verdict_counts(verdicts)
            held = sum(np.array(counts[metric])[:, 0] for metric in METRICS[:3])
            extra = [len(verdict.detections) for verdict in verdicts]
            order = np.lexsort((extra, -held))  # by what holds, then by how little else is there
            for metric in SHOWN:
                self.counts[metric].append(np.array(counts[metric])[order])

    def figures(self) -> Figures:
        return {
            f"{metric}, best of {drawn}": with_interval(*self._kept(metric, drawn).T)
            for metric in SHOWN
            for drawn in DRAWN
            if drawn <= len(self.counts[metric][0])
        }

    def notes(self) -> dict[str, str]:
        return {}

    def _kept(self, metric: str, drawn: int) -> np.ndarray:
        """What is to be expected of each graph's picture that is kept: hits, and how many there could be: [G, 2]."""
        samples = len(self.counts[metric][0])
        likely = np.array([comb(samples - 1 - rank, drawn - 1) for rank in range(samples)]) / comb(samples, drawn)
        return np.stack([likely @ of_graph for of_graph in self.counts[metric]])
