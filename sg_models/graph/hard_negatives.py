"""Hard negatives: graphs that say something else in the same words (Structure-CLIP, Huang et al. 2023, section 3.2).

Two objects trade places in one relation, two objects trade an attribute, or two relations trade their predicates, so
that the sentence stays fluent. A trade that leaves the graph what it was is none: two black cows trading "black", or a
dog and a cat that are next to each other trading places.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import networkx as nx
import numpy as np

from .networkx_graph import to_networkx
from .scene_graph import Relation, SceneGraph

# whoever is near somebody has that one near: who is named first is all the same
MUTUAL = frozenset(
    "near|near to|next to|beside|by|close to|adjacent to|alongside|and|touching|opposite|across from|parked near|"
    "parked next to|standing near|standing next to|sitting near|sitting next to|talking to".split("|")
)


@dataclass(frozen=True)
class _Trade:
    """One trade: which `part` of the graph, of what two, and at which attribute."""

    part: str
    a: int
    b: int
    attribute: int = 0


def hard_negative(graph: SceneGraph, rng: np.random.Generator) -> SceneGraph | None:
    """A random trade that changes the graph's meaning; None if every trade leaves it what it was."""
    candidates = list(_trades(graph))
    for choice in rng.permutation(len(candidates)):
        candidate = _traded(graph, candidates[int(choice)])
        if not same_meaning(graph, candidate):
            return candidate
    return None


def trades(graph: SceneGraph) -> Iterator[SceneGraph]:
    """Every graph that one trade makes, whether or not it means something else."""
    return (_traded(graph, trade) for trade in _trades(graph))


def _trades(graph: SceneGraph) -> Iterator[_Trade]:
    relations, things = graph.relations, graph.objects
    for i, relation in enumerate(relations):
        yield _Trade("places", i, i)
        for j in range(i + 1, len(relations)):
            if relation.predicate.casefold() != relations[j].predicate.casefold():
                yield _Trade("predicates", i, j)
    for i, a in enumerate(things):
        for j in range(i + 1, len(things)):
            # attributes at the same place in a phrase are of one kind (size, colour): both phrases stay fluent
            for k in range(min(len(a.attributes), len(things[j].attributes))):
                if a.attributes[k] != things[j].attributes[k]:
                    yield _Trade("attributes", i, j, k)


def _traded(graph: SceneGraph, trade: _Trade) -> SceneGraph:
    if trade.part == "attributes":
        a, b, k = graph.objects[trade.a], graph.objects[trade.b], trade.attribute
        new_a = replace(a, attributes=_with(a.attributes, {k: b.attributes[k]}))
        new_b = replace(b, attributes=_with(b.attributes, {k: a.attributes[k]}))
        return replace(graph, objects=_with(graph.objects, {trade.a: new_a, trade.b: new_b}))
    a, b = graph.relations[trade.a], graph.relations[trade.b]
    changed = {trade.a: replace(a, predicate=b.predicate), trade.b: replace(b, predicate=a.predicate)}
    if trade.part == "places":
        changed = {trade.a: Relation(a.object, a.predicate, a.subject)}
    return replace(graph, relations=_with(graph.relations, changed))


def same_meaning(a: SceneGraph, b: SceneGraph) -> bool:
    """Whether two graphs are isomorphic: the same objects in the same relations, in whatever order, wherever drawn.

    A relation that is `MUTUAL` holds both ways.
    """
    return nx.is_isomorphic(
        to_networkx(_both_ways(a)),
        to_networkx(_both_ways(b)),
        node_match=lambda m, n: m["name"] == n["name"] and sorted(m["attributes"]) == sorted(n["attributes"]),
        edge_match=lambda m, n: _predicates(m) == _predicates(n),
    )


def _both_ways(graph: SceneGraph) -> SceneGraph:
    """The graph with its mutual relations in both directions."""
    back = tuple(
        Relation(r.object, r.predicate, r.subject) for r in graph.relations if r.predicate.casefold() in MUTUAL
    )
    return SceneGraph(graph.objects, graph.relations + back)


def _predicates(edges: dict) -> list[str]:
    """Of all parallel edges between two nodes."""
    return sorted(edge["predicate"].casefold() for edge in edges.values())


def _with(items: tuple, changed: dict) -> tuple:
    return tuple(changed.get(i, item) for i, item in enumerate(items))
