"""Pictures as the picture tower of SG-Mini's CLIP takes them."""

import numpy as np
import torch
from einops import reduce
from torch import Tensor

from sg_models.layers.picture_tower import SIDE


def shrink(pictures: np.ndarray) -> np.ndarray:
    """Pictures [B, H, W, 3] of a side that 64 divides, averaged to 64 × 64: float16 [B, 64, 64, 3]."""
    averages = reduce(pictures.astype(np.float64), "b (h y) (w x) c -> b h w c", "mean", h=SIDE, w=SIDE)
    return averages.astype(np.float16)  # finer than bytes, and a quarter as large as what was averaged


def as_input(pictures: np.ndarray) -> Tensor:
    """Pictures [B, 64, 64, 3] from 0 to 255 as the tower takes them: [B, 3, 64, 64] in [-1, 1]."""
    return torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 127.5 - 1
