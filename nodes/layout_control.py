"""A layout as what ComfyUI's own ControlNet is given."""

import functools
import uuid
from collections.abc import Sequence

import torch.nn.functional as F
from comfy.conds import CONDRegular
from comfy.controlnet import ControlNet
from torch import Tensor

from ..sg_models.adapters.adapter import BASES
from .loaded_adapter import LoadedLayoutControlNet
from .per_picture import PerPicture

DOWNSAMPLING = 8  # of latents, the size of layout maps
WRONG_PROMPT = (
    "The {which} prompt has words of {got} numbers, but {name} was trained on {base}, whose prompts have {wanted}. "
    "Load {base} in Load Checkpoint, and take the prompts and the sampler's model from there."
)


def check_prompts(adapter: LoadedLayoutControlNet, **conditionings: list) -> None:
    """Raises `ValueError` in words where prompts [B, L, D] are not as wide as those of the adapter's base.

    The ControlNet would fail on them amid sampling. It is a plain one of ComfyUI's, which does not ask.
    """
    for which, conditioning in conditionings.items():
        for prompt, _ in conditioning:
            if prompt.shape[-1] != adapter.prompt_dim:
                raise ValueError(
                    WRONG_PROMPT.format(
                        which=which,
                        got=prompt.shape[-1],
                        name=adapter.file.name,
                        base=BASES[adapter.file.base],
                        wanted=adapter.prompt_dim,
                    )
                )


def with_layout(
    conditionings: Sequence[list],
    controlnet: ControlNet,
    control: PerPicture,
    strength: float,
    schedule: tuple[float, float],
) -> list[list]:
    """Copies of conditionings that carry a ControlNet with a layout, chained behind those they have.

    `control` has the maps [B, K, h, w], `schedule` is the part of sampling in which it acts.
    """
    copies: dict[ControlNet | None, ControlNet] = {}  # conditionings that share theirs stay in one UNet call
    several = control.chosen or len(control.cond) > 1
    more = {f"scene_graph_layouts_{uuid.uuid4().hex}": count_only(control)} if several else {}

    def with_control(extras: dict) -> dict:
        before = extras.get("control")
        if before not in copies:
            hinted = controlnet.copy().set_cond_hint(control.cond, strength, schedule)
            hinted.preprocess_image = functools.partial(refitted, control.cond)
            copies[before] = hinted.set_previous_controlnet(before)
        conds = {**extras.get("model_conds", {}), **more}
        return {**extras, "control": copies[before], "control_apply_to_uncond": False, "model_conds": conds}

    return [[[prompt, with_control(extras)] for prompt, extras in conditioning] for conditioning in conditionings]


def count_only(control: PerPicture) -> CONDRegular:
    """What asks, as the maps themselves cannot, for as many pictures as there are maps; the UNet overlooks it."""
    return PerPicture(control.cond.new_zeros(len(control.cond), 1), control.node, control.what, control.chosen)


def refitted(control: Tensor, hint: Tensor) -> Tensor:
    """Maps [B, K, h, w] as a hint of the size of `hint` [B, K, H, W], whole: places are parts of the picture's sides.

    ComfyUI would cut the middle out of a map of another shape, as it does with pictures; so this goes where its
    ControlNets have a preprocessor, and starts from the maps again. As in training, a cell is a square of one colour.
    """
    height, width = hint.shape[-2:]
    cells = (height // DOWNSAMPLING, width // DOWNSAMPLING)
    if control.shape[-2:] != cells:
        control = F.interpolate(control, cells, mode="bilinear", antialias=True)
    return F.interpolate(control, (height, width), mode="nearest-exact")
