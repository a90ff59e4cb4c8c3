"""Gated self-attention in diffusers' UNet: through the `fuser` slot that its transformer blocks keep for GLIGEN."""

from typing import Any

from diffusers import UNet2DConditionModel
from torch import Tensor, nn

from sg_models.adapters.gsa_adapter import GSAAdapter
from sg_models.layers.gated_attention import GatedSelfAttention, Grounding, visual_size
from train.bases.ldm_names import block_addresses

Grounded = tuple[Grounding, tuple[int, int], float]  # of tokens [B, T, D + 5]; latent (height, width); strength


class _Fuser:
    """One block's layer in diffusers' calling convention.

    Not a module: the UNet must not count the adapter's parameters among its own.
    """

    def __init__(self, layer: GatedSelfAttention) -> None:
        self.layer = layer

    def __call__(self, x: Tensor, grounded: Grounded) -> Tensor:
        tokens, latent_size, strength = grounded
        return tokens(self.layer, x, visual_size(x.shape[1], latent_size), strength)


def _as_grounding(tokens: Tensor, size: tuple[int, int], strength: float, skip_padding: bool) -> Grounded:
    """Stands in for GLIGEN's position net, which diffusers' UNet calls with the caller's `gligen` arguments."""
    return Grounding(tokens, skip_padding), size, strength


def attach(unet: UNet2DConditionModel, adapter: GSAAdapter) -> None:
    """Puts an adapter's layers into a UNet; without `grounding(...)` in a call, that call is the base's own."""
    blocks = block_addresses(unet)
    if tuple(blocks) != adapter.gated_attention.addresses:
        raise ValueError(
            f"the UNet's transformer blocks are {', '.join(blocks)}; "
            f"the adapter has layers for {', '.join(adapter.gated_attention.addresses)}"
        )
    for address, block in blocks.items():
        block.fuser = _Fuser(adapter.gated_attention.block(address))
    unet.position_net = _as_grounding


def grounding(tokens: Tensor, noisy: Tensor, strength: float = 1.0, skip_padding: bool = False) -> dict[str, Any]:
    """The UNet's `cross_attention_kwargs` that carry grounding tokens [B, T, D + 5]; `noisy` is [B, 4, H, W].

    `skip_padding` as for `Grounding`.
    """
    size = (noisy.shape[-2], noisy.shape[-1])
    return {"gligen": {"tokens": tokens, "size": size, "strength": strength, "skip_padding": skip_padding}}


def block_sizes(unet: UNet2DConditionModel) -> dict[str, dict[str, int]]:
    """Width and heads of each transformer block, by block address: what an adapter's `blocks` configuration says."""
    sizes = {}
    for address, block in block_addresses(unet).items():
        assert isinstance(block.attn1, nn.Module)
        sizes[address] = {"width": block.norm1.normalized_shape[0], "heads": block.attn1.heads}
    return sizes
