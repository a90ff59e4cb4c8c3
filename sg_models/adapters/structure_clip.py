"""Structure-CLIP: a CLIP text embedding with structured knowledge added (Huang et al. 2023, section 3.3, equation 8).

    f(graph) = CLIP(caption) + λ · mean over the graph's triples of KnowledgeEncoder(triples)

with both parts of unit length, as the second is in the released code: so λ means the same for every CLIP. The knowledge
encoder embeds words through the text model's own token embeddings, as the original does through BERT's.
"""

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from ..graph.scene_graph import SceneGraph, SceneGraphError
from ..layers.knowledge_encoder import KnowledgeEncoder, Triple, distinct_words, mean_over_triples, triples
from .adapter import Adapter, build_module
from .phrase_features import Features

KNOWLEDGE = "knowledge."  # the prefix of the knowledge encoder's tensors in adapter files
EncodeWords = Callable[[list[str]], Tensor]  # P words → [P, W]


def build_knowledge(file: Adapter) -> KnowledgeEncoder:
    """The knowledge encoder of an adapter file, frozen, with its weights in float32.

    Raises `AdapterError` where the file's configuration or tensors do not make one.
    """
    sizes = file.config.get("knowledge", {})
    tensors = {k.removeprefix(KNOWLEDGE): v.float() for k, v in file.state_dict.items() if k.startswith(KNOWLEDGE)}
    return build_module(file, lambda **host: KnowledgeEncoder(**sizes, **host), tensors).requires_grad_(False).eval()


def graph_knowledge(graphs: Sequence[SceneGraph], encode_words: EncodeWords, encoder: KnowledgeEncoder) -> Tensor:
    """What is added to the embeddings of graphs: [G, D] of unit length.

    Raises `SceneGraphError` for a graph with more triples than the encoder takes.
    """
    words, valid, _ = triple_words(graphs, encode_words, encoder.count)
    return F.normalize(mean_over_triples(encoder(words, valid), valid), dim=-1)


def check_triples(graph: SceneGraph, most: int) -> None:
    """Raises `SceneGraphError` for a graph with more than that many triples."""
    count = len(triples(graph))
    if count > most:
        raise SceneGraphError(
            f"the graph has {count} triples (attributes and relations), and this adapter takes at most {most}; "
            f"remove {count - most}"
        )


def with_knowledge(states: Tensor, knowledge: Tensor, weight: float) -> Tensor:
    """Variant (ii)'s context: a caption's states [G, L, D] with the knowledge [G, D] of its graph in each of them.

    It counts as much beside a state, however long that is, as it does in an embedding beside the caption's.
    """
    return states + weight * states.norm(dim=-1, keepdim=True) * knowledge[:, None].to(states)


def triple_words(
    graphs: Sequence[SceneGraph], encode_words: EncodeWords, count: int
) -> tuple[Tensor, Tensor, list[list[Triple]]]:
    """Word vectors [B, T, 3, W] of each graph's triples, which of them are real [B, T], and the triples.

    T is that of the graph with the most. Raises `SceneGraphError` for a graph with more than `count`.
    """
    for graph in graphs:
        check_triples(graph, count)
    of_graphs = [triples(graph) for graph in graphs]
    words = distinct_words(graphs)
    vectors, place = encode_words(words), {word: i for i, word in enumerate(words)}
    most = max(map(len, of_graphs))
    ids = torch.zeros(len(graphs), most, 3, dtype=torch.long)
    valid = torch.zeros(len(graphs), most, dtype=torch.bool)
    for b, graph in enumerate(of_graphs):
        for t, triple in enumerate(graph):
            ids[b, t] = torch.tensor([place[w] for w in (triple.head, triple.relation, triple.tail)])
            valid[b, t] = True
    return vectors[ids.to(vectors.device)], valid.to(vectors.device), of_graphs


def knowledge_features(
    graphs: Sequence[SceneGraph], encode_words: EncodeWords, encoder: KnowledgeEncoder
) -> list[Features]:
    """What variant (vii)'s graph encoder sees: for an object the mean of its own triples, for a relation its triple."""
    words, valid, of_graphs = triple_words(graphs, encode_words, encoder.count)
    features = encoder(words, valid)  # [B, T, D]
    return [_of_graph(graph, rows, row) for graph, rows, row in zip(graphs, of_graphs, features, strict=True)]


def _of_graph(graph: SceneGraph, rows: list[Triple], features: Tensor) -> Features:
    attributes: list[list[int]] = [[] for _ in graph.objects]
    for place, row in enumerate(rows):
        if row.object is None:
            attributes[row.subject].append(place)
    x = torch.stack([features[places].mean(dim=0) for places in attributes])
    relations = [t for t, row in enumerate(rows) if row.object is not None]
    return x, features[relations]
