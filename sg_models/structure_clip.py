"""Structure-CLIP: a CLIP text embedding with structured knowledge added (Huang et al. 2023, section 3.3, equation 8).

    f(graph) = CLIP(caption) + λ · mean over the graph's triples of KnowledgeEncoder(triples)

The knowledge encoder embeds words through the text model's own token embeddings, as the original does through BERT's.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from .knowledge_encoder import KnowledgeEncoder, Triple, distinct_words, triples
from .phrase_features import Features
from .scene_graph import SceneGraph, SceneGraphError

STRUCTURE_CLIP = "structure-clip"  # what adapter files call this phrase encoder
KNOWLEDGE_WEIGHT = 0.2  # λ of the released training script
EncodeWords = Callable[[list[str]], Tensor]  # P words → [P, W]


def triple_words(
    graphs: Sequence[SceneGraph], encode_words: EncodeWords, count: int
) -> tuple[Tensor, Tensor, list[list[Triple]]]:
    """Word vectors [B, count, 3, W] of each graph's triples, which of them are real [B, count], and the triples.

    Raises `SceneGraphError` for a graph with more triples than `count`.
    """
    told = [triples(graph) for graph in graphs]
    most = max(map(len, told))
    if most > count:
        raise SceneGraphError(
            f"the graph has {most} triples (attributes and relations), and this adapter takes at most {count}; "
            f"remove {most - count}"
        )
    words = distinct_words(graphs)
    vectors, place = encode_words(words), {word: i for i, word in enumerate(words)}
    ids = torch.zeros(len(graphs), count, 3, dtype=torch.long)
    valid = torch.zeros(len(graphs), count, dtype=torch.bool)
    for b, graph in enumerate(told):
        for t, triple in enumerate(graph):
            ids[b, t] = torch.tensor([place[w] for w in (triple.head, triple.relation, triple.tail)])
            valid[b, t] = True
    return vectors[ids.to(vectors.device)], valid.to(vectors.device), told


def knowledge_features(
    graphs: Sequence[SceneGraph], encode_words: EncodeWords, encoder: KnowledgeEncoder
) -> list[Features]:
    """What variant (vii)'s graph encoder sees: for an object the mean of its own triples, for a relation its triple."""
    words, valid, told = triple_words(graphs, encode_words, encoder.count)
    features = encoder(words, valid)  # [B, T, D]
    return [_of_graph(graph, rows, row) for graph, rows, row in zip(graphs, told, features, strict=True)]


def _of_graph(graph: SceneGraph, rows: list[Triple], features: Tensor) -> Features:
    attributes: list[list[int]] = [[] for _ in graph.objects]
    for place, row in enumerate(rows):
        if row.object is None:
            attributes[row.subject].append(place)
    x = torch.stack([features[places].mean(dim=0) for places in attributes])
    relations = [t for t, row in enumerate(rows) if row.object is not None]
    return x, features[relations]
