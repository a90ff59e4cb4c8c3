"""GLIGEN's position net: what a phrase and its box become before gated self-attention (Li et al. 2023, equation 5).

    token = MLP([phrase; Fourier(box)])

A slot without an object has learned nulls for both. Parameter names are GLIGEN's; the order of the Fourier features is
ours, so `fourier_columns_from_gligen` turns its columns once, when its files are read.
"""

from typing import Any

import torch
from einops import rearrange
from torch import Tensor, nn

from .fourier import fourier_features

FREQUENCIES, COORDINATES, WAVES = 8, 4, 2  # of a box; sine and cosine
BOX_DIM = FREQUENCIES * WAVES * COORDINATES
HIDDEN = 512


class PositionNet(nn.Module):
    """Phrase vectors of `phrase_dim` numbers and boxes → grounding tokens of `token_dim`."""

    def __init__(
        self,
        phrase_dim: int,
        token_dim: int,
        *,
        operations: Any = nn,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
    ) -> None:
        super().__init__()
        factory: dict[str, Any] = {"dtype": dtype, "device": device}
        self.null_positive_feature = nn.Parameter(torch.zeros(phrase_dim, **factory))
        self.null_position_feature = nn.Parameter(torch.zeros(BOX_DIM, **factory))
        self.linears = nn.Sequential(
            operations.Linear(phrase_dim + BOX_DIM, HIDDEN, **factory),
            nn.SiLU(),
            operations.Linear(HIDDEN, HIDDEN, **factory),
            nn.SiLU(),
            operations.Linear(HIDDEN, token_dim, **factory),
        )

    def forward(self, phrases: Tensor, boxes: Tensor, there: Tensor) -> Tensor:
        """Phrases [B, T, P] and boxes [B, T, 4] of the slots that are `there`, bool [B, T] → tokens [B, T, D].

        What stands in the other slots does not matter.
        """
        there = there[..., None]
        phrases = torch.where(there, phrases, self.null_positive_feature.to(phrases))
        positions = torch.where(
            there, fourier_features(boxes.to(phrases), FREQUENCIES), self.null_position_feature.to(phrases)
        )
        return self.linears(torch.cat([phrases, positions], dim=-1))


def fourier_columns_from_gligen(columns: Tensor) -> Tensor:
    """GLIGEN's Fourier features [..., 64] in the order of `fourier_features`.

    GLIGEN has frequency outermost, then sine and cosine, then coordinate; here coordinate is outermost and frequency
    innermost.
    """
    return rearrange(columns, "... (f w c) -> ... (c w f)", f=FREQUENCIES, w=WAVES)
