"""The picture tower of SG-Mini's CLIP: no part of the base, but what its text model learned beside."""

from typing import Any

from torch import Tensor, nn

SIDE = 64  # pixels, of what it sees
WIDTHS = (3, 32, 64, 128, 128)


class PictureTower(nn.Module):
    """A small convolutional net from pictures of 64 pixels to embeddings."""

    def __init__(self, dim: int, operations: Any = nn, **factory: Any) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for before, after in zip(WIDTHS, WIDTHS[1:], strict=False):
            layers += [
                operations.Conv2d(before, after, 3, stride=2, padding=1, **factory),
                operations.GroupNorm(8, after, **factory),
                nn.SiLU(),
            ]
        self.convolutions = nn.Sequential(*layers)
        self.project = operations.Linear(WIDTHS[-1] * (SIDE // 16) ** 2, dim, **factory)

    def forward(self, x: Tensor) -> Tensor:
        """Pictures [B, 3, 64, 64] in [-1, 1] → embeddings [B, D]."""
        return self.project(self.convolutions(x).flatten(1))

    def maps(self, x: Tensor) -> list[Tensor]:
        """What each stage sees of pictures [B, 3, H, W], fine to coarse: [B, C, H / 2ⁿ, W / 2ⁿ] for n from 1 to 4."""
        found = []
        for layer in self.convolutions:
            x = layer(x)
            if isinstance(layer, nn.SiLU):
                found.append(x)
        return found
