"""The whole adapter of gated self-attention: from scene graphs to tokens, and the names in its file."""

import copy
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from sg_models.adapters.adapter import Adapter
from sg_models.adapters.gsa_adapter import GSAAdapter, build_gsa_adapter
from sg_models.adapters.phrase_features import Features, phrase_features
from sg_models.graph.formats import parse_scene_graph
from sg_models.graph.scene_graph import SceneGraph, SceneGraphError
from sg_models.layers.gated_attention import TOKEN_EXTRAS
from sg_models.layers.graph_batch import graph_batch

PHRASE_DIM = 6
CONFIG = {
    "phrase_dim": PHRASE_DIM,
    "graph_dim": 8,
    "graph_hidden": 12,
    "graph_layers": 2,
    "box_layers": 2,
    "token_dim": 10,
    "token_hidden": 16,
    "tokens": 7,
    "position_frequencies": 4,
    "blocks": {"input_blocks.1.1": {"width": 16, "heads": 2}, "middle_block.1": {"width": 16, "heads": 2}},
}


def adapter() -> GSAAdapter:
    torch.manual_seed(0)
    return GSAAdapter(CONFIG)


def graph(text: str) -> SceneGraph:
    return parse_scene_graph(text)


def encode(phrases: list[str]) -> Tensor:
    """A phrase encoder for tests: every phrase its own random vector, the same in every call."""
    seeds = [int.from_bytes(phrase.encode()[:6], "big") for phrase in phrases]
    return torch.stack([torch.randn(PHRASE_DIM, generator=torch.Generator().manual_seed(seed)) for seed in seeds])


def features(*graphs: SceneGraph) -> list[Features]:
    return phrase_features(graphs, encode)


@torch.no_grad()
def tokens(*graphs: SceneGraph) -> Tensor:
    return adapter().tokens(graphs, features(*graphs))


def test_a_graph_batch_follows_the_graph():
    given = SceneGraph.from_dict(
        {
            "objects": [{"name": "dog", "attributes": ["red"], "box": [0.1, 0.2, 0.5, 0.75]}, {"name": "mat"}],
            "relations": [{"subject": 1, "predicate": "under", "object": 0}],
        }
    )
    data = graph_batch([given], features(given))
    assert torch.equal(data.x, encode(["red dog", "mat"]))
    assert torch.equal(data.edge_attr, encode(["under"]))
    assert data.edge_index.tolist() == [[1], [0]]
    assert data.has_box.tolist() == [True, False]
    assert data.box[0].tolist() == pytest.approx([0.1, 0.2, 0.5, 0.75])
    assert data.instance.tolist() == [0, 1]


def test_the_graph_is_not_changed():
    given = graph("red dog | on | mat")
    before = copy.deepcopy(given)
    tokens(given)
    assert given == before


def test_tokens_of_a_batch_equal_those_of_each_graph():
    graphs = [graph("a | on | b"), graph("c"), graph("a | left of | b\nb | left of | c\nd")]
    together = tokens(*graphs)
    assert together.shape == (3, CONFIG["tokens"], CONFIG["token_dim"] + TOKEN_EXTRAS)
    torch.testing.assert_close(together, torch.cat([tokens(g) for g in graphs]), atol=1e-5, rtol=1e-5)
    assert together[..., -1].sum(dim=1).tolist() == [3, 1, 6]


def test_a_left_of_b_differs_from_b_left_of_a():
    one, other = tokens(graph("A | left of | B"))[0], tokens(graph("B | left of | A"))[0]
    assert not torch.allclose(one[2], other[2], atol=1e-3)
    # and not only because the objects come in another order
    same_order = SceneGraph.from_dict(
        {"objects": [{"name": "A"}, {"name": "B"}], "relations": [{"subject": 1, "predicate": "left of", "object": 0}]}
    )
    swapped = tokens(same_order)[0]
    change = (swapped[:3] - one[:3]).abs().amax(dim=1)
    assert change.min() > 1e-5 and change[2] > 1e-2  # the objects know it through the graph encoder alone


def test_two_equal_objects_get_different_tokens():
    result = tokens(graph("dog\ndog#2"))[0]
    assert not torch.allclose(result[0], result[1], atol=1e-3)


def test_relations_in_another_order_give_the_same_set_of_tokens():
    one = graph("a | on | b\nc | under | a")
    other = SceneGraph(one.objects, one.relations[::-1])
    torch.testing.assert_close(tokens(other)[0, [0, 1, 2, 4, 3]], tokens(one)[0, :5], atol=1e-5, rtol=1e-5)


def test_null_tokens_have_the_shape_of_a_graphs():
    made = adapter()
    assert made.null_tokens(4).shape == (4, CONFIG["tokens"], CONFIG["token_dim"] + TOKEN_EXTRAS)


