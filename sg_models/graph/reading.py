"""One door for reading scene graphs, with what was left out on the way; needs nothing but the standard library.

Formats are told apart by their content: text that begins with a brace or bracket is JSON (see `records`), with a
parenthesis what caption parsers print (see `named_triples`), other text is the line syntax (see `line_syntax`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .beside import Beside
from .contradictions import contradiction_sentences
from .foreign_graph import Size
from .left_out import LeftOut
from .line_syntax import parse_lines
from .named_triples import read_parenthesised
from .records import read_records
from .scene_graph import SceneGraph, SceneGraphError
from .text_forms import JSON, PARENTHESES, find_graph


@dataclass(frozen=True)
class Reading:
    """The graphs of one source, in order, and sentences about what was left out of them.

    `left_out` has the rows that were: what they are, the reason, and how many.
    """

    graphs: tuple[SceneGraph, ...]
    warnings: tuple[str, ...] = ()
    left_out: tuple[tuple[str, str, int], ...] = ()

    def single(self) -> SceneGraph:
        """The one graph. Raises `SceneGraphError` for none and for several."""
        if len(self.graphs) != 1:
            raise SceneGraphError(f"the list holds {len(self.graphs)} scene graphs; pass one of them")
        return self.graphs[0]

    def contradictions(self) -> tuple[str, ...]:
        """Sentences about relations that cannot hold together, with the graph's number where there are several."""
        several = len(self.graphs) > 1
        return tuple(
            f"graph {i}: {sentence}" if several else sentence
            for i, graph in enumerate(self.graphs, start=1)
            for sentence in contradiction_sentences(graph)
        )


def read_scene_graphs(
    source: str | Mapping[str, Any] | Sequence[Any], size: Size | None = None, beside: Beside | None = None
) -> Reading:
    """Reads scene graphs from text in any format, or from JSON that is parsed already; never changes `source`.

    `size` (width, height in pixels) is that of pictures whose size the source does not give, for boxes in pixels;
    `beside` is what stands beside a file. Raises `SceneGraphError`, and nothing else, for whatever is no scene graph.
    """
    beside = beside or Beside(size)
    left_out = LeftOut()
    if not isinstance(source, str):
        return Reading(tuple(read_records(source, beside, left_out)), left_out.warnings(), left_out.counts())
    found = find_graph(source)
    if found.form == JSON:
        graphs = read_records(found.value, beside, left_out)
    else:
        graphs = [read_parenthesised(found.value, left_out) if found.form == PARENTHESES else parse_lines(found.value)]
    return Reading(tuple(graphs), (*found.warnings, *left_out.warnings()), left_out.counts())
