"""What a graph encoder sees of a graph: a vector for each object and for each relation.

An ordinary phrase encoder (CLIP, BERT) gives every phrase a vector, whatever graph it stands in; Structure-CLIP's
vectors depend on the graph. Both end up here as one pair of tensors per graph.
"""

from collections.abc import Callable, Sequence
from typing import Protocol

import torch
from torch import Tensor

from ..graph.scene_graph import SceneGraph

Features = tuple[Tensor, Tensor]  # of a graph's objects [O, P] and relations [R, P]
EncodeGraphs = Callable[[Sequence[SceneGraph]], list[Features]]


class GraphFeatures(Protocol):
    """`EncodeGraphs` that says how wide its vectors are."""

    dim: int

    def __call__(self, graphs: Sequence[SceneGraph]) -> list[Features]: ...


class PhraseEncoder(Protocol):
    """A frozen text model that turns phrases into vectors; `name` is what adapter files call it."""

    name: str
    dim: int

    def encode(self, phrases: list[str]) -> Tensor:
        """Vectors [P, dim] of some phrases."""
        ...


def graph_phrases(graphs: Sequence[SceneGraph]) -> list[str]:
    """The distinct phrases of some graphs, in order of first occurrence: what a phrase encoder has to encode."""
    seen: dict[str, None] = {}
    for graph in graphs:
        seen.update(dict.fromkeys(o.phrase for o in graph.objects))
        seen.update(dict.fromkeys(r.predicate for r in graph.relations))
    return list(seen)


def phrase_features(graphs: Sequence[SceneGraph], encode: Callable[[list[str]], Tensor]) -> list[Features]:
    """Each graph's features from its phrases alone; `encode` gives [P, D] for P distinct phrases and runs once."""
    phrases = graph_phrases(graphs)
    vectors = dict(zip(phrases, encode(phrases), strict=True))
    return [_features(graph, vectors) for graph in graphs]


class RememberedPhrases:
    """`EncodeGraphs` of a phrase encoder that encodes each phrase once in a run, and keeps the vectors on the CPU.

    Each is encoded alone: beside others a BERT rounds it otherwise, and a resumed run meets others.
    """

    def __init__(self, encoder: PhraseEncoder) -> None:
        self.encoder, self.dim = encoder, encoder.dim
        self.vectors: dict[str, Tensor] = {}

    def __call__(self, graphs: Sequence[SceneGraph]) -> list[Features]:
        for phrase in graph_phrases(graphs):
            if phrase not in self.vectors:
                self.vectors[phrase] = self.encoder.encode([phrase])[0].cpu()
        return [_features(graph, self.vectors) for graph in graphs]


def _features(graph: SceneGraph, vectors: dict[str, Tensor]) -> Features:
    x = torch.stack([vectors[o.phrase] for o in graph.objects])
    edges = [vectors[r.predicate] for r in graph.relations]
    return x, torch.stack(edges) if edges else x.new_zeros(0, x.shape[1])


def mean_over_real(states: Tensor, real: Tensor) -> Tensor:
    """What a BERT says of a phrase: the mean over its real tokens' states, [P, L, D] and [P, L] → [P, D]."""
    weight = real.to(states)[..., None]
    return (states * weight).sum(dim=1) / weight.sum(dim=1)
