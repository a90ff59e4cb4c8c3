"""Variants (v) to (vii): gated self-attention on grounding tokens, and a box predictor beside it.

The UNet learns with the true boxes, as sg2im's generator does (Johnson et al. 2018, section 3); predicting boxes is
learned from the boxes themselves. The gates |tanh α| start half open, before layers that give nothing yet; one that
closes says that its block has no use for the graph.
"""

from dataclasses import asdict, dataclass
from typing import Any

import torch
from diffusers import UNet2DConditionModel
from torch import Tensor, nn
from tqdm import tqdm

from sg_models.adapters.gsa_adapter import GSAAdapter
from sg_models.adapters.phrase_features import EncodeGraphs
from sg_models.layers.gated_attention import TOKEN_EXTRAS
from sg_models.layers.graph_batch import GraphBatch
from train.bases.base_model import BaseModel
from train.bases.dry_run import Plan
from train.bases.empty_base import EmptyBase
from train.conditioning.conditioners import GRAPH_PROMPT, GSAConditioner
from train.conditioning.grounded_unet import attach, block_sizes, token_arguments
from train.data.graph_samples import GraphSamples, SampleBatch
from train.losses.layout_losses import box_figures, box_loss
from train.objectives.graph_objective import GraphObjective

GATE_SPEED = 10  # gates learn this much faster than the rest
OPEN_GATE = 0.5  # α at the start of training
LAYOUT_WEIGHT = 0.2
LEAST_TOKENS = 24


@dataclass
class GSASizes:
    """Options of an adapter's sizes."""

    graph_dim: int = 128
    graph_hidden: int = 256
    graph_layers: int = 4
    box_layers: int = 3
    token_hidden: int = 256
    tokens: int | None = None
    """grounding tokens per graph, objects and relations together; as the largest one needs if left out, 24 at least"""
    position_frequencies: int = 8
    """Fourier frequencies of the visual positions; 0 is GLIGEN's own layer"""


class GSADenoiser(nn.Module):
    """The frozen UNet with an adapter in it, which is trained."""

    def __init__(self, base: BaseModel, adapter: GSAAdapter) -> None:
        super().__init__()
        attach(base.unet, adapter)
        self.adapter = adapter
        self._base = (base,)  # in a tuple, where nn.Module does not look

    def forward(
        self, noisy: Tensor, timesteps: Tensor, context: Tensor, graphs: GraphBatch, is_null: Tensor
    ) -> tuple[Tensor, Tensor]:
        """noisy [B, 4, H, W], context [B, 77, D], is_null [B] → the UNet's prediction, and boxes [O, 4]."""
        objects, relations = self.adapter.graph_encoder(graphs.x, graphs.edge_attr, graphs.edge_index)
        tokens = self.adapter.grounding(objects, relations, graphs.truth.boxes, graphs)
        tokens = torch.where(is_null[:, None, None], self.adapter.null_tokens(len(noisy)).to(tokens), tokens)
        predicted = self._base[0].predict(noisy, timesteps, context, **token_arguments(tokens, noisy))
        return predicted, self.adapter.box_predictor(objects, relations, graphs)


class GSAObjective(GraphObjective):
    """Denoising with grounding tokens, and beside it boxes."""

    other_weight = LAYOUT_WEIGHT

    def __init__(self, base: BaseModel, validation: GraphSamples, encode: EncodeGraphs, **settings: float) -> None:
        super().__init__(base, validation, **settings)
        self.encode, self.prompt = encode, base.encode_prompts([GRAPH_PROMPT])

    def predict(
        self, model: GSADenoiser, noisy: Tensor, timesteps: Tensor, batch: SampleBatch
    ) -> tuple[Tensor, Tensor]:
        context = self.prompt.expand(len(noisy), -1, -1)
        predicted, boxes = model(noisy, timesteps, context, batch.encoded, batch.is_null)
        return predicted, box_loss(boxes, batch.encoded)

    def conditioner(self, model: GSADenoiser) -> GSAConditioner:
        return GSAConditioner(self.base, model.adapter, self.encode)

    def other_figures(self, model: GSADenoiser) -> dict[str, float]:
        """Of boxes predicted for graphs without any, if the adapter learns to, and the gates."""
        gates = model.adapter.gated_attention.gates()
        tqdm.write("|tanh α| " + ", ".join(f"{address} {gate:.3f}" for address, gate in gates.items()))
        figures = {"gate": max(gates.values())}
        if not model.adapter.places_objects:
            return figures
        bare = self.validation.without_boxes().to(self.base.device)
        return box_figures(model.adapter.predict_boxes(bare), bare) | figures


def open_gates(adapter: GSAAdapter) -> None:
    """Opens the gates, and sets to zero what they let through: the base still draws as it did.

    Behind a closed gate nothing learns, and a gate in front of random weights hardly knows which way to open.
    """
    for address in adapter.gated_attention.addresses:
        layer = adapter.gated_attention.block(address)
        for gate, out in ((layer.alpha_attn, layer.attn.to_out[0]), (layer.alpha_dense, layer.ff.net[2])):
            nn.init.constant_(gate, OPEN_GATE)
            nn.init.zeros_(out.weight)
            nn.init.zeros_(out.bias)


def parameter_groups(model: GSADenoiser, learning_rate: float) -> list[dict[str, Any]]:
    """The gates apart from the rest."""
    gates = [p for name, p in model.named_parameters() if ".alpha_" in name]
    rest = [p for name, p in model.named_parameters() if ".alpha_" not in name]
    return [{"params": rest}, {"params": gates, "lr": GATE_SPEED * learning_rate, "weight_decay": 0.0}]


def adapter_sizes(sizes: GSASizes, unet: UNet2DConditionModel, phrase_dim: int) -> dict[str, Any]:
    """An adapter's `config` (see `GSAAdapter`) for a base's UNet and a phrase encoder."""
    chosen = {name: getattr(sizes, name) for name in asdict(GSASizes())}
    return chosen | {
        "tokens": sizes.tokens or LEAST_TOKENS,
        "phrase_dim": phrase_dim,
        "token_dim": unet.config["cross_attention_dim"],
        "blocks": block_sizes(unet),
    }


def make_plan(sizes: GSASizes, base: EmptyBase) -> Plan:
    """For `--dry-run`."""
    adapter = GSAAdapter(adapter_sizes(sizes, base.unet, base.context_dim))
    attach(base.unet, adapter)

    def forward(count: int) -> Tensor:
        noisy, timesteps, context = base.inputs(count)
        tokens = torch.empty(count, sizes.tokens or LEAST_TOKENS, base.context_dim + TOKEN_EXTRAS)
        return base.predict(noisy, timesteps, context, **token_arguments(tokens, noisy))

    return Plan(adapter, forward)
