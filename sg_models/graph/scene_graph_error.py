"""The one error of scene-graph reading, and the checks that raise it with the place of the fault.

A path is written as in JavaScript or jq: `relations[2].subject`. Code that knows only its own part of the input raises
with a short path (`box`), and each caller puts its own in front with `located`.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from numbers import Real
from typing import Any

MAX_SHOWN_CHARS = 60  # of a faulty value inside an error message


class SceneGraphError(ValueError):
    """A scene graph that cannot be read or built; `str()` of it is "path: what is wrong; what to write instead".

    `message` is the text without the place, `path` the place: a JSON path, "line 3", or "" for the whole input.
    """

    def __init__(self, message: str, path: str = ""):
        super().__init__(f"{path}: {message}" if path else message)
        self.message = message
        self.path = path

    def under(self, parent: str) -> "SceneGraphError":
        """The same error seen from `parent`: `box` under `objects[1]` is `objects[1].box`."""
        separator = "." if self.path and not self.path.startswith("[") else ""
        return SceneGraphError(self.message, f"{parent}{separator}{self.path}")


@contextmanager
def located(parent: str) -> Iterator[None]:
    """Puts `parent` in front of the path of every `SceneGraphError` raised inside the block."""
    try:
        yield
    except SceneGraphError as error:
        raise error.under(parent) from None


def described(value: Any) -> str:
    """A short name for any value in a message; never fails and never prints a whole document."""
    if isinstance(value, str):
        return repr(value) if len(value) <= MAX_SHOWN_CHARS else f"{value[:MAX_SHOWN_CHARS]!r}…"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, Mapping):
        return "a JSON object" if value else "an empty JSON object"
    if isinstance(value, list | tuple):
        return f"a list of {len(value)}"
    if isinstance(value, int) and abs(value) >= 10**15:
        return "a huge number"  # Python itself refuses to print integers of more than 4300 digits
    return f"{value}" if isinstance(value, int | float) else f"a {type(value).__name__}"


def expect_mapping(value: Any, path: str, example: str) -> Mapping[Any, Any]:
    """`value` if it is a JSON object; otherwise an error at `path` that says to write something like `example`."""
    if not isinstance(value, Mapping):
        raise SceneGraphError(f"expected a JSON object, got {described(value)}; write {example}", path)
    return value


def expect_list(value: Any, path: str, example: str) -> list[Any] | tuple[Any, ...]:
    """`value` if it is a list or tuple; otherwise an error at `path` that says to write something like `example`."""
    if not isinstance(value, list | tuple):
        raise SceneGraphError(f"expected a list, got {described(value)}; write {example}", path)
    return value


def expect_key(record: Mapping[Any, Any], key: str, example: str) -> Any:
    """`record[key]`; an error at `key` that says to write something like `example` where it is missing."""
    if key not in record:
        raise SceneGraphError(f'is missing; write "{key}": {example}', key)
    return record[key]


def is_number(value: Any) -> bool:
    """Whether `value` is a real number; True and False are not."""
    return isinstance(value, Real) and not isinstance(value, bool)


def is_integer(value: Any) -> bool:
    """Whether `value` is an int; True and False are not."""
    return isinstance(value, int) and not isinstance(value, bool)
