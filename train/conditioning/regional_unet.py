"""Regional cross-attention in diffusers' UNet: a processor that tells regions apart where a call gives it any."""

import math
from dataclasses import dataclass
from typing import Any

import torch
from diffusers import UNet2DConditionModel
from diffusers.models.attention_processor import Attention
from torch import Tensor

from sg_models.layers.gated_attention import visual_size
from sg_models.layers.regional_attention import region_weights, regional_attention


@dataclass(frozen=True)
class Regions:
    """What all blocks of one UNet call are given, of its first B rows: those of the positive prompts.

    `contexts` [B, R, L, D] are phrases, `boxes` [B, R, 4] their places, empty for padding; the other two are those of
    `region_weights`.
    """

    contexts: Tensor
    boxes: Tensor
    base_weight: float
    strength: float
    latent_size: tuple[int, int]  # height, width

    def attend(self, attn: Attention, x: Tensor, prompts: Tensor) -> Tensor:
        """Cross-attention of rows x [B, N, C] with their prompts [B, L, D] and regions: [B, N, C]."""
        size = visual_size(x.shape[1], self.latent_size)
        weights = region_weights(self.boxes, size, self.base_weight, self.strength)
        contexts = torch.cat([prompts[:, None], self.contexts.to(prompts)], dim=1)
        mixed = regional_attention(attn.to_q(x), contexts, weights, attn.to_k, attn.to_v, attn.heads)
        return attn.to_out[0](mixed)


class _Processor:
    """Another processor, and regions in cross-attention where the call has them."""

    def __init__(self, plain: Any) -> None:
        self.plain = plain

    def __call__(
        self,
        attn: Attention,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        temb: Tensor | None = None,
        regions: Regions | None = None,
    ) -> Tensor:
        if regions is None or encoder_hidden_states is None:
            return self.plain(attn, hidden_states, encoder_hidden_states, attention_mask, temb)
        count = len(regions.contexts)
        with_regions = regions.attend(attn, hidden_states[:count], encoder_hidden_states[:count])
        if count == len(hidden_states):
            return with_regions
        others = self.plain(attn, hidden_states[count:], encoder_hidden_states[count:], attention_mask, temb)
        return torch.cat([with_regions, others])


def attach_regions(unet: UNet2DConditionModel) -> None:
    """Lets a UNet take `region_arguments`; without them, a call is the base's own."""
    processors = unet.attn_processors.items()
    unet.set_attn_processor({name: p if isinstance(p, _Processor) else _Processor(p) for name, p in processors})


def finest_attended(unet: UNet2DConditionModel, latent_size: tuple[int, int]) -> tuple[int, int]:
    """The (height, width) of the largest map that attends to prompts, for latents of `latent_size`."""
    level = next(i for i, block in enumerate(unet.config["down_block_types"]) if "CrossAttn" in block)
    height, width = (math.ceil(side / 2**level) for side in latent_size)
    return height, width


def region_arguments(regions: Regions, others: dict[str, Any]) -> dict[str, Any]:
    """The UNet's arguments that carry regions, beside others that it gets."""
    kwargs = others.get("cross_attention_kwargs", {}) | {"regions": regions}
    return others | {"cross_attention_kwargs": kwargs}
