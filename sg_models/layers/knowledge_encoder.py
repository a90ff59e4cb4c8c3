"""Structure-CLIP's knowledge encoder: a graph's triples through a gated transformer (Huang et al. 2023, section 3.3).

A graph is read as triples (subject, predicate, object), its attributes among them as (object, "is", attribute). Each
word of a triple is embedded as the mean of its tokens' embeddings, a triple as head + relation - tail, normalised, and
the triples of a graph go through a transformer whose effect is gated element by element:

    X' = X + γ ⊙ (Transformer(X) - X),   γ ≈ 0 at the start

so that the output is near X at the beginning. The formula is our reading of the paper's words: its text lost the
formula, and its released code has no gate.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ..graph.scene_graph import SceneGraph

IS = "is"  # the predicate between an object and its attribute
THERE = "there"  # in place of an attribute where an object has none: "dog is dog" would be "is" alone, dog - dog is 0
GATE_START = 0.01


@dataclass(frozen=True)
class Triple:
    """One triple in words, and which objects of its graph it speaks of; `object` is None for an attribute."""

    head: str
    relation: str
    tail: str
    subject: int
    object: int | None


def triples(graph: SceneGraph) -> list[Triple]:
    """A graph's triples: for each object its attributes, or that it is there, and then the relations."""
    found = []
    for position, thing in enumerate(graph.objects):
        for attribute in thing.attributes or (THERE,):
            found.append(Triple(thing.name, IS, attribute, position, None))
    for relation in graph.relations:
        subject, object_ = graph.objects[relation.subject], graph.objects[relation.object]
        found.append(Triple(subject.name, relation.predicate, object_.name, relation.subject, relation.object))
    return found


class KnowledgeEncoder(nn.Module):
    """Triples [B, T] as word vectors → triple features [B, T, D].

    `word_dim` W of the word vectors, `dim` D of the features, `layers` and `heads` of the transformer, `count` T: the
    most triples of a graph; `length`: the most tokens of a head, relation or tail that its word vector is made of.
    """

    def __init__(
        self,
        word_dim: int,
        dim: int,
        layers: int,
        heads: int,
        count: int,
        length: int,
        *,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
    ) -> None:
        super().__init__()
        factory: dict[str, Any] = {"dtype": dtype, "device": device}
        self.dim, self.count, self.length = dim, count, length
        self.word = nn.Linear(word_dim, dim, **factory)
        self.norm = nn.LayerNorm(dim, **factory)
        layer = nn.TransformerEncoderLayer(
            dim, heads, 4 * dim, dropout=0.0, activation="gelu", batch_first=True, norm_first=True, **factory
        )
        self.transformer = nn.TransformerEncoder(
            layer, layers, norm=nn.LayerNorm(dim, **factory), enable_nested_tensor=False
        )
        self.gate = nn.Parameter(torch.full((dim,), GATE_START, **factory))

    def forward(self, words: Tensor, valid: Tensor) -> Tensor:
        """words [B, T, 3, W] (head, relation, tail), valid [B, T] (True where there is a triple) → [B, T, D].

        What stands in places without a triple reaches no other place.
        """
        head, relation, tail = self.word(words).unbind(dim=2)  # [B, T, D] each
        x = self.norm(head + relation - tail)
        mixed = self.transformer(x, src_key_padding_mask=~valid)
        return x + self.gate * (mixed - x)


def mean_over_triples(features: Tensor, valid: Tensor) -> Tensor:
    """The mean of a graph's triple features: [B, T, D] and [B, T] → [B, D]."""
    weight = valid.to(features)[..., None]
    return (features * weight).sum(dim=1) / weight.sum(dim=1).clamp(min=1)


def word_vectors(embedding: Tensor, ids: Tensor, real: Tensor) -> Tensor:
    """Each word's mean token embedding: table [V, W], ids [..., L], real [..., L] (False for padding) → [..., W]."""
    weight = real.to(embedding)[..., None]
    return (embedding[ids] * weight).sum(dim=-2) / weight.sum(dim=-2).clamp(min=1)


def distinct_words(graphs: Sequence[SceneGraph]) -> list[str]:
    """The words that the triples of some graphs need, in order of first occurrence."""
    seen: dict[str, None] = {}
    for graph in graphs:
        for triple in triples(graph):
            seen.update(dict.fromkeys((triple.head, triple.relation, triple.tail)))
    return list(seen)
