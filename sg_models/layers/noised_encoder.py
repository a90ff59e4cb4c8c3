"""A picture encoder that sees noisy latents and knows how noisy they are (Liu et al. 2023).

*More Control for Free! Image Synthesis with Semantic Diffusion Guidance* fine-tunes CLIP's picture tower on noisy
pictures, with every normalisation scaled and shifted by the timestep. Here the pictures are latents, the tower is small
and new, and it embeds any box of the picture, for the guidance of graphs: what is inside the box of the last map.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torchvision.ops import roi_align

TIME_DIM = 64  # of the timestep's sinusoids
WINDOW = 4  # cells that a box is seen in, each way
GROUPS = 8


def timestep_features(timesteps: Tensor, dim: int = TIME_DIM) -> Tensor:
    """Sinusoids of timesteps [B], which need not be whole, as in DDPM (Ho et al. 2020): [B, dim]."""
    frequencies = torch.exp(torch.linspace(0, -9.21, dim // 2, device=timesteps.device))  # 1 to 1 / 10000
    angles = timesteps.float()[:, None] * frequencies
    return torch.cat([angles.cos(), angles.sin()], dim=1)


class _Stage(nn.Module):
    """Convolution, normalisation that the timestep scales and shifts, activation; residual where sizes allow."""

    def __init__(self, before: int, after: int, stride: int, operations: Any, factory: dict[str, Any]) -> None:
        super().__init__()
        self.conv = operations.Conv2d(before, after, 3, stride=stride, padding=1, **factory)
        self.norm = operations.GroupNorm(GROUPS, after, **factory)
        self.time = operations.Linear(TIME_DIM, 2 * after, **factory)
        self.activation = nn.SiLU()
        self.residual = before == after and stride == 1

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        scale, shift = self.time(time)[:, :, None, None].chunk(2, dim=1)
        y = self.activation(self.norm(self.conv(x)) * (1 + scale) + shift)
        return x + y if self.residual else y


class NoisedEncoder(nn.Module):
    """From noisy latents to maps, and from a box in the last map to an embedding in CLIP's space.

    `widths` are those of its levels, each of `depth` stages and half as large as the one before, but the first, which
    is as large as the latents; `dim` is the width of the embeddings.
    """

    def __init__(
        self, dim: int, widths: list[int], depth: int = 3, channels: int = 4, operations: Any = nn, **factory: Any
    ) -> None:
        super().__init__()
        self.config = {"dim": dim, "widths": list(widths), "depth": depth, "channels": channels}
        first, second = (operations.Linear(TIME_DIM, TIME_DIM, **factory) for _ in range(2))
        self.time = nn.Sequential(first, nn.SiLU(), second)
        before = [channels, *widths]
        self.levels = nn.ModuleList(
            nn.ModuleList(
                _Stage(before[i] if k == 0 else width, width, 2 if i and k == 0 else 1, operations, factory)
                for k in range(depth)
            )
            for i, width in enumerate(widths)
        )
        self.project = operations.Linear(widths[-1] * WINDOW**2, dim, **factory)

    def forward(self, noisy: Tensor, timesteps: Tensor, boxes: Tensor, picture_of: Tensor) -> Tensor:
        """Noisy latents [B, 4, h, w] → embeddings [N, D] of boxes [N, 4] in [0, 1], each in one of the pictures [N]."""
        return self.embed(self.maps(noisy, timesteps)[-1], boxes, picture_of)

    def maps(self, noisy: Tensor, timesteps: Tensor) -> list[Tensor]:
        """What each level sees of noisy latents [B, 4, h, w] at timesteps [B], fine to coarse: [B, C, h / 2ⁿ, w / 2ⁿ].

        Latents are noised as a variance-preserving schedule does it: √ᾱ x + √(1 - ᾱ) ε.
        """
        time = self.time(timestep_features(timesteps).to(noisy.dtype))
        found, x = [], noisy
        for level in self.levels:
            for stage in level:  # type: ignore[union-attr]
                x = stage(x, time)
            found.append(x)
        return found

    def embed(self, last: Tensor, boxes: Tensor, picture_of: Tensor) -> Tensor:
        """As `forward`, from the last of the maps."""
        height, width = last.shape[-2:]
        corners = boxes.to(last) * torch.tensor([width, height, width, height], device=last.device, dtype=last.dtype)
        rois = torch.cat([picture_of.to(last)[:, None], corners], dim=1)
        seen = roi_align(last, rois, WINDOW, sampling_ratio=2, aligned=True)  # [N, C, 4, 4]
        return self.project(seen.flatten(1))
