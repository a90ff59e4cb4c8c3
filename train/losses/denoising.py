"""The denoising loss: how far the UNet's answer is from what the schedule's prediction type asks for."""

from torch import Tensor

from train.bases.base_model import BaseModel

MAX_WEIGHT = 10.0  # of a timestep in the loss; the noisiest would count 200


def diffusion_loss(
    base: BaseModel,
    predicted: Tensor,
    target: Tensor,
    timesteps: Tensor,
    places: Tensor | None = None,
    max_weight: float = MAX_WEIGHT,
) -> Tensor:
    """Mean squared error of what the UNet says, each timestep weighted as its error in velocity, up to `max_weight`.

    The velocity is what an error in epsilon does to the picture, 1/ᾱ as much squared (Salimans & Ho 2022, appendix D).
    In epsilon itself, the noisy timesteps, where the layout is decided, hardly count. `places` [B, h, w] weights the
    error by where it is.
    """
    squared = (predicted.float() - target).square().mean(dim=1)  # [B, h, w]
    error = (squared if places is None else squared * places).mean(dim=(1, 2))
    if base.prediction_type == "v_prediction":
        return error.mean()
    weight = 1 / base.scheduler.alphas_cumprod.to(error.device)[timesteps]
    return (weight.clamp(max=max_weight) * error).mean()
