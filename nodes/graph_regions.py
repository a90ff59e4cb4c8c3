"""Where the objects of graphs belong in the picture, and what CLIP says of them: what regional prompts are made of."""

from collections.abc import Sequence
from dataclasses import dataclass

import comfy.sd
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from ..sg_models.graph.caption import with_article
from ..sg_models.graph.scene_graph import SceneGraph
from ..sg_models.layers.regional_attention import region_weights
from .phrase_vectors import literal_states
from .regions import is_region

MASK_SIDE = 128  # cells: a latent of 1024 pixels has as many
NOWHERE = (0.0, 0.0, 0.0, 0.0)
NO_PLACES = (
    "Regional Prompt got a graph in which no object has a box. Connect Arrange Scene Graph in between, which gives "
    "each object one; or write boxes into the graph: dog @ 0.1 0.4 0.6 0.9."
)
EMPTY_MASKS = "Regional Prompt got masks of which all are empty. Connect masks that show where the objects belong."
NO_BOX = (
    "{phrase} has no box, so that only the prompt speaks of it. Arrange Scene Graph gives one to every object that has "
    "none."
)
EMPTY_MASK = "The mask of {phrase} is empty, so that only the prompt speaks of it."
COVERED = "Smaller regions cover all of {phrase}, so that its own phrase is read nowhere."
MASK_COUNT = (
    "Regional Prompt got {got} masks for {wanted} objects. It takes one for each, in the graph's order; of several "
    "graphs all masks of the first, then those of the next."
)


@dataclass(frozen=True)
class GraphRegions:
    """The regions of G graphs, R at most.

    `contexts` [G, R, 77, D] are the phrases, `places` boxes [G, R, 4] or masks [G, R, H, W], empty where a graph has
    fewer regions. `phrases` and `extents` [P, 2] (width and height, parts of the picture) are of all regions.
    """

    contexts: Tensor
    places: Tensor
    phrases: list[str]
    extents: Tensor
    warnings: list[str]


def graph_regions(graphs: Sequence[SceneGraph], clip: comfy.sd.CLIP, masks: list[Tensor] | None) -> GraphRegions:
    """The regions of the objects that have a box, or a mask where masks [·, H, W] are given for all objects.

    Raises `ValueError` in words for a graph without any, and for masks that are not as many as objects.
    """
    counts = [len(graph.objects) for graph in graphs]
    if masks is None:
        places = torch.tensor([thing.box or NOWHERE for graph in graphs for thing in graph.objects])
        none, empty = NO_PLACES, NO_BOX
    else:
        places, none, empty = small_masks(masks, sum(counts)), EMPTY_MASKS, EMPTY_MASK
    parts = zip(graphs, places.split(counts), strict=True)
    phrases, where, warnings = zip(*(placed_objects(graph, part, none, empty) for graph, part in parts), strict=True)
    every_phrase = [phrase for group in phrases for phrase in group]
    states = literal_states(clip, [with_article(phrase) for phrase in every_phrase])  # [P, 77, D]
    return GraphRegions(
        pad_sequence(states.split([len(group) for group in phrases]), batch_first=True),
        pad_sequence(where, batch_first=True),
        every_phrase,
        extents(torch.cat(where)),
        [warning for group in warnings for warning in group],
    )


def placed_objects(graph: SceneGraph, places: Tensor, none: str, empty: str) -> tuple[list[str], Tensor, list[str]]:
    """Phrases and places of the objects of a graph that have one, and what is to be said of the others.

    `places` are a box or a mask for each object; `none` is said, in a `ValueError`, if all are empty, `empty` of one.
    """
    has_place = is_region(places[None])[0].tolist()
    if not any(has_place):
        raise ValueError(none)
    phrases = [thing.phrase for thing, has in zip(graph.objects, has_place, strict=True) if has]
    warnings = [empty.format(phrase=t.phrase) for t, has in zip(graph.objects, has_place, strict=True) if not has]
    where = places[has_place]
    shown = region_weights(where[None], (MASK_SIDE, MASK_SIDE))[0, 1:].amax(dim=1) > 0
    warnings += [
        COVERED.format(phrase=phrase) for phrase, seen in zip(phrases, shown.tolist(), strict=True) if not seen
    ]
    return phrases, where, warnings


def small_masks(masks: list[Tensor], wanted: int) -> Tensor:
    """Masks [·, H, W] of whole pictures of any size as [O, 128, 128]: hardly a map of a UNet is finer."""
    masks = [part.reshape(-1, *part.shape[-2:]) for part in masks]  # some nodes leave out the batch of one
    got = sum(len(part) for part in masks)
    if got != wanted:
        raise ValueError(MASK_COUNT.format(got=got, wanted=wanted))
    size = (MASK_SIDE, MASK_SIDE)
    return torch.cat([F.interpolate(part[:, None].float(), size, mode="area")[:, 0] for part in masks])


def extents(places: Tensor) -> Tensor:
    """Width and height of boxes [P, 4] or of what masks [P, H, W] hold, as parts of the picture: [P, 2]."""
    if places.ndim == 2:
        return places[:, 2:] - places[:, :2]
    held = places > 0.5
    return torch.stack([held.any(dim=along).float().mean(dim=1) for along in (1, 2)], dim=1)
