"""Drawing with a base and, if there is one, an adapter: deterministic DDIM with classifier-free guidance.

With `timestep_spacing` "trailing" this is step for step what ComfyUI's KSampler does with sampler `ddim` and scheduler
`simple`.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from sg_models.caption import caption
from sg_models.gsa_adapter import GSAAdapter, graph_phrases
from sg_models.scene_graph import SceneGraph
from train.base_model import BaseModel
from train.grounded_unet import grounding

STEPS = 25
CAPTION_GUIDANCE, GRAPH_GUIDANCE = 4.0, 2.0  # what serves each best: tokens need far less of it than captions do
GROUNDED_PROMPT = "an image"  # what the paper gives as text wherever the graph speaks for itself


@torch.no_grad()
def sample_latents(
    base: BaseModel,
    positive: Tensor,
    negative: Tensor,
    noise: Tensor,
    *,
    tokens: tuple[Tensor, Tensor] | None = None,
    steps: int,
    guidance: float,
) -> Tensor:
    """Latents [B, 4, h, w] from noise of that shape.

    `positive` and `negative` [B, 77, D] are encoded prompts; `tokens` the grounding tokens [B, T, D + 5] of the graphs
    and of "no graph". Positive and negative share one UNet call per step.
    """
    context = torch.cat([positive, negative])
    both = torch.cat(tokens) if tokens else None
    base.scheduler.set_timesteps(steps, device=noise.device)
    latents = noise * base.scheduler.init_noise_sigma
    for timestep in base.scheduler.timesteps:
        double = base.scheduler.scale_model_input(torch.cat([latents, latents]), timestep)
        extra = {} if both is None else {"cross_attention_kwargs": grounding(both, latents)}
        with_graph, without = base.unet(double, timestep, context, **extra).sample.chunk(2)
        prediction = without + guidance * (with_graph - without)
        latents = base.scheduler.step(prediction, timestep, latents).prev_sample
    return latents


def draw_graphs(
    base: BaseModel,
    adapter: GSAAdapter | None,
    graphs: Sequence[SceneGraph],
    noise: Tensor,
    *,
    steps: int = STEPS,
    guidance: float | None = None,
) -> Tensor:
    """One picture per graph: [B, 3, H, W] in [0, 1] from `noise` [B, 4, H/8, W/8].

    Without an adapter the graph is told as a caption: variant (i). `guidance` is `usual_guidance` if left out.
    """
    guidance = usual_guidance(adapter) if guidance is None else guidance
    count, noise = len(graphs), noise.to(base.device)
    negative = base.encode_prompts([""]).expand(count, -1, -1)
    if adapter is None:
        positive, tokens = base.encode_prompts([caption(graph) for graph in graphs]), None
    else:
        positive = base.encode_prompts([GROUNDED_PROMPT]).expand(count, -1, -1)
        with torch.no_grad():
            vectors = base.encode_phrases(graph_phrases(graphs))
            tokens = adapter.tokens(graphs, vectors), adapter.null_tokens(count)
    return base.decode(sample_latents(base, positive, negative, noise, tokens=tokens, steps=steps, guidance=guidance))


def usual_guidance(adapter: GSAAdapter | None) -> float:
    """The guidance that is used unless another one is asked for."""
    return CAPTION_GUIDANCE if adapter is None else GRAPH_GUIDANCE


def starting_noise(base: BaseModel, seed: int, count: int, side: int) -> Tensor:
    """Noise [count, 4, side/8, side/8] of a seed, made on the CPU so that it is the same on every machine."""
    size = side // 8
    channels = base.unet.config["in_channels"]
    return torch.randn(count, channels, size, size, generator=torch.Generator().manual_seed(seed))
