"""Boxes for every object of a graph, so that its relations hold: a prior says where things might be, rules decide."""

from dataclasses import dataclass, replace

import numpy as np

from ..graph.contradictions import MAX_SAID
from ..graph.scene_graph import SceneGraph
from .contradictory_rules import without_contradictions
from .deadline import Deadline
from .layout_prior import load_prior
from .obstacles import obstacle
from .plain_prior import PlainPrior
from .prior import Prior
from .prior_file import SHIPPED
from .reasons import Reasons
from .rules import Rule, Tie, centres_hold, read_rules, rule_holds
from .solver import solve
from .task import Task, cornered, new_task

SECONDS = 0.9  # of work, beyond which no more is begun; graphs of a picture take hundredths of one
PROPOSALS = 6  # of the prior, of which the one that breaks the rules least is taken
MOST_SEED = 2**64


@dataclass(frozen=True)
class Arrangement:
    """A graph with a box for every object, and what became of its relations (positions in the graph).

    `exact` hold, by `spatial_relation`; of those `by_centres` the centres are the right way round, but another
    direction is greater ("left of" and "above" of the same two objects); `soft` ones say nothing certain of places and
    are as the prior has them; `broken` ones do not hold. `reasons` say in words why.
    """

    graph: SceneGraph
    exact: tuple[int, ...]
    by_centres: tuple[int, ...]
    soft: tuple[int, ...]
    broken: tuple[int, ...]
    reasons: tuple[str, ...]

    def summary(self) -> str:
        """How many relations hold, in words: "3 of 4 relations hold exactly, 1 does not; 2 are left to the prior"."""
        rules = len(self.exact) + len(self.by_centres) + len(self.broken)
        parts = [f"{len(self.exact)} of {rules} spatial relations hold exactly"] if rules else []
        parts += [f"{len(self.by_centres)} by their centres"] if self.by_centres else []
        parts += [f"{len(self.broken)} cannot hold"] if self.broken else []
        parts += [f"{len(self.soft)} others as in real pictures"] if self.soft else []
        count = len(self.graph.objects)
        return "; ".join((f"{count} {'box' if count == 1 else 'boxes'}", *parts))


def arrange(graph: SceneGraph, seed: int, aspect: float = 1.0, prior: Prior | None = None) -> Arrangement:
    """Gives every object of `graph` a box; boxes that it gives stay.

    The same seed (from 0) gives the same boxes. `aspect` is the picture's width over its height; `prior` is the usual
    one if none is named. Raises ValueError for a seed or an aspect out of range.
    """
    if not 0 <= seed < MOST_SEED:
        raise ValueError(f"the seed {seed}; write a whole number from 0 to 2^64 - 1")
    if not 1 / 64 <= aspect <= 64:
        raise ValueError(f"a picture {aspect:g} times as wide as it is high; at most 64 times, either way")
    clock = Deadline(SECONDS)
    every, ties = read_rules(graph)
    rules, against = without_contradictions(every, len(graph.objects))
    reasons = Reasons(graph)
    for left_out, path in against.items():
        reasons.contradiction(left_out, path)
    task = _nearest_task(graph, seed, aspect, prior or usual_prior(), rules, ties)
    task = _with_settled(task, reasons)
    solved = solve(task, np.random.default_rng((seed, 1)), clock)
    for rule in solved.left_out[:MAX_SAID]:
        if clock.left > 0:
            reasons.obstacle(obstacle(solved.task, rule, clock))
    return _outcome(graph, solved.boxes, task.size, every, ties, reasons)


def usual_prior() -> Prior:
    """The learned prior that is shipped; where its file is not, as in a wheel, one that knows nothing of the world."""
    return load_prior() if SHIPPED.is_file() else PlainPrior()


def _nearest_task(
    graph: SceneGraph, seed: int, aspect: float, prior: Prior, rules: list[Rule], ties: list[Tie]
) -> Task:
    """The task of the proposal that breaks the rules least, of some that the prior makes."""
    samples = prior.samples(graph, seed, aspect, PROPOSALS if rules else 1)
    tasks = [new_task(graph, proposal, aspect, rules, ties) for proposal in samples]
    return min(tasks, key=lambda task: task.failure())


def _with_settled(task: Task, reasons: Reasons) -> Task:
    """Without the rules between boxes that are given both: they hold already, or never."""
    boxes = cornered(task.target)
    open_rules = []
    for rule in task.rules:
        if not (task.given[rule.first] and task.given[rule.second]):
            open_rules.append(rule)
        elif not centres_hold(rule, boxes):
            reasons.given((rule,), rule.ends, rule.relation)
    return task.with_rules(tuple(open_rules))


def _outcome(
    graph: SceneGraph, boxes: np.ndarray, size: np.ndarray, rules: list[Rule], ties: list[Tie], reasons: Reasons
) -> Arrangement:
    """The graph with its boxes, and which of its relations hold."""
    things = []
    for thing, box in zip(graph.objects, boxes / np.tile(size, 2), strict=True):
        x0, y0, x1, y1 = box.tolist()
        things.append(thing if thing.box is not None else replace(thing, box=(x0, y0, x1, y1)))
    exact = [rule.relation for rule in rules if rule_holds(rule, boxes)]
    loose = [rule.relation for rule in rules if rule.relation not in exact and centres_hold(rule, boxes)]
    broken = [rule for rule in rules if rule.relation not in exact and rule.relation not in loose]
    return Arrangement(
        SceneGraph(tuple(things), graph.relations),
        tuple(sorted(exact)),
        tuple(sorted(loose)),
        tuple(tie.relation for tie in ties),
        tuple(sorted(rule.relation for rule in broken)),
        reasons.sentences(broken, loose),
    )
