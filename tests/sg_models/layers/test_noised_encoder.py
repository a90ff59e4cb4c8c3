"""The encoder for noisy latents: boxes of a batch, timesteps, and what it sees through."""

import torch

from sg_models.layers.noised_encoder import NoisedEncoder

WHOLE = torch.tensor([[0.0, 0.0, 1.0, 1.0]])


def encoder() -> NoisedEncoder:
    torch.manual_seed(0)
    return NoisedEncoder(16, [16, 24, 24]).requires_grad_(False).eval()


def test_a_picture_and_a_box_alone_are_what_they_are_in_a_batch():
    eye, latents = encoder(), torch.randn(3, 4, 16, 16)
    boxes = torch.tensor([[0, 0, 0.5, 0.5], [0.5, 0, 1, 0.5], [0, 0, 1, 1], [0.2, 0.3, 0.6, 0.9]])
    together = eye(latents, torch.tensor([10, 500, 900]), boxes, torch.tensor([0, 1, 1, 2]))
    alone = eye(latents[1:2], torch.tensor([500]), boxes[1:2], torch.tensor([0]))
    assert together.shape == (4, 16) and torch.allclose(together[1:2], alone, atol=1e-5)


def test_a_box_sees_its_own_place():
    eye, latents = encoder(), torch.randn(1, 4, 32, 32)
    other = latents.clone()
    other[..., :12] += 1.0  # on the left
    left, right = torch.tensor([[0, 0, 0.3, 1.0]]), torch.tensor([[0.7, 0, 1.0, 1.0]])
    at = (torch.tensor([100]), torch.tensor([0]))
    change = [(eye(latents, at[0], b, at[1]) - eye(other, at[0], b, at[1])).norm().item() for b in (left, right)]
    assert change[0] > 1.5 * change[1]  # normalisation sees the whole picture


def test_the_timestep_counts_whether_or_not_it_is_whole():
    eye, latents, which = encoder(), torch.randn(1, 4, 16, 16), torch.tensor([0])
    a, b, c = (eye(latents, torch.tensor([t]), WHOLE, which) for t in (100.0, 100.5, 900.0))
    assert 0 < (a - b).norm() < (a - c).norm()


def test_maps_are_half_as_large_from_level_to_level():
    shapes = [tuple(found.shape) for found in encoder().maps(torch.randn(2, 4, 16, 24), torch.tensor([5, 6]))]
    assert shapes == [(2, 16, 16, 24), (2, 24, 8, 12), (2, 24, 4, 6)]


def test_its_config_makes_it_again():
    assert NoisedEncoder(**encoder().config).load_state_dict(encoder().state_dict())
