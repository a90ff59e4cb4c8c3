"""How a variant conditions the UNet on graphs: what sampling needs of each of them, and nothing else."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from diffusers import ControlNetModel
from torch import Tensor

from sg_models.adapters.gsa_adapter import GSAAdapter
from sg_models.adapters.layout_adapter import LayoutAdapter
from sg_models.adapters.phrase_features import EncodeGraphs
from sg_models.adapters.structure_clip import check_triples, graph_knowledge, with_knowledge
from sg_models.adapters.varied_layouts import vary_layouts
from sg_models.graph.caption import caption
from sg_models.graph.scene_graph import SceneGraph
from sg_models.layers.gated_attention import as_padding
from sg_models.layers.knowledge_encoder import KnowledgeEncoder
from train.bases.base_model import BaseModel
from train.conditioning.grounded_unet import token_arguments
from train.conditioning.influence import Influence, while_it_acts
from train.conditioning.phrase_encoders import base_words
from train.conditioning.unet_arguments import UNetArguments, no_arguments

CAPTION_GUIDANCE, GRAPH_GUIDANCE = 4.0, 2.0  # what serves each best: a graph's tokens need far less than captions do
GRAPH_PROMPT = "an image"  # what the paper gives as text wherever the graph speaks for itself


@dataclass(frozen=True)
class Conditions:
    """What B pictures are drawn with.

    `positive` and `negative` [B, 77, D] are encoded prompts. `unet_arguments` is called at every step with both
    halves of the batch, the positive ones first: noisy [2B, 4, h, w], timestep, context [2B, 77, D].
    """

    positive: Tensor
    negative: Tensor
    unet_arguments: UNetArguments = no_arguments


class Conditioner(Protocol):
    """One variant, ready to draw."""

    guidance: float
    """how strong a classifier-free guidance serves it best"""
    uses_boxes: bool
    """whether the boxes of a graph change anything"""

    def __call__(self, graphs: Sequence[SceneGraph]) -> Conditions: ...

    def vary(self, graphs: Sequence[SceneGraph], seeds: Sequence[int]) -> list[SceneGraph]:
        """The graphs with a layout for each by its seed (0: as predicted), where the variant predicts layouts."""
        ...

    def check_fits(self, graph: SceneGraph) -> None:
        """Raises `SceneGraphError` for a graph that is more than this variant can take."""
        ...


class CaptionConditioner:
    """Variant (i): the graph as a caption."""

    guidance, uses_boxes = CAPTION_GUIDANCE, False

    def __init__(self, base: BaseModel) -> None:
        self.base = base

    def __call__(self, graphs: Sequence[SceneGraph]) -> Conditions:
        positive = self.base.encode_prompts([caption(graph) for graph in graphs])
        return Conditions(positive, self.base.encode_prompts([""]).expand(len(graphs), -1, -1))

    def vary(self, graphs: Sequence[SceneGraph], seeds: Sequence[int]) -> list[SceneGraph]:
        """A caption says nothing of places: the noise alone decides."""
        return list(graphs)

    def check_fits(self, graph: SceneGraph) -> None:
        """Whatever CLIP does not read of a long caption is lost, as it is for everyone."""


class StructureClipConditioner:
    """Variant (ii): the graph as a caption, with the knowledge of its triples added to every token.

    For a base whose UNet has the LoRA that was trained on it.
    """

    guidance, uses_boxes = CAPTION_GUIDANCE, False

    def __init__(self, base: BaseModel, encoder: KnowledgeEncoder, weight: float) -> None:
        self.base, self.encoder, self.weight = base, encoder.to(base.device), weight
        self.words = base_words(base, encoder)

    @torch.no_grad()
    def __call__(self, graphs: Sequence[SceneGraph]) -> Conditions:
        negative = self.base.encode_prompts([""]).expand(len(graphs), -1, -1)
        return Conditions(self.context(graphs), negative)

    @torch.no_grad()
    def context(self, graphs: Sequence[SceneGraph]) -> Tensor:
        """The context that the UNet gets for graphs: [B, 77, D]."""
        states = self.base.encode_prompts([caption(graph) for graph in graphs])
        return with_knowledge(states, graph_knowledge(graphs, self.words, self.encoder), self.weight)

    def vary(self, graphs: Sequence[SceneGraph], seeds: Sequence[int]) -> list[SceneGraph]:
        """A caption says nothing of places: the noise alone decides."""
        return list(graphs)

    def check_fits(self, graph: SceneGraph) -> None:
        check_triples(graph, self.encoder.count)


class GSAConditioner:
    """Variants (v) to (vii): grounding tokens, with an adapter that is attached to the base's UNet.

    Without `on_negative` the negative half skips the adapter's layers, instead of getting the tokens for "no graph".
    """

    guidance, uses_boxes = GRAPH_GUIDANCE, True
    influence = Influence()

    def __init__(self, base: BaseModel, adapter: GSAAdapter, encode: EncodeGraphs, on_negative: bool = True) -> None:
        self.base, self.adapter, self.encode, self.on_negative = base, adapter, encode, on_negative

    @torch.no_grad()
    def __call__(self, graphs: Sequence[SceneGraph]) -> Conditions:
        tokens = self.adapter.tokens(graphs, self.encode(graphs))
        prompts = self.base.encode_prompts([GRAPH_PROMPT, ""])[:, None].expand(-1, len(graphs), -1, -1)
        nulls = self.adapter.null_tokens(len(graphs))
        nulls = nulls if self.on_negative else as_padding(nulls)
        halves = both_halves(tokens, nulls, self.influence.strength, skip_padding=not self.on_negative)
        return Conditions(*prompts, while_it_acts(halves, self.influence))

    def vary(self, graphs: Sequence[SceneGraph], seeds: Sequence[int]) -> list[SceneGraph]:
        return vary_layouts(self.adapter, graphs, self.encode(graphs), seeds)

    def check_fits(self, graph: SceneGraph) -> None:
        self.adapter.check_fits(graph)


class LayoutConditioner:
    """Variants (iii) and (iv): a layout through a ControlNet, for the positive half alone.

    ComfyUI's own *Apply ControlNet* gives it to both halves; then guidance has nothing to act on but the prompt.
    """

    guidance, uses_boxes = GRAPH_GUIDANCE, True
    influence = Influence()

    def __init__(
        self, base: BaseModel, adapter: LayoutAdapter, controlnet: ControlNetModel, encode: EncodeGraphs
    ) -> None:
        self.base, self.adapter, self.controlnet, self.encode = base, adapter, controlnet, encode

    @torch.no_grad()
    def __call__(self, graphs: Sequence[SceneGraph]) -> Conditions:
        size = (self.base.unet.config["sample_size"],) * 2
        layout = self.adapter.layouts(graphs, self.encode(graphs), size)
        prompts = self.base.encode_prompts([GRAPH_PROMPT, ""])[:, None].expand(-1, len(graphs), -1, -1)
        residuals = controlnet_arguments(self.controlnet, layout.control, self.influence.strength)
        return Conditions(*prompts, while_it_acts(on_positive(residuals), self.influence))

    def vary(self, graphs: Sequence[SceneGraph], seeds: Sequence[int]) -> list[SceneGraph]:
        return vary_layouts(self.adapter, graphs, self.encode(graphs), seeds)

    def check_fits(self, graph: SceneGraph) -> None:
        self.adapter.check_fits(graph)


def controlnet_arguments(controlnet: ControlNetModel, control: Tensor, strength: float = 1.0) -> UNetArguments:
    """What a ControlNet adds to the UNet for a map [B, K, h, w] at latent size, of any size of latents."""

    def residuals(noisy: Tensor, timestep: Tensor, context: Tensor) -> dict[str, Any]:
        # its hint encoder is a standard one, which expects a map as large as the picture
        hint = F.interpolate(control, size=[8 * n for n in noisy.shape[-2:]], mode="nearest-exact").to(noisy)
        down, middle = controlnet(
            noisy, timestep, context, controlnet_cond=hint, conditioning_scale=strength, return_dict=False
        )
        return {"down_block_additional_residuals": down, "mid_block_additional_residual": middle}

    return residuals


def on_positive(residuals: UNetArguments) -> UNetArguments:
    """What a ControlNet adds, for the positive half of a batch alone."""

    def pad(residual: Tensor) -> Tensor:
        return torch.cat([residual, torch.zeros_like(residual)])

    def halves(noisy: Tensor, timestep: Tensor, context: Tensor) -> dict[str, Any]:
        count = len(noisy) // 2
        added = residuals(noisy[:count], timestep, context[:count])
        down, middle = added["down_block_additional_residuals"], added["mid_block_additional_residual"]
        return {
            "down_block_additional_residuals": [pad(residual) for residual in down],
            "mid_block_additional_residual": pad(middle),
        }

    return halves


def both_halves(
    tokens: Tensor, null_tokens: Tensor, strength: float = 1.0, skip_padding: bool = False
) -> UNetArguments:
    """Grounding tokens [B, T, D + 5] for the positive half, and those of "no graph" for the negative half.

    `skip_padding` as for `Grounding`.
    """
    both = torch.cat([tokens, null_tokens])
    return lambda noisy, timestep, context: token_arguments(both, noisy, strength, skip_padding)
