"""The learned prior: where things are, how large, and what a predicate does to two boxes, from one file.

`train/train_arrange.py` makes the file. Nothing else is needed to use it: phrases become vectors by a table in it.
"""

from collections.abc import Sequence
from functools import cached_property, lru_cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..graph.scene_graph import SceneGraph
from .phrase_vectors import PhraseVectors
from .prior import Proposal
from .prior_file import SHIPPED, PriorFile, read_prior_file
from .prior_mixture import to_places
from .prior_network import PriorBatch, PriorNetwork
from .prior_order import placing_order
from .prior_sampler import PriorSampler, latin_hypercube

SHOWN = 24  # objects that all later ones look at: it learns from graphs of as many
MOST_LOG_ASPECT = 1.0  # of the pictures that it learns from it is 0.6
SOMEWHERE = (0.25, 0.25, 0.75, 0.75)  # stands for a box that is not known yet, which nobody looks at


class LayoutPrior:
    """A `Prior` that was learned. `temperature` is that of samples: below 1 they are nearer to what is usual."""

    def __init__(self, vectors: PhraseVectors, network: PriorNetwork, temperature: float = 1.0) -> None:
        self.vectors, self.network, self.temperature = vectors, network.eval(), temperature

    @cached_property
    def sampler(self) -> PriorSampler:
        """Made at the first sample: of the weights as they are then."""
        return PriorSampler(self.network)

    @torch.inference_mode()
    def samples(self, graph: SceneGraph, seed: int, aspect: float, count: int) -> list[Proposal]:
        """See `Prior`. They are made side by side, which takes hardly longer than one."""
        batch = prior_batch([graph], self.vectors, np.random.default_rng(seed), aspect)
        objects, relations = self.network.encode(batch)
        pairs = self.network.pairs(batch, relations)
        uniforms = latin_hypercube(seed, (count, len(graph.objects), 5))
        drawn = self.sampler.sample(batch, objects.numpy(), pairs, uniforms, self.temperature)
        found, spread = (part.astype(np.float64) for part in drawn)  # [count, O, 4]
        for place, thing in enumerate(graph.objects):
            if thing.box is not None:  # as it is given, and not as float32 has it
                found[:, place] = thing.box
        return [Proposal(*pair) for pair in zip(found, spread, strict=True)]

    @torch.no_grad()
    def log_density(self, graphs: Sequence[SceneGraph], rng: np.random.Generator, aspect: float = 1.0) -> Tensor:
        """The log density of each object's box, all given, in nats; their sum over a graph is that of its boxes: [O].

        It is over (centre x, centre y, log width, log height), in parts of the picture.
        """
        batch = prior_batch(graphs, self.vectors, rng, aspect, first_given=False)
        return self.network(batch).log_prob(to_places(batch.boxes))


def prior_batch(
    graphs: Sequence[SceneGraph],
    vectors: PhraseVectors,
    rng: np.random.Generator,
    aspect: float,
    first_given: bool = True,
) -> PriorBatch:
    """Graphs as the network reads them, in pictures whose width is `aspect` times their height.

    Objects with boxes have rank 0, others from 1 on in `placing_order`; without `first_given` all are in that order.
    """
    things = [thing for graph in graphs for thing in graph.objects]
    counts = [len(graph.objects) for graph in graphs]
    first = np.cumsum(counts) - counts
    relations = [(f + r.subject, f + r.object) for f, graph in zip(first, graphs, strict=True) for r in graph.relations]
    orders = [order_of(graph, rng, first_given) for graph in graphs]
    log_aspect = float(np.clip(np.log(aspect), -MOST_LOG_ASPECT, MOST_LOG_ASPECT))
    return PriorBatch(
        names=torch.from_numpy(vectors.encode([thing.name for thing in things])),
        attributes=torch.from_numpy(np.stack([attribute_vector(thing.attributes, vectors) for thing in things])),
        predicates=torch.from_numpy(vectors.encode([r.predicate for graph in graphs for r in graph.relations])),
        edges=torch.from_numpy(np.array(relations, np.int64).reshape(-1, 2).T.copy()),
        graph_of=torch.from_numpy(np.repeat(np.arange(len(graphs)), counts)),
        rank=torch.from_numpy(np.concatenate([rank for rank, _ in orders])),
        shown=torch.from_numpy(np.concatenate([shown for _, shown in orders])),
        aspect=torch.full((len(graphs),), log_aspect),
        boxes=torch.tensor([thing.box or SOMEWHERE for thing in things]),
    )


def order_of(graph: SceneGraph, rng: np.random.Generator, first_given: bool) -> tuple[np.ndarray, np.ndarray]:
    """When each object is placed [O], see `prior_batch`, and whether all later ones look at it [O] bool."""
    count = len(graph.objects)
    given = np.array([first_given and thing.box is not None for thing in graph.objects])
    ends = np.array([(r.subject, r.object) for r in graph.relations], np.int64).reshape(-1, 2)
    order = placing_order(count, ends, rng, given)
    later = order - given.sum()  # those that are given come first
    return np.where(given, 0, 1 + later), order < SHOWN


def attribute_vector(attributes: Sequence[str], vectors: PhraseVectors) -> np.ndarray:
    """The mean of attributes' vectors, zeros without any: [P]."""
    return vectors.encode(list(attributes)).mean(0) if attributes else np.zeros(vectors.dim, np.float32)


def make_prior(file: PriorFile) -> LayoutPrior:
    """The prior that a file holds."""
    return LayoutPrior(file.vectors, file.network(), file.temperature)


@lru_cache(1)
def load_prior(path: Path = SHIPPED) -> LayoutPrior:
    """The prior that is shipped, read once; raises `WeightsFileError` where the file is missing or damaged."""
    return make_prior(read_prior_file(path))
