"""Arranging a graph: what holds, what stays, what is said of what cannot hold."""

import statistics
import time
from itertools import combinations

import numpy as np
import pytest

from sg_models.arrangement import arrange as module
from sg_models.arrangement.arrange import Arrangement, arrange
from sg_models.arrangement.nesting import wrong_nestings
from sg_models.arrangement.plain_prior import PlainPrior
from sg_models.arrangement.rules import Rule
from sg_models.graph.line_syntax import parse_lines
from sg_models.graph.scene_graph import SceneGraph
from sg_models.graph.spatial_relations import box_contains, spatial_relation
from sg_models.graph.spatial_wordings import LEFT

STREET = """man | riding | horse
horse | to the left of | tree
kite | above | tree
hat | on | man
cat | inside | house
house | right of | tree
dog | beneath | kite"""
SECONDS = 0.03  # of the processor, for 8 objects


def boxes(found: Arrangement) -> list:
    return [thing.box for thing in found.graph.objects]


def plainly(text: str, seed: int = 0, aspect: float = 1.0) -> Arrangement:
    return arrange(parse_lines(text), seed, aspect, PlainPrior())


def test_the_same_seed_gives_the_same_boxes_and_another_seed_others():
    graph = parse_lines(STREET)
    assert arrange(graph, 5) == arrange(graph, 5)
    found = [np.array(boxes(arrange(graph, seed))) for seed in range(6)]
    assert all(np.abs(one - other).max() > 0.01 for one, other in combinations(found, 2))


def test_relations_are_told_apart():
    found = plainly(STREET)
    assert found.exact == (1, 2, 4, 5, 6) and found.soft == (0, 3)
    assert not found.broken and not found.by_centres and not found.reasons
    assert found.summary() == "8 boxes; 5 of 5 spatial relations hold exactly; 2 others as in real pictures"


@pytest.mark.parametrize(
    ("predicate", "relation"),
    [
        ("to the left of", "left of"),
        ("standing right of", "right of"),
        ("over", "above"),
        ("beneath", "below"),
        ("is_inside_of", "inside"),
        ("in", "inside"),
        ("containing", "surrounding"),
    ],
)
def test_wordings_hold_exactly(predicate, relation):
    for seed in range(5):
        one, other = boxes(plainly(f"cup | {predicate} | box", seed))
        assert spatial_relation(one, other) == relation


def test_what_is_worn_holds_nobody():
    assert plainly("man | in | red hat").soft == (0,)
    assert plainly("man | in | sky").exact == (0,)


def test_given_boxes_stay_and_the_others_find_their_place_around_them():
    text = "dog @ 0.4 0.4 0.6 0.6\ncat | left of | dog\nbird | above | dog\nflea | inside | dog"
    for seed in range(10):
        found = plainly(text, seed)
        assert found.exact == (0, 1, 2)
        assert boxes(found)[0] == (0.4, 0.4, 0.6, 0.6)


def test_a_given_box_that_fills_the_picture_leaves_no_place_beside_it_but_its_edge():
    found = plainly("sky @ 0 0 1 1\nbird | left of | sky")
    assert found.exact == (0,)
    assert boxes(found)[1][0] == 0.0


@pytest.mark.parametrize("aspect", [16 / 9, 0.5, 5.0])
def test_directions_are_those_of_the_picture_not_of_the_unit_square(aspect):
    for seed in range(5):
        found = plainly("a | left of | b\nc | above | b\nd | below | a", seed, aspect)
        scaled = [(x0 * aspect, y0, x1 * aspect, y1) for x0, y0, x1, y1 in boxes(found)]
        places = [(0, "left of", 1), (2, "above", 1), (3, "below", 0)]
        assert all(spatial_relation(scaled[one], scaled[other]) == meaning for one, meaning, other in places)


def test_boxes_of_a_usual_graph_are_large_enough_to_be_drawn():
    """Under two of 64 cells of latents, GLIGEN and regional prompts can do nothing with a box."""
    texts = (
        STREET,
        "dog | on | motorcycle\nman | next to | motorcycle\nman | wearing | hat",
        "bird | above | oak tree",
    )
    arranged = [boxes(arrange(parse_lines(text), seed)) for text in texts for seed in range(20)]
    small = [min(min(x1 - x0, y1 - y0) for x0, y0, x1, y1 in found) < 2 / 64 for found in arranged]
    assert not any(small)


def test_unrelated_objects_are_kept_apart_along_different_axes():
    axes = set()
    for seed in range(12):
        one, other = boxes(plainly("cat\ndog", seed))
        apart = [axis for axis in (0, 1) if one[axis + 2] <= other[axis] + 1e-6 or other[axis + 2] <= one[axis] + 1e-6]
        assert apart
        axes |= set(apart)
    assert axes == {0, 1}


def test_who_is_beside_a_man_in_a_park_may_be_in_the_park():
    text = "man | in | park\ndog | left of | man\ncar | right of | park"
    found = [boxes(plainly(text, seed)) for seed in range(20)]
    assert any(overlap(dog, park) for _, park, dog, _ in found)
    assert not any(overlap(car, park) for _, park, _, car in found)


