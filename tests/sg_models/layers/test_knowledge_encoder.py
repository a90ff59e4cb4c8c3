"""Structure-CLIP's knowledge encoder: its triples, its gate and its padding."""

import pytest
import torch

from sg_models.graph.formats import parse_scene_graph
from sg_models.layers.knowledge_encoder import (
    GATE_START,
    KnowledgeEncoder,
    distinct_words,
    mean_over_triples,
    triples,
    word_vectors,
)

WORD_DIM, DIM, COUNT = 6, 8, 5


@pytest.fixture
def encoder() -> KnowledgeEncoder:
    torch.manual_seed(0)
    return KnowledgeEncoder(WORD_DIM, DIM, layers=2, heads=2, count=COUNT, length=4).eval()


def test_a_graph_as_triples():
    graph = parse_scene_graph("white cow | in | hay\ndog")
    found = [(t.head, t.relation, t.tail, t.subject, t.object) for t in triples(graph)]
    assert found == [
        ("cow", "is", "white", 0, None),
        ("hay", "is", "there", 1, None),
        ("dog", "is", "there", 2, None),
        ("cow", "in", "hay", 0, 1),
    ]
    assert distinct_words([graph]) == ["cow", "is", "white", "hay", "there", "dog", "in"]


def test_every_object_is_in_some_triple():
    graph = parse_scene_graph("a\nb | on | c\nred d")
    assert {t.subject for t in triples(graph)} == {0, 1, 2, 3}


@torch.no_grad()
def test_near_its_input_at_the_start(encoder: KnowledgeEncoder):
    words, valid = torch.randn(2, COUNT, 3, WORD_DIM), torch.ones(2, COUNT, dtype=torch.bool)
    head, relation, tail = encoder.word(words).unbind(dim=2)
    x = encoder.norm(head + relation - tail)
    out = encoder(words, valid)
    assert not torch.equal(out, x)
    assert (out - x).norm() < 5 * GATE_START * x.norm()


@torch.no_grad()
def test_a_gate_of_one_is_the_plain_transformer(encoder: KnowledgeEncoder):
    encoder.gate.fill_(1.0)
    words, valid = torch.randn(2, COUNT, 3, WORD_DIM), torch.ones(2, COUNT, dtype=torch.bool)
    head, relation, tail = encoder.word(words).unbind(dim=2)
    expected = encoder.transformer(encoder.norm(head + relation - tail))
    torch.testing.assert_close(encoder(words, valid), expected)


@torch.no_grad()
def test_padding_reaches_nothing(encoder: KnowledgeEncoder):
    encoder.gate.fill_(1.0)
    words, valid = torch.randn(1, 3, 3, WORD_DIM), torch.ones(1, 3, dtype=torch.bool)
    short = encoder(words, valid)
    padded = torch.cat([words, 50 * torch.randn(1, 2, 3, WORD_DIM)], dim=1)
    mask = torch.tensor([[True] * 3 + [False] * 2])
    long = encoder(padded, mask)
    torch.testing.assert_close(long[:, :3], short, atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(mean_over_triples(long, mask), mean_over_triples(short, valid), atol=1e-6, rtol=1e-5)


@torch.no_grad()
def test_subject_and_object_are_told_apart(encoder: KnowledgeEncoder):
    words, valid = torch.randn(1, 1, 3, WORD_DIM), torch.ones(1, 1, dtype=torch.bool)
    turned = words.flip(dims=(2,))
    assert not torch.allclose(encoder(words, valid), encoder(turned, valid), atol=1e-3)


def test_words_are_the_mean_over_their_real_tokens():
    table = torch.arange(12.0).reshape(4, 3)
    ids, real = torch.tensor([[1, 3, 0], [2, 0, 0]]), torch.tensor([[True, True, False], [True, False, False]])
    torch.testing.assert_close(word_vectors(table, ids, real), torch.stack([(table[1] + table[3]) / 2, table[2]]))


def test_the_gate_learns_from_the_first_step(encoder: KnowledgeEncoder):
    words, valid = torch.randn(2, COUNT, 3, WORD_DIM), torch.ones(2, COUNT, dtype=torch.bool)
    encoder(words, valid).square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in encoder.parameters())
