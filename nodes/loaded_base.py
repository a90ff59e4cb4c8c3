"""Which of this project's bases a model in ComfyUI is, and what it predicts."""

from dataclasses import dataclass

import comfy.supported_models
import comfy.supported_models_base
from comfy.model_base import ModelType
from comfy.model_patcher import ModelPatcher

from ..sg_models.adapters.adapter import Adapter
from ..sg_models.bases.known_bases import (
    BASES,
    EPSILON,
    SG_MINI,
    STABLE_DIFFUSION_1,
    STABLE_DIFFUSION_2,
    V_PREDICTION,
    find_base,
)
from .sg_mini_base import CLIP_NAME, SGMini


@dataclass(frozen=True)
class Family:
    """What ComfyUI calls the bases of one family."""

    model: type[comfy.supported_models_base.BASE]
    clip_name: str  # of the text model


FAMILIES = {
    SG_MINI: Family(SGMini, CLIP_NAME),
    STABLE_DIFFUSION_1: Family(comfy.supported_models.SD15, "l"),
    STABLE_DIFFUSION_2: Family(comfy.supported_models.SD20, "h"),
}
PREDICTIONS = {ModelType.EPS: EPSILON, ModelType.V_PREDICTION: V_PREDICTION}
# By the class that says how a UNet's answer is read, of which core's nodes make a model's sampling; by its name, as
# ComfyUI loads the file of LCM's under another module name. EDM and X0 are children of these, and answer otherwise.
ANSWERS = {"EPS": EPSILON, "LCM": EPSILON, "V_PREDICTION": V_PREDICTION}
READING = {"calculate_input", "calculate_denoised"}  # what such a class defines
WRONG_FAMILY = (
    "{node} needs a Stable Diffusion 1.x, 2.x or SG-Mini model, got {family}. Load the base that the adapter was "
    "trained on: {base}."
)
WRONG_SAMPLING = (
    "{node} needs a model that predicts the noise or v, and this one's sampling was set to {sampling}, which the "
    "adapter was not trained with. Leave out the node that sets it (ModelSamplingDiscrete and its kind), or choose eps "
    "or v_prediction there."
)


def check_model(model: ModelPatcher, file: Adapter, node: str) -> None:
    """Raises `ValueError` in words, in the name of a node, unless an adapter was trained on this model's base."""
    file.check_base(*base_and_prediction(model, file.base, node))


def base_and_prediction(model: ModelPatcher, wanted_base: str, node: str) -> tuple[str, str]:
    """Which of this project's bases a model is, and what it predicts ("epsilon" or "v_prediction").

    Raises `ValueError` in words, in the name of a node, if it is none of them.
    """
    config = model.model.model_config
    predicted = prediction_type(model, node)
    family = next((name for name, family in FAMILIES.items() if type(config) is family.model), None)
    if predicted is None or family is None:
        what = f"{type(config).__name__} ({model.model.model_type.name})"
        raise ValueError(WRONG_FAMILY.format(node=node, family=what, base=BASES[wanted_base].title))
    base = find_base(family, predicted)
    return (base.name if base else family), predicted


def prediction_type(model: ModelPatcher, node: str) -> str | None:
    """What a model predicts, None for a family that predicts neither "epsilon" nor "v_prediction".

    ComfyUI guesses it from the checkpoint's weights; core's *ModelSamplingDiscrete* is how users set it right. Raises
    `ValueError` in words where such a node has set something else.
    """
    sampling = model.object_patches.get("model_sampling")
    if sampling is None:
        return PREDICTIONS.get(model.model.model_type)
    answer = next((kind for kind in type(sampling).__mro__ if READING & vars(kind).keys()), type(sampling))
    if answer.__name__ not in ANSWERS:
        raise ValueError(WRONG_SAMPLING.format(node=node, sampling=answer.__name__))
    return ANSWERS[answer.__name__]
