"""A gradient while sampling: what the model predicts moves to where an objective is larger (Liu et al. 2023)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from .eyes import Eye, Sight
from .view import View

# objective(what the eye sees of B pictures, the step) → how well each of them does [B]; gradients pass
Objective = Callable[[Sight, View], Tensor]


@dataclass(frozen=True)
class Guidance:
    """Raises an objective: `scale` times its gradient in each step."""

    eye: Eye
    objective: Objective
    scale: float

    def __call__(self, view: View) -> Tensor:
        """The clean latents that the model should have predicted: [B, C, h, w].

        Each picture by itself: an objective's value of one depends on no other.
        """
        with torch.inference_mode(False), torch.enable_grad():
            view = View(view.noisy.clone(), view.clean.clone(), view.timesteps.clone(), view.alpha)
            latents = self.eye.latents(view).detach().requires_grad_()
            score = self.objective(self.eye.look(latents, view), view)  # [B]
            (gradient,) = torch.autograd.grad(score.sum(), latents)
        return view.clean + self.scale * self.eye.reach(view) * gradient.to(view.clean)


def weighted_sum(terms: Sequence[tuple[float, Objective]]) -> Objective:
    """Several objectives at once, each with its scale (Liu et al. 2023, multimodal guidance)."""

    def objective(sight: Sight, view: View) -> Tensor:
        return torch.stack([scale * term(sight, view) for scale, term in terms]).sum(dim=0)

    return objective
