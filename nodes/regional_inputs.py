"""What Regional Prompt is given: prompts side by side for several pictures, and whether all parts fit the model."""

import math

import torch
from comfy.ldm.modules.diffusionmodules.openaimodel import UNetModel
from comfy.model_patcher import ModelPatcher
from torch import Tensor

from .regional_patch import ACTIVE

SEVERAL_PROMPTS = (
    "Regional Prompt got {prompts} prompts for {graphs} graphs. Connect one prompt, or a list with one for each graph."
)
COMBINED_PROMPTS = (
    "Regional Prompt got a list of prompts, a graph each, of which one was combined from several. Combine prompts "
    "behind it, or connect one alone."
)
CARRIED = (
    "The positive conditioning already has the regions of another Regional Prompt. A picture has one graph: put all "
    "objects into it, and use one of these nodes."
)
NO_CROSS_ATTENTION = (
    "Regional Prompt needs a model whose UNet reads prompts by cross-attention (Stable Diffusion 1.x, 2.x, SDXL, "
    "SG-Mini), got {family}."
)
OTHER_WIDTH = (
    "{what} gives words of {got} numbers, and this model ({family}) reads words of {wanted}. Take the CLIP from the "
    "Load Checkpoint node that loads the model, for the prompts and for Regional Prompt."
)


def check_fits(model: ModelPatcher, contexts: Tensor, positive: list[list], negative: list) -> None:
    """Raises `ValueError` in words for a model without cross-attention, for words of another width than it reads, and
    for a prompt that has regions already."""
    unet, family = model.model.diffusion_model, type(model.model.model_config).__name__
    wanted = model.model.model_config.unet_config.get("context_dim")
    if not isinstance(unet, UNetModel) or wanted is None:
        raise ValueError(NO_CROSS_ATTENTION.format(family=family))
    words = [("The clip that is connected", contexts), *(("The negative prompt", prompt) for prompt, _ in negative)]
    words += [("The positive prompt", prompt) for prompts in positive for prompt, _ in prompts]
    for what, states in words:
        if (got := states.shape[-1]) != wanted:
            raise ValueError(OTHER_WIDTH.format(what=what, got=got, family=family, wanted=wanted))
    carried = (key for prompts in positive for _, extras in prompts for key in extras.get("model_conds", {}))
    if any(key.startswith(ACTIVE) for key in carried):
        raise ValueError(CARRIED)


def side_by_side(prompts: list[list], graphs: int, places: list[int] | None) -> list:
    """One conditioning of several prompts, a row for each picture; one prompt is handed through.

    `places` says which prompt each picture has, None for the order of the pictures.
    """
    if len(prompts) == 1:
        return prompts[0]
    if len(prompts) != graphs:
        raise ValueError(SEVERAL_PROMPTS.format(prompts=len(prompts), graphs=graphs))
    if any(len(prompt) != 1 for prompt in prompts):
        raise ValueError(COMBINED_PROMPTS)
    rows = range(graphs) if places is None else places
    chosen = [prompts[place][0] for place in rows]
    length = math.lcm(*(text.shape[1] for text, _ in chosen))  # repeated words leave attention as it is
    text = torch.cat([text.repeat(1, length // text.shape[1], 1) for text, _ in chosen])
    extras = dict(chosen[0][1])
    if extras.get("pooled_output") is not None:
        extras["pooled_output"] = torch.cat([extras["pooled_output"] for _, extras in chosen])
    return [[text, extras]]
