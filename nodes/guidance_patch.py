"""Guidance inside ComfyUI's sampling: what the model predicts, changed after classifier-free guidance in each step."""

import uuid
from collections.abc import Callable
from typing import TYPE_CHECKING

from comfy.model_patcher import ModelPatcher
from torch import Tensor

from .eyes import Connected, HostEye, without_inference_tensors
from .loaded_base import prediction_type

if TYPE_CHECKING:
    from ..sg_models.guidance.guidance import Guidance

NO_SCHEDULE = (
    "{node} needs a model that predicts the noise or v on Stable Diffusion's noise schedule, and {family} does not."
)
FEWER_PICTURES = (
    "{node} got {count} to guide by, for a batch of {pictures}. Draw as many pictures as there are graphs or pictures "
    "to guide by, or a multiple."
)


class GuidancePatch:
    """One guidance of a model; several are applied one after another, each to what the one before it has made.

    `schedule` is the first and last sigma, None for the whole run; `count` how many graphs or pictures guide, each of
    them its own picture of a batch.
    """

    def __init__(
        self,
        node: str,
        eye: HostEye,
        guidance: "Guidance",
        schedule: tuple[float, float] | None,
        count: int = 1,
    ) -> None:
        self.node, self.eye, self.guidance, self.schedule, self.count = node, eye, guidance, schedule, count

    def apply_to(self, model: ModelPatcher) -> ModelPatcher:
        """A clone of the model that has this guidance, and with which the eye's weights are loaded."""
        patched = model.clone()
        patched.set_model_sampler_post_cfg_function(self)
        patched.set_additional_models(f"scene_graph_guidance_{uuid.uuid4().hex}", self.eye.patchers)
        return patched

    def __call__(self, arguments: dict) -> Tensor:
        """`sampler_post_cfg_function`: denoised latents [B, 4, h, w] → what should have been predicted."""
        from ..sg_models.guidance.view import View

        denoised, noisy, sigmas = arguments["denoised"], arguments["input"], arguments["sigma"]
        sigma = float(sigmas[0])
        if not self.acts_at(sigma):
            return denoised
        if len(denoised) % self.count:
            said = {"node": self.node, "count": self.count, "pictures": len(denoised)}
            raise ValueError(FEWER_PICTURES.format(**said))
        for patcher in self.eye.patchers:
            without_inference_tensors(patcher.model)
        timesteps = arguments["model"].model_sampling.timestep(sigmas).expand(len(denoised))
        alpha = 1 / (1 + sigma**2)
        view = View(noisy.float() * alpha**0.5, denoised.float(), timesteps, alpha)
        return self.guidance(view).to(denoised)

    def acts_at(self, sigma: float) -> bool:
        if sigma == 0.0:
            return False
        return self.schedule is None or self.schedule[1] <= sigma <= self.schedule[0]


def guide(
    found: Connected,
    eyes: list[HostEye],
    make: Callable[[HostEye], "Guidance"],
    part: tuple[float, float],
    count: int = 1,
) -> ModelPatcher:
    """A clone of the model, guided through each eye in its part of sampling, within that of the node.

    `make` gives the guidance of an eye, `count` says by how many graphs or pictures. Raises `ValueError` in words for a
    model on another noise schedule.
    """
    model = found.model
    if prediction_type(model, found.node) is None:
        raise ValueError(NO_SCHEDULE.format(node=found.node, family=type(model.model.model_config).__name__))
    to_sigma = model.get_model_object("model_sampling").percent_to_sigma
    for eye in eyes:
        first, last = max(part[0], eye.part[0]), min(part[1], eye.part[1])
        if first < last:
            schedule = None if (first, last) == (0.0, 1.0) else (to_sigma(first), to_sigma(last))
            model = GuidancePatch(found.node, eye, make(eye), schedule, count).apply_to(model)
    return model
