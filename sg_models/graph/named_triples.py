"""Graphs that are nothing but triples of words: `["dog", "on", "cat"]`, and what caption parsers print.

The same name is the same object, and stays whole ("tennis racket"), because such triples say attributes by "is":
`( dog , is , brown )` in the output of FACTUAL (Li et al. 2023).
"""

import re
from collections.abc import Sequence
from typing import Any

from .foreign_graph import ForeignGraph
from .left_out import LeftOut
from .line_phrase import plain_form
from .record_keys import OBJECT, PREDICATE, SUBJECT, check_keys, take
from .scene_graph import SceneGraph, SceneGraphError
from .scene_graph_error import described

COPULAS = ("is", "are")
TRIPLE_EXAMPLE = "( dog , on , cat )"
ROW_METADATA = ("id", "triple_id", "relationship_id", "score", "confidence")
_GROUP = re.compile(r"\(([^()]*)\)")

Triple = tuple[Any, Any, Any]


def read_triples(rows: Sequence[Any], path: str, left_out: LeftOut) -> SceneGraph:
    """The graph of triples `[subject, predicate, object]`, or of objects with these by name. Raises `SceneGraphError`
    where none can be read, and for unknown keys."""
    graph = ForeignGraph(left_out)
    triples: list[tuple[Triple, str]] = []
    graph.each(rows, "relation", path, lambda row, place, _: triples.append((_triple(row), place)))
    things = _things([triple for triple, _ in triples])
    for (subject, predicate, object_), place in triples:
        if _says_attribute(predicate) and isinstance(object_, str) and plain_form(object_) not in things:
            position = graph.add_named(subject, place)
            if position >= 0:
                graph.add_attributes(position, object_, place)
        else:
            graph.add_relation(graph.add_named(subject, place), predicate, graph.add_named(object_, place), place)
    return graph.graph()


def is_triple_row(row: Any) -> bool:
    """Whether `row` is a triple of words rather than a whole graph."""
    if isinstance(row, list | tuple):
        return len(row) == 3 and all(isinstance(value, str) for value in row)
    return isinstance(row, dict) and all(
        any(isinstance(row.get(key), str) for key in role) for role in (SUBJECT, PREDICATE, OBJECT)
    )


def read_parenthesised(text: str, left_out: LeftOut) -> SceneGraph:
    """The graph of `( dog , on , cat ) , ( dog , is , brown )`, with or without quotes around the words.

    Raises `SceneGraphError` for anything else between the parentheses or around them.
    """
    rows = []
    end = 0
    for number, group in enumerate(_GROUP.finditer(text), start=1):
        parts = [part.strip().strip("\"'").strip() for part in group[1].split(",")]
        if text[end : group.start()].strip(" \t\r\n,;[") or len(parts) != 3:
            raise SceneGraphError(f"the parenthesis {number} holds no triple, or other text is before it", "")
        rows.append(parts)
        end = group.end()
    if not rows or text[end:].strip(" \t\r\n,;.]"):
        raise SceneGraphError(f"expected triples in parentheses; write {TRIPLE_EXAMPLE} , ( dog , is , brown )")
    return read_triples(rows, "triples", left_out)


def _triple(row: Any) -> Triple:
    if isinstance(row, list | tuple):
        if len(row) != 3:
            raise SceneGraphError(f'expected three values, got {len(row)}; write ["dog", "on", "cat"]')
        triple = tuple(row)
    elif isinstance(row, dict):
        check_keys(row, "triple", SUBJECT, PREDICATE, OBJECT, ROW_METADATA)
        triple = take(row, SUBJECT, "subject"), take(row, PREDICATE, "predicate"), take(row, OBJECT, "object")
    else:
        raise SceneGraphError(f'expected three values, got {described(row)}; write ["dog", "on", "cat"]')
    for value in triple:
        if value is not None and not isinstance(value, str):
            raise SceneGraphError(f'expected text, got {described(value)}; write ["dog", "on", "cat"]')
    return triple


def _says_attribute(predicate: Any) -> bool:
    return isinstance(predicate, str) and plain_form(predicate) in COPULAS


def _things(triples: list[Triple]) -> set[str]:
    """The names that are objects for certain: all subjects, and what stands in other relations than "is"."""
    named = [subject for subject, _, _ in triples]
    named += [object_ for _, predicate, object_ in triples if not _says_attribute(predicate)]
    return {plain_form(name) for name in named if isinstance(name, str)}
