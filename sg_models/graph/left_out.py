"""What the readers of foreign records leave out: nothing goes without being counted and said."""

from collections.abc import Iterator
from contextlib import contextmanager

from .scene_graph_error import located


class LeftOut:
    """Rows of foreign records that cannot be part of a scene graph, counted by reason, with the first place of each."""

    def __init__(self) -> None:
        self._counts: dict[tuple[str, str], int] = {}
        self._first: dict[tuple[str, str], str] = {}
        self._parents: list[str] = []

    def note(self, what: str, reason: str, path: str) -> None:
        """Counts one `what` ("relation", "box") at `path` that is left out for `reason`."""
        self._counts[what, reason] = self._counts.get((what, reason), 0) + 1
        self._first.setdefault((what, reason), self._place(path))

    @contextmanager
    def within(self, parent: str) -> Iterator[None]:
        """Puts `parent` in front of the places that are noted, and of the errors that are raised, inside the block."""
        self._parents.append(parent)
        try:
            with located(parent):
                yield
        finally:
            self._parents.pop()

    def counts(self) -> tuple[tuple[str, str, int], ...]:
        """What was left out, for which reason, how often."""
        return tuple((what, reason, count) for (what, reason), count in self._counts.items())

    def warnings(self) -> tuple[str, ...]:
        """One sentence for each reason, in the order in which they came up."""
        return tuple(
            f"left out {count} {what if count == 1 else _plural(what)}: {reason} "
            f"({'' if count == 1 else 'the first '}at {self._first[what, reason]})"
            for (what, reason), count in self._counts.items()
        )

    def _place(self, path: str) -> str:
        place = ""
        for part in (*self._parents, path):
            place += part if part.startswith("[") or not (place and part) else f".{part}"
        return place or "the top"


def _plural(what: str) -> str:
    return f"{what}es" if what.endswith("x") else f"{what}s"
