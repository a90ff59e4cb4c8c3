"""Scene graphs as `networkx.MultiDiGraph` and back."""

import networkx as nx

from .records import read_node_link
from .scene_graph import SceneGraph, SceneGraphError


def to_networkx(graph: SceneGraph) -> nx.MultiDiGraph:
    """A new multigraph: node i is object i with `name`, `attributes` (list) and, where there is one, `box` (list).

    Every edge has `predicate`; its key is the position of the relation, which `from_networkx` puts back in order.
    """
    result = nx.MultiDiGraph()
    for i, item in enumerate(graph.objects):
        result.add_node(i, **{"attributes": [], **item.to_dict()})
    for i, relation in enumerate(graph.relations):
        result.add_edge(relation.subject, relation.object, key=i, predicate=relation.predicate)
    return result


def from_networkx(graph: nx.DiGraph) -> SceneGraph:
    """Reads a `DiGraph` or `MultiDiGraph`, the inverse of `to_networkx`.

    Nodes may have any id; a node without `name` is named by its id if that is text. Edges need `predicate`.
    Raises `SceneGraphError`, also for undirected graphs; paths are those of node-link JSON (`nodes[0].name`).
    """
    if not isinstance(graph, nx.Graph) or not graph.is_directed():
        raise SceneGraphError(f"expected a networkx DiGraph or MultiDiGraph, got {type(graph).__name__}")
    positions = {node: position for position, node in enumerate(graph)}
    nodes = [{"name": node, **data, "id": positions[node]} for node, data in graph.nodes(data=True)]
    if isinstance(graph, nx.MultiDiGraph):
        edges = [(source, target, key, data) for source, target, key, data in graph.edges(keys=True, data=True)]
    else:
        edges = [(source, target, None, data) for source, target, data in graph.edges(data=True)]
    return read_node_link(
        {
            "nodes": nodes,
            "edges": [
                {**data, "source": positions[source], "target": positions[target], "key": key}
                for source, target, key, data in edges
            ],
        }
    )
