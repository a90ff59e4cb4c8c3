"""The page of what a graph costs: known counts and times give known figures."""

import numpy as np
import pytest

from train.report.influence_page import BASE, COMPARED, FULL, SETTINGS, Measured, Setting, influence_page
from train.report.metrics import METRICS

GRAPHS = 40
RELATIONS = METRICS.index("relation accuracy")
SHORT, HALF = Setting(end=0.3), Setting(on_negative=False)


def measured(right: dict[Setting, int], seconds: dict[Setting, float]) -> Measured:
    """Four relations a graph, so many of them right; of all else everything. Two seconds where nothing is said."""
    counts = np.full((len(SETTINGS), len(METRICS), GRAPHS, 2), 4)
    for setting, hits in right.items():
        counts[SETTINGS.index(setting), RELATIONS, :, 0] = hits
    return Measured(counts, np.array([seconds.get(setting, 2.0) for setting in SETTINGS]))


def test_times_are_over_the_bases_in_as_many_steps():
    few = Setting(steps=8)
    found = measured({}, {BASE[0]: 1.0, few.alone: 0.25, few: 0.5, SHORT: 1.1})
    assert (found.time(SHORT), found.time(few), found.time(FULL)) == pytest.approx((1.1, 2.0, 2.0))


def test_what_is_gained_is_counted_on_the_same_graphs():
    found = measured({SHORT: 3}, {})
    assert found.gain(SHORT) == [-0.25, -0.25, -0.25]  # the same on every graph: nothing is left to chance
    assert found.gain(FULL) == [0.0, 0.0, 0.0]
    assert found.gain(SHORT, "exact graph") == [0.0, 0.0, 0.0]
    assert found.figure(SHORT, "relation accuracy")[0] == 0.75 and found.figure(FULL, "exact graph")[0] == 1.0


def test_an_interval_is_as_wide_as_graphs_differ():
    found = measured({}, {})
    found.counts[SETTINGS.index(SHORT), RELATIONS, : GRAPHS // 2, 0] = 0
    value, low, high = found.gain(SHORT)
    assert value == -0.5 and low < -0.55 and high > -0.45


def test_parts_are_put_together():
    one, other = measured({FULL: 4}, {FULL: 1.0}), measured({FULL: 0}, {FULL: 3.0})
    both = Measured.together([one, other])
    assert both.counts.shape[2] == 2 * GRAPHS and both.seconds[SETTINGS.index(FULL)] == 4.0
    assert both.figure(FULL, "relation accuracy")[0] == 0.5


@pytest.mark.parametrize(
    ("right", "seconds", "said"),
    [
        ({}, {}, "none does. The shortest that loses as little is end 1, with 2.00 × and +0.000; none is as short."),
        ({}, {SHORT: 1.1}, "that is end 0.3, with 1.10 × and +0.000."),
        (
            {SHORT: 3},
            {SHORT: 1.1, HALF: 1.5},
            "none does. The shortest that loses as little is end 1, `on_negative` off, with 1.50 × and +0.000; "
            "the best that is as short is end 0.3, with 1.10 × and -0.250.",
        ),
    ],
)
def test_the_page_says_whether_what_was_asked_is_there(right, seconds, said):
    page = influence_page(measured(right, {BASE[0]: 1.0} | seconds), "vi", "Shapes", GRAPHS)
    assert (
        f"{said}\n\nThe nodes and the scripts begin with the first row" in page
        and "(vi) on Shapes: 40 validation graphs" in page
    )
    assert sum(line.startswith(("| 1 |", "| 0.")) for line in page.splitlines()) == len(COMPARED)
