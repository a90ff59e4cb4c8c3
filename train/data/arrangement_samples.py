"""Training samples for the learned prior of arrangements: graphs with boxes, varied as people's graphs vary.

What annotators leave unsaid is told from the boxes: directions and containment in their many wordings, and words of
size. Pictures are cropped at random to other shapes; objects and relations are left out; objects come in any order.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from sg_models.arrangement.phrase_vectors import PhraseVectors
from sg_models.arrangement.prior_network import PriorBatch
from sg_models.arrangement.prior_order import placing_order
from sg_models.graph.scene_graph import SceneGraph
from sg_models.graph.spatial_relations import degrees_from_diagonal, spatial_relation
from sg_models.graph.spatial_wordings import WORDINGS
from train.data.flips import mirrored_words
from train.data.graph_samples import sample_rng
from train.data.sample_order import SampleOrder

ARRANGEMENTS = 29  # what a sample's random numbers are for, beside other scripts' uses of the same index
CROP_RATE, LEAST_CROP, LEAST_VISIBLE = 0.5, 0.55, 1 / 3
FEWER_OBJECTS_RATE, FEWER_RELATIONS_RATE, DROPPED_RELATION_RATE = 0.25, 0.3, 0.3
DIRECTIONS_RATE, DIRECTIONS_ALONE_RATE, LEAST_DEGREES = 0.4, 0.4, 8.0
RANDOM_ORDER_RATE = 0.5
WORDS_RATE, SIZE_WORD_RATE, OTHER_WORD_RATE = 0.4, 0.6, 0.3  # of graphs, and of their objects
CLEARLY = 0.8  # standard deviations from what is usual for the name
WORDS = {wording: tuple(text.split("|")) for wording, text in WORDINGS.items()}
LARGE, SMALL, TALL, WIDE = ("large", "big", "huge"), ("small", "little", "tiny"), ("tall",), ("wide", "long")
OTHER = (
    "red blue green yellow white black brown gray orange old young new wooden metal plastic striped happy round shiny "
    "dark bright wet dry clean dirty beautiful open closed"
).split()


@dataclass(frozen=True)
class Example:
    """A graph in numbers. Phrases are places in a list of phrases."""

    names: np.ndarray  # [N]
    boxes: np.ndarray  # [N, 4] float32
    relations: np.ndarray  # [R, 3] subject, predicate, object
    attributes: tuple[tuple[int, ...], ...]  # of each object
    log_aspect: float = 0.0


class Phrases:
    """Phrases with their vectors, each kept once; a place stands for one."""

    def __init__(self, vectors: PhraseVectors) -> None:
        self.vectors, self.places = vectors, {"": 0}
        self._rows = [np.zeros(vectors.dim, np.float32)]

    def __call__(self, phrase: str) -> int:
        place = self.places.setdefault(phrase, len(self.places))
        if place == len(self._rows):
            self._rows.append(self.vectors.encode([phrase])[0])
        return place

    def table(self) -> Tensor:
        """Vectors of all phrases so far, [V, P]."""
        return torch.from_numpy(np.stack(self._rows))


def example_of(graph: SceneGraph, phrases: Phrases) -> Example:
    """A graph whose objects all have boxes."""
    return Example(
        np.array([phrases(thing.name) for thing in graph.objects]),
        np.array([thing.box for thing in graph.objects], np.float32),
        np.array([(r.subject, phrases(r.predicate), r.object) for r in graph.relations], np.int64).reshape(-1, 3),
        tuple(tuple(map(phrases, thing.attributes)) for thing in graph.objects),
    )


def whole_graphs(graphs: Iterable[SceneGraph], most_objects: int, without: frozenset[str]) -> list[SceneGraph]:
    """Graphs without objects that have no box or one of the names `without`; those with 1 to `most_objects` left."""
    found = []
    for graph in graphs:
        keep = np.array([thing.box is not None and thing.name not in without for thing in graph.objects])
        if 0 < keep.sum() <= most_objects:
            found.append(graph if keep.all() else graph_part(graph, np.flatnonzero(keep)))
    return found


def graph_part(graph: SceneGraph, kept: np.ndarray) -> SceneGraph:
    """Some objects of a graph, with the relations among them."""
    place = {int(old): new for new, old in enumerate(kept)}
    relations = [r for r in graph.relations if r.subject in place and r.object in place]
    return SceneGraph(
        tuple(graph.objects[int(i)] for i in kept),
        tuple(replace(r, subject=place[r.subject], object=place[r.object]) for r in relations),
    )


class ArrangementSamples:
    """Batches of varied graphs by index; indices count up without end."""

    def __init__(self, graphs: Sequence[SceneGraph], vectors: PhraseVectors, seed: int, flips: bool = True) -> None:
        self.phrases, self.seed, self.flips = Phrases(vectors), seed, flips
        self.examples = [example_of(graph, self.phrases) for graph in graphs]
        self.usual = usual_shapes(self.examples)
        self.wordings = {name: [self.phrases(word) for word in words] for name, words in WORDS.items()}
        self.words = {words: [self.phrases(word) for word in words] for words in (LARGE, SMALL, TALL, WIDE)}
        self.other = [self.phrases(word) for word in OTHER]
        # of each phrase the one of the mirrored picture
        self.other_side = np.array([self.phrases(mirrored_words(phrase)) for phrase in list(self.phrases.places)])
        self.table = self.phrases.table()
        self.order = SampleOrder(len(graphs), seed)

    def __call__(self, indices: Sequence[int]) -> PriorBatch:
        varied, orders, rng = [], [], sample_rng(indices[0], ARRANGEMENTS, self.seed)
        for index in indices:
            example = self.vary(self.examples[self.order[index]], rng)
            varied.append(example)
            orders.append(rank_of(example, rng))
        return collate(varied, self.table, orders)

    def vary(self, example: Example, rng: np.random.Generator) -> Example:
        """One example as someone might have written and framed it."""
        if self.flips and rng.random() < 0.5:
            example = self.mirrored(example)
        if rng.random() < WORDS_RATE:
            example = self.with_words(example, rng)
        if rng.random() < FEWER_OBJECTS_RATE and len(example.names) > 1:
            example = part(example, rng.permutation(len(example.names))[: rng.integers(1, len(example.names))])
        if rng.random() < CROP_RATE:
            example = cropped(example, rng)
        if rng.random() < FEWER_RELATIONS_RATE:
            kept = rng.random(len(example.relations)) >= DROPPED_RELATION_RATE
            example = replace(example, relations=example.relations[kept])
        if rng.random() < DIRECTIONS_RATE and len(example.names) > 1:
            example = self.with_directions(example, rng)
        return example

    def mirrored(self, example: Example) -> Example:
        """The example of the mirrored picture, left and right exchanged."""
        boxes = example.boxes.copy()
        boxes[:, [0, 2]] = 1 - boxes[:, [2, 0]]
        rows = example.relations.copy()
        rows[:, 1] = self.other_side[rows[:, 1]]
        attributes = tuple(tuple(self.other_side[list(words)].tolist()) for words in example.attributes)
        names = self.other_side[example.names]
        return replace(example, names=names, boxes=boxes, relations=rows, attributes=attributes)

    def with_words(self, example: Example, rng: np.random.Generator) -> Example:
        """With attributes that say which object is large, small, tall or wide for its name, and some of other kinds."""
        area, shape = shapes(example.boxes)  # [N] each
        attributes = []
        for i, name in enumerate(example.names.tolist()):
            said = list(example.attributes[i])
            usual = self.usual.get(name)
            if usual is not None and rng.random() < SIZE_WORD_RATE:
                size, tallness = (area[i] - usual[0]) / usual[1], (shape[i] - usual[2]) / usual[3]
                for value, more, less in ((size, LARGE, SMALL), (tallness, TALL, WIDE)):
                    if abs(value) > CLEARLY and rng.random() < 0.7:
                        said.append(int(rng.choice(self.words[more if value > 0 else less])))
            if rng.random() < OTHER_WORD_RATE:
                said.append(int(rng.choice(self.other)))
            attributes.append(tuple(said))
        return replace(example, attributes=tuple(attributes))

    def with_directions(self, example: Example, rng: np.random.Generator) -> Example:
        """With spatial relations of some pairs, read off their boxes; sometimes with these alone."""
        count, rows = len(example.names), []
        for _ in range(rng.integers(1, 1 + max(2, count))):
            subject, object_ = rng.choice(count, 2, replace=False).tolist()
            boxes = [tuple(example.boxes[i].tolist()) for i in (subject, object_)]
            if degrees_from_diagonal(boxes[0], boxes[1]) > LEAST_DEGREES:
                wordings = self.wordings[spatial_relation(boxes[0], boxes[1])]
                rows.append((subject, wordings[0] if rng.random() < 0.3 else int(rng.choice(wordings)), object_))
        kept = example.relations[:0] if rng.random() < DIRECTIONS_ALONE_RATE else example.relations
        return replace(example, relations=np.concatenate([kept, np.array(rows, np.int64).reshape(-1, 3)]))


def shapes(boxes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The logarithms of boxes' areas and of height over width: [N] each."""
    sides = np.log(np.maximum(boxes[:, 2:] - boxes[:, :2], 1e-4))
    return sides.sum(1), sides[:, 1] - sides[:, 0]


