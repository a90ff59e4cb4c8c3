"""The types of this pack's own sockets and the values that travel through them."""

from dataclasses import dataclass
from typing import Any

from comfy.controlnet import ControlNet
from comfy.model_patcher import ModelPatcher
from comfy_api.latest import io
from torch import Tensor

from ..sg_models.adapters.adapter import Adapter
from ..sg_models.graph.scene_graph import SceneGraph

CATEGORY = "scene graph"

SceneGraphSocket = io.Custom("SCENE_GRAPH")
AdapterSocket = io.Custom("SG_ADAPTER")
EmbedsSocket = io.Custom("SG_EMBEDS")
BertSocket = io.Custom("SG_BERT")
LayoutSocket = io.Custom("SG_LAYOUT")


@dataclass(frozen=True)
class LoadedAdapter:
    """An adapter file whose weights are under ComfyUI's memory management.

    `file` is the file without its tensors, which have moved into `patcher.model`. `identity` is equal for two loads of
    the same unchanged file.
    """

    file: Adapter
    patcher: ModelPatcher
    identity: tuple[str, int]
    controlnet: ControlNet | None = None  # of variants (iii) and (iv)
    knowledge: ModelPatcher | None = None  # Structure-CLIP's knowledge encoder, of variants (ii) and (vii)


@dataclass(frozen=True)
class LoadedBert:
    """A BERT and its tokenizer, the model under ComfyUI's memory management."""

    name: str
    tokenizer: Any
    patcher: ModelPatcher
    dim: int


@dataclass(frozen=True)
class GraphEmbeds:
    """Grounding tokens of B scene graphs, and those that stand for "no graph", made by one adapter."""

    tokens: Tensor  # [B, T, D + 5]
    null_tokens: Tensor  # [B, T, D + 5]
    made_by: tuple[str, int]


@dataclass(frozen=True)
class ObjectEmbeds:
    """A scene graph's objects and relations as a layout adapter's graph encoder sees them."""

    graph: SceneGraph
    data: Any  # its PyG batch
    objects: Tensor  # [O, D]
    relations: Tensor  # [R, D]
    made_by: tuple[str, int]


@dataclass(frozen=True)
class LoadedLayout:
    """The layouts of B scene graphs as the ControlNet of one adapter is given them."""

    control: Tensor  # [B, K, h, w]
    made_by: tuple[str, int]
