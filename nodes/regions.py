"""The regions of a UNet call: whose rows attend to which phrase, and what is made of what they read.

A prompt's rows are repeated once for each of its regions before cross-attention, and mixed by their weights behind it.
"""

import math

import torch
from torch import Tensor

from ..sg_models.layers.regional_attention import mix_regions, region_weights


class Regions:
    """The regions of one UNet call, with what its blocks share.

    `contexts` [rows, R, L, D] and `places` (boxes or masks, as for `region_weights`) of its rows, which are those of
    `cond_or_uncond` one after the other: B rows for each.
    """

    def __init__(
        self, contexts: Tensor, places: Tensor, cond_or_uncond: list[int], base_weight: float, strength: float
    ) -> None:
        self.contexts, self.places, self.cond_or_uncond = contexts, places, cond_or_uncond
        self.base_weight, self.strength = base_weight, strength
        self.batch = len(contexts) // len(cond_or_uncond)
        numbers = torch.arange(1, contexts.shape[1] + 1, device=contexts.device)
        last = (is_region(places) * numbers).amax(dim=1)  # [rows]
        # how many regions the rows of each prompt have, which makes a GPU wait once per call
        self.counts: list[int] = last.unflatten(0, (-1, self.batch)).amax(dim=1).tolist()
        self._weights: dict[tuple[int, int], Tensor] = {}

    def spread(self, rows: Tensor) -> Tensor:
        """Rows [rows, …] in the order in which they are attended from: each prompt's, once more for each region."""
        return torch.cat([part for chunk, n in self._chunks(rows) for part in [chunk] * (1 + n)])

    def spread_contexts(self, contexts: Tensor) -> Tensor:
        """The same of prompts [rows, L, D]: each with the phrases of its regions."""
        length = math.lcm(contexts.shape[1], self.contexts.shape[2])  # repeated words leave attention as it is
        phrases = self.contexts.to(contexts).repeat(1, 1, length // self.contexts.shape[2], 1)
        prompts = contexts.repeat(1, length // contexts.shape[1], 1)
        parts = zip(self._chunks(prompts), self._chunks(phrases), strict=True)
        return torch.cat([part for (prompt, n), (phrase, _) in parts for part in (prompt, *phrase.unbind(1)[:n])])

    def spread_prompts(self) -> list[int]:
        """`cond_or_uncond` of rows that were spread: every region is a prompt of its own."""
        return [prompt for prompt, n in zip(self.cond_or_uncond, self.counts, strict=True) for _ in range(1 + n)]

    def mix(self, attended: Tensor, size: tuple[int, int]) -> Tensor:
        """What rows that were spread have read [·, h·w, C], mixed by their weights: [rows, h·w, C]."""
        if size not in self._weights:
            self._weights[size] = region_weights(self.places, size, self.base_weight, self.strength)
        chunks = attended.split([self.batch * (1 + n) for n in self.counts])
        mixed = [
            mix_regions(chunk.unflatten(0, (-1, self.batch)).transpose(0, 1), weights[:, : 1 + n]) if n else chunk
            for chunk, (weights, n) in zip(chunks, self._chunks(self._weights[size]), strict=True)
        ]
        return torch.cat(mixed)

    def _chunks(self, rows: Tensor) -> list[tuple[Tensor, int]]:
        """The rows of each prompt, and how many regions they have."""
        return list(zip(rows.split(self.batch), self.counts, strict=True))


def is_region(places: Tensor) -> Tensor:
    """Which of boxes [B, R, 4] or masks [B, R, H, W] are regions and not padding: [B, R]."""
    if places.ndim == 3:
        return places[..., 2] > places[..., 0]
    return places.amax(dim=(2, 3)) > 0
