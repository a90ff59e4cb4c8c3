"""Which words act where: what a place of a picture reads of its caption is to be of the object that is there.

Wang et al. 2024, "TokenCompose" (arXiv 2312.03626), supervise cross-attention by where the object of each word is. Here
each place chooses between the objects, by a cross-entropy: words of none, which a caption needs, stay free, and where
noise hides what a place belongs to, the best answer is how likely each object is.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor


def grounding_loss(maps: Sequence[Tensor], words: Tensor, boxes: Tensor, graph_of: Tensor) -> Tensor:
    """The mean over maps [B, N, L] of cross-attention, of objects whose words are known.

    words [B, L] has the object of each token, a number in [0, O), or -1; boxes [O, 4], graph_of [O] in [0, B). Each
    object counts as much as another, however many places it has. 0 where there is nothing to be told apart.
    """
    found = [_of_map(shares, words, boxes, graph_of) for shares in maps]
    return torch.stack(found).mean()


def _of_map(shares: Tensor, words: Tensor, boxes: Tensor, graph_of: Tensor) -> Tensor:
    owners = place_owners(boxes, graph_of, len(shares), int(shares.shape[1] ** 0.5)).flatten(1)  # [B, N]
    named = torch.zeros(len(boxes) + 1, dtype=torch.bool, device=boxes.device)
    named[words[words >= 0]] = True  # the last one, which -1 means, is never named
    pictures, places = (named[owners]).nonzero(as_tuple=True)  # [P]
    if not len(pictures):
        return 0.0 * shares.sum()
    of_object = F.one_hot(words + 1, len(boxes) + 1)[..., 1:].float()  # [B, L, O]
    read = (shares.float() @ of_object)[pictures, places]  # [P, O]
    own = owners[pictures, places]
    surprise = read.sum(dim=1).clamp(min=1e-6).log() - read.gather(1, own[:, None])[:, 0].clamp(min=1e-6).log()
    weight = 1 / torch.bincount(own, minlength=len(boxes))[own]
    return (weight * surprise).sum() / weight.sum()


def place_owners(boxes: Tensor, graph_of: Tensor, count: int, side: int) -> Tensor:
    """Which object each place of `side` × `side` belongs to: [count, side, side], -1 for none.

    That is the smallest whose box covers the place's centre: what is inside another is in front of it.
    """
    centres = (torch.arange(side, device=boxes.device) + 0.5) / side
    owners = torch.full((count, side, side), -1, device=boxes.device)
    areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    for k in areas.argsort(descending=True).tolist():
        x0, y0, x1, y1 = boxes[k]
        rows, columns = (centres > y0) & (centres < y1), (centres > x0) & (centres < x1)
        owners[graph_of[k]][rows[:, None] & columns] = k
    return owners
