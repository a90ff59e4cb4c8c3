"""What each place of a picture reads of the text: a UNet's cross-attention, kept while it trains."""

import torch
from diffusers import UNet2DConditionModel
from diffusers.models.attention_processor import Attention
from einops import rearrange
from torch import Tensor


class AttentionMaps:
    """Keeps the maps of a forward pass in `found`, a tensor [B, N, L] for each cross-attention: means over its heads.

    N are the places, row by row, and L the tokens. Only passes with gradients are kept; `found` is to be emptied before
    each.
    """

    def __init__(self, unet: UNet2DConditionModel) -> None:
        self.found: list[Tensor] = []
        for name, module in unet.named_modules():
            if name.endswith(".attn2"):
                module.set_processor(_Keeper(self.found))


class _Keeper:
    """An attention processor of diffusers that keeps what it looks at."""

    def __init__(self, found: list[Tensor]) -> None:
        self.found = found

    def __call__(
        self,
        attention: Attention,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor,
        attention_mask: Tensor | None = None,
    ) -> Tensor:
        query = attention.head_to_batch_dim(attention.to_q(hidden_states))
        key, value = (attention.head_to_batch_dim(to(encoder_hidden_states)) for to in (attention.to_k, attention.to_v))
        shares = attention.get_attention_scores(query, key, attention_mask)  # [B · H, N, L]
        if torch.is_grad_enabled():
            self.found.append(rearrange(shares, "(b h) n l -> b h n l", h=attention.heads).mean(dim=1))
        read = attention.batch_to_head_dim(shares @ value)
        return attention.to_out[1](attention.to_out[0](read))
