"""What people paste: the scene graph inside of a text that may have a fence or a sentence around it.

Only what is certain is read: one fenced block, exactly one JSON value, JSON lines. Anything doubtful is left to the
line syntax, which refuses what is no graph.
"""

import json
import re
from dataclasses import dataclass
from typing import Any

from .scene_graph import MAX_TEXT_CHARS, SceneGraphError

BYTE_ORDER_MARK = "\ufeff"  # Windows editors put it in front of a saved text
LINES, JSON, PARENTHESES = "lines", "json", "parentheses"
GRAPH_EXAMPLE = '{"objects": [{"name": "dog"}], "relations": []}'
_FENCE = re.compile(r"^[ \t]*(?:```|~~~)([^\n`]*)$", re.MULTILINE)
_OPENS = re.compile(r"[{\[]")


@dataclass(frozen=True)
class Found:
    """`form` is one of `LINES`, `JSON`, `PARENTHESES`; `value` the text, or the parsed JSON."""

    form: str
    value: Any
    warnings: tuple[str, ...] = ()


def find_graph(text: str) -> Found:
    """The part of `text` that is a scene graph. Raises `SceneGraphError` for JSON that cannot be parsed, several fenced
    blocks, and texts that are too long."""
    if len(text) > MAX_TEXT_CHARS:
        raise SceneGraphError(f"the text has {len(text)} characters; write at most {MAX_TEXT_CHARS}")
    text, warnings = _without_fence(text.removeprefix(BYTE_ORDER_MARK))
    start = text.lstrip()
    if _is_parenthesised(start):
        return Found(PARENTHESES, text, warnings)
    if start.startswith(("{", "[")):
        return _json(text, warnings)
    return _amid_prose(text, warnings) or Found(LINES, text, warnings)


def _is_parenthesised(start: str) -> bool:
    """Whether the text begins with a list in parentheses, and not with a number such as (1)."""
    opening = re.match(r"\[?\s*\(", start)
    closing = start.find(")")
    return opening is not None and ("," in start[:closing] if closing > 0 else opening[0].startswith("["))


def _without_fence(text: str) -> tuple[str, tuple[str, ...]]:
    """What stands in the one fenced block of `text`; the text itself if it has none."""
    fences = list(_FENCE.finditer(text))
    if not fences:
        return text, ()
    if len(fences) > 2:
        raise SceneGraphError(f"{(len(fences) + 1) // 2} fenced blocks; keep the one that holds the scene graph")
    closing = fences[1].start() if len(fences) == 2 else len(text)
    around = text[: fences[0].start()] + (text[fences[1].end() :] if len(fences) == 2 else "")
    warnings = ("the text around the fenced block was not read",) if around.strip() else ()
    return text[fences[0].end() : closing].strip("\n"), warnings


def _json(text: str, warnings: tuple[str, ...]) -> Found:
    try:
        return Found(JSON, load_json(text), warnings)
    except SceneGraphError:
        records = _json_lines(text)
        if records is not None:
            return Found(JSON, records, warnings)
        found = _amid_prose(text, warnings)
        if found is None:
            raise
        return found


def _json_lines(text: str) -> list[Any] | None:
    """The JSON objects of a text that has one on every line; None if it is not that."""
    lines = [line for line in text.splitlines() if line.strip()]
    if len(lines) < 2 or not all(line.strip().startswith("{") and line.strip().endswith("}") for line in lines):
        return None
    try:
        return [load_json(line) for line in lines]
    except SceneGraphError:
        return None


def _amid_prose(text: str, warnings: tuple[str, ...]) -> Found | None:
    """The only JSON value in a text that has words around it; None where there is none, or more."""
    opening = _OPENS.search(text)
    if opening is None:
        return None
    before = text[text.rfind("\n", 0, opening.start()) + 1 : opening.start()]
    if before.count('"') % 2:  # a name in quotes
        return None
    try:
        value, end = json.JSONDecoder().raw_decode(text, opening.start())
    except (ValueError, RecursionError):
        return None
    around = text[: opening.start()] + text[end:]
    if not _holds_a_graph(value) or re.search(r"[{}\[\]|｜│]", around):
        return None
    return Found(JSON, value, (*warnings, "the words around the JSON were not read"))


def _holds_a_graph(value: Any) -> bool:
    """Whether a JSON value can be more than a bracketed remark."""
    return isinstance(value, dict) or (isinstance(value, list) and any(isinstance(item, dict | list) for item in value))


def load_json(text: str) -> Any:
    """`text` as JSON. Raises `SceneGraphError` with the line of the fault."""
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise SceneGraphError(
            f"this is not valid JSON ({error.msg}, column {error.colno}); correct it, or write lines "
            "such as: brown dog | on | motorcycle",
            f"line {error.lineno}",
        ) from None
    except RecursionError:
        raise SceneGraphError(f"the JSON is nested too deeply; write {GRAPH_EXAMPLE}") from None
    except ValueError:  # Python reads no integer of more than 4300 digits
        raise SceneGraphError("the JSON holds a number with thousands of digits; shorten it") from None
