"""Which pictures are for validation where a data set does not say: a tenth of them, chosen by their names.

So a picture stays in its split whatever is added or removed beside it.
"""

import hashlib
from collections.abc import Iterable

VALIDATION_RATE = 0.1


def for_validation(name: str) -> bool:
    """Whether a picture of that name is, one in ten."""
    return place_of(name) < VALIDATION_RATE


def place_of(name: str) -> float:
    """A number in [0, 1) that depends on the name alone, and is spread evenly over names."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "big") / 2**32


def validation_names(names: Iterable[str]) -> set[str]:
    """The names of pictures for validation: a tenth, and at least one of them."""
    names = list(names)
    return set(filter(for_validation, names)) or {min(names, key=place_of)}