def usual_shapes(examples: Sequence[Example], least: int = 20) -> dict[int, tuple[float, ...]]:
    """For each name that occurs `least` times: mean and deviation of the logarithms of its area and of its shape."""
    names = np.concatenate([example.names for example in examples])
    area, shape = shapes(np.concatenate([example.boxes for example in examples]))
    found = {}
    for name in np.flatnonzero(np.bincount(names) >= least).tolist():
        which = names == name
        found[name] = tuple(float(v) for x in (area[which], shape[which]) for v in (x.mean(), x.std() + 1e-3))
    return found


def part(example: Example, kept: np.ndarray) -> Example:
    """Some objects of an example, with the relations among them."""
    kept = np.sort(kept)
    place = np.full(len(example.names), -1)
    place[kept] = np.arange(len(kept))
    rows = example.relations
    rows = rows[(place[rows[:, 0]] >= 0) & (place[rows[:, 2]] >= 0)]
    rows = np.stack([place[rows[:, 0]], rows[:, 1], place[rows[:, 2]]], axis=1)
    attributes = tuple(example.attributes[i] for i in kept)
    return replace(example, names=example.names[kept], boxes=example.boxes[kept], relations=rows, attributes=attributes)


def cropped(example: Example, rng: np.random.Generator) -> Example:
    """What a part of the picture shows, as high as the picture or as wide; as it is if that shows no object."""
    across = int(rng.integers(2))  # 0: the crop is narrower, 1: lower
    share = rng.uniform(LEAST_CROP, 1)
    start = rng.uniform(0, 1 - share)
    boxes = example.boxes.copy()
    boxes[:, [across, across + 2]] = np.clip((boxes[:, [across, across + 2]] - start) / share, 0, 1)
    visible = (boxes[:, across + 2] - boxes[:, across]) * share
    kept = np.flatnonzero(visible >= LEAST_VISIBLE * (example.boxes[:, across + 2] - example.boxes[:, across]))
    if not len(kept):
        return example
    change = np.log(share) * (1 if across == 0 else -1)
    return part(replace(example, boxes=boxes, log_aspect=example.log_aspect + change), kept)


