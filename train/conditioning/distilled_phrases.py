"""Static phrase vectors distilled from a sentence model: what `sg_models.arrangement.phrase_vectors` reads."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from sg_models.arrangement.phrase_vectors import CONTINUED, PhraseVectors
from train.conditioning.phrase_encoders import BertPhrases

DIM = 96
BATCH = 1024
RARITY = 1e-4  # the frequency at which a piece counts half (Arora et al. 2017, smooth inverse frequency)
LARGEST = 127  # of int8


def distil(encoder: BertPhrases, dim: int = DIM) -> PhraseVectors:
    """The table of a BERT's wordpieces: those of letters, digits and signs, without its special ones."""
    vocabulary = encoder.tokenizer.get_vocab()
    special = set(encoder.tokenizer.all_special_tokens)
    pieces = [piece for piece in sorted(vocabulary, key=vocabulary.get) if piece not in special and is_word(piece)]
    vectors = _alone(encoder, [vocabulary[piece] for piece in pieces])  # [V, H]
    ranks = torch.arange(1, len(pieces) + 1)  # BERT's vocabularies are in the order of frequency
    frequencies = 1 / ranks / (1 / ranks).sum()  # Zipf's law
    reduced = _principal(vectors, dim) * (RARITY / (RARITY + frequencies))[:, None]
    scales = reduced.abs().amax(1).clamp(min=1e-6) / LARGEST
    rows = (reduced / scales[:, None]).round().to(torch.int8)
    return PhraseVectors(pieces, rows.numpy(), scales.numpy().astype(np.float16))


def is_word(piece: str) -> bool:
    """Whether a wordpiece can be part of a word."""
    return piece.removeprefix(CONTINUED).isalnum()


@torch.no_grad()
def _alone(encoder: BertPhrases, ids: Sequence[int]) -> Tensor:
    """What the model says of each piece alone: the mean over it and the marks of start and end, [V, H]."""
    start, end = encoder.tokenizer.cls_token_id, encoder.tokenizer.sep_token_id
    rows = torch.tensor([[start, piece, end] for piece in ids])
    batches = (rows[i : i + BATCH].to(encoder.model.device) for i in range(0, len(rows), BATCH))
    steps = tqdm(batches, desc="phrase vectors", total=-(-len(rows) // BATCH), mininterval=5)
    return torch.cat([encoder.model(input_ids=batch).last_hidden_state.mean(1).cpu() for batch in steps])


def _principal(vectors: Tensor, dim: int) -> Tensor:
    """The first `dim` principal components, [V, dim]."""
    centred = vectors - vectors.mean(0)
    _, directions = torch.linalg.eigh(centred.T @ centred)  # in the order of rising variance
    return centred @ directions[:, -dim:].flip(1)
