"""The spatial relations and the ways in which people word them: one table for drawing and for contradictions."""

LEFT, RIGHT, ABOVE, BELOW = "left of", "right of", "above", "below"
INSIDE, SURROUNDING = "inside", "surrounding"

WORDINGS = {
    LEFT: (
        "left of|to the left of|on the left of|on the left side of|at the left of|left to|to left of|on left of|left"
    ),
    RIGHT: (
        "right of|to the right of|on the right of|on the right side of|at the right of|right to|to right of|"
        "on right of|right"
    ),
    ABOVE: "above|over|on top of|atop|on the top of|higher than|over top of",
    BELOW: "below|under|underneath|beneath|lower than",
    INSIDE: "inside|inside of|within|contained in|enclosed by|surrounded by",
    SURROUNDING: "surrounding|surrounds|containing|contains|enclosing|encloses",
}
_MEANINGS = {wording: relation for relation, wordings in WORDINGS.items() for wording in wordings.split("|")}
# A lamp on a table is above it, but a picture on a wall is not: good enough to draw by, too little to contradict.
_DRAWN_ABOVE = ("on",)


def spatial_meaning(predicate: str) -> str | None:
    """Which of the six spatial relations `predicate` says ("To the left_of" is `LEFT`); None if none for certain."""
    return _MEANINGS.get(_plain(predicate))


def drawn_direction(predicate: str) -> str | None:
    """As `spatial_meaning`, and what is usually meant by words that do not always mean it ("on" is `ABOVE`)."""
    return ABOVE if _plain(predicate) in _DRAWN_ABOVE else spatial_meaning(predicate)


def _plain(predicate: str) -> str:
    words = predicate.casefold().replace("_", " ").split()
    return " ".join(words[1:] if len(words) > 1 and words[0] in ("is", "are") else words)
