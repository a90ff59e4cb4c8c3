"""Samples of the learned prior in NumPy: one object after another, in several copies of a graph side by side.

It computes what `PriorNetwork` does. Sampling is hundreds of small steps, each of which takes torch longer to begin
than to reckon.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import reduce
from math import prod

import numpy as np
import torch
from scipy.special import expit, ndtri, softmax
from torch import nn

from ..layers.fourier import fourier_features
from .prior_mixture import LEAST_SIDE, LEAST_STD, to_boxes, to_places
from .prior_network import (
    BOX_FREQUENCIES,
    MOST_LOGIT,
    MOST_STD,
    START,
    USUAL,
    LookBack,
    MixtureHead,
    PairFeatures,
    Pairs,
    PriorBatch,
    PriorNetwork,
)

ROW = 8  # seeds, beginning with a multiple of it, whose layouts differ as much as they can
Function = Callable[[np.ndarray], np.ndarray]
Arrays = tuple[np.ndarray, np.ndarray, np.ndarray]


@dataclass(frozen=True)
class View:
    """What one object sees of the E that are placed before it, in S copies: them [S, E, H], and what is said of the two
    [E, H]."""

    seen: np.ndarray
    said: np.ndarray


class PriorSampler:
    """Samples of one network, whose weights are taken over when this is made."""

    def __init__(self, network: PriorNetwork) -> None:
        self.placed = in_numpy(network.placed)
        self.earlier = [in_numpy(part.earlier) for part in network.pair_features()]
        self.layers = [look_back(layer) for layer in network.layers]  # type: ignore[arg-type]
        self.head = mixture_head(network.head)

    def sample(
        self, batch: PriorBatch, objects: np.ndarray, pairs: Pairs, uniforms: np.ndarray, temperature: float
    ) -> tuple[np.ndarray, np.ndarray]:
        """Boxes of S copies, and the standard deviations of what they were drawn from: both [S, O, 4].

        `batch` is of one graph; `objects` [O, D] and `pairs` are what the network says of it; `uniforms` [S, O, 5] are
        numbers in (0, 1), by which each object's box is drawn. Boxes of rank 0 stay.
        A `temperature` below 1 prefers likely components of the mixtures, and stays nearer to their means.
        """
        boxes = np.repeat(batch.boxes.numpy()[None], len(uniforms), axis=0)
        places, spread = _places(boxes), np.full_like(boxes, LEAST_STD)
        seen = self._seen(objects, boxes)
        said, earlier, rank = [part.numpy() for part in pairs.said], pairs.earlier.numpy(), batch.rank.numpy()
        first = np.searchsorted(pairs.later.numpy(), np.arange(len(objects) + 1))  # pairs are in order of the later
        for now in np.argsort(rank, kind="stable")[(rank == 0).sum() :]:
            own = slice(first[now], first[now + 1])
            views = [View(part[:, earlier[own]], words[own]) for part, words in zip(seen, said, strict=True)]
            features = np.repeat(objects[now][None], len(uniforms), axis=0)  # [S, D]
            for layer, view in zip(self.layers, views, strict=False):
                features = layer(features, view)
            mixture = self.head(features, views[-1], places[:, earlier[own]])
            places[:, now], spread[:, now] = draw(*mixture, uniforms[:, now], temperature)
            boxes[:, now] = to_boxes(torch.from_numpy(places[:, now]), LEAST_SIDE).numpy()
            places[:, now] = _places(boxes[:, now])
            for part, new in zip(seen, self._seen(objects[now], boxes[:, now]), strict=True):
                part[:, now] = new
        return boxes, spread

    def _seen(self, objects: np.ndarray, boxes: np.ndarray) -> list[np.ndarray]:
        """`PriorNetwork.place` of objects [..., D] with boxes [S, ..., 4]: [S, ..., H] for each layer and the head."""
        objects = np.broadcast_to(objects, (*boxes.shape[:-1], objects.shape[-1]))
        boxes_in = fourier_features(torch.from_numpy(boxes), BOX_FREQUENCIES).numpy()
        placed = objects + self.placed(np.concatenate([objects, boxes_in, _places(boxes)], axis=-1))
        return [earlier(placed) for earlier in self.earlier]


def draw(
    logits: np.ndarray, means: np.ndarray, stds: np.ndarray, uniforms: np.ndarray, temperature: float
) -> tuple[np.ndarray, np.ndarray]:
    """One place and its standard deviations [S, 4] from each of S mixtures of C components: [S, C], twice [S, C, 4].

    `uniforms` [S, 5] choose: the component, in order of centre x, and how far from its mean each number is.
    """
    rows = np.arange(len(logits))
    order = means[..., 0].argsort(axis=1)
    summed = softmax(logits / max(temperature, 1e-6), axis=1)[rows[:, None], order].cumsum(axis=1)
    chosen = order[rows, (summed[:, :-1] < uniforms[:, :1]).sum(axis=1)]
    spread = stds[rows, chosen]
    return means[rows, chosen] + temperature * spread * ndtri(uniforms[:, 1:]), spread


def latin_hypercube(seed: int, shape: Sequence[int]) -> np.ndarray:
    """Uniform numbers for a seed, in (0, 1). Those of `ROW` seeds, from a multiple of it on, are a Latin hypercube.

    In every dimension each of them is in another part of (0, 1), so that as few layouts differ as much as they can,
    while each by itself is as likely as ever (McKay et al. 1979).
    """
    row, place = divmod(seed, ROW)
    parts = np.tile(np.arange(ROW), (prod(shape), 1))
    part = np.random.default_rng((row, 2)).permuted(parts, axis=1)[:, place].reshape(shape)
    return np.clip((part + np.random.default_rng((seed, 3)).random(shape)) / ROW, 1e-6, 1 - 1e-6)


def look_back(layer: LookBack) -> Callable[[np.ndarray, View], np.ndarray]:
    """`LookBack` of one object [S, D] → [S, D]."""
    pair, logits, out, own = pair_features(layer.pair), *map(in_numpy, (layer.logits, layer.out, layer.own))

    def look(objects: np.ndarray, view: View) -> np.ndarray:
        features = pair(objects, view)  # [S, E, H]
        weights = np.exp(np.minimum(logits(features), MOST_LOGIT))  # [S, E, heads]
        shares = weights / (1 + weights.sum(axis=1, keepdims=True))
        of_heads = features.reshape(*weights.shape, features.shape[-1] // weights.shape[-1])
        objects = objects + out(np.einsum("seh,sehd->shd", shares, of_heads).reshape(len(objects), -1))
        return objects + own(objects)

    return look


def mixture_head(head: MixtureHead) -> Callable[[np.ndarray, View, np.ndarray], Arrays]:
    """`MixtureHead` of one object [S, D] with the places [S, E, 4] of those before it: logits, means, deviations."""
    free, pair, anchored = in_numpy(head.free), pair_features(head.pair), in_numpy(head.anchored)

    def mixtures(objects: np.ndarray, view: View, anchors: np.ndarray) -> Arrays:
        alone = free(objects).reshape(len(objects), head.components, 9)
        apart = anchored(pair(objects, view)).reshape(len(objects), anchors.shape[1] * head.per_anchor, 9)
        anchors = anchors.repeat(head.per_anchor, axis=1)
        scale = np.concatenate(
            [np.exp(anchors[..., 2:]), np.ones_like(anchors[..., 2:])], axis=-1
        )  # offsets in its sides
        means = [np.array(USUAL, np.float32) + alone[..., 1:5], anchors + scale * apart[..., 1:5]]
        rows, means = np.concatenate([alone, apart], axis=1), np.concatenate(means, axis=1)  # [S, C, 9], [S, C, 4]
        return rows[..., 0], means, LEAST_STD + (MOST_STD - LEAST_STD) * expit(rows[..., 5:] - START)

    return mixtures


def pair_features(part: PairFeatures) -> Callable[[np.ndarray, View], np.ndarray]:
    """`PairFeatures` of one object [S, D] and those that it sees: [S, E, H]."""
    norm, later = in_numpy(part.norm), in_numpy(part.later)
    return lambda objects, view: _silu(later(norm(objects))[:, None] + view.seen + view.said)


def in_numpy(layer: nn.Module) -> Function:
    """What a layer computes of the last dimension, in evaluation."""
    if isinstance(layer, nn.Sequential):
        parts = [in_numpy(part) for part in layer]
        return lambda x: reduce(lambda value, part: part(value), parts, x)
    if isinstance(layer, nn.SiLU):
        return _silu
    if isinstance(layer, nn.Dropout):
        return lambda x: x
    if isinstance(layer, nn.LayerNorm):
        scale, shift, eps = as_array(layer.weight), as_array(layer.bias), layer.eps
        return lambda x: _normalised(x, eps) * scale + shift
    if not isinstance(layer, nn.Linear):
        raise TypeError(f"no {type(layer).__name__} in NumPy")
    columns = np.ascontiguousarray(as_array(layer.weight).T)
    bias = 0.0 if layer.bias is None else as_array(layer.bias)
    return lambda x: x @ columns + bias


def as_array(weights: torch.Tensor) -> np.ndarray:
    return weights.detach().cpu().numpy()


def _normalised(x: np.ndarray, eps: float) -> np.ndarray:
    share = np.full((x.shape[-1], 1), 1 / x.shape[-1], x.dtype)  # a product with it is a mean, in a third of the time
    x = x - x @ share
    return x / np.sqrt((x * x) @ share + eps)


def _silu(x: np.ndarray) -> np.ndarray:
    return x * expit(x)


def _places(boxes: np.ndarray) -> np.ndarray:
    return to_places(torch.from_numpy(boxes)).numpy()
