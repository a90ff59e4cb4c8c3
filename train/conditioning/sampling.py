"""Drawing with a base and a variant's conditions: deterministic DDIM with classifier-free guidance.

With `timestep_spacing` "trailing" this is step for step what ComfyUI's KSampler does with sampler `ddim` and scheduler
`simple`.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from sg_models.graph.scene_graph import SceneGraph
from train.bases.base_model import BaseModel
from train.conditioning.conditioners import Conditioner, Conditions

STEPS = 25


@torch.no_grad()
def sample_latents(base: BaseModel, conditions: Conditions, noise: Tensor, *, steps: int, guidance: float) -> Tensor:
    """Latents [B, 4, h, w] from noise of that shape. Positive and negative share one UNet call per step."""
    context = torch.cat([conditions.positive, conditions.negative])
    base.scheduler.set_timesteps(steps, device=noise.device)
    latents = noise * base.scheduler.init_noise_sigma
    for timestep in base.scheduler.timesteps:
        double = base.scheduler.scale_model_input(torch.cat([latents, latents]), timestep)
        more = conditions.unet_arguments(double, timestep, context)
        with_graph, without = base.unet(double, timestep, context, **more).sample.chunk(2)
        prediction = without + guidance * (with_graph - without)
        latents = base.scheduler.step(prediction, timestep, latents).prev_sample
    return latents


def draw_graphs(
    base: BaseModel,
    condition: Conditioner,
    graphs: Sequence[SceneGraph],
    noise: Tensor,
    *,
    steps: int = STEPS,
    guidance: float | None = None,
) -> Tensor:
    """One picture per graph: [B, 3, H, W] in [0, 1] from `noise` [B, 4, H/8, W/8].

    `guidance` is what serves the variant best if left out.
    """
    guidance = condition.guidance if guidance is None else guidance
    latents = sample_latents(base, condition(graphs), noise.to(base.device), steps=steps, guidance=guidance)
    return base.decode(latents)


def starting_noise(base: BaseModel, seed: int, count: int, side: int) -> Tensor:
    """Noise [count, 4, side/8, side/8] of a seed, made on the CPU so that it is the same on every machine."""
    size = side // 8
    channels = base.unet.config["in_channels"]
    return torch.randn(count, channels, size, size, generator=torch.Generator().manual_seed(seed))
