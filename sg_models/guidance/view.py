"""What guidance sees of one step of sampling, in either host."""

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class View:
    """A step's latents, in the units of the base's autoencoder times its scale.

    `noisy` [B, C, h, w] are noised as a variance-preserving schedule does it, √ᾱ x + √(1 - ᾱ) ε, whatever the sampler
    keeps; `clean` [B, C, h, w] is what the model says x is, after classifier-free guidance. `timesteps` [B] are those
    of the base's schedule, which `alpha`, ᾱ of this step, belongs to.
    """

    noisy: Tensor
    clean: Tensor
    timesteps: Tensor
    alpha: float

    @property
    def sigma(self) -> float:
        """How large the noise is beside the clean latents, √((1 - ᾱ) / ᾱ)."""
        return ((1 - self.alpha) / self.alpha) ** 0.5
