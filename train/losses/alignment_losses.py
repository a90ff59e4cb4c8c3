"""What brings graph vectors to where a CLIP puts pictures ("Image Synthesis with Graph Conditioning", 2401.14111).

Graphs and pictures are aligned one by one, by the squared error, and as two clouds, by maximum mean discrepancy.
"""

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

BANDWIDTHS = (10.0, 15.0, 20.0, 50.0)  # a of the kernels exp(-0.5 d²/a), of the released code
LEAST_SAMPLES = 32  # of fewer, the estimate is little but each sample's likeness to itself
ALIGNMENT, MMD = "alignment", "mmd"  # terms of the loss


def pair_loss(graphs: Tensor, pictures: Tensor) -> Tensor:
    """Mean squared error between graph vectors and their pictures' features, both [B, J]: the paper's L_CLIP."""
    return F.mse_loss(graphs.float(), pictures.float())


def mmd(graphs: Tensor, pictures: Tensor) -> Tensor:
    """Squared maximum mean discrepancy of two clouds of vectors, [N, J] and [M, J], summed over the paper's kernels.

    In float32 whatever the precision of the run: distances are differences of large numbers. Raises `ValueError` for
    fewer than `LEAST_SAMPLES`.
    """
    fewest = min(len(graphs), len(pictures))
    if fewest < LEAST_SAMPLES:
        raise ValueError(
            f"MMD of {fewest} samples says nothing of the clouds that they are from; give at least {LEAST_SAMPLES}, "
            "from a queue of earlier batches where one batch has fewer"
        )
    with torch.autocast(graphs.device.type, enabled=False):
        x, y = graphs.float(), pictures.float()
        return _likeness(x, x) + _likeness(y, y) - 2 * _likeness(x, y)


def weighted(terms: Mapping[str, Tensor], alignment_weight: float) -> Tensor:
    """β · alignment + (1 - β) · MMD, the paper's L_align, of those of the two that there are."""
    weights = {ALIGNMENT: alignment_weight, MMD: 1 - alignment_weight}
    return torch.stack([weights[name] * terms[name] for name in weights if name in terms]).sum()


def _likeness(x: Tensor, y: Tensor) -> Tensor:
    """The mean of the kernels over all pairs of [N, J] and [M, J]."""
    squared = x.square().sum(dim=1)[:, None] + y.square().sum(dim=1)[None] - 2 * x @ y.T  # [N, M]
    return torch.stack([torch.exp(-0.5 * squared.clamp(min=0) / a).mean() for a in BANDWIDTHS]).sum()
