"""Phrase vectors from a checkpoint's own CLIP: the phrase encoder of this host."""

from collections.abc import Sequence

import comfy.sd
import torch

Token = tuple[int, float]


def phrase_vectors(clip: comfy.sd.CLIP, phrases: Sequence[str]) -> dict[str, torch.Tensor]:
    """Each phrase's hidden state at its end-of-text token, in the layer that the UNet is conditioned on.

    All phrases go through the text model in one batch. A clip-skip setting is ignored: adapters are trained on the
    base's own conditioning layer. Returns float32 vectors [D] by phrase.
    """
    if not phrases:
        return {}
    sections, ends = zip(*(tokenize(clip, phrase) for phrase in phrases), strict=True)
    clip = clip.clone()
    clip.layer_idx = None
    hidden = clip.encode_from_tokens({clip.tokenizer.clip_name: list(sections)})  # [1, P * L, D]
    hidden = hidden.reshape(len(phrases), -1, hidden.shape[-1])  # [P, L, D]
    return {phrase: hidden[row, end] for row, (phrase, end) in enumerate(zip(phrases, ends, strict=True))}


def tokenize(clip: comfy.sd.CLIP, phrase: str) -> tuple[list[Token], int]:
    """The phrase's tokens, padded, all of weight one, and the place of its end-of-text token.

    The phrase is taken literally: ComfyUI's prompt syntax, in which brackets are weights and `embedding:` opens a
    file, is a matter for prompts.
    """
    words = getattr(clip.tokenizer, clip.tokenizer.clip)
    ids = words.tokenizer(phrase, truncation=True, max_length=words.max_length)["input_ids"]
    padding = [words.pad_token] * (words.max_length - len(ids))
    return [(token, 1.0) for token in ids + padding], ids.index(words.end_token)
