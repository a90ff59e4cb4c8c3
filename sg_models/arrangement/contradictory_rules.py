"""Leaving out rules that contradict those before them, so that the rest is free of cycles."""

from collections import defaultdict
from collections.abc import Sequence

from ..graph.contradictions import MAX_SAID, Steps, shortest_path
from ..graph.spatial_wordings import ABOVE, INSIDE, LEFT
from .rules import Rule


class _Order:
    """Who comes before whom, directly (`steps`) and through others (`after`, a set of objects as bits)."""

    def __init__(self, objects: int) -> None:
        self.steps: Steps = defaultdict(list)
        self.after = [0] * objects

    def leads(self, start: int, end: int) -> bool:
        return bool(self.after[start] >> end & 1)

    def add(self, rule: Rule) -> None:
        self.steps[rule.first].append((rule.second, rule.relation))
        reached = self.after[rule.second] | 1 << rule.second
        for place, after in enumerate(self.after):
            if place == rule.first or after >> rule.first & 1:
                self.after[place] |= reached


def without_contradictions(rules: Sequence[Rule], objects: int) -> tuple[list[Rule], dict[int, tuple[int, ...]]]:
    """The rules that can be followed one after the other, inside first; and what speaks against the others.

    By the relation that is left out, the relations that contradict it together; () beyond the first `MAX_SAID`.
    """
    orders = {meaning: _Order(objects) for meaning in (LEFT, ABOVE, INSIDE)}
    kept: list[Rule] = []
    against: dict[int, tuple[int, ...]] = {}
    for rule in sorted(rules, key=lambda rule: rule.meaning != INSIDE):
        wrong = _wrong_way(rule, orders)
        if wrong is None:
            orders[rule.meaning].add(rule)
            kept.append(rule)
        else:
            path = shortest_path(*wrong) if len(against) < MAX_SAID else None
            against[rule.relation] = tuple(path or ())
    return kept, against


def _wrong_way(rule: Rule, orders: dict[str, _Order]) -> tuple[Steps, int, int] | None:
    """What a path would have to be found in, from where to where, that contradicts a rule."""
    for order, start, end in (
        (orders[rule.meaning], rule.second, rule.first),
        (orders[INSIDE], rule.first, rule.second),
        (orders[INSIDE], rule.second, rule.first),
    ):
        if order.leads(start, end) and not (rule.meaning == INSIDE and start == rule.first):
            return order.steps, start, end
    return None
