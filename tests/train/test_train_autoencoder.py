"""Training SG-Mini's autoencoder: windows that show something, noise where it belongs, and its loss by hand."""

from pathlib import Path

import numpy as np
import pytest
import torch
from accelerate.state import AcceleratorState
from diffusers import AutoencoderTiny
from torch import Tensor, nn

from sg_models.bases import sg_mini
from sg_models.files.safetensors_file import read_weights
from train.bases.sg_mini_checkpoint import load_sg_mini
from train.data.dataset import TRAIN
from train.data.shapes.scene import relation_between
from train.data.shapes.shapes_dataset import ShapesSplit
from train.data.spatial_relations import INSIDE
from train.train_autoencoder import (
    MEAN_CONTRAST,
    SQUARED_WEIGHT,
    Config,
    Crops,
    NoisyAutoencoder,
    Windows,
    contrast,
    loss,
    main,
)

CROP, NESTED_RATE = 48, 0.7


@pytest.fixture(scope="module")
def crops() -> Crops:
    return Crops(ShapesSplit(TRAIN, 32), CROP, NESTED_RATE)


def test_every_window_has_something_in_it(crops: Crops):
    windows = crops(range(40)).pictures
    assert windows.shape == (40, 3, CROP, CROP) and windows.min() >= -1 and windows.max() <= 1
    plain = windows.median(dim=3).values.median(dim=2).values[:, :, None, None]
    assert ((windows - plain).abs().amax(dim=1) > 0.3).any(dim=(1, 2)).all()


def test_a_window_is_the_same_at_every_call(crops: Crops):
    one, other = crops(range(7, 12)), crops(range(4, 12))
    assert torch.equal(one.pictures, other.pictures[3:]) and torch.equal(one.weights, other.weights[3:])


def test_a_window_counts_the_more_the_less_a_nested_object_stands_out(crops: Crops):
    assert {weight for _, _, weight in crops.things} == {1.0}
    scenes = ShapesSplit(TRAIN, 32).scenes
    for which, thing, weight in crops.nested:
        (outer,) = (o for o in scenes[which].objects if relation_between(thing, o) == INSIDE)
        assert weight * contrast(thing.colour, outer.colour) == pytest.approx(MEAN_CONTRAST)
    assert contrast("blue", "purple") == 100 + 20 + 30 < MEAN_CONTRAST < contrast("yellow", "black")
    shares = [weight for _, _, weight in crops.nested]
    seen = crops(range(200)).weights
    assert 0 < ((seen == 1.0).sum() / 200).item() < 0.5 and seen.max().item() == pytest.approx(max(shares))


def test_windows_around_a_nested_object_are_as_many_as_they_are_said_to_be(crops: Crops):
    assert 0 < len(crops.nested) < len(crops.things) / 4
    apart = Crops(ShapesSplit(TRAIN, 1), CROP, NESTED_RATE)
    apart.pictures = torch.stack([torch.full((3, 128, 128), i, dtype=torch.uint8) for i in range(2)])
    thing = crops.things[0][1]
    apart.things, apart.nested = [(0, thing, 1.0)], [(1, thing, 2.0)]
    share = np.mean([apart._window(np.random.default_rng(i))[0].float().mean().item() for i in range(1000)])
    assert share == pytest.approx(NESTED_RATE, abs=0.05)


class Fixed(nn.Module):
    """Stands for an autoencoder of known latents and reconstructions."""

    def __init__(self, latents: Tensor, reconstruction: Tensor) -> None:
        super().__init__()
        self.said = latents, reconstruction

    def forward(self, x: Tensor, generator: torch.Generator | None) -> tuple[Tensor, Tensor]:
        return self.said


def test_loss_is_of_both_powers_and_of_the_latents_scale():
    x = torch.zeros(2, 3, 16, 16)
    latents = 3 * torch.tensor([1.0, -1.0])[:, None, None, None].expand(2, 4, 2, 2) + 0.5
    off = 0.5 + SQUARED_WEIGHT * 0.25
    scale = 0.25 + (latents[:, 0].std().item() - 1) ** 2
    value, figures = loss(Fixed(latents, x + 0.5), Windows(x, torch.ones(2)), torch.Generator(), 0, 0.1)
    assert value.item() == pytest.approx(off + 0.1 * scale)
    far = x + torch.tensor([0.5, 0.0])[:, None, None, None]
    value, _ = loss(Fixed(latents, far), Windows(x, torch.tensor([3.0, 1.0])), torch.Generator(), 0, 0.1)
    assert value.item() == pytest.approx(1.5 * off + 0.1 * scale)
    assert figures["l1"] == 0.5


def test_noise_is_what_the_decoder_sees_and_only_in_training():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = NoisyAutoencoder(AutoencoderTiny(**sg_mini.AUTOENCODER), noise=0.5)
    x = torch.rand(2, 3, 16, 16) * 2 - 1
    with torch.no_grad():
        z, plain = model(x, None)
        same, noisy = model(x, torch.Generator().manual_seed(0))
        generator = torch.Generator().manual_seed(0)
        level = 0.5 * torch.rand(2, 1, 1, 1, generator=generator)
        noise = level * z.std() * torch.randn(z.shape, generator=generator)
        assert torch.equal(z, same) and torch.equal(plain, model.autoencoder.decode(z).sample)
        torch.testing.assert_close(noisy, model.autoencoder.decode(z + noise).sample)
    assert not torch.allclose(plain, noisy)


def test_the_decoder_alone_learns_where_the_encoder_is_to_stay(sg_mini_checkpoint: Path, tmp_path: Path):
    AcceleratorState._reset_state(True)
    settings = {"steps": 1, "warmup": 0, "batch_size": 2, "pictures": 8, "mixed_precision": "no", "decoder_only": True}
    first, second = tmp_path / "first.safetensors", tmp_path / "second.safetensors"
    main(Config(init_from=sg_mini_checkpoint, out=first, run_dir=tmp_path / "run", **settings))
    AcceleratorState._reset_state(True)
    main(Config(init_from=first, out=second, run_dir=tmp_path / "again", **settings))
    before = load_sg_mini(sg_mini_checkpoint).vae.state_dict()
    for path in (first, second):  # from a checkpoint, and from a file of the script's own
        after, _ = read_weights(path)
        for name, tensor in before.items():
            assert torch.equal(after[name], tensor) == (not name.startswith("decoder.") or "norm" in name), name
        before = after
