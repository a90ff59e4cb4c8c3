"""Graph conditioning's second stage: the UNet learns to read a graph's vector among the labels of its objects.

"Image Synthesis with Graph Conditioning" (arXiv 2401.14111): λ · reconstruction + (1 - λ) · (β · alignment + (1 - β) ·
MMD), so that the graph's vector stays where the first stage put it while the UNet learns what to draw of it. The last
term is not the paper's: where boxes are known, each place of a picture is taught which object's words to read.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from sg_models.adapters.graph_conditioning import GraphConditioning
from sg_models.adapters.phrase_features import EncodeGraphs
from sg_models.graph.caption import labels
from sg_models.layers.graph_batch import GraphBatch
from sg_models.layers.graph_signal import FUSE, EncodedGraphs, put_in
from train.bases.attention_maps import AttentionMaps
from train.bases.base_model import BaseModel, predict
from train.bases.clip_tokenizer import phrase_owners
from train.bases.dry_run import Plan
from train.bases.empty_base import EmptyBase
from train.conditioning.graph_conditioner import GraphConditioningConditioner
from train.conditioning.trained_unet import FULL, Trained, make_trainable
from train.data.pictured_samples import PicturedBatch, PicturedSamples
from train.losses.alignment_losses import ALIGNMENT, MMD, weighted
from train.losses.denoising import MAX_WEIGHT
from train.losses.word_grounding import grounding_loss
from train.objectives.graph_alignment import Alignment, alignment_figures, encoder_sizes
from train.objectives.graph_objective import GraphObjective

EMPTY_RATE = 0.10
GROUNDING = "grounding"  # a term of the loss
OBJECTS = 8  # of a graph, for what a dry run prints
WHOLE_UNET_SPEED = 0.01  # what draws already learns this much slower than what is new


class GraphConditioningDenoiser(nn.Module):
    """The UNet with what of it is trained, the adapter, and what keeps its vectors aligned."""

    def __init__(
        self, base: BaseModel | EmptyBase, adapter: GraphConditioning, alignment: Alignment, trained: Trained, rank: int
    ) -> None:
        super().__init__()
        make_trainable(base.unet, trained, rank)
        self.unet, self.adapter, self.alignment, self.trained = base.unet, adapter, alignment, trained
        self.maps: AttentionMaps | None = None

    def keep_maps(self) -> None:
        """From now on, a forward pass with gradients has what the UNet reads."""
        self.maps = AttentionMaps(self.unet)

    def forward(
        self,
        noisy: Tensor,
        timesteps: Tensor,
        text: tuple[Tensor, Tensor],
        graphs: GraphBatch,
        is_null: Tensor,
        pictures: Tensor,
    ) -> tuple[Tensor, dict[str, Tensor], list[Tensor]]:
        """noisy [B, 4, H, W], states [B, 77, D] and ends [B] of texts, is_null [B] and features of pictures [B, J].

        Returns the UNet's prediction, the terms of `Alignment`, and the maps of `keep_maps`. A graph that is left out
        is aligned all the same.
        """
        encoded = self.adapter.encode(graphs)
        context = self.adapter.signal(*text, encoded, is_null)
        if self.maps is not None:
            self.maps.found.clear()
        predicted = predict(self.unet, noisy, timesteps, context)
        return predicted, self.alignment(encoded.vectors, pictures), list(self.maps.found) if self.maps else []


class GraphConditioningObjective(GraphObjective):
    """Denoising with the graph conditioning signal, and beside it the alignment; λ is `reconstruction_weight`.

    `grounding_weight` is that of what each place reads, where the model keeps it.
    """

    max_weight = MAX_WEIGHT

    def __init__(
        self,
        base: BaseModel,
        validation: PicturedSamples,
        encode: EncodeGraphs,
        *,
        reconstruction_weight: float,
        alignment_weight: float,
        grounding_weight: float = 0.0,
        **settings: float,
    ) -> None:
        super().__init__(base, validation, **settings)  # type: ignore[arg-type]
        self.encode = encode
        self.reconstruction_weight, self.alignment_weight = reconstruction_weight, alignment_weight
        self.grounding_weight = grounding_weight

    def predict(
        self, model: GraphConditioningDenoiser, noisy: Tensor, timesteps: Tensor, batch: PicturedBatch
    ) -> tuple[Tensor, dict[str, Tensor]]:
        nulls = batch.is_null.tolist()
        texts = ["" if null else labels(graph) for graph, null in zip(batch.graphs, nulls, strict=True)]
        text = self.base.encode_with_ends(texts)
        predicted, terms, maps = model(noisy, timesteps, text, batch.encoded, batch.is_null, batch.features)
        if maps:
            words = self._words(texts, batch).to(text[0].device)
            owners = context_owners(words, text[1], model.adapter.config["mode"])
            terms[GROUNDING] = grounding_loss(maps, owners, batch.encoded.truth.boxes, batch.encoded.batch)
        return predicted, terms

    def _words(self, texts: Sequence[str], batch: PicturedBatch) -> Tensor:
        """Which of the batch's objects each token of the texts is of: [B, 77]."""
        first = torch.searchsorted(batch.encoded.batch.cpu(), torch.arange(len(texts))).tolist()
        named = [
            [(start + k, thing.phrase) for k, thing in enumerate(graph.objects)] if text else []
            for start, graph, text in zip(first, batch.graphs, texts, strict=True)
        ]
        return phrase_owners(self.base.tokenizer, texts, named)

    def together(self, denoising: Tensor, other: dict[str, Tensor]) -> tuple[Tensor, dict[str, float]]:
        """λ · reconstruction + (1 - λ) · alignment of graphs + the grounding's own, and each term by itself."""
        value = self.reconstruction_weight * denoising
        if other.keys() & {ALIGNMENT, MMD}:
            value = value + (1 - self.reconstruction_weight) * weighted(other, self.alignment_weight)
        if GROUNDING in other:
            value = value + self.grounding_weight * other[GROUNDING]
        return value, {"reconstruction": denoising.item()} | {name: term.item() for name, term in other.items()}

    def conditioner(self, model: GraphConditioningDenoiser) -> GraphConditioningConditioner:
        return GraphConditioningConditioner(self.base, model.adapter, self.encode)

    def other_figures(self, model: GraphConditioningDenoiser) -> dict[str, float]:
        """How the validation graphs' vectors lie to their pictures."""
        return alignment_figures(model.adapter, self.validation.whole())


