"""Nodes some of whose inputs may be lists: all of them arrive as lists, and the others have to be of one value."""

from typing import Any

SEVERAL = "{node} got {count} values at {name} and takes one. {lists} alone may be lists."


def one(node: str, name: str, values: list, lists: str = "Graphs") -> Any:
    """The value of an input that is no list; raises `ValueError` in words where several came.

    `lists` says which inputs of that node may have several.
    """
    if len(values) != 1:
        raise ValueError(SEVERAL.format(node=node, count=len(values), name=name, lists=lists))
    return values[0]
