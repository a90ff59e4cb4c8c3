"""One door for every scene-graph format: read any of them, and write the line syntax, networkx and PyTorch
Geometric.

Formats are told apart by their content: text that begins with a brace or bracket is JSON (canonical, sg2im,
Visual Genome, LAION-SG, node-link; see `records`), other text is the line syntax (see `line_syntax`).
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from .line_syntax import format_lines, parse_lines
from .networkx_graph import from_networkx, to_networkx
from .pyg_graph import from_pyg, to_pyg
from .records import read_record
from .scene_graph import MAX_TEXT_CHARS, SceneGraph, SceneGraphError
from .scene_graph_error import described, expect_mapping, located

__all__ = [
    "format_lines",
    "from_networkx",
    "from_pyg",
    "parse_scene_graph",
    "parse_scene_graphs",
    "to_networkx",
    "to_pyg",
]

GRAPH_EXAMPLE = '{"objects": [{"name": "dog"}], "relations": []}'
BYTE_ORDER_MARK = "\ufeff"  # Windows editors put it in front of a saved text


def parse_scene_graph(source: str | Mapping[str, Any] | Sequence[Any]) -> SceneGraph:
    """Read one scene graph from text in any format, or from JSON that is parsed already; never changes
    `source`.

    A list of one graph is that graph. Raises `SceneGraphError`, and nothing else, for whatever is no scene
    graph; it names the line or the JSON path and what to write instead.
    """
    graphs = parse_scene_graphs(source)
    if len(graphs) != 1:
        raise SceneGraphError(f"the list holds {len(graphs)} scene graphs; pass one of them")
    return graphs[0]


def parse_scene_graphs(source: str | Mapping[str, Any] | Sequence[Any]) -> list[SceneGraph]:
    """Read a JSON list of scene graphs, as sg2im's files are; any single graph gives a list of one.

    Errors as in `parse_scene_graph`, with the place in the list: `[3].objects[0].name`.
    """
    if not isinstance(source, str):
        return _read_json(source)
    if len(source) > MAX_TEXT_CHARS:
        raise SceneGraphError(f"the text has {len(source)} characters; write at most {MAX_TEXT_CHARS}")
    text = source.removeprefix(BYTE_ORDER_MARK)
    return _read_json(_load_json(text)) if text.lstrip().startswith(("{", "[")) else [parse_lines(text)]


def _read_json(value: Any) -> list[SceneGraph]:
    if isinstance(value, Mapping):
        return [read_record(value)]
    if not isinstance(value, list | tuple):
        raise SceneGraphError(f"expected text, a JSON object or a list, got {described(value)}; write {GRAPH_EXAMPLE}")
    graphs = []
    for i, record in enumerate(value):
        expect_mapping(record, f"[{i}]", GRAPH_EXAMPLE)
        with located(f"[{i}]"):
            graphs.append(read_record(record))
    return graphs


def _load_json(text: str) -> Any:
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
