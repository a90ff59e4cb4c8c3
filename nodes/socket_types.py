"""The types of this pack's own sockets and the values that travel through them."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from comfy.model_patcher import ModelPatcher
from comfy_api.latest import io
from torch import Tensor

from ..sg_models.graph.scene_graph import SceneGraph
from ..sg_models.layers.graph_batch import GraphBatch
from .file_identity import FileIdentity

if TYPE_CHECKING:  # torchvision takes long to import, which ComfyUI's start must not pay
    from ..sg_models.verification.detection import Detector
    from ..sg_models.verification.report import Report

CATEGORY = "scene graph"

SceneGraphSocket = io.Custom("SCENE_GRAPH")
AdapterSocket = io.Custom("SG_ADAPTER")
EmbedsSocket = io.Custom("SG_EMBEDS")
BertSocket = io.Custom("SG_BERT")
LayoutSocket = io.Custom("SG_LAYOUT")
DetectorSocket = io.Custom("SG_DETECTOR")
VerificationSocket = io.Custom("SG_VERIFICATION")


@dataclass(frozen=True)
class LoadedDetector:
    """A detector; `patcher` has its model under ComfyUI's memory management, None where it is no torch model."""

    name: str
    detector: "Detector"
    patcher: ModelPatcher | None


@dataclass(frozen=True)
class Verification:
    """How the pictures of a batch obey their graphs."""

    reports: "tuple[Report, ...]"


@dataclass(frozen=True)
class LoadedBert:
    """A BERT and its tokenizer, the model under ComfyUI's memory management."""

    name: str
    tokenizer: Any
    patcher: ModelPatcher
    dim: int


@dataclass(frozen=True)
class EncodedGraph:
    """A scene graph as the graph encoder of an adapter sees it."""

    graph: SceneGraph
    batch: GraphBatch  # of this one graph, with its phrase vectors
    objects: Tensor  # [O, D]
    relations: Tensor  # [R, D]

    def to(self, device: torch.device) -> "EncodedGraph":
        """The same on a device."""
        return EncodedGraph(self.graph, self.batch.to(device), self.objects.to(device), self.relations.to(device))


@dataclass(frozen=True)
class EncodedGraphs:
    """Some scene graphs, one for each picture of a batch, encoded by one adapter."""

    graphs: tuple[EncodedGraph, ...]
    made_by: FileIdentity


@dataclass(frozen=True)
class LoadedLayout:
    """The layouts of G scene graphs, one for each picture of a batch, as one adapter made them."""

    graphs: tuple[EncodedGraph, ...]
    control: Tensor  # [G, K, h, w], what the adapter's ControlNet is given, at the size that was asked for
    made_by: FileIdentity
