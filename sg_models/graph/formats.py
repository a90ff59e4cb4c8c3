"""Every scene-graph format in one place: read any of them, and write the line syntax, networkx and PyTorch Geometric.

`reading` is the door that tells what was left out, and that needs no library.
"""

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from .line_syntax import format_lines
from .networkx_graph import from_networkx, to_networkx
from .pyg_graph import from_pyg, to_pyg
from .reading import Reading, read_scene_graphs
from .scene_graph import SceneGraph

__all__ = [
    "Reading",
    "format_lines",
    "from_networkx",
    "from_pyg",
    "parse_scene_graph",
    "parse_scene_graphs",
    "read_scene_graphs",
    "to_networkx",
    "to_pyg",
]


def parse_scene_graph(source: str | Mapping[str, Any] | Sequence[Any]) -> SceneGraph:
    """Reads one scene graph from text in any format, or from JSON that is parsed already; never changes
    `source`.

    A list of one graph is that graph. What is left out of a foreign record goes to the log; `read_scene_graphs`
    gives it back instead. Raises `SceneGraphError`, and nothing else, for whatever is no scene graph; it names the
    line or the JSON path and what to write instead.
    """
    return _logged(read_scene_graphs(source)).single()


def parse_scene_graphs(source: str | Mapping[str, Any] | Sequence[Any]) -> list[SceneGraph]:
    """Reads a JSON list of scene graphs, as sg2im's files are; any single graph gives a list of one.

    Log and errors as in `parse_scene_graph`, with the place in the list: `[3].objects[0].name`.
    """
    return list(_logged(read_scene_graphs(source)).graphs)


def _logged(reading: Reading) -> Reading:
    for warning in reading.warnings:
        logging.getLogger(__name__).warning(warning)
    return reading
