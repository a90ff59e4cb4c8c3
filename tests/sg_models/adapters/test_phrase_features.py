"""What a graph encoder sees of a graph: each phrase encoded once, and every object and relation its vector."""

import pytest
import torch
from torch import Tensor

from sg_models.adapters.phrase_features import RememberedPhrases, graph_phrases, mean_over_real, phrase_features
from sg_models.graph.formats import parse_scene_graph

DIM = 6


class Counting:
    """A phrase encoder that knows what it was asked."""

    name, dim = "counting", DIM

    def __init__(self, **kind) -> None:
        self.asked: list[list[str]] = []
        self.kind = kind

    def encode(self, phrases: list[str]) -> Tensor:
        self.asked.append(phrases)
        seeds = [int.from_bytes(phrase.encode()[:6], "big") for phrase in phrases]
        rows = [torch.randn(DIM, generator=torch.Generator().manual_seed(seed)) for seed in seeds]
        return torch.stack(rows).to(**self.kind)


ONE = parse_scene_graph("red dog | on | mat\nred dog#2 | left of | mat")
OTHER = parse_scene_graph("mat | on | floor\ncat")


def test_phrases_are_listed_once_in_order_of_first_occurrence():
    assert graph_phrases([ONE, OTHER]) == ["red dog", "mat", "on", "left of", "floor", "cat"]
    assert graph_phrases([]) == []


def test_every_object_and_relation_gets_its_phrases_vector():
    encoder = Counting()
    (x, edge_attr), _ = phrase_features([ONE, OTHER], encoder.encode)
    assert torch.equal(x, encoder.encode(["red dog", "mat", "red dog"]))
    assert torch.equal(edge_attr, encoder.encode(["on", "left of"]))


def test_an_encoder_runs_once_for_all_graphs():
    encoder = Counting()
    phrase_features([ONE, OTHER, ONE], encoder.encode)
    assert encoder.asked == [graph_phrases([ONE, OTHER])]


def test_a_phrase_is_encoded_once_in_a_run_and_alone():
    encoder = Counting()
    remembered = RememberedPhrases(encoder)
    first = remembered([ONE])
    again, _ = remembered([ONE, OTHER])
    assert encoder.asked == [["red dog"], ["mat"], ["on"], ["left of"], ["floor"], ["cat"]]
    assert all(torch.equal(a, b) for a, b in zip(first[0], again, strict=True))


@pytest.mark.parametrize("kind", [{"dtype": torch.float16}, {"device": "meta"}])
def test_a_graph_without_relations_has_its_empty_tensor_where_the_vectors_are(kind: dict):
    ((x, edge_attr),) = phrase_features([parse_scene_graph("cat")], Counting(**kind).encode)
    assert edge_attr.shape == (0, DIM)
    assert (edge_attr.dtype, edge_attr.device) == (x.dtype, x.device)


def test_padding_is_left_out_of_the_mean():
    states = torch.randn(2, 4, DIM)
    real = torch.tensor([[1, 1, 0, 0], [1, 1, 1, 1]])
    torch.testing.assert_close(mean_over_real(states, real), torch.stack([states[0, :2].mean(0), states[1].mean(0)]))
