"""CLIP's own tokenizer, from a Python package, and padded token ids."""

import gzip
import importlib.util
from collections.abc import Iterable, Sequence
from functools import lru_cache
from pathlib import Path

import torch
from torch import Tensor
from transformers import CLIPTokenizer


@lru_cache
def clip_tokenizer() -> CLIPTokenizer:
    """CLIP's own tokenizer.

    Its merges come with the open_clip package, whose import would take seconds and is not needed for a data file.
    """
    spec = importlib.util.find_spec("open_clip")
    assert spec is not None and spec.submodule_search_locations is not None
    path = Path(spec.submodule_search_locations[0]) / "bpe_simple_vocab_16e6.txt.gz"
    lines = gzip.decompress(path.read_bytes()).decode().split("\n")
    merges = [tuple(line.split()) for line in lines[1 : 49152 - 256 - 2 + 1]]
    letters = list(_byte_letters())
    words = letters + [letter + "</w>" for letter in letters] + ["".join(pair) for pair in merges]
    vocabulary = {word: i for i, word in enumerate([*words, "<|startoftext|>", "<|endoftext|>"])}
    return CLIPTokenizer(vocab=vocabulary, merges=merges)


def token_ids(tokenizer: CLIPTokenizer, texts: list[str], pad_id: int = 0) -> Tensor:
    """Token ids [B, 77], padded with id 0 as Stable Diffusion 2 does, or with another.

    Not by the tokenizer: it would have to call "!", whose id that is, a special token, and then read it as one.
    """
    rows = tokenizer(texts, truncation=True, max_length=77).input_ids
    return torch.tensor([row + [pad_id] * (77 - len(row)) for row in rows])


def phrase_tokens(tokenizer: CLIPTokenizer, text: str, phrases: Sequence[str]) -> list[list[int]]:
    """The places among a text's tokens that each of some phrases has, which stand in it one after another.

    Places that a text of more than 77 tokens loses are left out.
    """
    offsets = tokenizer(text, truncation=True, max_length=77, return_offsets_mapping=True).offset_mapping
    found, start = [], 0
    for phrase in phrases:
        start = text.index(phrase, start)
        end = start + len(phrase)
        found.append([place for place, (first, last) in enumerate(offsets) if start <= first < last <= end])
        start = end
    return found


def phrase_owners(
    tokenizer: CLIPTokenizer, texts: Sequence[str], mentions: Sequence[Sequence[tuple[int, str]]]
) -> Tensor:
    """Which object each token of some texts is of, -1 for none: [B, 77].

    `mentions` has for each text the numbers and phrases of the objects that it names, in the order in which it does.
    """
    owners = torch.full((len(texts), 77), -1)
    for row, text, named in zip(owners, texts, mentions, strict=True):
        places = phrase_tokens(tokenizer, text, [phrase for _, phrase in named])
        for (thing, _), tokens in zip(named, places, strict=True):
            row[tokens] = thing
    return owners


def _byte_letters() -> Iterable[str]:
    """The printable stand-ins of the 256 bytes, in the order in which CLIP's vocabulary begins."""
    printable = [
        *range(ord("!"), ord("~") + 1),
        *range(ord("¡"), ord("¬") + 1),
        *range(ord("®"), ord("ÿ") + 1),
    ]
    others = 256 - len(printable)
    return map(chr, printable + [256 + i for i in range(others)])
