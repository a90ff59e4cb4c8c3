"""Semantic Diffusion Guidance: by language, by the content of a picture, by its style (Liu et al. 2023)."""

import torch
import torch.nn.functional as F
from einops import einsum
from torch import Tensor

from .eyes import Eye, Sight
from .guidance import Objective
from .scales import CONTENT, SPATIAL, STYLE
from .view import View
from .windows import WHOLE

LIKENESSES = (CONTENT, SPATIAL, STYLE)
Seen = list[Tensor]  # what likeness is measured by, of B pictures: [B, …] each


def language(text: Tensor) -> Objective:
    """How near each picture is to a text [D], or to its own of [B, D]: the cosine."""
    text = F.normalize(text.float(), dim=-1)

    def objective(sight: Sight, view: View) -> Tensor:
        wanted = text.clone().to(view.noisy.device)  # a host may have made it in inference mode
        return (embed_whole(sight, len(view.noisy)) * wanted).sum(dim=-1)

    return objective


def likeness(kind: str, eye: Eye, picture: Tensor, seed: int = 0) -> Objective:
    """How like another picture each picture is, in one of three ways.

    `content`: the cosine of what is seen of both; `spatial`: minus the mean squared difference of the last map, place
    by place; `style`: minus that of the Gram matrices of all maps, wherever things are. `picture` [1, C, h, w] are
    clean latents, or those of several pictures, which take turns; an eye for noise sees them with noise of a `seed` of
    its own.
    """
    feature, compare = {
        CONTENT: (_content_of, _cosine),
        SPATIAL: (_space_of, _space_likeness),
        STYLE: (_style_of, _style_likeness),
    }[kind]
    kept: dict[tuple[int, torch.device], Seen] = {}  # of an eye that sees the same in every step

    def seen_of_picture(count: int, view: View) -> Seen:
        place = (count, view.noisy.device)
        if place in kept:
            return kept[place]
        clean = picture.to(view.noisy)[torch.arange(count) % len(picture)]
        one = torch.randn(clean.shape[1:], generator=torch.Generator().manual_seed(seed))
        noise = one.to(clean).expand_as(clean)  # the same for every picture, whatever batch it is in
        with torch.no_grad():
            seen = feature(eye.look(eye.reference(clean, noise, view), _at(view, count)), count)
        if eye.steady:
            kept[place] = seen
        return seen

    def objective(sight: Sight, view: View) -> Tensor:
        count = len(view.noisy)
        return compare(feature(sight, count), seen_of_picture(count if len(picture) > 1 else 1, view))

    return objective


def _at(view: View, count: int) -> View:
    """The same step for a reference of `count` pictures."""
    return View(view.noisy[:count], view.clean[:count], view.timesteps[:count], view.alpha)


def embed_whole(sight: Sight, count: int) -> Tensor:
    """Whole pictures as vectors [B, D] of unit length."""
    return sight.embed(torch.tensor([WHOLE] * count), torch.arange(count))


def _content_of(sight: Sight, count: int) -> Seen:
    return [embed_whole(sight, count)]


def _cosine(ours: Seen, theirs: Seen) -> Tensor:
    return (ours[0] * theirs[0]).sum(dim=-1)


def _space_of(sight: Sight, count: int) -> Seen:
    return [sight.maps[-1]]


def _space_likeness(ours: Seen, theirs: Seen) -> Tensor:
    resized = F.interpolate(theirs[0], size=ours[0].shape[-2:], mode="bilinear")
    return -(ours[0] - resized).square().mean(dim=(1, 2, 3))


def _style_of(sight: Sight, count: int) -> Seen:
    return [gram(maps) for maps in sight.maps]


def _style_likeness(ours: Seen, theirs: Seen) -> Tensor:
    pairs = zip(ours, theirs, strict=True)
    return torch.stack([-(one - other).square().sum(dim=(1, 2)) for one, other in pairs]).sum(dim=0)


def gram(maps: Tensor) -> Tensor:
    """Gram matrices [B, C, C] of maps [B, C, h, w], of each picture by itself, over places and channels.

    Gatys et al. 2016, section 2.2; divided by C h w, so that maps of any size count alike.
    """
    flat = maps.flatten(2)
    return einsum(flat, flat, "b c n, b d n -> b c d") / flat[0].numel()
