"""Hard negatives: graphs that say something else in the same words (Structure-CLIP, Huang et al. 2023, section 3.2).

Two objects trade places in one relation, or two objects trade an attribute, so that the sentence stays fluent. A trade
that leaves the graph what it was (two black cows trading "black") is none.
"""

from collections.abc import Iterator
from dataclasses import replace

import networkx as nx
import numpy as np

from .networkx_graph import to_networkx
from .scene_graph import Relation, SceneGraph


def hard_negative(graph: SceneGraph, rng: np.random.Generator) -> SceneGraph | None:
    """A random trade that changes the graph's meaning; None if every trade leaves it what it was."""
    candidates = list(trades(graph))
    for choice in rng.permutation(len(candidates)):
        candidate = candidates[int(choice)]
        if not same_meaning(graph, candidate):
            return candidate
    return None


def trades(graph: SceneGraph) -> Iterator[SceneGraph]:
    """Every graph that one trade makes, whether or not it means something else."""
    for position, relation in enumerate(graph.relations):
        turned = Relation(relation.object, relation.predicate, relation.subject)
        yield replace(graph, relations=_with(graph.relations, {position: turned}))
    things = graph.objects
    for i, a in enumerate(things):
        for j in range(i + 1, len(things)):
            b = things[j]
            # attributes at the same place in a phrase are of one kind (size, colour): both phrases stay fluent
            for k in range(min(len(a.attributes), len(b.attributes))):
                new_a = replace(a, attributes=_with(a.attributes, {k: b.attributes[k]}))
                new_b = replace(b, attributes=_with(b.attributes, {k: a.attributes[k]}))
                yield replace(graph, objects=_with(things, {i: new_a, j: new_b}))


def same_meaning(a: SceneGraph, b: SceneGraph) -> bool:
    """Whether two graphs are isomorphic: the same objects in the same relations, in whatever order, wherever drawn."""
    return nx.is_isomorphic(
        to_networkx(a),
        to_networkx(b),
        node_match=lambda m, n: m["name"] == n["name"] and sorted(m["attributes"]) == sorted(n["attributes"]),
        edge_match=lambda m, n: _predicates(m) == _predicates(n),
    )


def _predicates(edges: dict) -> list[str]:
    """Of all parallel edges between two nodes."""
    return sorted(edge["predicate"] for edge in edges.values())


def _with(items: tuple, changed: dict) -> tuple:
    return tuple(changed.get(i, item) for i, item in enumerate(items))
