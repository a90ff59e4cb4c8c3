"""What GLIGEN's layers are given of a graph: thirty slots, always, and no object without a place."""

import pytest
import torch

from sg_models.adapters.gligen_adapter import SLOTS, GligenAdapter
from sg_models.graph.formats import parse_scene_graph
from sg_models.graph.scene_graph import SceneGraphError
from sg_models.layers.gated_attention import Grounding
from sg_models.layers.graph_batch import graph_batch

DIM = 16
CONFIG = {"phrase_dim": DIM, "token_dim": DIM, "blocks": {"middle_block.1": {"width": 32, "heads": 4}}}
PLACED = parse_scene_graph("dog @ 0 0.5 0.5 1 | left of | cat @ 0.5 0.5 1 1\nbird @ 0.25 0 0.75 0.5")


@pytest.fixture(scope="module")
def adapter() -> GligenAdapter:
    torch.manual_seed(0)
    module = GligenAdapter(CONFIG).requires_grad_(False)
    for null in (module.position_net.null_positive_feature, module.position_net.null_position_feature):
        null.normal_()
    module.gated_attention.block("middle_block.1").alpha_attn.fill_(1)
    return module


def features(*graphs) -> list:
    torch.manual_seed(1)
    return [(torch.randn(len(g.objects), DIM), torch.randn(len(g.relations), DIM)) for g in graphs]


def test_every_slot_is_valid_and_the_empty_ones_are_null(adapter: GligenAdapter):
    tokens = adapter.tokens([PLACED], features(PLACED))
    assert tokens.shape == (1, SLOTS, DIM + 5)
    assert tokens[..., -1].all()
    nulls = adapter.null_tokens(1)
    assert torch.equal(tokens[:, 3:], nulls[:, 3:]) and not torch.equal(tokens[:, :3], nulls[:, :3])
    assert tokens[0, 0, -5:-1].tolist() == [0, 0.5, 0.5, 1]
    assert tokens[0, 3, -5:-1].tolist() == [0, 0, 1, 1]


def test_the_empty_slots_take_part(adapter: GligenAdapter):
    """Dropping them would be another softmax than the one that was trained."""
    tokens, x = adapter.tokens([PLACED], features(PLACED)), torch.randn(1, 16, 32)
    layer = adapter.gated_attention.block("middle_block.1")
    whole = layer(x, Grounding(tokens, masked=False), (4, 4))
    assert not torch.allclose(layer(x, Grounding(tokens[:, :3], masked=False), (4, 4)), whole, atol=1e-4)
    assert not torch.allclose(layer(x, Grounding(tokens), (4, 4)), whole, atol=1e-4), "masks are something else"


def test_graphs_of_a_batch_are_as_they_are_alone(adapter: GligenAdapter):
    other = parse_scene_graph("tree @ 0.1 0.1 0.9 0.9")
    both = features(PLACED, other)
    together = adapter.tokens([PLACED, other], both)
    for i, graph in enumerate((PLACED, other)):
        torch.testing.assert_close(together[i : i + 1], adapter.tokens([graph], [both[i]]))


def test_boxes_are_those_of_the_graph(adapter: GligenAdapter):
    batch = graph_batch([PLACED], features(PLACED))
    assert torch.equal(adapter.predict_boxes(batch), torch.tensor([o.box for o in PLACED.objects]))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("dog | left of | cat @ 0 0 1 1", '"dog" has no box.*connect Arrange Scene Graph'),
        ("dog | left of | cat\nbird", '"dog" and 2 more have no box'),
        ("\n".join(f"dog#{n} @ 0 0 1 1" for n in range(1, 33)), "32 objects, and GLIGEN takes at most 30; remove 2"),
    ],
)
def test_what_it_cannot_take_is_said(adapter: GligenAdapter, text: str, said: str):
    with pytest.raises(SceneGraphError, match=said):
        adapter.check_fits(parse_scene_graph(text))
