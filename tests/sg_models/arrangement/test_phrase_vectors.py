"""Static phrase vectors: how phrases fall into wordpieces, and what becomes of what is not known."""

import numpy as np
import pytest

from sg_models.arrangement.phrase_vectors import PhraseVectors, words_of

VOCABULARY = ["left", "of", "the", "to", "surf", "##board", "##s", "cafe", "犬", "3"]


@pytest.fixture
def vectors() -> PhraseVectors:
    rows = np.random.default_rng(0).integers(-127, 128, (len(VOCABULARY), 8)).astype(np.int8)
    return PhraseVectors(VOCABULARY, rows, np.full(len(VOCABULARY), 0.01, np.float16))


@pytest.mark.parametrize(
    ("phrase", "pieces"),
    [
        ("Surfboards", ["surf", "##board", "##s"]),
        ("to the left_of", ["to", "the", "left", "of"]),
        ("Café!", ["cafe"]),
        ("犬left", ["犬", "left"]),
        ("leftxs", ["left", "##s"]),
        ("zzz", []),
        ("3-board", ["3"]),
    ],
)
def test_the_longest_known_piece_comes_first(vectors: PhraseVectors, phrase: str, pieces: list[str]):
    assert vectors.pieces(phrase) == pieces


def test_vectors_are_the_scaled_sum_of_rows_at_one_length(vectors: PhraseVectors):
    found = vectors.encode(["left of", "surf", "zzz"])
    assert found.dtype == np.float32 and found.shape == (3, 8)
    expected = vectors.rows[0].astype(float) + vectors.rows[1]
    np.testing.assert_allclose(found[0], expected / np.linalg.norm(expected) * 8**0.5, rtol=1e-5)
    assert np.linalg.norm(found[1]) == pytest.approx(8**0.5) and not found[2].any()
    assert vectors.encode([]).shape == (0, 8)


def test_words_are_those_of_an_uncased_vocabulary():
    assert words_of("  Traffic-light's  ÉLAN\t") == ["traffic", "light", "s", "elan"]


def test_a_table_that_does_not_fit_its_vocabulary_is_refused():
    with pytest.raises(ValueError, match="2 wordpieces, 1 rows"):
        PhraseVectors(["a", "b"], np.zeros((1, 4), np.int8), np.zeros(2, np.float16))
