"""Stable Diffusion 1.x as a base: told from 2.x, and read from a folder and from a checkpoint."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from make_sd21 import _vae_name
from small_stable_diffusion import FEW_CHANNELS, FEW_LAYERS

from sg_models.files.safetensors_file import WeightsFileError, write_weights
from train.bases import stable_diffusion_files
from train.bases.base_model import BaseModel
from train.bases.ldm_names import UNET_PREFIX, ldm_names
from train.bases.load import FAMILIES, empty_base, family_of, load_base
from train.bases.stable_diffusion_1 import GENERATION, TEXT_PREFIX
from train.bases.stable_diffusion_2 import GENERATION as SECOND
from train.bases.stable_diffusion_files import load_checkpoint, load_folder
from train.running.command_line import UsageError

TEXTS = ["a small red dog left of a large blue house", ""]
NARROW = {"block_out_channels": FEW_CHANNELS["block_out_channels"]}
FEW = replace(GENERATION, unet={**GENERATION.unet, **NARROW}, text_model={**GENERATION.text_model, **FEW_LAYERS})


@pytest.fixture(scope="module")
def folder(gligen_folder: Callable[[str], Path]) -> Path:
    return gligen_folder("sd15")


@pytest.fixture(scope="module")
def base(folder: Path) -> BaseModel:
    return load_base(str(folder)).freeze()


@pytest.fixture(scope="module")
def checkpoint(base: BaseModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same under LDM's names."""
    unet, text, vae = (part.state_dict() for part in (base.unet, base.text_encoder, base.vae))
    tensors = {UNET_PREFIX + ldm: unet[name] for name, ldm in ldm_names(base.unet).items()}
    tensors |= {f"{TEXT_PREFIX}text_model.{name.removeprefix('text_model.')}": v for name, v in text.items()}
    for name, tensor in vae.items():
        is_square = "attentions" in name and ".to_" in name and name.endswith("weight")  # 1 × 1 convolutions in files
        tensors[f"first_stage_model.{_vae_name(name)}"] = tensor[..., None, None] if is_square else tensor
    path = tmp_path_factory.mktemp("sd15") / "v1.safetensors"
    write_weights(path, tensors, {})
    return path


def test_a_folder_is_told_by_the_width_of_its_prompts(folder: Path, base: BaseModel):
    assert (base.name, base.prediction_type) == ("sd15", "epsilon")
    assert family_of(str(folder)) is FAMILIES["stable-diffusion-1"] is not family_of("nowhere")
    with pytest.raises(WeightsFileError, match="not a Stable Diffusion 2.x .* a text of 768 numbers"):
        load_folder(SECOND, str(folder), None)


def test_of_a_unet_with_gligens_layers_the_base_is_taken(base: BaseModel):
    assert not any("fuser" in name or "position_net" in name for name, _ in base.unet.named_parameters())


def test_prompts_are_the_last_layer_padded_with_the_end_of_text(base: BaseModel):
    rows = base.tokenizer(TEXTS, padding="max_length", max_length=77, return_tensors="pt")
    assert (rows.input_ids[1, 1:] == 49407).all()
    expected = base.text_encoder(rows.input_ids).last_hidden_state
    assert torch.allclose(base.encode_prompts(TEXTS), expected, atol=1e-5)


def test_a_checkpoint_holds_the_same(base: BaseModel, checkpoint: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(stable_diffusion_files, "AUTOENCODER", dict(base.vae.config))
    assert family_of(str(checkpoint)) is FAMILIES["stable-diffusion-1"]
    loaded = load_checkpoint(FEW, checkpoint, "epsilon")
    assert loaded.name == "sd15"
    for ours, original in ((loaded.unet, base.unet), (loaded.text_encoder, base.text_encoder), (loaded.vae, base.vae)):
        state = ours.state_dict()
        assert all(torch.equal(state[k].reshape(v.shape), v) for k, v in original.state_dict().items())
    assert torch.allclose(loaded.encode_prompts(TEXTS), base.encode_prompts(TEXTS), atol=1e-5)


def test_sizes_are_those_of_the_release():
    with torch.device("meta"):
        base = empty_base("sd15")
    counts = [sum(p.numel() for p in part.parameters()) for part in (base.unet, base.text_encoder)]
    assert counts == [859_520_964, 123_060_480]
    assert (base.side, base.context_dim) == (512, 768)


def test_another_prediction_is_refused(folder: Path):
    with pytest.raises(UsageError, match="Stable Diffusion 1.x predicts epsilon"):
        load_base(str(folder), "v_prediction")
