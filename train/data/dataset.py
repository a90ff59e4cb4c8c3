"""What training asks of a data set: graphs with pictures in splits, whatever they are of.

A data set is a class with this contract and a line in `known_datasets.py`. Pictures come at the size that the base
draws; what a data set lacks (masks, a judge) is None, and the loss or the metric that needs it drops out.
"""

import sys
from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
from torch import Tensor

from sg_models.graph.scene_graph import SceneGraph
from sg_models.verification.verdict import Verdict
from train.running.command_line import UsageError

TRAIN, VALIDATION = "train", "val"  # splits that every data set has


class Split(Protocol):
    """The first scenes of one split."""

    dataset: str
    """the data set's name"""
    name: str

    @property
    def graphs(self) -> Sequence[SceneGraph]:
        """As complete as the data set knows them: every object has a box, unless the data set has none for it."""
        ...

    @property
    def nested(self) -> np.ndarray:
        """The places of scenes with one object inside another."""
        ...

    def pictures(self, places: Sequence[int], side: int) -> np.ndarray:
        """Pictures of some scenes, uint8 [B, side, side, 3]."""
        ...

    def masks(self, place: int, side: int) -> Tensor | None:
        """The objects' masks in one scene, each within its own box: bool [O, side, side]; None where there are none."""
        ...

    def fingerprint(self) -> str:
        """Of the pictures and their order, the same however many there are: what was made of others is made anew."""
        ...


class Dataset(Protocol):
    """Scene graphs with pictures. `name` is what `--dataset` and adapter files call it."""

    name: str
    title: str
    """for people"""
    test_splits: tuple[str, ...]
    """what training never sees, to be measured on"""
    endless: bool
    """whether training scenes are made up, as many as are asked for"""
    large_area: float
    """the part of a picture that a large object's box covers: what counts once in the loss"""
    nested_rate: float
    """the part of an epoch that is nested scenes over again, beside every scene once: where they are few and hard"""

    def split(self, name: str, count: int) -> Split:
        """The first `count` scenes of a split."""
        ...

    def judge(self, picture: np.ndarray, graph: SceneGraph) -> Verdict | None:
        """How a picture, uint8 [H, W, 3], obeys a graph; None where nothing can tell."""
        ...


def training_split(data: Dataset, pictures: int | None, of_endless: int) -> Split:
    """The training split with as many scenes as asked for: if no number is, all, or so many of an endless data set."""
    return data.split(TRAIN, pictures or (of_endless if data.endless else sys.maxsize))


def training_count(data: Dataset, pictures: int | None, of_endless: int) -> int:
    """How many scenes `training_split` has; none is made for it."""
    return pictures or of_endless if data.endless else len(training_split(data, pictures, of_endless).graphs)


def knows_boxes(split: Split) -> bool:
    """Whether any object of a split has a box."""
    return any(thing.box is not None for graph in split.graphs for thing in graph.objects)


def check_boxes(split: Split) -> None:
    """Raises `UsageError` where no object of a split has a box, for what learns from boxes."""
    if not knows_boxes(split):
        raise UsageError(
            f"the graphs of {split.dataset} have no boxes, which layouts are learned from; let a trained layout place "
            "their objects: train/prepare.py <data set> --boxes <adapter file>"
        )


def check_room(split: Split, room: int, size: Callable[[SceneGraph], int], what: str, remedy: str) -> None:
    """Raises `UsageError` where a graph of a split has more than `room` of something, its `size`: it would be cut off.

    `what` names that, `remedy` is an option that takes the number that is needed.
    """
    largest = max(map(size, split.graphs))
    if largest > room:
        raise UsageError(
            f"a graph among the {len(split.graphs)} in {split.dataset}, {split.name}, has {largest} {what}, and there "
            f"is room for {room}; write {remedy} {largest}"
        )


def room_for(
    splits: Sequence[Split], given: int | None, least: int, size: Callable[[SceneGraph], int], what: str, remedy: str
) -> int:
    """How much room there is to be for something in a graph, its `size`: as much as is `given`, or as is needed.

    If nothing is given it is `least`, or what the largest graph of the splits has. Raises `UsageError` as `check_room`.
    """
    if given is None:
        return max(least, *(max(map(size, split.graphs)) for split in splits))
    for split in splits:
        check_room(split, given, size, what, remedy)
    return given


def count_objects(graph: SceneGraph) -> int:
    """What a layout has room for."""
    return len(graph.objects)


def count_tokens(graph: SceneGraph) -> int:
    """What gated self-attention has room for: a token for each object and each relation."""
    return len(graph.objects) + len(graph.relations)