def overlap(one, other) -> bool:
    return all(one[axis] < other[axis + 2] - 1e-3 and other[axis] < one[axis + 2] - 1e-3 for axis in (0, 1))


def test_a_cycle_is_named_and_the_rest_is_drawn():
    found = plainly("a | left of | b\nb | left of | c\nc | left of | a\nd | above | a")
    assert found.broken == (2,) and found.exact == (0, 1, 3)
    assert found.reasons == (
        "'a left of b', 'b left of c' and 'c left of a' cannot all hold; 'c left of a' is left out",
    )


def test_two_objects_inside_each_other_are_no_matter_of_margins():
    found = plainly("a | inside | b\nb | inside | a")
    assert found.broken == (1,) and found.exact == (0,)
    assert "cannot both hold" in found.reasons[0]
    one, other = boxes(found)
    assert box_contains(other, one)


def test_given_boxes_that_contradict_a_relation_are_said_to():
    found = plainly("cat @ 0.6 0.4 0.8 0.6\ndog @ 0.1 0.4 0.3 0.6\ncat | left of | dog")
    assert found.broken == (0,)
    assert found.reasons == ("'cat left of dog' cannot hold with the boxes given for 'cat' and 'dog'",)


def test_given_boxes_that_leave_no_room_are_said_to():
    found = plainly("a @ 0.6 0.4 0.8 0.6\nc @ 0.1 0.4 0.3 0.6\na | left of | b\nb | left of | c\nd | above | c")
    assert len(found.broken) == 1 and 2 in found.exact
    (reason,) = found.reasons
    assert reason.startswith("'a left of b' and 'b left of c' cannot both hold with the boxes given for 'a' and 'c'; '")


def test_a_diagonal_holds_by_its_centres_and_says_so():
    found = plainly("a | left of | b\na | above | b")
    one, other = boxes(found)
    assert one[0] + one[2] < other[0] + other[2] and one[1] + one[3] < other[1] + other[3]
    assert len(found.exact) == len(found.by_centres) == 1 and not found.broken
    assert "holds by its centres alone" in found.reasons[0]


def test_a_contradiction_of_places_alone_is_found():
    """Each object is left of the next and the last is above the first: no cycle, but no place for it either."""
    found = plainly("a | left of | b\nb | left of | c\nc | above | a\na | above | c")
    assert found.broken == (3,) and set(found.exact) | set(found.by_centres) == {0, 1, 2}


def test_boxes_with_a_direction_do_not_nest_even_where_one_must_reach_over_the_other():
    text = "a | left of | b\nb | left of | c\nc | inside | a\nd | inside | a\nd | left of | b"
    for seed in range(5):
        assert plainly(text, seed).exact == (0, 1, 2, 3, 4)


def test_edges_that_are_rounded_apart_do_not_stick_out():
    boxes = np.array([[0.1, 0.1, 0.5, 0.5], [0.3, 0.2, 0.4, np.nextafter(0.5, 1.0)]])
    (cut,) = wrong_nestings([Rule(0, 0, 1, LEFT)], boxes)
    assert (cut.inner, cut.outer, cut.axis, cut.side) == (1, 0, 0, 1)


def test_without_the_learned_priors_file_the_plain_one_serves(monkeypatch, tmp_path):
    graph = parse_lines(STREET)
    monkeypatch.setattr(module, "SHIPPED", tmp_path / "none.safetensors")
    assert arrange(graph, 1) == arrange(graph, 1, prior=PlainPrior())


def test_twenty_nested_boxes_fit():
    text = "\n".join(f"o{i} | inside | o{i + 1}" for i in range(19))
    assert len(plainly(text).exact) == 19


def test_objects_and_relations_stay_what_they_are():
    graph = parse_lines(STREET)
    before = graph.to_json()
    found = arrange(graph, 1)
    assert graph.to_json() == before
    assert [thing.phrase for thing in found.graph.objects] == [thing.phrase for thing in graph.objects]
    assert SceneGraph.from_dict(found.graph.to_dict()) == found.graph


@pytest.mark.parametrize(("seed", "aspect"), [(-1, 1.0), (2**64, 1.0), (0, 0.0), (0, 100.0), (0, float("nan"))])
def test_what_is_out_of_range_is_refused(seed, aspect):
    with pytest.raises(ValueError, match="write a whole number|times as wide"):
        arrange(parse_lines("dog"), seed, aspect)


def test_when_time_is_up_there_are_boxes_all_the_same(monkeypatch):
    monkeypatch.setattr(module, "SECONDS", 0.0)
    found = plainly(STREET)
    assert all(boxes(found)) and set(found.exact) | set(found.broken) | set(found.by_centres) == {1, 2, 4, 5, 6}
    assert bool(found.reasons) == bool(found.broken or found.by_centres)


def test_eight_objects_take_no_time():
    graph = parse_lines(STREET)
    arrange(graph, 0, prior=PlainPrior())
    times = []
    for seed in range(15):
        started = time.process_time()
        arrange(graph, seed, prior=PlainPrior())
        times.append(time.process_time() - started)
    assert statistics.median(times) <= SECONDS
