"""Static phrase vectors: words of any kind as vectors, from a table that travels in a file, without a text model.

Source: model2vec (Tulkens and van Dongen 2024, https://github.com/MinishLab/model2vec): each wordpiece of a sentence
model is run through it alone; principal components and a weight that falls with the piece's frequency make a table, and
a phrase is the sum of its pieces' rows, at unit length. `train/conditioning/distilled_phrases.py` makes the table.
"""

import unicodedata
from collections.abc import Iterator, Sequence

import numpy as np

CONTINUED = "##"  # before a wordpiece that goes on a word, as BERT's vocabularies have it
LONGEST_PIECE = 24  # characters; no wordpiece of BERT's English vocabulary is longer


class PhraseVectors:
    """A table of V wordpieces' vectors, int8 [V, D] with a scale for each row [V]; `dim` is D.

    `vocabulary` names the rows. A phrase without any known piece is the zero vector.
    """

    def __init__(self, vocabulary: Sequence[str], rows: np.ndarray, scales: np.ndarray) -> None:
        if not len(vocabulary) == len(rows) == len(scales):
            raise ValueError(f"{len(vocabulary)} wordpieces, {len(rows)} rows, {len(scales)} scales; as many of each")
        self.vocabulary, self.rows, self.scales = list(vocabulary), rows, scales
        self.dim: int = rows.shape[1]
        self._places = {piece: place for place, piece in enumerate(vocabulary)}
        self._known: dict[str, np.ndarray] = {}

    def encode(self, phrases: Sequence[str]) -> np.ndarray:
        """Vectors [P, D], float32: unit length times the root of D, so that a number in them is about one in size."""
        vectors = [self._vector(phrase) for phrase in phrases]
        return np.stack(vectors) if vectors else np.zeros((0, self.dim), np.float32)

    def pieces(self, phrase: str) -> list[str]:
        """The wordpieces of a phrase that are in the vocabulary: of each word the longest first, from its start."""
        return [piece for word in words_of(phrase) for piece in self._split(word)]

    def _vector(self, phrase: str) -> np.ndarray:
        if phrase not in self._known:
            places = [self._places[piece] for piece in self.pieces(phrase)]
            total = (self.rows[places].astype(np.float32) * self.scales[places, None].astype(np.float32)).sum(0)
            length = float(np.linalg.norm(total))
            self._known[phrase] = total * (self.dim**0.5 / length) if length else np.zeros(self.dim, np.float32)
        return self._known[phrase]

    def _split(self, word: str) -> Iterator[str]:
        start = 0
        while start < len(word):
            for end in range(min(len(word), start + LONGEST_PIECE), start, -1):
                piece = (CONTINUED if start else "") + word[start:end]
                if piece in self._places:
                    yield piece
                    start = end
                    break
            else:
                start += 1  # a character that begins no piece says nothing


def words_of(text: str) -> list[str]:
    """Words in lower case without accents, as BERT's uncased vocabularies have them; punctuation parts and is left out.

    A sign of Chinese or Japanese is a word of its own.
    """
    plain = "".join(c for c in unicodedata.normalize("NFD", text.lower()) if unicodedata.category(c) != "Mn")
    return "".join(f" {c} " if _is_sign(c) else c if c.isalnum() else " " for c in plain).split()


def _is_sign(character: str) -> bool:
    return "\u3040" <= character <= "\u30ff" or "\u4e00" <= character <= "\u9fff"
