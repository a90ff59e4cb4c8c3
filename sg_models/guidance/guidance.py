"""A gradient while sampling: what the model predicts moves to where an objective is larger (Liu et al. 2023)."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from .eyes import Eye, Sight
from .view import View

# objective(what the eye sees of B pictures, the step) → how well each of them does [B]; gradients pass
Objective = Callable[[Sight, View], Tensor]


@dataclass(frozen=True)
class Guidance:
    """Raises an objective: `scale` times its gradient in each step.

    Several, one after another, add up: multimodal guidance is their weighted sum (Liu et al. 2023).
    `limit` is the most by which a step's noise, as the model predicts it, changes: the root mean square over a picture;
    None for no limit, as in the paper. How long gradients are differs between eyes, noise levels and pictures, and what
    is too much for a few steps is not drawn back by the others.
    """

    eye: Eye
    objective: Objective
    scale: float
    limit: float | None

    def __call__(self, view: View) -> Tensor:
        """The clean latents that the model should have predicted: [B, C, h, w].

        Each picture by itself: an objective's value of one depends on no other.
        """
        with torch.inference_mode(False), torch.enable_grad():
            view = View(view.noisy.clone(), view.clean.clone(), view.timesteps.clone(), view.alpha)
            latents = self.eye.latents(view).detach().requires_grad_()
            score = self.objective(self.eye.look(latents, view), view)  # [B]
            (gradient,) = torch.autograd.grad(score.sum(), latents)
        move = self.scale * self.eye.reach(view) * gradient.to(view.clean)
        return view.clean + (move if self.limit is None else at_most(move, self.limit * view.sigma))


def at_most(moves: Tensor, length: float) -> Tensor:
    """Moves [B, C, h, w], each shortened to a root mean square of at most `length`."""
    lengths = moves.square().mean(dim=(1, 2, 3), keepdim=True).sqrt()
    return moves * (length / lengths.clamp(min=length))
