"""What boxes are worth beside true ones: known boxes give known figures, and the page says them."""

import numpy as np
import pytest

from sg_models.graph.line_syntax import parse_lines
from train.report.arrangement_figures import COLUMNS, count_held, mean_difference, measure, true_boxes
from train.report.arrangement_page import OURS, TRUTH, Measured, SetRows, page

# a hat is on a man, left of whom a dog stands; nothing joins dog and hat
GRAPH = parse_lines("man @ 0.5 0.2 0.9 1\nhat @ 0.6 0.1 0.8 0.3 | on | man\ndog @ 0.1 0.6 0.4 1 | left of | man")


def held(text: str) -> dict[str, list[bool]]:
    found: dict[str, list[bool]] = {name: [] for name in COLUMNS[:3]}
    graph = parse_lines(text)
    count_held(graph, true_boxes(graph), found)
    return found


def test_true_boxes_are_right_of_themselves():
    found = measure([GRAPH], lambda graph, seeds: np.repeat(true_boxes(graph)[None], seeds, axis=0), 3)
    assert found.values == pytest.approx(
        {
            "directions": 1.0,
            "of them exact": 1.0,
            "containment": float("nan"),
            "IoU, mean": 1.0,
            "IoU, best of 8": 1.0,
            "overlap": 0.0,
            "spread": 0.0,
        },
        nan_ok=True,
    )


def test_the_best_seed_is_best_for_the_whole_graph():
    """Each of two seeds has one of the three boxes right, and a third seed two."""
    truth, elsewhere = true_boxes(GRAPH), np.array([0.0, 0.0, 0.01, 0.01])
    right = np.array([[True, False, False], [False, True, False], [False, True, True]])
    found = measure([GRAPH], lambda graph, seeds: np.where(right[:, :, None], truth, elsewhere), 3)
    assert found.values["IoU, best of 8"] == found.best[0] == pytest.approx(2 / 3)
    assert found.values["IoU, mean"] == pytest.approx(4 / 9)
    assert found.values["spread"] > 0.1


def test_what_strangers_share_is_a_part_of_the_smaller_box():
    def onto_the_hat(graph, seeds):
        boxes = true_boxes(graph)
        boxes[2] = [0.7, 0.1, 1.0, 0.3]  # half of the hat is behind the dog
        return boxes[None]

    assert measure([GRAPH], onto_the_hat, 1).values["overlap"] == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("boxes", "direction", "exact"),
    [
        ("a @ 0 0.4 0.2 0.6 | left of | b @ 0.6 0.4 0.8 0.6", True, True),
        ("a @ 0.4 0 0.5 0.2 | left of | b @ 0.5 0.8 0.6 1", True, False),
        ("a @ 0.6 0.4 0.8 0.6 | left of | b @ 0 0.4 0.2 0.6", False, False),
        ("a @ 0.1 0.1 0.3 0.3 | left of | b @ 0 0 1 1", False, False),
    ],
)
def test_directions_hold_by_centres_and_exactly(boxes: str, direction: bool, exact: bool):
    assert held(boxes) == {"directions": [direction], "of them exact": [exact], "containment": []}


def test_containment_holds_where_the_whole_box_is_inside():
    assert held("a @ 0.2 0.2 0.4 0.4 | inside | b @ 0.1 0.1 0.5 0.5")["containment"] == [True]
    assert held("a @ 0.2 0.2 0.6 0.4 | inside | b @ 0.1 0.1 0.5 0.5")["containment"] == [False]


def test_a_difference_has_an_interval_as_wide_as_graphs_differ():
    ours = np.array([0.5, 0.7] * 50)
    assert mean_difference(ours, ours - 0.1) == pytest.approx((0.1, 0.1, 0.1))
    value, low, high = mean_difference(ours, np.full(100, 0.6))
    assert value == pytest.approx(0) and -0.03 < low < -0.01 and 0.01 < high < 0.03


def test_the_page_says_all_that_was_measured():
    exactly = measure([GRAPH] * 4, lambda graph, seeds: true_boxes(graph)[None], 1)
    nowhere = measure([GRAPH] * 4, lambda graph, seeds: np.full((1, 3, 4), 0.5), 1)
    rows = SetRows(
        "VRD, test", 4, 12, {TRUTH: exactly, "(a) mean": nowhere, OURS: exactly}, {"(a) mean": 2.0, OURS: -1.5}
    )
    found = Measured([rows], {OURS: (1.0, 0.5)}, 7, {"unseen": (0.1, 0.2, 0.3)}, 9, (25.4, 12.6))
    text = page(found, command="measure", seeds=8, temperature=0.6, names=["hat", "dog"], steps=(1200, 500, 700))
    assert f"| {OURS} | 1.000 | 1.000 | – | -1.500 | 1.000 | 1.000 | 0.000 | 0.000 |" in text
    assert "(a) mean +1.000 [+1.000, +1.000]." in text and "4 graphs; nats of 12 objects" in text
    assert f"| {OURS} | 1.000 | 0.500 |" in text and "| unseen | 0.100 | 0.200 | 0.300 |" in text
    assert "takes 25 ms" in text and "1,200 steps, (d) for 500" in text and "without hat, dog" in text
