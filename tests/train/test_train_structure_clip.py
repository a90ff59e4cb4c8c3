"""Structure-CLIP's training: the paper's losses against plain loops, and negatives that mean something else."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from sg_models.graph.hard_negatives import same_meaning
from train.data.shapes.shapes_dataset import ShapesSplit
from train.objectives.structure_clip import (
    HARDEST_MARGIN,
    SWAPPED_MARGIN,
    SWAPPED_WEIGHT,
    Pairs,
    accuracy,
    structure_loss,
)

COUNT, DIM = 5, 8


def unit(seed: int) -> Tensor:
    return F.normalize(torch.randn(COUNT, DIM, generator=torch.Generator().manual_seed(seed)), dim=-1)


def loss_by_hand(pictures: Tensor, graphs: Tensor, swapped: Tensor, hardest: bool) -> float:
    """One pair of a picture and a caption at a time."""

    def near(a: Tensor, b: Tensor) -> float:
        return float((a * b).sum())

    of_pictures, of_captions, margins = [], [], []
    for i in range(COUNT):
        right = near(pictures[i], graphs[i])
        others = [j for j in range(COUNT) if j != i]
        captions = [max(0.0, HARDEST_MARGIN + near(pictures[i], graphs[j]) - right) for j in others]
        seen = [max(0.0, HARDEST_MARGIN + near(pictures[j], graphs[i]) - right) for j in others]
        # the right one counts as a zero in the mean
        of_pictures.append(max(captions) if hardest else sum(captions) / COUNT)
        of_captions.append(max(seen) if hardest else sum(seen) / COUNT)
        margins.append(max(0.0, SWAPPED_MARGIN + near(pictures[i], swapped[i]) - right))
    return (sum(of_pictures) + sum(of_captions) + SWAPPED_WEIGHT * sum(margins)) / COUNT


@pytest.mark.parametrize("hardest", [False, True])
def test_loss_is_the_papers(hardest: bool):
    pictures, graphs, swapped = unit(0), unit(1), unit(2)
    expected = loss_by_hand(pictures, graphs, swapped, hardest)
    assert structure_loss(pictures, graphs, swapped, hardest).item() == pytest.approx(expected, rel=1e-5)


def test_nothing_is_lost_where_all_is_clear():
    pictures = torch.eye(COUNT, DIM)
    assert structure_loss(pictures, pictures, -pictures, hardest=True).item() == 0.0


@pytest.fixture(scope="module")
def pairs() -> Pairs:
    return Pairs(ShapesSplit("val", 24), 128)


def test_every_negative_means_something_else_in_the_same_words(pairs: Pairs):
    batch = pairs(range(40))
    for graph, negative in zip(batch.graphs, batch.negatives, strict=True):
        assert not same_meaning(graph, negative)
        assert sorted(o.name for o in graph.objects) == sorted(o.name for o in negative.objects)
        assert sorted(r.predicate for r in graph.relations) == sorted(r.predicate for r in negative.relations)


def test_the_same_index_gives_the_same_pair(pairs: Pairs):
    once, again = pairs(range(3)), pairs(range(3))
    assert torch.equal(once.pictures, again.pictures)
    assert (once.graphs, once.negatives) == (again.graphs, again.negatives)


class _Oracle:
    """Stands for a model that embeds every graph as its own picture, or as the swapped one."""

    def __init__(self, right: bool) -> None:
        self.right = right
        self.knowledge = type("Knowledge", (), {"gate": torch.zeros(1)})()

    def __call__(self, pictures: Tensor, graphs: list) -> tuple[Tensor, Tensor]:
        seen = torch.ones(len(graphs), 1)
        return seen, seen if self.right else -seen

    def embed(self, graphs: list) -> Tensor:
        return torch.zeros(len(graphs), 1)


@pytest.mark.parametrize(("right", "expected"), [(True, 1.0), (False, 0.0)])
def test_accuracy_counts_the_true_captions_that_win(pairs: Pairs, right: bool, expected: float):
    assert accuracy(_Oracle(right), pairs, 10, batch=4) == expected