def context_owners(words: Tensor, ends: Tensor, mode: str) -> Tensor:
    """Which object each place of a context is of [B, L], from that of each token [B, L] of texts with ends [B].

    The G behind a word is of that word's object where it is made of both, else of none.
    """
    behind = words if mode == FUSE else torch.full_like(words, -1)
    return put_in(words[..., None], ends, behind[..., None], mode)[..., 0]


def adapter_sizes(sizes: Any, phrase_dim: int, joint_dim: int, context_dim: int) -> dict[str, Any]:
    """An adapter's `config` (see `GraphConditioning`) for a phrase encoder, a picture tower and a base."""
    signal = {"context_dim": context_dim, "mode": sizes.mode, "unet": sizes.unet}
    return encoder_sizes(sizes, phrase_dim, joint_dim) | signal


def parameter_groups(model: GraphConditioningDenoiser, learning_rate: float) -> list[dict[str, Any]]:
    """What is new, a LoRA among it, and a whole UNet apart from it."""
    of_unet = [p for p in model.unet.parameters() if p.requires_grad]
    speed = WHOLE_UNET_SPEED if model.trained == FULL else 1.0
    return [{"params": list(model.adapter.parameters())}, {"params": of_unet, "lr": speed * learning_rate}]


def make_plan(sizes: Any, base: EmptyBase) -> Plan:
    """For `--dry-run`; the picture tower's features are taken to be as wide as the context.

    Where the graph stands among the text does not matter here: it has one place. What the grounding reads is counted,
    but for its own sums over it.
    """
    adapter = GraphConditioning(adapter_sizes(sizes, base.context_dim, base.context_dim, base.context_dim))
    alignment = Alignment(base.context_dim, sizes.queue, pairs=sizes.gca, discrepancy=sizes.mmd)
    model = GraphConditioningDenoiser(base, adapter, alignment, sizes.unet, sizes.rank)
    if sizes.grounding_weight:
        model.keep_maps()

    def forward(count: int) -> Tensor:
        noisy, timesteps, states = base.inputs(count)
        objects = torch.empty(count, OBJECTS, sizes.graph_dim)
        graphs = EncodedGraphs(torch.empty(count, base.context_dim), objects, torch.ones(objects.shape[:2]).bool())
        words = adapter.signal.words(states, graphs)  # [B, 77, D]
        return base.predict(noisy, timesteps, torch.cat([states[:, 1:], words[:, :1]], dim=1))

    return Plan(model, forward)
