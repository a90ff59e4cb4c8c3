"""The words of one line of the line syntax: bars, quotes, numbers, boxes and comments told apart.

Names are plain words. What is not (braces, colons, commas, arrows) is refused outside of quotes, because such a line is
mostly YAML, CSV or a sentence that was never meant as a scene graph.
"""

import re
from dataclasses import dataclass

from .scene_graph import SceneGraphError

LINE_EXAMPLE = "brown dog | on | motorcycle"
ARTICLES = ("a", "an", "the")
# Between things, not before one: a line that has them outside of a predicate is a sentence.
JOINING = frozenset(
    "and or but of on in at to by from with without near under over above below behind beside between into onto "
    "beneath against around through inside outside underneath is are was were has have having that which who "
    "while".split()
)
INVISIBLE = dict.fromkeys(
    map(ord, "\u200b\u200c\u200d\u2060\ufeff\u00ad")
)  # zero-width marks that come with copied text

_BARS = "|｜│"
_TOKEN = re.compile(
    rf"""(?P<space>[^\S\t]+)
    | (?P<tab>\t)
    | (?P<bar>[{_BARS}])
    | (?P<quoted>"(?:[^"\\]|\\.)*"|“[^”]*”)
    | (?P<number>\#[ ]*[0-9]{{1,9}}(?=\s*(?:$|[{_BARS}@\#])))
    | (?P<comment>(?<=\s)\#(?:\s.*)?$)
    | (?P<at>@)
    | (?P<word>[^\s{_BARS}"“”@\#]+)
    | (?P<odd>.)""",
    re.VERBOSE | re.DOTALL,
)
_BULLET = re.compile(r"\s*(?:[-*+•‣·–—]|\(?[0-9]{1,3}[.)])\s+")
_PLAIN = re.compile(r"[^\W_][\w'’-]*")
_STRANGE = (
    (re.compile(r"[-=~]+>|<[-=~]+|[←-⇿⟵-⟿➔-➾]"), "an arrow"),
    (re.compile(r"[{}\[\]]"), "a brace or bracket"),
    (re.compile(r"[,;，、；]"), "a comma or semicolon"),
    (re.compile(r"[:：]"), "a colon"),
    (re.compile(r"[()<>=`\\^]"), "a character that no name has"),
    (re.compile(r"^[-–—_/.!?*~'’+&%$]+$"), "no letter"),
)


@dataclass(frozen=True)
class Token:
    """A piece of a line: `kind` is word, quoted, number, at, bar or tab; `text` is what it says, without quotes."""

    kind: str
    text: str


def line_tokens(line: str) -> list[Token]:
    """The tokens of a line without its bullet, comment and invisible characters.

    Raises `SceneGraphError` for quotes that do not go around a whole name, and for a `#` that numbers nothing.
    """
    bullet = _BULLET.match(line)
    tokens: list[Token] = []
    is_glued = False  # to the token before it
    for match in _TOKEN.finditer(line, bullet.end() if bullet else 0):
        kind, text = str(match.lastgroup), match.group()
        if kind in ("space", "comment"):
            is_glued = False
            continue
        if kind == "odd":
            raise _odd_character(text)
        if kind == "word":
            text = text.translate(INVISIBLE)
            if not text:
                continue
        joins = kind in ("word", "quoted")
        if joins and is_glued and (kind == "quoted" or tokens[-1].kind == "quoted"):
            raise SceneGraphError(f'quotes go around a whole name; write "{tokens[-1].text} {text.strip(chr(34))}"')
        is_glued = joins
        tokens.append(Token(kind, _unquoted(text) if kind == "quoted" else text))
    return tokens


def _odd_character(text: str) -> SceneGraphError:
    if text == "#":
        return SceneGraphError(
            "'#' comes before a number (dog#2), or between spaces before a comment; put quotes around"
        )
    return SceneGraphError(f'the quotes are not closed; write "fire hydrant" | near | dog, or leave out {text}')


def _unquoted(text: str) -> str:
    return text[1:-1] if text[0] == "“" else re.sub(r"\\(.)", r"\1", text[1:-1], flags=re.DOTALL)


def quoted(text: str) -> str:
    """`text` in quotes, read back as it is."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def is_plain(text: str) -> bool:
    """Whether `text` is one word of letters and digits, to which a line gives no meaning of its own."""
    return bool(_PLAIN.fullmatch(text))


def check_words(tokens: list[Token]) -> None:
    """Raises `SceneGraphError` for words that no name and no predicate has, unless they are in quotes."""
    for token in tokens:
        if token.kind != "word":
            continue
        for pattern, what in _STRANGE:
            if pattern.search(token.text):
                raise SceneGraphError(
                    f"{token.text[:40]!r} holds {what}; write one relation per line, as in: {LINE_EXAMPLE}, or put "
                    'quotes around a name that is so written: "no: 7"'
                )
