"""GLIGEN's position net: the same numbers as its own formula, whatever lies in empty slots."""

import torch
from torch import Tensor

from sg_models.layers.fourier import fourier_features
from sg_models.layers.position_net import BOX_DIM, PositionNet, fourier_columns_from_gligen

PHRASE_DIM, TOKEN_DIM, SLOTS = 24, 16, 5


def gligens_fourier(boxes: Tensor) -> Tensor:
    """Frequency outermost, then sine and cosine, then coordinate: written after GLIGEN's paper and code."""
    parts = [wave(100 ** (f / 8) * boxes) for f in range(8) for wave in (torch.sin, torch.cos)]
    return torch.cat(parts, dim=-1)


def position_net() -> PositionNet:
    torch.manual_seed(0)
    net = PositionNet(PHRASE_DIM, TOKEN_DIM).requires_grad_(False)
    for null in (net.null_positive_feature, net.null_position_feature):
        null.normal_()
    return net


def test_columns_in_gligens_order_become_ours():
    boxes = torch.rand(2, 3, 4)
    theirs = gligens_fourier(boxes)
    assert not torch.allclose(theirs, fourier_features(boxes, 8))
    torch.testing.assert_close(fourier_columns_from_gligen(theirs), fourier_features(boxes, 8))


def test_tokens_are_those_of_gligens_formula():
    net, boxes, phrases = position_net(), torch.rand(1, SLOTS, 4), torch.randn(1, SLOTS, PHRASE_DIM)
    there = torch.tensor([[True, True, False, False, False]])
    filled = torch.where(there[..., None], phrases, net.null_positive_feature)
    places = torch.where(
        there[..., None], fourier_columns_from_gligen(gligens_fourier(boxes)), net.null_position_feature
    )
    expected = net.linears(torch.cat([filled, places], dim=-1))
    torch.testing.assert_close(net(phrases, boxes, there), expected)


def test_what_lies_in_an_empty_slot_does_not_matter():
    net, there = position_net(), torch.tensor([[True, False, False, False, False]])
    phrases, boxes = torch.randn(1, SLOTS, PHRASE_DIM), torch.rand(1, SLOTS, 4)
    tokens = net(phrases, boxes, there)
    torch.testing.assert_close(tokens[:, 1:], tokens[:, 1:2].expand(-1, SLOTS - 1, -1))
    phrases[:, 1:] += 5
    boxes[:, 1:] /= 2
    assert torch.equal(net(phrases, boxes, there), tokens)
    assert not torch.allclose(net(phrases, boxes.flip(-1), there)[:, 0], tokens[:, 0]), "a box matters where it is"


def test_a_box_is_encoded_in_64_numbers():
    assert position_net().linears[0].in_features == PHRASE_DIM + BOX_DIM == PHRASE_DIM + 64
