"""What cannot hold, and why: the rules that no boxes satisfy together, whichever way they are placed.

Each rule is given a slack, and the least sum of slacks says what must give way. What stands against a rule that does
are the rules with a price in the programme of its own least slack (Farkas' lemma), thinned out until each is needed.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..graph.spatial_wordings import INSIDE
from .deadline import Deadline
from .linear_programme import LinearProgramme
from .rule_rows import add_boxes, add_rule
from .rules import LEAST, Rule
from .task import Task

ACROSS, BROKEN = 1.0, 1000.0  # price of a direction that holds by its centres alone, and of a rule that does not hold
FINER = 50  # by how much smaller margins are that are tried before anything is said not to hold


@dataclass(frozen=True)
class Obstacle:
    """A rule that gives way, and the smallest set of rules, it among them, that cannot hold together.

    `given` are objects without whose given boxes they could.
    """

    rule: Rule
    against: tuple[Rule, ...]
    given: tuple[int, ...]


def satisfiable(task: Task, clock: Deadline, may_be_finer: bool = True) -> tuple[Task, list[Rule], np.ndarray | None]:
    """The task with those rules that can hold together, if need be by their centres alone, or by a smaller margin.

    Beside it the rules that are left out, and places [O, 4] that obey the others; None if time was up.
    """
    best: tuple[Task, list[Rule], np.ndarray | None] | None = None
    for margin in (task.margin, task.margin / FINER) if may_be_finer else (task.margin,):
        finer = replace(task, margin=margin)
        found = _least_slacks(finer, clock)
        if found is None:
            break
        left_out = [rule for rule, slack in zip(task.rules, found.broken, strict=True) if slack > LEAST]
        kept = tuple(rule for rule, slack in zip(task.rules, found.broken, strict=True) if slack <= LEAST)
        loose = frozenset(rule.relation for rule, slack in zip(task.rules, found.across, strict=True) if slack > LEAST)
        if best is None or (len(left_out), len(loose)) < (len(best[1]), len(best[0].by_centres)):
            best = finer.with_rules(kept, loose), left_out, found.places
        if not left_out and not loose:
            break
    return best or (task.with_rules(()), list(task.rules), None)


def obstacle(task: Task, rule: Rule, clock: Deadline) -> Obstacle:
    """Why a rule cannot hold beside the rules of a task, which can hold together."""
    task = replace(task, by_centres=task.by_centres | {rule.relation})
    against = _priced_rules(task, rule, clock)
    for candidate in list(against):
        fewer = [other for other in against if other is not candidate]
        if clock.left > 0 and not _feasible(task, [*fewer, rule], clock):
            against = fewer
    together = (*against, rule)
    ends = {end for one in together for end in one.ends}
    fixed = tuple(sorted(end for end in ends if task.given[end]))
    free = replace(task, given=np.zeros(task.count, bool))
    blamed = fixed if fixed and _feasible(free, together, clock) else ()
    return Obstacle(rule, together, blamed)


@dataclass(frozen=True)
class _Slacks:
    """By how much each rule fails [R], across alone and altogether, and the places [O, 4] where it does."""

    across: np.ndarray
    broken: np.ndarray
    places: np.ndarray


def _least_slacks(task: Task, clock: Deadline) -> _Slacks | None:
    """The least failures of all rules together; None if time was up."""
    programme = LinearProgramme()
    columns = add_boxes(programme, task, range(task.count))
    across, broken = [], []
    for rule in task.rules:
        broken.append(programme.column(cost=BROKEN))
        across.append(programme.column(cost=ACROSS))
        add_rule(programme, columns, rule, task.margin, [(broken[-1], 1.0)], by_centres=True)
        if rule.meaning != INSIDE:
            add_rule(programme, columns, rule, task.margin, [(across[-1], 1.0), (broken[-1], 1.0)])
    values = programme.solve(clock.patience).values
    if values is None:
        return None
    return _Slacks(values[across], values[broken], values[: 4 * task.count].reshape(-1, 4))


def _priced_rules(task: Task, rule: Rule, clock: Deadline) -> list[Rule]:
    """Rules of a task that together keep another rule from holding."""
    programme = LinearProgramme()
    columns = add_boxes(programme, task, range(task.count))
    slack = programme.column(cost=1.0)
    add_rule(programme, columns, rule, task.margin, [(slack, 1.0)], by_centres=True)
    owner: dict[int, Rule] = {}
    for other in task.rules:
        rows = add_rule(programme, columns, other, task.margin, by_centres=other.relation in task.by_centres)
        owner |= dict.fromkeys(rows, other)
    priced = {id(owner[row]): owner[row] for row in programme.binding_rows(clock.patience) if row in owner}
    return list(priced.values())


def _feasible(task: Task, rules: Sequence[Rule], clock: Deadline) -> bool:
    """Whether some rules can hold together, by their centres where the task says so; True if time is up."""
    programme = LinearProgramme()
    columns = add_boxes(programme, task, sorted({end for rule in rules for end in rule.ends}))
    for rule in rules:
        add_rule(programme, columns, rule, task.margin, by_centres=rule.relation in task.by_centres)
    return not programme.solve(clock.patience).infeasible
