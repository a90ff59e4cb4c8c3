"""What the training of variants (ii) to (vii) shares: denoising pictures whose graphs the UNet is conditioned on.

What shows early whether it works is not the loss but the gap: how much worse the noise is predicted with another
picture's graph than with the right one.
"""

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from train.bases.base_model import BaseModel
from train.conditioning.conditioners import Conditioner
from train.data.graph_samples import GraphSamples, SampleBatch
from train.losses.denoising import diffusion_loss
from train.losses.object_weights import object_weights
from train.report.previews import draw_preview

GIVEN_BOXES_MAX_WEIGHT = 50.0  # of a timestep: given boxes, a great deal is certain even in the noisiest picture
SHOWN = 8  # graphs of a preview


class GraphObjective(ABC):
    """Loss, report and preview of one training; a batch is a `SampleBatch` at every place.

    `large_area` is the data set's; timesteps are T·u^`timestep_power` for uniform u.
    """

    max_weight = GIVEN_BOXES_MAX_WEIGHT
    other_weight = 0.0
    """of what is learned beside denoising"""
    has_null = True
    """whether training leaves graphs out, so that "no graph" means something"""

    def __init__(self, base: BaseModel, validation: GraphSamples, *, large_area: float, timestep_power: float) -> None:
        self.base, self.validation = base, validation
        self.large_area, self.timestep_power = large_area, timestep_power

    @abstractmethod
    def predict(self, model: Any, noisy: Tensor, timesteps: Tensor, batch: SampleBatch) -> tuple[Tensor, Any]:
        """The UNet's prediction [B, 4, h, w] for noisy latents of that shape, and the loss of what else is learned.

        The latter is what `together` takes, or None.
        """

    @abstractmethod
    def conditioner(self, model: Any) -> Conditioner:
        """The variant as it is trained so far, to draw with."""

    def loss(
        self, model: Any, batch: SampleBatch, generator: torch.Generator, step: int = 0
    ) -> tuple[Tensor, dict[str, float]]:
        """The loss of a batch, and figures to log: the plain denoising loss, and the other one."""
        batch, base = batch.to(self.base.device), self.base
        noisy, timesteps, target = base.add_noise(batch.latents, generator, self.timestep_power)
        predicted, other = self.predict(model, noisy, timesteps, batch)
        boxes, graph_of = batch.encoded.truth.boxes, batch.encoded.batch
        places = object_weights(boxes, graph_of, len(predicted), predicted.shape[-2:], self.large_area)
        value = diffusion_loss(base, predicted, target, timesteps, places, self.max_weight)
        with torch.no_grad():
            figures = {"denoising": diffusion_loss(base, predicted, target, timesteps).item()}
        if other is not None:
            value, of_other = self.together(value, other)
            figures |= of_other
        return value, figures

    def together(self, denoising: Tensor, other: Any) -> tuple[Tensor, dict[str, float]]:
        """The loss of denoising with that of what else is learned, and figures to log of the latter."""
        return denoising + self.other_weight * other, {"layout": other.item()}

    def report(self, model: Any) -> dict[str, float]:
        """The denoising loss with the right, another picture's and no graph, on the same noise, and what else shows."""
        cases = {"right": self.validation.whole(), "shuffled": self.validation.whole(shift=1)}
        if self.has_null:
            cases["no"] = self.validation.whole(null=True)
        losses = {name: self._denoising(model, batch) for name, batch in cases.items()}
        figures = {f"val {name} graph": value for name, value in losses.items()}
        figures |= {"gap": losses["shuffled"] - losses["right"]} | self.other_figures(model)
        tqdm.write(", ".join(f"{name} {value:.4f}" for name, value in figures.items()))
        return figures

    def other_figures(self, model: Any) -> dict[str, float]:
        """What a report shows beside losses."""
        return {}

    def preview(self, model: Any, path: Path) -> None:
        """Draws the first validation graphs."""
        draw_preview(self.base, self.conditioner(model), self.validation.split.graphs[:SHOWN], path)

    def _denoising(self, model: Any, batch: SampleBatch) -> float:
        return self.loss(model, batch, torch.Generator(self.base.device).manual_seed(0))[1]["denoising"]
