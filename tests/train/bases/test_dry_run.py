"""`--dry-run`: what it says is what training takes, and it touches nothing."""

from pathlib import Path

import pytest
import torch

from train import train_controlnet, train_gsa, train_layout, train_lora
from train.bases.dry_run import bytes_saved, estimate
from train.bases.load import empty_base
from train.bases.sg_mini_checkpoint import load_sg_mini
from train.objectives import gsa, lora
from train.running.precision import DTYPES

SCRIPTS = {"gsa": train_gsa, "controlnet": train_controlnet, "lora": train_lora, "layout": train_layout}


@pytest.mark.parametrize("name", SCRIPTS)
def test_it_prints_and_leaves_nothing_behind(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.chdir(tmp_path)
    SCRIPTS[name].main(SCRIPTS[name].Config(dry_run=True, pictures=6400, batch_size=64, steps=123))
    said = dict(line.rsplit(None, 1) for line in capsys.readouterr().out.splitlines() if not line.endswith("GiB"))
    assert (said["optimiser steps per epoch"], said["optimiser steps"]) == ("100", "123")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("precision", ["no", "bf16"])
def test_activations_are_those_that_real_tensors_leave(precision: str):
    """The same forward pass, watched with memory."""
    config = train_gsa.Config(batch_size=3, mixed_precision=precision)
    base = empty_base(config.base)
    base.unet.requires_grad_(False)
    real = bytes_saved(gsa.make_plan(config, base).forward, 3, DTYPES[precision])
    assert estimate(config, gsa.make_plan)[-1] == pytest.approx(real, rel=0.02)


def test_parameters_are_those_of_the_real_model(sg_mini_checkpoint: Path):
    base = load_sg_mini(sg_mini_checkpoint).freeze()
    config = train_lora.Config()
    frozen = sum(p.numel() for part in (base.unet, base.text_encoder, base.vae) for p in part.parameters())
    model = lora.LoraDenoiser(base, config.rank)
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    assert estimate(config, lora.make_plan)[:2] == (trained, frozen)


def test_checkpointing_keeps_far_less():
    plain, checkpointed = (
        estimate(train_gsa.Config(gradient_checkpointing=on), gsa.make_plan)[-1] for on in (False, True)
    )
    assert checkpointed < plain / 4


def test_a_unet_in_half_takes_half_and_leaves_no_copies_of_its_weights():
    kept, whole = (
        estimate(train_gsa.Config(mixed_precision="bf16", half_unet=on), gsa.make_plan) for on in (True, False)
    )
    unet = sum(p.nbytes for p in empty_base("sg-mini").unet.parameters())
    assert kept[:2] == whole[:2]
    assert whole[2] - kept[2] == unet / 2
    assert whole[3] - kept[3] > 0.2 * unet


def test_checkpointing_and_memory_format_change_no_gradient(sg_mini_checkpoint: Path):
    def gradient(checkpointing: bool, channels_last: bool) -> torch.Tensor:
        base = load_sg_mini(sg_mini_checkpoint).freeze()
        if checkpointing:
            base.unet.enable_gradient_checkpointing()
        if channels_last:
            base.unet.to(memory_format=torch.channels_last)
        torch.manual_seed(0)
        model = gsa.make_plan(gsa.GSASizes(), empty_base("sg-mini")).trained
        gsa.open_gates(model)
        gsa.attach(base.unet, model)
        noisy, context = torch.randn(2, 4, 16, 16), torch.randn(2, 77, 128)
        tokens = torch.rand(2, 24, 128 + gsa.TOKEN_EXTRAS)
        arguments = gsa.token_arguments(tokens, noisy)
        base.predict(noisy, torch.tensor([10, 900]), context, **arguments).square().sum().backward()
        gates = [p.grad for name, p in model.named_parameters() if "to_out.0.weight" in name]
        return torch.cat([g.flatten() for g in gates])

    plain = gradient(False, False)
    assert plain.any()
    for options in ((True, False), (False, True)):
        torch.testing.assert_close(gradient(*options), plain, rtol=1e-3, atol=1e-5)
