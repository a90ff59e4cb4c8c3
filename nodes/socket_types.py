"""The types of this pack's own sockets and the values that travel through them."""

from dataclasses import dataclass

from comfy.model_patcher import ModelPatcher
from comfy_api.latest import io
from torch import Tensor

from ..sg_models.adapter import Adapter

CATEGORY = "scene graph"

SceneGraphSocket = io.Custom("SCENE_GRAPH")
AdapterSocket = io.Custom("SG_ADAPTER")
EmbedsSocket = io.Custom("SG_EMBEDS")


@dataclass(frozen=True)
class LoadedAdapter:
    """An adapter file whose weights are under ComfyUI's memory management.

    `file` is the file without its tensors, which have moved into `patcher.model`. `identity` is equal for two loads of
    the same unchanged file.
    """

    file: Adapter
    patcher: ModelPatcher
    identity: tuple[str, int]


@dataclass(frozen=True)
class GraphEmbeds:
    """Grounding tokens of a scene graph, and those that stand for "no graph", made by one adapter."""

    tokens: Tensor  # [B, T, D + 5]
    null_tokens: Tensor  # [B, T, D + 5]
    made_by: tuple[str, int]
