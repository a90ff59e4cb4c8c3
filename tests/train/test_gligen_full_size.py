"""GLIGEN at the full size of Stable Diffusion 1.4 and 2.1: the UNet says what diffusers's own says."""

import pytest
import torch
from accelerate import init_empty_weights
from diffusers import UNet2DConditionModel
from make_sd21 import random_tensor
from small_stable_diffusion import GENERATIONS, open_gates

from sg_models.adapters.gligen_adapter import SLOTS, build_gligen_adapter
from sg_models.adapters.gligen_file import adapter_from_gligen
from sg_models.layers.graph_batch import GraphBatch
from train.bases.ldm_names import block_addresses
from train.conditioning.grounded_unet import attach, block_sizes, token_arguments
from train.convert_igligen import gligen_tensors

pytestmark = pytest.mark.slow
TOLERANCE = 1e-4
OBJECTS, SIDE = 3, 32  # of latents
PARAMETERS = {"sd15": 859_520_964, "sd21-base": 865_910_724}  # of a UNet without GLIGEN


def random_unet(name: str) -> UNet2DConditionModel:
    """diffusers' own UNet with GLIGEN's layers, gates open."""
    with init_empty_weights():
        unet = UNet2DConditionModel(**GENERATIONS[name].unet, attention_type="gated")
    shapes = {key: tuple(tensor.shape) for key, tensor in unet.state_dict().items()}
    unet.load_state_dict({key: random_tensor(key, shape, 0) for key, shape in shapes.items()}, assign=True)
    return open_gates(unet.eval())


def batch_of(boxes: torch.Tensor, phrases: torch.Tensor) -> GraphBatch:
    return GraphBatch(
        x=phrases,
        edge_attr=phrases[:0],
        edge_index=torch.zeros(2, 0, dtype=torch.long),
        box=boxes,
        has_box=torch.ones(OBJECTS, dtype=torch.bool),
        instance=torch.arange(OBJECTS),
        batch=torch.zeros(OBJECTS, dtype=torch.long),
        num_graphs=1,
    )


@torch.no_grad()
@pytest.mark.parametrize("name", PARAMETERS)
def test_the_unet_says_what_diffusers_says(name: str):
    unet, dim = random_unet(name), GENERATIONS[name].context_dim
    generator = torch.Generator().manual_seed(1)
    noisy, context = torch.randn(2, 4, SIDE, SIDE, generator=generator), torch.randn(2, 77, dim, generator=generator)
    boxes = torch.tensor([[0.1, 0.2, 0.5, 0.9], [0.5, 0.1, 0.9, 0.6], [0.0, 0.0, 1.0, 0.3]])
    phrases, timestep = torch.randn(OBJECTS, dim, generator=generator), torch.tensor(800)
    given = {"boxes": torch.zeros(2, SLOTS, 4), "positive_embeddings": torch.zeros(2, SLOTS, dim)}
    given["boxes"][0, :OBJECTS], given["positive_embeddings"][0, :OBJECTS] = boxes, phrases
    given["masks"] = (torch.arange(SLOTS) < OBJECTS).float() * torch.tensor([[1.0], [0.0]])
    theirs = unet(noisy, timestep, context, cross_attention_kwargs={"gligen": given}).sample
    file = adapter_from_gligen(name, gligen_tensors(unet), name)
    assert file.config["blocks"] == block_sizes(unet), "heads are told by the width alone"
    adapter = build_gligen_adapter(file).requires_grad_(False)
    for block in block_addresses(unet).values():
        del block.fuser
    del unet.position_net
    assert sum(p.numel() for p in unet.parameters()) == PARAMETERS[name]
    plain = unet(noisy, timestep, context).sample
    attach(unet, adapter)
    batch = batch_of(boxes, phrases)
    tokens = torch.cat([adapter.ground(*adapter.encode(batch), batch), adapter.null_tokens(1)])
    ours = unet(noisy, timestep, context, **token_arguments(tokens, noisy, masked=False)).sample
    assert (ours - theirs).abs().max() <= TOLERANCE * theirs.abs().max()
    assert (plain - theirs).abs().max() > 0.01 * theirs.abs().max(), "GLIGEN changes nothing"
