"""Regional prompts inside ComfyUI's UNet.

Phrases and places travel with CONDITIONING and what uses them with MODEL, as for gated self-attention. Before each
cross-attention the rows of a prompt that has regions are repeated, once for each region, with the region's phrase in
place of the prompt; behind it, they are mixed again by their weights. So core's attention, LoRAs and packs that replace
cross-attention do for a region what they do for a prompt.
"""

import math
import uuid

import comfy.conds
import torch
from comfy.ldm.modules.attention import SpatialTransformer
from comfy.ldm.modules.diffusionmodules.openaimodel import Downsample
from comfy.model_patcher import ModelPatcher
from comfy.patcher_extension import WrappersMP
from torch import Tensor

from .per_picture import PerPicture
from .regions import Regions

ACTIVE = "scene_graph_regions"  # in the UNet's options: whose regions a call has, and the regions
UNCONNECTED = (
    "Regional Prompt patched the model, but the positive conditioning of this sampler does not come from the same "
    "node. Connect its positive and negative outputs to the sampler as well."
)
TOO_SMALL = (
    "{phrase} covers {width:.1f} × {height:.1f} cells of the map that this model attends from (one cell is {pixels} "
    "pixels here), and Regional Prompt needs two each way. Make its box at least {needed} pixels wide and high, or the "
    "picture larger."
)
LEAST_CELLS = 2
ROUNDING = 1e-3  # cells


class RegionalPatch:
    """One application of regional prompts to a model.

    `extents` [R, 2] are the width and height of each object's place as parts of the picture, for the objects that
    `phrases` names; `schedule` is the first and last sigma, None for the whole run.
    """

    def __init__(
        self,
        base_weight: float,
        strength: float,
        schedule: tuple[float, float] | None,
        phrases: list[str],
        extents: Tensor,
    ) -> None:
        self.base_weight, self.strength, self.schedule = base_weight, strength, schedule
        self.phrases, self.extents = phrases, extents
        name = f"{ACTIVE}_{uuid.uuid4().hex}"
        self.contexts_key, self.places_key = f"{name}_contexts", f"{name}_places"

    def apply_to(self, model: ModelPatcher) -> ModelPatcher:
        """A clone of the model that has this patch."""
        patched = model.clone()
        patched.set_model_attn2_patch(self.spread)
        patched.set_model_attn2_output_patch(self.mix)
        patched.add_wrapper_with_key(WrappersMP.DIFFUSION_MODEL, self.places_key, self.carry_regions)
        patched.add_wrapper_with_key(WrappersMP.OUTER_SAMPLE, self.places_key, self.check_sampling)
        return patched

    def attach(self, conditioning: list, contexts: PerPicture, places: PerPicture) -> list:
        """A copy of the conditioning that carries regions for this patch; empty places stand for none."""
        carried = {self.contexts_key: contexts, self.places_key: places}
        return [
            [prompt, {**extras, "model_conds": {**extras.get("model_conds", {}), **carried}}]
            for prompt, extras in conditioning
        ]

    def attach_none(self, conditioning: list, contexts: PerPicture, places: PerPicture) -> list:
        """The same without any region, of the same shapes: else the UNet runs twice per step."""
        nothing = (comfy.conds.CONDRegular(torch.zeros_like(rows.cond[:1])) for rows in (contexts, places))
        return self.attach(conditioning, *nothing)

    def check_sampling(self, executor, noise, *args, **kwargs):
        """OUTER_SAMPLE wrapper: says what is missing when no conditioning carries regions, and what is too small."""
        sampler = executor.class_obj
        if not any(self.places_key in extras["model_conds"] for part in sampler.conds.values() for extras in part):
            raise ValueError(UNCONNECTED)
        check_sizes(self.phrases, self.extents, noise.shape[-2:], finest_level(sampler.model_patcher))
        return executor(noise, *args, **kwargs)

    def carry_regions(
        self, executor, x, timesteps, context=None, y=None, control=None, transformer_options=None, **kwargs
    ):
        """DIFFUSION_MODEL wrapper: passes the regions on to the transformer blocks while the schedule is active."""
        contexts, places = kwargs.pop(self.contexts_key, None), kwargs.pop(self.places_key, None)
        if places is not None and self.is_active(transformer_options):
            prompts = transformer_options.get("cond_or_uncond", [0])
            regions = Regions(contexts, places, prompts, self.base_weight, self.strength)
            if any(regions.counts):
                transformer_options = {**transformer_options, ACTIVE: (self, regions)}
        return executor(x, timesteps, context, y, control, transformer_options, **kwargs)

    def is_active(self, transformer_options: dict) -> bool:
        if self.schedule is None:  # reading sigma would make a GPU wait, in every UNet call
            return True
        first_sigma, last_sigma = self.schedule
        return last_sigma <= transformer_options["sigmas"][0].item() <= first_sigma

    @torch.compiler.disable
    def spread(self, x: Tensor, context: Tensor, value: Tensor, extra_options: dict) -> tuple[Tensor, Tensor, Tensor]:
        """`attn2_patch`: runs before cross-attention in every transformer block, on x [rows, N, C]."""
        regions = self.regions(extra_options)
        if regions is None:
            return x, context, value
        # the options are this block's own; packs that replace its attention find there whose rows are whose
        extra_options["cond_or_uncond"] = regions.spread_prompts()
        spread = regions.spread_contexts(context)
        return regions.spread(x), spread, spread if value is context else regions.spread_contexts(value)

    @torch.compiler.disable
    def mix(self, attended: Tensor, extra_options: dict) -> Tensor:
        """`attn2_output_patch`: runs behind cross-attention, on the rows that `spread` made."""
        regions = self.regions(extra_options)
        if regions is None:
            return attended
        extra_options["cond_or_uncond"] = regions.cond_or_uncond
        height, width = extra_options["activations_shape"][-2:]
        return regions.mix(attended, (height, width))

    def regions(self, extra_options: dict) -> Regions | None:
        """This node's own regions in a UNet call that has them."""
        owner, regions = extra_options.get(ACTIVE, (None, None))
        return regions if owner is self else None


def finest_level(model: ModelPatcher) -> int:
    """How many latents' widths a cell of the finest map is wide that a UNet attends from: 1, or 2 for SDXL."""
    level = 1
    for block in model.model.diffusion_model.input_blocks:
        level *= 2 if any(isinstance(part, Downsample) for part in block) else 1
        if any(isinstance(part, SpatialTransformer) for part in block):
            break
    return level


def check_sizes(phrases: list[str], extents: Tensor, latent_size: tuple[int, int], level: int) -> None:
    """Raises `ValueError` in words for the first place that is smaller than two cells of a map."""
    height, width = (math.ceil(side / level) for side in latent_size)
    for phrase, (across, down) in zip(phrases, (extents * torch.tensor([width, height])).tolist(), strict=True):
        if min(across, down) < LEAST_CELLS - ROUNDING:
            pixels = 8 * level
            raise ValueError(
                TOO_SMALL.format(phrase=phrase, width=across, height=down, pixels=pixels, needed=LEAST_CELLS * pixels)
            )
