"""Mirrored pictures with mirrored graphs: twice as many to train on, where left and right are told apart.

A picture that is mirrored without its graph teaches that "left of" says nothing. Here boxes and masks are mirrored with
it, and so are the words "left" and "right" wherever they stand for a side: in predicates, attributes and names. What is
written in a picture is mirrored, too, and then reads wrong; that is why flips are on only where they are asked for.
"""

import re
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from torch import Tensor

from sg_models.graph.scene_graph import Box, Relation, SceneGraph
from train.data.dataset import TRAIN, Dataset, Split

OTHER_SIDE = {"left": "right", "right": "left"}
# a word of its own or the first half of one that names a side; "left_of" has it, "bright" and "leftover" have not
SIDE = re.compile(
    r"(?<![^\W_])(left|right)(?=(?:most|wards?|side|hand(?:ed)?)?(?![^\W_]))(?![\s_-]+over\b)", re.IGNORECASE
)


def mirrored(graph: SceneGraph) -> SceneGraph:
    """The graph of the mirrored picture, left and right exchanged."""
    objects = tuple(
        replace(
            thing,
            name=mirrored_words(thing.name),
            attributes=tuple(map(mirrored_words, thing.attributes)),
            box=thing.box and mirrored_box(thing.box),
        )
        for thing in graph.objects
    )
    relations = (Relation(r.subject, mirrored_words(r.predicate), r.object) for r in graph.relations)
    return SceneGraph(objects, tuple(relations))


def mirrored_box(box: Box) -> Box:
    """A box of the mirrored picture."""
    x0, y0, x1, y1 = box
    return 1 - x1, y0, 1 - x0, y1


def mirrored_words(text: str) -> str:
    """The same text with left and right exchanged, word by word: "Left hand" is "Right hand", "bright" stays."""
    return SIDE.sub(lambda found: _in_case_of(found[0], OTHER_SIDE[found[0].lower()]), text)


def _in_case_of(word: str, other: str) -> str:
    return other.upper() if word.isupper() else other.capitalize() if word[0].isupper() else other


class FlippedGraphs(Sequence[SceneGraph]):
    """Graphs [N], and after them the same mirrored."""

    def __init__(self, graphs: Sequence[SceneGraph]) -> None:
        self.graphs = graphs

    def __len__(self) -> int:
        return 2 * len(self.graphs)

    def __getitem__(self, place: int) -> SceneGraph:  # type: ignore[override]
        if isinstance(place, slice):
            return [self[i] for i in range(*place.indices(len(self)))]  # type: ignore[return-value]
        if not -len(self) <= place < len(self):
            raise IndexError(f"there is no graph {place} among {len(self)}")
        flip, place = divmod(place % len(self), len(self.graphs))
        return mirrored(self.graphs[place]) if flip else self.graphs[place]


class FlippedSplit:
    """A split of N scenes with those mirrored at the places N to 2N - 1."""

    def __init__(self, split: Split) -> None:
        self.split, self.count = split, len(split.graphs)
        # named apart, so that what was made of the one is kept beside what was made of the other
        self.dataset, self.name = f"{split.dataset}-flipped", split.name
        self.graphs = FlippedGraphs(split.graphs)

    @property
    def nested(self) -> np.ndarray:
        """The places of scenes with one object inside another."""
        return np.concatenate([self.split.nested, self.split.nested + self.count])

    def pictures(self, places: Sequence[int], side: int) -> np.ndarray:
        """uint8 [B, side, side, 3]."""
        pictures = self.split.pictures([place % self.count for place in places], side)
        flip = np.array(places) >= self.count
        return np.where(flip[:, None, None, None], pictures[:, :, ::-1], pictures)

    def masks(self, place: int, side: int) -> Tensor | None:
        """The objects' masks, each within its own box: bool [O, side, side]; None where there are none."""
        masks = self.split.masks(place % self.count, side)
        return masks if masks is None or place < self.count else masks.flip(-1)

    def fingerprint(self) -> str:
        """That of the split, and how many there are: it says at which place the mirrored ones begin."""
        return f"{self.split.fingerprint()} flipped {self.count}"


class FlippedTraining:
    """A data set whose training pictures come mirrored as well; all else is as it was."""

    def __init__(self, dataset: Dataset) -> None:
        self.dataset = dataset

    def __getattr__(self, name: str):
        return getattr(self.dataset, name)

    def split(self, name: str, count: int) -> Split:
        """The first `count` scenes of a split, those for training with as many mirrored ones."""
        split = self.dataset.split(name, count)
        return FlippedSplit(split) if name == TRAIN else split
