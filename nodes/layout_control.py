"""A layout as what ComfyUI's own ControlNet is given."""

import functools
import uuid
from collections.abc import Sequence
from typing import TYPE_CHECKING

import comfy.model_management
import torch
import torch.nn.functional as F
from comfy.controlnet import ControlNet
from comfy.model_patcher import ModelPatcher
from torch import Tensor

from ..sg_models.bases.known_bases import BASES
from .loaded_adapter import LoadedLayoutControlNet
from .per_picture import PerPicture
from .socket_types import EncodedGraph, LoadedLayout

if TYPE_CHECKING:
    from ..sg_models.layers.layout import Layout

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
                        base=BASES[adapter.file.base].title,
                        wanted=adapter.prompt_dim,
                    )
                )


def lay_out(encoded: EncodedGraph, patcher: ModelPatcher, cells: tuple[int, int]) -> "Layout":
    """The layout of a graph by a `LayoutAdapter` that is loaded, with maps of that many cells (h, w)."""
    here = encoded.to(patcher.load_device)
    return patcher.model.layout(here.objects, here.relations, here.batch, cells)


def with_layout(
    conditionings: Sequence[list],
    adapter: LoadedLayoutControlNet,
    layout: LoadedLayout,
    control: PerPicture,
    strength: float,
    schedule: tuple[float, float],
) -> list[list]:
    """Copies of conditionings that carry a ControlNet with a layout, chained behind those they have.

    `control` has the layout's maps [B, K, h, w], `schedule` is the part of sampling in which it acts.
    """
    copies: dict[ControlNet | None, ControlNet] = {}  # conditionings that share theirs stay in one UNet call
    # the maps cannot ask for as many pictures as there are of them, so this does; the UNet overlooks it
    asks = {f"scene_graph_layouts_{uuid.uuid4().hex}": control.with_rows(control.cond.new_zeros(len(control.cond), 1))}

    def with_control(extras: dict) -> dict:
        before = extras.get("control")
        if before not in copies:
            hinted = adapter.controlnet.copy().set_cond_hint(control.cond, strength, schedule)
            hinted.preprocess_image = functools.partial(fit, layout, adapter.patcher, control.places)
            copies[before] = hinted.set_previous_controlnet(before)
        controlled = {**extras, "control": copies[before], "control_apply_to_uncond": False}
        if not control.chosen and len(control.cond) == 1:
            return controlled
        return {**controlled, "model_conds": {**extras.get("model_conds", {}), **asks}}

    return [[[prompt, with_control(extras)] for prompt, extras in conditioning] for conditioning in conditionings]


def fit(layout: LoadedLayout, patcher: ModelPatcher, places: list[int], hint: Tensor) -> Tensor:
    """A layout's maps as a hint of the size of `hint` [B, K, H, W]; `places` says whose map each row is.

    For a picture of another size than the layout was predicted for, the maps are made anew from the same boxes and
    masks. ComfyUI would cut out the middle and stretch that, as it does with pictures; so this goes where its
    ControlNets have a preprocessor. As in training, a cell is a square of one colour.
    """
    height, width = hint.shape[-2:]
    cells = (height // DOWNSAMPLING, width // DOWNSAMPLING)
    control = layout.control
    if control.shape[-2:] != cells:
        sampling = comfy.model_management.loaded_models(only_currently_used=True)
        comfy.model_management.load_models_gpu([patcher])
        control = torch.cat([lay_out(graph, patcher, cells).control for graph in layout.graphs]).to(hint)
        comfy.model_management.load_models_gpu(sampling)
    return F.interpolate(control[places], (height, width), mode="nearest-exact")
