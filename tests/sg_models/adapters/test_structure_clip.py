"""Structure-CLIP's sum: knowledge weighs the same whatever the lengths of its vectors and of the caption's."""

import pytest
import torch
from torch import Tensor

from sg_models.adapters.structure_clip import graph_knowledge, with_knowledge
from sg_models.graph.formats import parse_scene_graph
from sg_models.graph.scene_graph import SceneGraphError
from sg_models.layers.knowledge_encoder import KnowledgeEncoder

WORD_DIM, DIM, COUNT = 6, 8, 3
GRAPHS = [parse_scene_graph("small dog | on | bike"), parse_scene_graph("cat")]


@pytest.fixture
def encoder() -> KnowledgeEncoder:
    torch.manual_seed(0)
    return KnowledgeEncoder(WORD_DIM, DIM, layers=1, heads=2, count=COUNT, length=4).eval()


def words_of_scale(scale: float):
    def encode(words: list[str]) -> Tensor:
        return scale * torch.randn(len(words), WORD_DIM, generator=torch.Generator().manual_seed(1))

    return encode


@pytest.mark.parametrize("scale", [0.1, 25.0])
@torch.no_grad()
def test_knowledge_has_unit_length(encoder: KnowledgeEncoder, scale: float):
    knowledge = graph_knowledge(GRAPHS, words_of_scale(scale), encoder)
    torch.testing.assert_close(knowledge.norm(dim=-1), torch.ones(2))


@torch.no_grad()
def test_what_stands_beside_a_graph_changes_nothing(encoder: KnowledgeEncoder):
    words = torch.randn(20, WORD_DIM)
    vocabulary: dict[str, int] = {}

    def encode(told: list[str]) -> Tensor:
        return words[[vocabulary.setdefault(word, len(vocabulary)) for word in told]]

    together = graph_knowledge(GRAPHS, encode, encoder)
    alone = torch.cat([graph_knowledge([graph], encode, encoder) for graph in GRAPHS])
    torch.testing.assert_close(together, alone)


def test_knowledge_weighs_the_same_beside_short_and_long_states():
    knowledge = torch.nn.functional.normalize(torch.randn(1, DIM), dim=-1)
    states = torch.randn(1, 4, DIM)
    for scale in (1.0, 30.0):
        added = with_knowledge(scale * states, knowledge, weight=0.5) - scale * states
        torch.testing.assert_close(added.norm(dim=-1), 0.5 * (scale * states).norm(dim=-1))


def test_too_many_triples_are_counted_in_words(encoder: KnowledgeEncoder):
    graph = parse_scene_graph("small red dog | on | large blue bike")
    with pytest.raises(SceneGraphError, match="5 triples.*at most 3; remove 2"):
        graph_knowledge([graph], words_of_scale(1.0), encoder)
