"""The scene graphs that a command line names, each with the name that its pictures get."""

import sys
from collections.abc import Sequence

from sg_models.graph.graph_files import read_source
from sg_models.graph.scene_graph import SceneGraph
from train.running.command_line import UsageError


def read_graphs(sources: Sequence[str]) -> dict[str, SceneGraph]:
    """Scene graphs by the name that their pictures get: the file's, with a number where a file holds several.

    What was left out of them, and what contradicts itself, goes to standard error.
    """
    graphs: dict[str, SceneGraph] = {}
    for file in (file for source in sources for file in read_source(source)):
        for warning in file.warnings():
            print(f"warning: {warning}", file=sys.stderr)
        for i, graph in enumerate(file.reading.graphs, start=1):
            key = file.name if len(file.reading.graphs) == 1 else f"{file.name}-{i}"
            if key in graphs:
                raise UsageError(f"two graphs would both be drawn as {key}_0.png; rename one of the files")
            graphs[key] = graph
    return graphs