def test_too_many_objects_and_relations_are_refused_in_words():
    many = graph("a | on | b\nb | on | c\nc | on | d\nd | on | a")
    with pytest.raises(SceneGraphError) as caught:
        tokens(many)
    text = str(caught.value)
    assert "4 objects and 4 relations" in text
    assert "together 8" in text and "at most 7" in text and "remove 1" in text


def test_as_many_as_there_are_tokens_is_allowed():
    assert tokens(graph("a | on | b\nb | on | c\nc | on | a\nd"))[0, :, -1].sum() == 7


def test_state_dict_names_are_the_file_contract():
    names = set(adapter().state_dict())
    assert {name.split(".")[0] for name in names} == {"graph_encoder", "layout", "grounding", "gated_attention"}
    for address in CONFIG["blocks"]:
        inside = {n.removeprefix(f"gated_attention.{address}.") for n in names if f".{address}." in n}
        assert inside == {
            *(f"{part}.{kind}" for part in ("linear", "norm1", "norm2", "position") for kind in ("weight", "bias")),
            *(f"attn.to_{part}.weight" for part in ("q", "k", "v", "out.0")),
            "attn.to_out.0.bias",
            *(f"ff.net.{part}.{kind}" for part in ("0.proj", "2") for kind in ("weight", "bias")),
            "alpha_attn",
            "alpha_dense",
        }


def test_nothing_outside_the_state_dict_matters():
    one, other = adapter(), GSAAdapter(CONFIG)
    given = graph("a | on | b")
    other.load_state_dict(one.state_dict())
    with torch.no_grad():
        assert torch.equal(one.tokens([given], features(given)), other.tokens([given], features(given)))


def placed(text: str, boxes: dict[int, tuple[float, float, float, float]]) -> SceneGraph:
    """A graph with boxes for some of its objects."""
    made = graph(text)
    return replace(made, objects=tuple(replace(o, box=boxes.get(i)) for i, o in enumerate(made.objects)))


def test_boxes_that_are_given_win_over_predicted_ones_object_by_object():
    box = (0.25, 0.5, 0.5, 0.75)
    without, with_one = (tokens(placed("a | on | b", boxes))[0, :, -TOKEN_EXTRAS:-1] for boxes in ({}, {1: box}))
    assert with_one[1].tolist() == list(box)
    assert without[1].tolist() != list(box)
    assert ((0 <= with_one[0]) & (with_one[0] <= 1)).all()


def test_tokens_reach_every_parameter_of_encoder_layout_and_grounding():
    made, given = adapter(), placed("a | on | b\nc", {2: (0.1, 0.1, 0.4, 0.4)})
    tokens = made.tokens([given], features(given))
    (tokens.square().sum() + made.null_tokens(1).square().sum()).backward()
    used = [p for part in (made.graph_encoder, made.layout, made.grounding) for p in part.named_parameters()]
    assert [name for name, p in used if p.grad is None or not p.grad.abs().max() > 0] == []


def adapter_file(state: dict[str, Tensor]) -> Adapter:
    return Adapter("gsa", "sg-mini", "epsilon", "clip", CONFIG, "none", 0, state)


@pytest.mark.parametrize("assign", [False, True])
def test_a_built_adapter_has_the_files_weights(assign: bool):
    state = {name: tensor.clone() for name, tensor in adapter().state_dict().items()}
    built = build_gsa_adapter(adapter_file(state), assign)
    for name, tensor in built.state_dict().items():
        assert torch.equal(tensor, state[name])
        assert (tensor.data_ptr() == state[name].data_ptr()) == assign, "copies, unless the file's own are asked for"


def test_a_built_adapter_has_the_dtype_that_is_asked_for():
    halves = {name: tensor.half() for name, tensor in adapter().state_dict().items()}
    for assign in (False, True):
        built = build_gsa_adapter(adapter_file(halves), assign)
        assert {tensor.dtype for tensor in built.state_dict().values()} == {torch.float32}
        assert all(parameter.requires_grad for parameter in built.parameters())


class LateLinear(torch.nn.Linear):
    """A layer whose weights come into being when they are loaded, as ComfyUI's do on Windows with dynamic VRAM."""

    def __init__(self, *sizes: int, bias: bool = True, **factory) -> None:
        torch.nn.Module.__init__(self)
        self.weight = self.bias = None

    def _load_from_state_dict(self, state, prefix, metadata, strict, missing, unexpected, errors) -> None:
        for name in ("weight", "bias"):
            if prefix + name in state:
                setattr(self, name, torch.nn.Parameter(state[prefix + name]))


class LateOperations:
    Linear, LayerNorm, Embedding = LateLinear, torch.nn.LayerNorm, torch.nn.Embedding


def test_weights_may_come_into_being_when_they_are_loaded():
    state = adapter().state_dict()
    built = build_gsa_adapter(adapter_file(state), assign=True, operations=LateOperations)
    assert built.state_dict().keys() == state.keys()
