"""A picture encoder that sees noisy latents and knows how noisy they are (Liu et al. 2023).

*More Control for Free! Image Synthesis with Semantic Diffusion Guidance* fine-tunes CLIP's picture tower on noisy
pictures, with every normalisation scaled and shifted by the timestep. Here the pictures are latents, the tower is small
and new, and it embeds any box of the picture, for the guidance of graphs.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.ops import roi_align

TIME_DIM = 64  # of the timestep's sinusoids
WINDOW = 8  # cells that a box is seen in, each way
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
    """From noisy latents to maps, and from a box of the finest map to an embedding in CLIP's space.

    `widths` are those of its levels, each of `depth` stages and half as large as the one before, but the first, which
    is as large as the latents; `dim` is the width of the embeddings. What the coarser levels see is added to the finest
    map (Lin et al. 2017, *Feature Pyramid Networks*): in much noise an object shows in its surroundings alone, and a
    small box covers too little of a coarse map.
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
        self.lateral = nn.ModuleList(operations.Conv2d(width, widths[0], 1, **factory) for width in widths[1:])
        self.shrink = _Stage(widths[0], widths[-1], 2, operations, factory)
        self.refine = _Stage(widths[-1], widths[-1], 1, operations, factory)
        self.project = operations.Linear(widths[-1] * (WINDOW // 2) ** 2, dim, **factory)

    def forward(self, noisy: Tensor, timesteps: Tensor, boxes: Tensor, picture_of: Tensor) -> Tensor:
        """Noisy latents [B, 4, h, w] → embeddings [N, D] of boxes [N, 4] in [0, 1], each in one of the pictures [N]."""
        return self.embed(self.maps(noisy, timesteps), timesteps, boxes, picture_of)

    def maps(self, noisy: Tensor, timesteps: Tensor) -> list[Tensor]:
        """What each level sees of noisy latents [B, 4, h, w] at timesteps [B], fine to coarse: [B, C, h / 2ⁿ, w / 2ⁿ].

        Latents are noised as a variance-preserving schedule does it: √ᾱ x + √(1 - ᾱ) ε.
        """
        time, found, x = self._time(timesteps, noisy), [], noisy
        for level in self.levels:
            for stage in level:  # type: ignore[union-attr]
                x = stage(x, time)
            found.append(x)
        return found

    def embed(self, maps: list[Tensor], timesteps: Tensor, boxes: Tensor, picture_of: Tensor) -> Tensor:
        """As `forward`, from the maps."""
        size = maps[0].shape[-2:]
        coarse = [part(m) for part, m in zip(self.lateral, maps[1:], strict=True)]
        fine = maps[0] + sum(F.interpolate(m, size=size, mode="bilinear") for m in coarse)
        corners = boxes.to(fine) * torch.tensor([size[1], size[0], size[1], size[0]], device=fine.device)
        rois = torch.cat([picture_of.to(fine)[:, None], corners.to(fine)], dim=1)
        seen = roi_align(fine, rois, WINDOW, sampling_ratio=2, aligned=True)  # [N, C, 8, 8]
        time = self._time(timesteps, fine)[picture_of.to(fine.device)]
        return self.project(self.refine(self.shrink(seen, time), time).flatten(1))

    def _time(self, timesteps: Tensor, like: Tensor) -> Tensor:
        return self.time(timestep_features(timesteps).to(like.dtype))
