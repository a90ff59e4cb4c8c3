"""Training samples with what a frozen picture tower says of their pictures, for what aligns graphs with these."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from train.data.dataset import Split
from train.data.graph_samples import GraphSamples, SampleBatch


class PictureFeatures(Protocol):
    """A frozen picture tower; `dim` is how wide its features are."""

    dim: int

    def __call__(self, pictures: np.ndarray) -> Tensor:
        """Pictures, uint8 [B, H, W, 3] → features [B, J] of one length, on the CPU."""
        ...


@dataclass(frozen=True)
class PicturedBatch(SampleBatch):
    """B pictures with their graphs, and with features of the pictures."""

    features: Tensor  # [B, J]

    def to(self, device: torch.device | str) -> "PicturedBatch":
        """The same batch on a device."""
        return replace(super().to(device), features=self.features.to(device))


class RememberedPictures:
    """Features of a split's pictures by place; each is encoded once in a run and kept on the CPU.

    Each is encoded alone: beside others it is rounded otherwise, and a resumed run meets others. `side` in pixels.
    """

    def __init__(self, split: Split, side: int, tower: PictureFeatures) -> None:
        self.split, self.side, self.tower = split, side, tower
        self.features: dict[int, Tensor] = {}

    def __call__(self, places: Sequence[int]) -> Tensor:
        """Features [B, J] of the pictures of some scenes."""
        for place in places:
            if place not in self.features:
                self.features[place] = self.tower(self.split.pictures([place], self.side))[0]
        return torch.stack([self.features[place] for place in places])


class PicturedSamples:
    """`GraphSamples` whose batches have features of their pictures, also where the graphs are others'."""

    def __init__(self, samples: GraphSamples, pictures: RememberedPictures) -> None:
        self.samples, self.pictures = samples, pictures

    @property
    def split(self) -> Split:
        return self.samples.split

    def __call__(self, indices: Sequence[int]) -> PicturedBatch:
        """The samples of some indices, which count up without end."""
        return self._pictured(self.samples(indices), [self.samples.order[index] for index in indices])

    def whole(self, shift: int = 0, null: bool = False) -> PicturedBatch:
        """All pictures of the split, as `GraphSamples` gives them."""
        return self._pictured(self.samples.whole(shift, null), range(len(self.split.graphs)))

    def _pictured(self, batch: SampleBatch, places: Sequence[int]) -> PicturedBatch:
        return PicturedBatch(batch.latents, batch.graphs, batch.encoded, batch.is_null, self.pictures(places))
