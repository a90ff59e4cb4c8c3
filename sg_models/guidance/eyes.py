"""What looks at a picture that is being drawn: at its noisy latents, or at the clean picture that the model predicts.

Liu et al. 2023 have the first: an encoder that was trained on noise. The second needs no training: any CLIP sees the
predicted picture, at the price of a decoder's and a tower's backward pass (Bansal et al. 2023, *Universal Guidance*,
without the gradient through the UNet).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor

from ..layers.noised_encoder import NoisedEncoder
from ..layers.picture_tower import SIDE, PictureTower
from .view import View
from .windows import cut_out


class Sight(Protocol):
    """B pictures as an eye sees them; gradients pass to the latents that it looked at."""

    @property
    def maps(self) -> list[Tensor]:
        """What each stage sees of the whole pictures, fine to coarse: [B, C, H, W] each."""
        ...

    def embed(self, windows: Tensor, picture_of: Tensor) -> Tensor:
        """Windows [N, 4] in the pictures [N] as vectors [N, D] of unit length, in the space of CLIP's texts."""
        ...


class Eye(Protocol):
    """Looks at latents."""

    steady: ClassVar[bool]
    """whether it sees the same of clean latents in every step"""

    def latents(self, view: View) -> Tensor:
        """Those latents [B, C, h, w] of a step that it looks at, and that the gradient is taken by."""
        ...

    def look(self, latents: Tensor, view: View) -> Sight:
        """Sees such latents, at the step of a view."""
        ...

    def reference(self, clean: Tensor, noise: Tensor, view: View) -> Tensor:
        """The latents that clean ones [B, C, h, w] of a picture are at the step of a view, with noise of that shape."""
        ...

    def reach(self, view: View) -> float:
        """How far a gradient of length 1 by the eye's latents moves the predicted clean ones."""
        ...


class Tower(Protocol):
    """A picture tower of CLIP."""

    side: int
    """of the pictures that it sees, in pixels"""

    def embed(self, pictures: Tensor) -> Tensor:
        """Pictures [N, 3, side, side] in [0, 1] as vectors [N, D] of any length."""
        ...

    def maps(self, pictures: Tensor) -> list[Tensor]:
        """What its stages see of such pictures, fine to coarse."""
        ...


STAGES = 4  # of a vision transformer whose maps are compared


def maps_of_tokens(states: Sequence[Tensor], cells: int) -> list[Tensor]:
    """Maps [N, C, cells, cells] of some of a vision transformer's layers [N, 1 + cells², C], the last one included.

    The token for the whole picture, the first one, is left out.
    """
    chosen = [states[(len(states) * (k + 1)) // STAGES - 1] for k in range(STAGES)]
    return [rearrange(state[:, 1:], "n (h w) c -> n c h w", h=cells) for state in chosen]


@dataclass(frozen=True)
class ShapesTower:
    """SG-Mini's picture tower, as a `Tower`."""

    tower: PictureTower
    side: int = SIDE

    def embed(self, pictures: Tensor) -> Tensor:
        return self.tower(2 * pictures - 1)

    def maps(self, pictures: Tensor) -> list[Tensor]:
        return self.tower.maps(2 * pictures - 1)


@dataclass(frozen=True)
class NoisedEye:
    """Looks at the noisy latents, through an encoder that was trained on them."""

    encoder: NoisedEncoder
    steady: ClassVar[bool] = False

    def latents(self, view: View) -> Tensor:
        return view.noisy

    def look(self, latents: Tensor, view: View) -> "NoisedSight":
        return NoisedSight(self.encoder, self.encoder.maps(latents, view.timesteps), view.timesteps)

    def reference(self, clean: Tensor, noise: Tensor, view: View) -> Tensor:
        return view.alpha**0.5 * clean + (1 - view.alpha) ** 0.5 * noise

    def reach(self, view: View) -> float:
        """What DDIM makes of a gradient (Dhariwal and Nichol 2021, algorithm 2): ε̂ = ε - √(1 - ᾱ) ∇F."""
        return (1 - view.alpha) / view.alpha**0.5


class _OfPredictions:
    """What eyes have in common that look at the clean latents which the model predicts."""

    steady: ClassVar[bool] = True

    def latents(self, view: View) -> Tensor:
        return view.clean

    def reference(self, clean: Tensor, noise: Tensor, view: View) -> Tensor:
        return clean

    def reach(self, view: View) -> float:
        """The variance of x given its noisy latents, if latents were normal: σ² / (1 + σ²).

        By Tweedie's formula a gradient by the prediction reaches the noisy latents through that covariance over σ², and
        moves the prediction by σ² times it (Song et al. 2023, *Pseudoinverse-Guided Diffusion Models*).
        """
        return 1 - view.alpha


@dataclass(frozen=True)
class PredictedEye(_OfPredictions):
    """Looks at the predicted clean latents, through the encoder for noisy ones: no decoder, and no tower.

    A prediction is smoother than a true picture, which the encoder takes for a little noise.
    """

    encoder: NoisedEncoder
    timestep: int = 50

    def look(self, latents: Tensor, view: View) -> "NoisedSight":
        timesteps = torch.full_like(view.timesteps, self.timestep)
        return NoisedSight(self.encoder, self.encoder.maps(latents, timesteps), timesteps)


@dataclass(frozen=True)
class NoisedSight:
    encoder: NoisedEncoder
    maps: list[Tensor]
    timesteps: Tensor

    def embed(self, windows: Tensor, picture_of: Tensor) -> Tensor:
        return F.normalize(self.encoder.embed(self.maps, self.timesteps, windows, picture_of).float(), dim=-1)


@dataclass(frozen=True)
class CleanEye(_OfPredictions):
    """Looks at the predicted clean picture, through the base's decoder and a picture tower of CLIP.

    `decode` takes latents [B, C, h, w] to pictures [B, 3, H, W] in [0, 1]; gradients pass.
    """

    decode: Callable[[Tensor], Tensor]
    tower: Tower

    def look(self, latents: Tensor, view: View) -> "CleanSight":
        return CleanSight(self.decode(latents), self.tower)


@dataclass(frozen=True)
class CleanSight:
    pictures: Tensor  # [B, 3, H, W] in [0, 1]
    tower: Tower

    @property
    def maps(self) -> list[Tensor]:
        whole = F.interpolate(self.pictures, size=(self.tower.side,) * 2, mode="bilinear", antialias=True)
        return self.tower.maps(whole)

    def embed(self, windows: Tensor, picture_of: Tensor) -> Tensor:
        seen = cut_out(self.pictures, windows, picture_of, self.tower.side)
        return F.normalize(self.tower.embed(seen).float(), dim=-1)