def rank_of(example: Example, rng: np.random.Generator) -> np.ndarray:
    """When each object is placed [N]: in the order of use, or in any, as where some boxes are given."""
    if rng.random() < RANDOM_ORDER_RATE:
        return rng.permutation(len(example.names))
    return placing_order(len(example.names), example.relations[:, [0, 2]], rng)


def collate(examples: Sequence[Example], table: Tensor, ranks: Sequence[np.ndarray]) -> PriorBatch:
    """A batch of examples, whose phrases are rows of `table` [V, P]."""
    counts = np.array([len(example.names) for example in examples])
    first = np.cumsum(counts) - counts
    rows = np.concatenate([e.relations + np.array([f, 0, f]) for e, f in zip(examples, first, strict=True)])
    said = [words for example in examples for words in example.attributes]
    attributes = torch.zeros(len(said), table.shape[1])
    for place, words in enumerate(said):
        if words:
            attributes[place] = table[list(words)].mean(0)
    return PriorBatch(
        names=table[np.concatenate([example.names for example in examples])],
        attributes=attributes,
        predicates=table[rows[:, 1]],
        edges=torch.from_numpy(np.ascontiguousarray(rows[:, [0, 2]].T)),
        graph_of=torch.from_numpy(np.repeat(np.arange(len(examples)), counts)),
        rank=torch.from_numpy(np.concatenate(ranks)),
        shown=torch.ones(len(said), dtype=torch.bool),
        aspect=torch.tensor([example.log_aspect for example in examples], dtype=torch.float32),
        boxes=torch.from_numpy(np.concatenate([example.boxes for example in examples])),
    )
