"""One vector for a graph: of itself alone, whatever stands beside it, and of one length."""

import pytest
import torch

from sg_models.graph.formats import parse_scene_graph
from sg_models.graph.scene_graph import SceneGraph
from sg_models.layers.graph_batch import GraphBatch, graph_batch
from sg_models.layers.graph_vector import LENGTH, GraphVector

PHRASE_DIM, DIM, OUT = 4, 6, 10
GRAPHS = [
    parse_scene_graph("dog | on | bike\nbike | left of | tree"),
    parse_scene_graph("cat"),  # no relations
    parse_scene_graph("cat | near | bird\nbird | near | cat\ntable"),
]


@pytest.fixture
def module() -> GraphVector:
    torch.manual_seed(0)
    return GraphVector(DIM, 8, OUT)


def batch_of(*graphs: SceneGraph) -> GraphBatch:
    counts = [(len(graph.objects), len(graph.relations)) for graph in graphs]
    return graph_batch(graphs, [(torch.zeros(o, PHRASE_DIM), torch.zeros(r, PHRASE_DIM)) for o, r in counts])


def features(graph: SceneGraph) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(len(graph.objects))
    return tuple(torch.randn(len(part), DIM, generator=generator) for part in (graph.objects, graph.relations))


def test_a_graph_alone_has_the_vector_that_it_has_in_a_batch(module: GraphVector):
    of_each = [features(graph) for graph in GRAPHS]
    together = module(*(torch.cat(part) for part in zip(*of_each, strict=True)), batch_of(*GRAPHS))
    alone = torch.cat([module(*part, batch_of(graph)) for part, graph in zip(of_each, GRAPHS, strict=True)])
    torch.testing.assert_close(together, alone)


def test_it_is_made_of_both_means(module: GraphVector):
    objects, relations = features(GRAPHS[0])
    mean = torch.cat([objects.mean(dim=0), relations.mean(dim=0)])
    expected = torch.nn.functional.normalize(module.project(mean), dim=-1) * LENGTH
    torch.testing.assert_close(module(objects, relations, batch_of(GRAPHS[0]))[0], expected)


def test_without_relations_the_objects_alone_count(module: GraphVector):
    objects, relations = features(GRAPHS[1])
    mean = torch.cat([objects.mean(dim=0), torch.zeros(DIM)])
    vector = module(objects, relations, batch_of(GRAPHS[1]))[0]
    torch.testing.assert_close(vector, torch.nn.functional.normalize(module.project(mean), dim=-1) * LENGTH)
    assert vector.norm().item() == pytest.approx(LENGTH, rel=1e-5)


def test_vectors_fill_their_space_however_narrow_the_encoder_is(module: GraphVector):
    """In a plane of it a discriminator tells them from pictures' features at once, and nothing is learned of it."""
    count = 4 * OUT
    graphs = batch_of(*[parse_scene_graph("dog | on | bike")] * count)
    vectors = module(torch.randn(2 * count, DIM), torch.randn(count, DIM), graphs)
    assert torch.linalg.matrix_rank(vectors) == OUT
