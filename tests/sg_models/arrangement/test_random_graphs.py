"""Random graphs: those that can be drawn are drawn as they say, and no graph breaks or holds up the solver."""

import random
import string
import time

import pytest

from sg_models.arrangement.arrange import Arrangement, arrange
from sg_models.graph.scene_graph import MAX_OBJECTS, MAX_RELATIONS, Relation, SceneGraph, SceneObject
from sg_models.graph.spatial_relations import INVERSE, RELATIONS, box_centre, spatial_relation
from sg_models.graph.spatial_wordings import ABOVE, BELOW, INSIDE, LEFT, RIGHT, SURROUNDING, WORDINGS

NAMES = "cup plate dog house tree cloud boat lamp star circle".split()
ANY_WORDS = ["on", "near", "wearing", "holding", "next to", "behind", "has", "in", "riding", "of", "🙂", "左"]
AHEAD = {LEFT: (0, 1), RIGHT: (0, -1), ABOVE: (1, 1), BELOW: (1, -1)}
FUZZ_SECONDS = 2.0


def random_box(rng: random.Random, inside: tuple[float, ...] | None) -> tuple[float, ...]:
    """Any box in the picture, or one within another."""
    x0, y0, x1, y1 = inside or (0.0, 0.0, 1.0, 1.0)
    width, height = (rng.uniform(0.1, 0.9 if inside else 0.45) * side for side in (x1 - x0, y1 - y0))
    x, y = rng.uniform(x0, x1 - width), rng.uniform(y0, y1 - height)
    return x, y, x + width, y + height


def consistent_graph(seed: int) -> tuple[SceneGraph, float]:
    """A graph of 2 to 20 objects with relations that are true of hidden boxes, in any wording; and an aspect.

    Some objects are inside of others, some have their box given, and some pictures are not square.
    """
    rng = random.Random(seed)
    aspect = rng.choice((1.0, 1.0, 16 / 9, 3 / 4))
    boxes: list[tuple[float, ...]] = []
    for _ in range(rng.randint(2, 20)):
        boxes.append(random_box(rng, rng.choice(boxes) if boxes and rng.random() < 0.3 else None))
    given = rng.choice((0.0, 0.0, 0.3))
    objects = tuple(
        SceneObject(rng.choice(NAMES), box=box if rng.random() < given else None)  # type: ignore[arg-type]
        for box in boxes
    )
    pairs = [(one, other) for one in range(len(boxes)) for other in range(len(boxes)) if one != other]
    relations = []
    for one, other in rng.sample(pairs, min(len(pairs), rng.randint(1, 40))):
        meaning = spatial_relation(scaled(boxes[one], aspect), scaled(boxes[other], aspect))
        relations.append(Relation(one, rng.choice(WORDINGS[meaning].split("|")), other))
    return SceneGraph(objects, tuple(relations)), aspect


def scaled(box, aspect: float):
    return box[0] * aspect, box[1], box[2] * aspect, box[3]


def fuzzed_graph(seed: int) -> SceneGraph:
    """Any words, contradictions, given boxes anywhere, up to the most objects and relations."""
    rng = random.Random(seed)
    count = rng.choice((1, 2, 3, rng.randint(2, 20), rng.randint(2, MAX_OBJECTS), MAX_OBJECTS))
    words = [word for wordings in WORDINGS.values() for word in wordings.split("|")] * 2 + ANY_WORDS * 5
    words.append("".join(rng.choices(string.printable.strip(), k=rng.randint(1, 40))))
    given = rng.choice((0.0, 0.0, 0.2, 1.0))
    objects = tuple(
        SceneObject(rng.choice(NAMES), box=random_box(rng, None) if rng.random() < given else None)  # type: ignore
        for _ in range(count)
    )
    most = 0 if count == 1 else rng.choice((0, count, MAX_RELATIONS))
    ends = [rng.sample(range(count), 2) for _ in range(min(most, MAX_RELATIONS))]
    return SceneGraph(objects, tuple(Relation(one, rng.choice(words), other) for one, other in ends))


def broken_relations(graph: SceneGraph, found: Arrangement, aspect: float) -> list[str]:
    """The relations of a graph that its arrangement does not obey, by the public predicate and by plain sight."""
    boxes = [scaled(thing.box, aspect) for thing in found.graph.objects]
    wrong = []
    for relation in graph.relations:
        one, other = boxes[relation.subject], boxes[relation.object]
        (meaning,) = (name for name in RELATIONS if relation.predicate in WORDINGS[name].split("|"))
        if spatial_relation(one, other) != meaning or spatial_relation(other, one) != INVERSE[meaning]:
            wrong.append(f"{relation}: {one} {other}")
        elif meaning in AHEAD:
            axis, sign = AHEAD[meaning]
            if sign * (box_centre(other)[axis] - box_centre(one)[axis]) <= 0:
                wrong.append(f"{relation} by its centres: {one} {other}")
    return wrong


def check_boxes(graph: SceneGraph, found: Arrangement) -> None:
    """Every object has a box in the picture, those that were given the same, and every relation is accounted for."""
    assert [thing.phrase for thing in found.graph.objects] == [thing.phrase for thing in graph.objects]
    assert found.graph.relations == graph.relations
    for before, after in zip(graph.objects, found.graph.objects, strict=True):
        assert after.box is not None and (before.box is None or after.box == before.box)
        x0, y0, x1, y1 = after.box
        assert 0 <= x0 < x1 <= 1 and 0 <= y0 < y1 <= 1
    every = sorted((*found.exact, *found.by_centres, *found.soft, *found.broken))
    assert every == list(range(len(graph.relations)))
    assert bool(found.reasons) == bool(found.broken or found.by_centres)


def check_consistent(seeds: range) -> None:
    failed = []
    for seed in seeds:
        graph, aspect = consistent_graph(seed)
        found = arrange(graph, seed, aspect)
        check_boxes(graph, found)
        wrong = broken_relations(graph, found, aspect)
        if wrong or found.reasons or len(found.exact) != len(graph.relations):
            failed.append((seed, wrong, found.reasons))
    assert not failed, f"{len(failed)} of {len(seeds)}: {failed[:3]}"


def check_fuzzed(seeds: range) -> float:
    """The longest that a graph took."""
    slowest = 0.0
    for seed in seeds:
        graph = fuzzed_graph(seed)
        started = time.process_time()
        found = arrange(graph, seed, random.Random(seed).choice((1.0, 2.5, 0.3)))
        slowest = max(slowest, time.process_time() - started)
        check_boxes(graph, found)
    return slowest


def test_what_can_hold_holds():
    check_consistent(range(40))


@pytest.mark.slow
def test_what_can_hold_holds_in_ten_thousand_graphs():
    check_consistent(range(10_000))


def test_any_graph_is_arranged_in_bounded_time():
    assert check_fuzzed(range(20)) <= FUZZ_SECONDS


@pytest.mark.slow
def test_a_thousand_graphs_are_arranged_in_bounded_time():
    assert check_fuzzed(range(1000)) <= FUZZ_SECONDS


def test_the_generator_makes_what_it_says():
    graphs = [consistent_graph(seed)[0] for seed in range(200)]
    assert max(len(graph.objects) for graph in graphs) == 20
    assert max(len(graph.relations) for graph in graphs) == 40
    meanings = {
        name for graph in graphs for r in graph.relations for name in RELATIONS if r.predicate in WORDINGS[name]
    }
    assert {INSIDE, SURROUNDING, LEFT, ABOVE} <= meanings
    assert any(thing.box for graph in graphs for thing in graph.objects)
