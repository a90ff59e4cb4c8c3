"""Drawing with a base and a variant's conditions: deterministic DDIM with classifier-free guidance.

With `timestep_spacing` "trailing" this is step for step what ComfyUI's KSampler does with sampler `ddim` and scheduler
`simple`.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from sg_models.bases.known_bases import EPSILON
from sg_models.graph.scene_graph import SceneGraph
from sg_models.guidance.view import View
from train.bases.base_model import DOWNSAMPLING, BaseModel
from train.conditioning.conditioners import Conditioner, Conditions
from train.conditioning.influence import part_over

STEPS = 25

# guide(what a step sees, the part of sampling that is over) → other clean latents
Guide = Callable[[View, float], Tensor]


def sample_latents(
    base: BaseModel,
    conditions: Conditions,
    noise: Tensor,
    *,
    steps: int,
    guidance: float,
    guide: Guide | None = None,
) -> Tensor:
    """Latents [B, 4, h, w] from noise of that shape. Positive and negative share one UNet call per step.

    A `guide` changes what each step predicts; whatever gradients it takes, none pass through the UNet.
    """
    context = torch.cat([conditions.positive, conditions.negative])
    base.scheduler.set_timesteps(steps, device=noise.device)
    latents = noise * base.scheduler.init_noise_sigma
    with torch.no_grad():
        for timestep in base.scheduler.timesteps:
            double = base.scheduler.scale_model_input(torch.cat([latents, latents]), timestep)
            arguments = conditions.unet_arguments(double, timestep, context)
            with_graph, without = base.predict(double, timestep, context, **arguments).chunk(2)
            prediction = without + guidance * (with_graph - without)
            if guide is not None:
                prediction = guided_prediction(base, latents, timestep, prediction, guide)
            latents = base.scheduler.step(prediction, timestep, latents).prev_sample
    return latents


def guided_prediction(base: BaseModel, latents: Tensor, timestep: Tensor, prediction: Tensor, guide: Guide) -> Tensor:
    """What the UNet would have said if it had predicted the clean latents that a guide makes of its own."""
    alpha = float(base.scheduler.alphas_cumprod[timestep])
    clean = predicted_clean(base.prediction_type, alpha, latents, prediction)
    view = View(latents, clean, timestep.expand(len(latents)), alpha)
    moved = guide(view, part_over(timestep)) - clean
    if base.prediction_type == EPSILON:
        return prediction - moved * alpha**0.5 / (1 - alpha) ** 0.5
    return prediction - moved / (1 - alpha) ** 0.5


def predicted_clean(prediction_type: str, alpha: float, latents: Tensor, prediction: Tensor) -> Tensor:
    """The clean latents that a prediction of either type means, at ᾱ (Salimans and Ho 2022, appendix D)."""
    if prediction_type == EPSILON:
        return (latents - (1 - alpha) ** 0.5 * prediction) / alpha**0.5
    return alpha**0.5 * latents - (1 - alpha) ** 0.5 * prediction


def draw_graphs(
    base: BaseModel,
    condition: Conditioner,
    graphs: Sequence[SceneGraph],
    noise: Tensor,
    *,
    steps: int = STEPS,
    guidance: float | None = None,
    guide: Guide | None = None,
) -> Tensor:
    """One picture per graph: [B, 3, H, W] in [0, 1] from `noise` [B, 4, H/8, W/8].

    `guidance` is what serves the variant best if left out; `guide` as for `sample_latents`.
    """
    guidance = condition.guidance if guidance is None else guidance
    conditions, noise = condition(graphs), noise.to(base.device)
    latents = sample_latents(base, conditions, noise, steps=steps, guidance=guidance, guide=guide)
    with torch.no_grad():
        return base.decode(latents)


def starting_noise(base: BaseModel, seed: int, count: int, side: int | None = None) -> Tensor:
    """Noise [count, 4, side/8, side/8] of a seed, made on the CPU so that it is the same on every machine.

    `side` in pixels; the base's own if left out.
    """
    size = (side or base.side) // DOWNSAMPLING
    channels = base.unet.config["in_channels"]
    return torch.randn(count, channels, size, size, generator=torch.Generator().manual_seed(seed))
