"""What guidance does to pictures of Shapes: whether they show what they were guided towards, and whether they differ.

The axes are those of the paper's own table (Liu et al. 2023): a Fréchet distance to true pictures, LPIPS between the
pictures of one guidance, and how often a picture finds what guided it among others. The networks behind them are not
those that guide, which would mark their own work: a picture tower of SG-Mini that was trained from another seed.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor

from sg_models.bases import sg_mini
from sg_models.layers.picture_tower import SIDE, PictureTower
from sg_models.verification.shapes.oracle import PALETTE, detect
from train.report.likeness import frechet_distance
from train.running.command_line import UsageError

TOP = (1, 5, 10, 20)
CHUNK = 64


def open_judge(path: Path) -> "Judge":
    """The judge that `train_picture_tower.py` wrote; raises `UsageError` where there is none."""
    if not path.exists():
        raise UsageError(f"there is no {path}; make it as the beginning of this script says")
    tower = PictureTower(sg_mini.TEXT_MODEL["projection_dim"])
    tower.load_state_dict(load_file(path))
    return Judge(tower.requires_grad_(False).eval())


@dataclass
class Judge:
    """A picture tower that guides nothing."""

    tower: PictureTower

    @torch.no_grad()
    def embed(self, pictures: np.ndarray) -> Tensor:
        """Pictures, uint8 [N, H, W, 3], as vectors [N, D] of unit length."""
        parts = [self.tower(part) for part in self._inputs(pictures).split(CHUNK)]
        return F.normalize(torch.cat(parts), dim=-1)

    @torch.no_grad()
    def distance(self, one: np.ndarray, other: np.ndarray) -> Tensor:
        """How unlike pictures [N, H, W, 3] are to their partners [N]: LPIPS' formula without its learned weights.

        Zhang et al. 2018, equation 1: the maps of all stages, of unit length at each place.
        """
        found = []
        for ours, theirs in zip(self.tower.maps(self._inputs(one)), self.tower.maps(self._inputs(other)), strict=True):
            gap = F.normalize(ours, dim=1) - F.normalize(theirs, dim=1)
            found.append(gap.square().sum(dim=1).mean(dim=(1, 2)))
        return torch.stack(found).sum(dim=0)

    def _inputs(self, pictures: np.ndarray) -> Tensor:
        x = torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 127.5 - 1
        return F.interpolate(x, size=(SIDE, SIDE), mode="area")


def retrieval(vectors: Tensor, candidates: Tensor, right: Sequence[int]) -> dict[str, float]:
    """How often the right one of candidates [M, D] is among the nearest few to each of vectors [N, D]."""
    similarity = vectors @ candidates.T  # [N, M]
    own = similarity.gather(1, torch.as_tensor(right)[:, None])
    rank = (similarity > own).sum(dim=1)  # from 0
    return {f"top {k}": (rank < k).float().mean().item() for k in TOP}


def diversity(judge: Judge, groups: Sequence[np.ndarray]) -> float:
    """The mean distance between pictures of one guidance, over guidances with [S, H, W, 3] each."""
    found = []
    for pictures in groups:
        a, b = np.triu_indices(len(pictures), k=1)
        found.append(judge.distance(pictures[a], pictures[b]).mean().item())
    return float(np.mean(found))


def fidelity(judge: Judge, pictures: np.ndarray, true: Tensor) -> float:
    """The Fréchet distance of the judge's vectors to those of true pictures [M, D]."""
    return frechet_distance(judge.embed(pictures).numpy(), true.numpy())


def shows(picture: np.ndarray, words: str) -> bool:
    """Whether the oracle sees an object of such a colour and shape, "red circle", in a picture."""
    colour, shape = words.split()
    return any((found.colour, found.shape) == (colour, shape) for found in detect(picture))


def colour_gap(picture: np.ndarray, other: np.ndarray) -> float:
    """How much of one picture would have to change colour to have those of another: 0 to 1.

    Half the sum of differences of their histograms over the world's colours and its background.
    """
    return float(np.abs(histogram(picture) - histogram(other)).sum() / 2)


def histogram(picture: np.ndarray) -> np.ndarray:
    """The parts of a picture [H, W, 3] that are nearest to each colour, and to its own background: they add up to 1."""
    rgb = picture.reshape(-1, 3).astype(np.float32)
    colours = np.concatenate([PALETTE, np.median(rgb, axis=0)[None]])
    nearest = np.linalg.norm(rgb[:, None] - colours, axis=-1).argmin(axis=1)
    return np.bincount(nearest, minlength=len(colours)) / len(rgb)
