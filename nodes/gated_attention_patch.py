"""Gated self-attention inside ComfyUI's UNet.

The weights travel with MODEL and the tokens with CONDITIONING, so that positive and negative stay in one UNet call,
and areas, batches and timestep ranges work as for prompts. ComfyUI hands a conditioning's extra tensors to the UNet as
keyword arguments; a wrapper around the UNet puts them where the patch in its transformer blocks finds them.
"""

import uuid
from collections.abc import Callable

import comfy.conds
import torch
from comfy.model_patcher import ModelPatcher
from comfy.patcher_extension import WrappersMP
from torch import Tensor

from ..sg_models.layers.gated_attention import Grounding
from .attention import attention_options

UNCONNECTED = (
    "Apply Scene Graph patched the model, but neither the positive nor the negative conditioning of this sampler comes "
    "from the same node. Connect its positive and negative outputs to the sampler as well."
)


class GatedAttentionPatch:
    """One application of an adapter to a model.

    ComfyUI asks the registered object itself for `models()`, to load the weights together with the UNet's: register
    the object, never a bound method of it.
    """

    def __init__(
        self,
        patcher: ModelPatcher,
        strength: float,
        schedule: tuple[float, float] | None,
        skip_padding: bool,
        masked: bool = True,
        check_size: Callable[[tuple[int, int]], None] | None = None,
    ):
        self.patcher = patcher
        self.strength = strength
        self.schedule = schedule  # first and last sigma; None for the whole run
        self.skip_padding, self.masked = skip_padding, masked  # as for `Grounding`
        self.check_size = check_size  # raises for a size of latents (h, w) that the graphs do not fit
        self.key = f"scene_graph_tokens_{uuid.uuid4().hex}"  # several adapters may be stacked

    def apply_to(self, model: ModelPatcher) -> ModelPatcher:
        """A clone of the model that has this patch."""
        patched = model.clone()
        patched.set_model_patch(self, "middle_patch")
        patched.add_wrapper_with_key(WrappersMP.DIFFUSION_MODEL, self.key, self.carry_tokens)
        patched.add_wrapper_with_key(WrappersMP.OUTER_SAMPLE, self.key, self.check_wiring)
        return patched

    def attach(self, conditioning: list, tokens: comfy.conds.CONDRegular) -> list:
        """A copy of the conditioning that carries tokens [B, T, D + 5] for this patch."""
        return [
            [prompt, {**extras, "model_conds": {**extras.get("model_conds", {}), self.key: tokens}}]
            for prompt, extras in conditioning
        ]

    def models(self) -> list[ModelPatcher]:
        return [self.patcher]

    def check_wiring(self, executor, noise, *args, **kwargs):
        """OUTER_SAMPLE wrapper: says what is missing when no conditioning carries the tokens, and checks the size."""
        conditionings = executor.class_obj.conds.values()
        if not any(self.key in extras["model_conds"] for extras_list in conditionings for extras in extras_list):
            raise ValueError(UNCONNECTED)
        if self.check_size is not None:
            self.check_size((noise.shape[-2], noise.shape[-1]))
        return executor(noise, *args, **kwargs)

    def carry_tokens(
        self, executor, x, timesteps, context=None, y=None, control=None, transformer_options=None, **kwargs
    ):
        """DIFFUSION_MODEL wrapper: passes the tokens on to the transformer blocks while the schedule is active."""
        tokens = kwargs.pop(self.key, None)
        if tokens is not None and self.is_active(transformer_options):
            transformer_options = {**transformer_options, self.key: Grounding(tokens, self.skip_padding, self.masked)}
        return executor(x, timesteps, context, y, control, transformer_options, **kwargs)

    def is_active(self, transformer_options: dict) -> bool:
        if self.schedule is None:  # reading sigma would make a GPU wait, in every UNet call
            return True
        first_sigma, last_sigma = self.schedule
        return last_sigma <= transformer_options["sigmas"][0].item() <= first_sigma

    @torch.compiler.disable
    def __call__(self, x: Tensor, extra_options: dict) -> Tensor:
        """`middle_patch`: runs after self-attention in every transformer block, on x [B, N, C]."""
        grounding = extra_options.get(self.key)
        if grounding is None:
            return x
        block = self.patcher.model.gated_attention.block(block_address(extra_options["block"]))
        size = tuple(extra_options["activations_shape"][-2:])
        with attention_options(attn_precision=extra_options["attn_precision"], transformer_options=extra_options):
            return block(x, grounding, size, self.strength)


def block_address(block: tuple[str, int]) -> str:
    """The LDM name of the transformer in a UNet block, from ComfyUI's (place, number)."""
    place, number = block
    return "middle_block.1" if place == "middle" else f"{place}_blocks.{number}.1"
