"""The picture tower of SG-Mini's CLIP: no part of the base, but what its text model learns beside."""

import numpy as np
import torch
from einops import reduce
from torch import Tensor, nn

SIDE = 64  # pixels, of what it sees
WIDTHS = (3, 32, 64, 128, 128)


class PictureTower(nn.Module):
    """A small convolutional net from pictures of 64 pixels to embeddings."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for before, after in zip(WIDTHS, WIDTHS[1:], strict=False):
            layers += [nn.Conv2d(before, after, 3, stride=2, padding=1), nn.GroupNorm(8, after), nn.SiLU()]
        self.convolutions = nn.Sequential(*layers)
        self.project = nn.Linear(WIDTHS[-1] * (SIDE // 16) ** 2, dim)

    def forward(self, x: Tensor) -> Tensor:
        """Pictures [B, 3, 64, 64] in [-1, 1] → embeddings [B, D]."""
        return self.project(self.convolutions(x).flatten(1))


def shrink(pictures: np.ndarray) -> np.ndarray:
    """Pictures [B, H, W, 3] of a side that 64 divides, averaged to 64 × 64: float16 [B, 64, 64, 3]."""
    averages = reduce(pictures.astype(np.float64), "b (h y) (w x) c -> b h w c", "mean", h=SIDE, w=SIDE)
    return averages.astype(np.float16)  # finer than bytes, and a quarter as large as what was averaged


def as_input(pictures: np.ndarray) -> Tensor:
    """Pictures [B, 64, 64, 3] from 0 to 255 as the tower takes them: [B, 3, 64, 64] in [-1, 1]."""
    return torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 127.5 - 1
