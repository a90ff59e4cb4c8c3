"""How annotators' words are read: one normalisation for every split, with the alias lists of Visual Genome.

sg2im's own script lower-cased and merged predicates in its training split alone, so that "ON" was a relation there and
none in validation and test; here all text of all splits goes through `Wordings`.
"""

import unicodedata
from pathlib import Path

import numpy as np

from sg_models.graph.scene_graph import MAX_PHRASE_CHARS
from train.running.command_line import UsageError

UNPRINTABLE = ("Cc", "Cs")  # what no scene graph holds


def normal_form(text: str) -> str:
    """Lower case, NFC, without outer space and with single spaces inside."""
    return " ".join(unicodedata.normalize("NFC", text).lower().split())


def read_aliases(path: Path) -> dict[str, str]:
    """What each word is merged with: on every line of the file a canonical form and its other forms, with commas.

    Where several lines have a word the last one holds, as in sg2im. Raises `UsageError` for a file that is no text.
    """
    aliases: dict[str, str] = {}
    try:
        lines = path.read_text("utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} is no text in UTF-8 ({error}); download it again") from error
    for line in lines:
        words = [normal_form(word) for word in line.split(",")]
        aliases |= {word: words[0] for word in words if word and words[0]}
    return aliases


class Wordings(dict[str, int]):
    """Numbers for texts as they are written; asking for a new one gives it the next number.

    `texts` holds them in that order; `normal` the number, in `words`, of what each one means: its normal form, merged
    by the aliases. Every different text is normalised once, however often it stands in the files.
    """

    def __init__(self, aliases: dict[str, str] | None = None) -> None:
        super().__init__()
        self.aliases = aliases or {}
        self.texts: list[str] = []
        self.words: list[str] = []
        self._normal: list[int] = []
        self._numbers: dict[str, int] = {}

    def __missing__(self, text: str) -> int:
        form = normal_form(text)
        word = self.aliases.get(form, form)
        number = self._numbers.setdefault(word, len(self.words))
        if number == len(self.words):
            self.words.append(word)
        self[text] = len(self.texts)
        self.texts.append(text)
        self._normal.append(number)
        return self[text]

    @property
    def normal(self) -> np.ndarray:
        """The word of every text: int64 [texts]."""
        return np.array(self._normal, np.int64)

    @property
    def verbatim(self) -> np.ndarray:
        """The word that each text is letter by letter, -1 where it is none: int64 [texts]."""
        return np.array([self._numbers.get(text, -1) for text in self.texts], np.int64)

    @property
    def usable(self) -> np.ndarray:
        """Which words can stand in a scene graph: not empty, printable, not too long. bool [words]."""
        return np.array([usable(word) for word in self.words], bool)


def usable(word: str) -> bool:
    """Whether a normal form can be a name, an attribute or a predicate of a scene graph."""
    return 0 < len(word) <= MAX_PHRASE_CHARS and not any(unicodedata.category(c) in UNPRINTABLE for c in word)
