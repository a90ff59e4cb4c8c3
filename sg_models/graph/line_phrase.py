"""The phrase of one object in the line syntax: which of its words are the name, and which attributes."""

import unicodedata
from dataclasses import dataclass

from .known_names import LONGEST, is_known_name
from .line_words import ARTICLES, INVISIBLE, JOINING, LINE_EXAMPLE, Token, check_words
from .scene_graph import SceneGraphError

MAX_WORDS = 5  # attributes without quotes; who writes more wrote a sentence

NameKey = str
PhraseKey = tuple[NameKey, tuple[str, ...]]  # name, sorted attributes: what makes two mentions the same


@dataclass(frozen=True)
class Phrase:
    """The words of an object as they were written."""

    attributes: tuple[str, ...]
    name: str

    @property
    def key(self) -> PhraseKey:
        """The same for every spelling of the phrase: case, Unicode form and the order of attributes do not count."""
        return plain_form(self.name), tuple(sorted(map(plain_form, self.attributes)))

    def __str__(self) -> str:
        return " ".join((*self.attributes, self.name))


def plain_form(text: str) -> str:
    """`text` without what makes no difference: case, Unicode form, invisible characters, spaces."""
    return " ".join(unicodedata.normalize("NFKC", text.translate(INVISIBLE)).casefold().split())


def read_phrase(tokens: list[Token]) -> Phrase:
    """The phrase that words and quoted texts make; a leading article says nothing and is left out.

    The name is the last word or quoted text, or the last words that are a known name ("fire hydrant"). Raises
    `SceneGraphError` for sentences and for words that no name has.
    """
    check_words(tokens)
    tokens = _without_end_mark(tokens)
    if len(tokens) > 1 and tokens[0].kind == "word" and tokens[0].text.casefold() in ARTICLES:
        tokens = tokens[1:]
    length = _name_length(tokens)
    described, named = tokens[:-length], tokens[-length:]
    check_attributes(described)
    if described and length == 1 and named[0].kind == "word" and named[0].text.casefold() in JOINING:
        raise _sentence(named[0].text)
    return Phrase(tuple(token.text for token in described), " ".join(token.text for token in named))


def check_attributes(tokens: list[Token]) -> None:
    """Raises `SceneGraphError` where words without quotes are a sentence rather than attributes."""
    words = [token.text for token in tokens if token.kind == "word"]
    for word in words:
        if word.casefold() in JOINING or word.casefold() in ARTICLES:
            raise _sentence(word)
    if len(words) > MAX_WORDS:
        raise SceneGraphError(
            f"{len(words)} words before the name, which looks like a sentence; write at most {MAX_WORDS}, "
            f"and relations as: {LINE_EXAMPLE}"
        )


def _sentence(word: str) -> SceneGraphError:
    return SceneGraphError(
        f"'{word}' looks like a sentence, and not like an object; write a relation with bars, as in: {LINE_EXAMPLE}, "
        'one object per line, or quotes around what belongs together: "black and white" cat'
    )


def _without_end_mark(tokens: list[Token]) -> list[Token]:
    *rest, last = tokens
    if last.kind != "word" or not last.text.rstrip(".。"):
        return tokens
    return [*rest, Token("word", last.text.rstrip(".。"))]


def _name_length(tokens: list[Token]) -> int:
    """How many of the last tokens are the name."""
    for length in range(min(LONGEST, len(tokens)), 1, -1):
        last = tokens[-length:]
        if all(token.kind == "word" for token in last) and is_known_name([token.text for token in last]):
            return length
    return 1
