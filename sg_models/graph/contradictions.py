"""Which spatial relations of a graph cannot hold together.

Left of, above and inside are orders: whoever goes along them and comes back to where they began has found relations
that contradict each other. An object that is inside another, directly or through a third, is also neither left of,
right of, above nor below it, as in sg2im (Johnson et al. 2018), where exactly one of the six relations holds.
"""

from collections import defaultdict, deque
from collections.abc import Iterable, Sequence

from .scene_graph import SceneGraph
from .spatial_wordings import ABOVE, BELOW, INSIDE, LEFT, RIGHT, SURROUNDING, spatial_meaning

MAX_SAID = 10  # contradictions that are put into words; the rest is counted
_TURNED = {RIGHT: LEFT, BELOW: ABOVE, SURROUNDING: INSIDE}

Steps = dict[int, list[tuple[int, int]]]  # object → (object that it comes before, relation that says so)


def contradictions(graph: SceneGraph) -> list[tuple[int, ...]]:
    """Sets of relations (positions in `graph.relations`) that cannot all hold, though any part of a set can.

    The shortest set through each relation, every set once; [] for a graph that can be drawn.
    """
    orders = _orders(graph)
    found: set[tuple[int, ...]] = set()
    for steps in orders.values():
        for start, ways in steps.items():
            for end, relation in ways:
                _note(found, relation, shortest_path(steps, end, start))
    for name in (LEFT, ABOVE):
        for start, ways in orders[name].items():
            for end, relation in ways:
                for inner, outer in ((start, end), (end, start)):
                    _note(found, relation, shortest_path(orders[INSIDE], inner, outer))
    return sorted(found)


def contradiction_sentences(graph: SceneGraph) -> list[str]:
    """The contradictions in words: "'circle left of square' and 'square left of circle' cannot both hold"."""
    found = contradictions(graph)
    names = numbered_phrases(graph)
    sentences = [cannot_hold(graph, names, relations) for relations in found[:MAX_SAID]]
    if len(found) > MAX_SAID:
        sentences.append(f"{len(found) - MAX_SAID} more sets of relations cannot hold together")
    return sentences


def _orders(graph: SceneGraph) -> dict[str, Steps]:
    """The steps of the three orders: what is left of, above or inside what."""
    orders: dict[str, Steps] = {name: defaultdict(list) for name in (LEFT, ABOVE, INSIDE)}
    for position, relation in enumerate(graph.relations):
        meaning = spatial_meaning(relation.predicate)
        if meaning in _TURNED:
            orders[_TURNED[meaning]][relation.object].append((relation.subject, position))
        elif meaning:
            orders[meaning][relation.subject].append((relation.object, position))
    return orders


def shortest_path(steps: Steps, start: int, goal: int) -> list[int] | None:
    """The relations of a shortest way from `start` to `goal`, at least one; None where there is no way."""
    came: dict[int, tuple[int, int]] = {}  # object → (object before it, relation between them)
    waiting = deque([start])
    while waiting:
        here = waiting.popleft()
        for there, relation in steps.get(here, ()):
            if there not in came:
                came[there] = here, relation
                waiting.append(there)
        if goal in came:
            return _walked(came, start, goal)
    return None


def _walked(came: dict[int, tuple[int, int]], start: int, goal: int) -> list[int]:
    relations = []
    here = goal
    while True:
        here, relation = came[here]
        relations.append(relation)
        if here == start:
            return relations[::-1]


def _note(found: set[tuple[int, ...]], relation: int, path: Iterable[int] | None) -> None:
    if path is not None:
        found.add(tuple(sorted((relation, *path))))


def numbered_phrases(graph: SceneGraph) -> list[str]:
    """The phrase of each object, numbered from the second of its kind on."""
    count: dict[str, int] = defaultdict(int)
    names = []
    for item in graph.objects:
        count[item.phrase] += 1
        names.append(item.phrase if count[item.phrase] == 1 else f"{item.phrase}#{count[item.phrase]}")
    return names


def said_together(graph: SceneGraph, names: list[str], relations: Sequence[int]) -> str:
    """Some relations in words: "'circle left of square' and 'square left of circle'"; `names` are those of objects."""
    facts = []
    for relation in (graph.relations[position] for position in relations):
        facts.append(f"'{names[relation.subject]} {relation.predicate} {names[relation.object]}'")
    return f"{', '.join(facts[:-1])} and {facts[-1]}" if len(facts) > 1 else facts[0]


def cannot_hold(graph: SceneGraph, names: list[str], relations: Sequence[int]) -> str:
    """The sentence that says so of at least two relations."""
    return f"{said_together(graph, names, relations)} cannot {'both' if len(relations) == 2 else 'all'} hold"
