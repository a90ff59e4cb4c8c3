"""What the tests of the scripts share: a random SG-Mini, the same on every machine, and an adapter for it."""

import os
from pathlib import Path

import pytest
import torch

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # nothing here may ask a hub

ADAPTER_SIZES = {
    "phrase_dim": 128,
    "graph_dim": 16,
    "graph_hidden": 24,
    "graph_layers": 2,
    "box_layers": 2,
    "token_dim": 128,
    "token_hidden": 32,
    "tokens": 12,
    "position_frequencies": 4,
}


@pytest.fixture(scope="session")
def sg_mini_parts():
    """Random text model (whole, with projection), UNet and autoencoder of SG-Mini's sizes."""
    from diffusers import AutoencoderTiny, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModelWithProjection

    from sg_models.bases import sg_mini

    with torch.random.fork_rng():
        torch.manual_seed(0)
        text = CLIPTextModelWithProjection(CLIPTextConfig(**sg_mini.TEXT_MODEL)).eval()
        unet = UNet2DConditionModel(**sg_mini.UNET).eval()
        vae = AutoencoderTiny(**sg_mini.AUTOENCODER).eval()
    return text, unet, vae


@pytest.fixture(scope="session")
def sg_mini_checkpoint(sg_mini_parts, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of the random SG-Mini, written as the real one is."""
    from sg_models.files.safetensors_file import write_weights
    from train.bases.sg_mini_checkpoint import sg_mini_tensors

    path = tmp_path_factory.mktemp("base") / "random.safetensors"
    write_weights(path, sg_mini_tensors(*sg_mini_parts), {})
    return path


@pytest.fixture
def base(sg_mini_checkpoint: Path):
    """The random SG-Mini, loaded anew: attaching an adapter changes it."""
    from train.bases.sg_mini_checkpoint import load_sg_mini

    return load_sg_mini(sg_mini_checkpoint).freeze()


@pytest.fixture
def make_adapter(base):
    """Makes an adapter for the base; with gates, one that looks as if it had been trained."""
    from sg_models.adapters.gsa_adapter import GSAAdapter
    from train.conditioning.grounded_unet import block_sizes

    def make(gate: float = 0.0, **changes):
        with torch.random.fork_rng():
            torch.manual_seed(1)
            adapter = GSAAdapter(ADAPTER_SIZES | {"blocks": block_sizes(base.unet)} | changes)
        with torch.no_grad():
            for name, parameter in adapter.named_parameters():
                if ".alpha_" in name:
                    parameter.fill_(gate)
        return adapter.requires_grad_(False).eval()

    return make


@pytest.fixture(scope="session")
def adapter_file(sg_mini_parts, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of an adapter for the random SG-Mini, with open gates."""
    from sg_models.adapters.adapter import Adapter, write_adapter
    from sg_models.adapters.gsa_adapter import GSAAdapter
    from sg_models.adapters.variants import GSA
    from train.conditioning.grounded_unet import block_sizes

    config = ADAPTER_SIZES | {"blocks": block_sizes(sg_mini_parts[1])}
    with torch.random.fork_rng():
        torch.manual_seed(1)
        module = GSAAdapter(config)
    state = {name: torch.ones(()) if ".alpha_" in name else tensor for name, tensor in module.state_dict().items()}
    path = tmp_path_factory.mktemp("adapter") / "random-gsa.safetensors"
    write_adapter(path, Adapter(GSA, "sg-mini", "epsilon", "clip", config, "shapes", 1, state))
    return path
