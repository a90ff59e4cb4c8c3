"""Gated self-attention in diffusers' UNet: through the `fuser` slot that its transformer blocks keep for GLIGEN."""

from dataclasses import dataclass
from typing import Any

from diffusers import UNet2DConditionModel
from torch import Tensor, nn

from sg_models.adapters.gligen_adapter import GligenAdapter
from sg_models.adapters.gsa_adapter import GSAAdapter
from sg_models.layers.gated_attention import GatedSelfAttention, Grounding, visual_size
from train.bases.ldm_names import block_addresses


@dataclass(frozen=True)
class _Call:
    """What all blocks of one UNet call are given."""

    grounding: Grounding
    latent_size: tuple[int, int]  # height, width
    strength: float


class _Fuser:
    """One block's layer in diffusers' calling convention.

    Not a module: the UNet must not count the adapter's parameters among its own.
    """

    def __init__(self, layer: GatedSelfAttention) -> None:
        self.layer = layer

    def __call__(self, x: Tensor, call: _Call) -> Tensor:
        return self.layer(x, call.grounding, visual_size(x.shape[1], call.latent_size), call.strength)


def _position_net(tokens: Tensor, size: tuple[int, int], strength: float, skip_padding: bool, masked: bool) -> _Call:
    """Stands in for GLIGEN's position net, which diffusers' UNet calls with the caller's `gligen` arguments."""
    return _Call(Grounding(tokens, skip_padding, masked), size, strength)


def attach(unet: UNet2DConditionModel, adapter: GSAAdapter | GligenAdapter) -> None:
    """Puts an adapter's layers into a UNet; without `token_arguments` in a call, that call is the base's own."""
    blocks = block_addresses(unet)
    if tuple(blocks) != adapter.gated_attention.addresses:
        raise ValueError(
            f"the UNet's transformer blocks are {', '.join(blocks)}; "
            f"the adapter has layers for {', '.join(adapter.gated_attention.addresses)}"
        )
    for address, block in blocks.items():
        block.fuser = _Fuser(adapter.gated_attention.block(address))
    unet.position_net = _position_net


def token_arguments(
    tokens: Tensor, noisy: Tensor, strength: float = 1.0, skip_padding: bool = False, masked: bool = True
) -> dict[str, Any]:
    """The UNet's arguments that carry grounding tokens [B, T, D + 5]; `noisy` is [B, 4, H, W].

    `skip_padding` and `masked` as for `Grounding`.
    """
    size = (noisy.shape[-2], noisy.shape[-1])
    gligen = {"tokens": tokens, "size": size, "strength": strength, "skip_padding": skip_padding, "masked": masked}
    return {"cross_attention_kwargs": {"gligen": gligen}}


def block_sizes(unet: UNet2DConditionModel) -> dict[str, dict[str, int]]:
    """Width and heads of each transformer block, by block address: what an adapter's `blocks` configuration says."""
    sizes = {}
    for address, block in block_addresses(unet).items():
        assert isinstance(block.attn1, nn.Module)
        sizes[address] = {"width": block.norm1.normalized_shape[0], "heads": block.attn1.heads}
    return sizes
