"""CLIP's contrastive loss, between pictures and texts or between two sights of the same thing."""

import torch.nn.functional as F
from torch import Tensor

TEMPERATURE = 0.07


def contrastive_loss(pictures: Tensor, texts: Tensor, same: Tensor) -> tuple[Tensor, float]:
    """CLIP's symmetric cross-entropy (Radford et al. 2021, figure 3) with all equal texts as positives.

    Embeddings [B, D] of any length, and which texts are the same [B, B], bool; gives also how often the nearest text of
    a picture is a right one.
    """
    logits = F.normalize(pictures, dim=-1) @ F.normalize(texts, dim=-1).T / TEMPERATURE  # [B, B]
    targets = same.float() / same.sum(dim=1, keepdim=True)
    loss = (F.cross_entropy(logits, targets) + F.cross_entropy(logits.T, targets)) / 2
    accuracy = same.gather(1, logits.argmax(dim=1, keepdim=True)).float().mean().item()
    return loss, accuracy
