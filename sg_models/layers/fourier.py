"""Fourier features of coordinates, as GLIGEN encodes boxes."""

import torch
from torch import Tensor


def fourier_features(coordinates: Tensor, frequencies: int) -> Tensor:
    """Sines and cosines of coordinates in [0, 1]: [..., K] → [..., 2·K·frequencies].

    Frequencies are 100^(i/F) as in GLIGEN (Li et al. 2023, section 3.1 and its released code).
    """
    exponents = torch.arange(frequencies, device=coordinates.device, dtype=torch.float32) / frequencies
    angles = coordinates.float()[..., None] * 100**exponents  # [..., K, F]
    return torch.cat([angles.sin(), angles.cos()], dim=-1).flatten(-2).to(coordinates.dtype)
