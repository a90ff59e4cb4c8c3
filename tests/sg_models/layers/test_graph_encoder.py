"""The graph encoder: triple convolution against a reference in plain loops, one graph or many."""

import pytest
import torch
from torch import Tensor

from sg_models.layers.graph_encoder import GraphEncoder, TripleConv

PHRASE_DIM, DIM, HIDDEN = 10, 8, 12


def encoder(layers: int = 3) -> GraphEncoder:
    torch.manual_seed(0)
    return GraphEncoder(PHRASE_DIM, DIM, HIDDEN, layers)


def vectors(count: int, seed: int = 1) -> Tensor:
    return torch.randn(count, PHRASE_DIM, generator=torch.Generator().manual_seed(seed))


def edges(*pairs: tuple[int, int]) -> Tensor:
    return torch.tensor(pairs, dtype=torch.long).reshape(-1, 2).t()


def mean_pooled_by_hand(conv: TripleConv, objects: Tensor, relations: Tensor, pairs: list[tuple[int, int]]):
    """Johnson et al. 2018, one triple at a time: an object takes the mean of the messages of all its roles."""
    received: list[list[Tensor]] = [[] for _ in objects]
    new_relations = []
    for (subject, object_), relation in zip(pairs, relations, strict=True):
        ends = [conv.object_norm(objects[i]) for i in (subject, object_)]
        out = conv.triple(torch.cat([ends[0], conv.relation_norm(relation), ends[1]]))
        received[subject].append(out[:HIDDEN])
        received[object_].append(out[HIDDEN : 2 * HIDDEN])
        new_relations.append(relation + out[2 * HIDDEN :])
    new_objects = []
    for thing, messages in zip(objects, received, strict=True):
        pooled = sum(messages) / len(messages) if messages else torch.zeros(HIDDEN)
        new_objects.append(thing + conv.pooled(pooled))
    return torch.stack(new_objects), torch.stack(new_relations)


PAIRS = [(0, 1), (2, 1), (1, 0), (3, 1), (0, 1)]  # a hub, a pair of opposite and one of parallel relations


@torch.no_grad()
def test_a_layer_is_the_mean_over_each_objects_triples():
    conv = encoder().layers[0]
    objects, relations = torch.randn(5, DIM), torch.randn(len(PAIRS), DIM)
    expected = mean_pooled_by_hand(conv, objects, relations, PAIRS)
    torch.testing.assert_close(conv(objects, relations, edges(*PAIRS)), expected, atol=1e-6, rtol=1e-5)


@torch.no_grad()
def test_the_encoder_is_its_layers_one_after_another():
    model, x, predicates = encoder(), vectors(5), vectors(len(PAIRS), seed=2)
    objects, relations = model.object_in(x), model.relation_in(predicates)
    for conv in model.layers:
        objects, relations = mean_pooled_by_hand(conv, objects, relations, PAIRS)
    torch.testing.assert_close(model(x, predicates, edges(*PAIRS)), (objects, relations), atol=1e-5, rtol=1e-5)


def test_an_object_without_relations_keeps_its_own_embedding():
    model, x = encoder(), vectors(5)
    objects, _ = model(x, vectors(len(PAIRS), seed=2), edges(*PAIRS))
    embedded = model.object_in(x)
    torch.testing.assert_close(objects[4], embedded[4], atol=0, rtol=0)
    assert (objects[:4] - embedded[:4]).abs().amax(dim=1).min() > 1e-3  # the others do learn of their relations


def test_isolated_objects_differ_from_each_other():
    objects, relations = encoder()(vectors(3), vectors(0), edges())
    assert relations.shape == (0, DIM)
    assert not torch.allclose(objects[0], objects[1], atol=1e-3)


@torch.no_grad()
def test_a_batch_of_graphs_equals_one_by_one():
    model = encoder()
    graphs = [
        (vectors(2, 1), vectors(1, 2), edges((0, 1))),
        (vectors(3, 3), vectors(0, 4), edges()),
        (vectors(4, 5), vectors(3, 6), edges((3, 0), (1, 0), (0, 2))),
    ]
    offsets = [0, 2, 5]
    objects, relations = model(
        torch.cat([x for x, _, _ in graphs]),
        torch.cat([e for _, e, _ in graphs]),
        torch.cat([i + offset for (_, _, i), offset in zip(graphs, offsets, strict=True)], dim=1),
    )
    alone = [model(*graph) for graph in graphs]
    torch.testing.assert_close(objects, torch.cat([a[0] for a in alone]), atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(relations, torch.cat([a[1] for a in alone]), atol=1e-6, rtol=1e-5)


@torch.no_grad()
def test_the_order_of_objects_and_relations_is_only_an_order():
    model, x, predicates, index = encoder(), vectors(5), vectors(len(PAIRS), seed=2), edges(*PAIRS)
    objects, relations = model(x, predicates, index)
    of_objects, of_relations = torch.tensor([3, 0, 4, 1, 2]), torch.tensor([4, 2, 0, 1, 3])
    place = of_objects.argsort()  # where an object has gone
    moved = model(x[of_objects], predicates[of_relations], place[index[:, of_relations]])
    torch.testing.assert_close(moved, (objects[of_objects], relations[of_relations]), atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_subject_and_object_are_told_apart():
    model, x, predicate = encoder(), vectors(2), vectors(1, seed=2)
    forwards, backwards = model(x, predicate, edges((0, 1))), model(x, predicate, edges((1, 0)))
    assert not torch.allclose(forwards[0], backwards[0], atol=1e-3)
    assert not torch.allclose(forwards[1], backwards[1], atol=1e-3)


@torch.no_grad()
def test_the_predicate_reaches_both_ends_and_no_other_object():
    model, x, index = encoder(layers=1), vectors(4), edges((0, 1), (2, 3))
    one, other = vectors(2, seed=2), vectors(2, seed=2)
    other[0] = vectors(1, seed=3)[0]
    change = (model(x, one, index)[0] - model(x, other, index)[0]).abs().amax(dim=1)
    assert (change[:2] > 1e-4).all() and (change[2:] == 0).all()


@pytest.mark.parametrize("pairs", [PAIRS, []])
def test_every_parameter_that_is_used_gets_a_gradient(pairs: list[tuple[int, int]]):
    model = encoder(layers=1)
    objects, relations = model(vectors(5), vectors(len(pairs), seed=2), edges(*pairs))
    (objects.square().sum() + relations.square().sum()).backward()
    without = [n for n, p in model.named_parameters() if p.grad is None or not p.grad.abs().max() > 0]
    expected = [] if pairs else [n for n, _ in model.named_parameters() if not n.startswith("object_in")]
    assert without == expected
