"""sg2im's rule for the six relations, its borders included."""

import itertools
import math

import pytest

from train.data.spatial_relations import (
    INVERSE,
    RELATIONS,
    box_centre,
    box_contains,
    degrees_from_diagonal,
    spatial_relation,
)


def box(x: float, y: float, half: float = 1.0) -> tuple[float, float, float, float]:
    return x - half, y - half, x + half, y + half


AT = box(50, 50)


@pytest.mark.parametrize(
    ("x", "y", "relation"),
    [(10, 50, "left of"), (90, 50, "right of"), (50, 10, "above"), (50, 90, "below")],  # y down
)
def test_the_subject_is_where_it_is_seen(x: float, y: float, relation: str):
    assert spatial_relation(box(x, y), AT) == relation


@pytest.mark.parametrize(
    ("dx", "dy", "relation"),
    [
        (10, 10, "below"),  # θ = π/4
        (10, -10, "right of"),  # θ = -π/4
        (-10, 10, "left of"),  # θ = 3π/4
        (-10, -10, "left of"),  # θ = -3π/4
        (10, 9.99, "right of"),
        (10, -10.01, "above"),
        (-9.99, 10, "below"),
        (-9.99, -10, "above"),
        (-10, 9.99, "left of"),
        (-10, -9.99, "left of"),
    ],
)
def test_the_borders_are_sg2ims(dx: float, dy: float, relation: str):
    assert spatial_relation(box(50 + dx, 50 + dy), AT) == relation


@pytest.mark.parametrize("degrees", [d + 0.5 for d in range(0, 360, 7)])
def test_every_direction_by_its_quadrant(degrees: float):
    angle = math.radians(degrees)
    subject = box(50 + 20 * math.cos(angle), 50 + 20 * math.sin(angle))
    quadrant = ["right of", "below", "left of", "above"][int(((degrees + 45) % 360) // 90)]
    assert spatial_relation(subject, AT) == quadrant
    assert spatial_relation(AT, subject) == INVERSE[quadrant]


def test_containment_goes_before_direction():
    inner, outer = box(52, 58), box(50, 50, 20)
    assert spatial_relation(inner, outer) == "inside"
    assert spatial_relation(outer, inner) == "surrounding"


def test_containment_is_strict():
    outer = (0.0, 0.0, 10.0, 10.0)
    assert box_contains(outer, (1.0, 1.0, 9.0, 9.0))
    assert not box_contains(outer, outer)
    for side in range(4):
        touching = [1.0, 1.0, 9.0, 9.0]
        touching[side] = outer[side]
        assert not box_contains(outer, tuple(touching))
        assert spatial_relation(tuple(touching), outer) not in ("inside", "surrounding")


def test_centroids_go_before_box_centres():
    assert spatial_relation(box(10, 50), AT) == "left of"
    assert spatial_relation(box(10, 50), AT, (50, 20), (50, 50)) == "above"
    assert spatial_relation(box(10, 50), AT, (50, 90)) == "below"  # the other one's centre stands in


def test_every_relation_has_an_inverse():
    assert set(INVERSE) == set(RELATIONS) and len(RELATIONS) == 6
    assert all(INVERSE[INVERSE[r]] == r != INVERSE[r] for r in RELATIONS)


def test_inverses_hold_off_the_diagonals():
    places = [box(x, y, half) for x, y, half in itertools.product((20, 37, 61), (25, 44, 70), (3, 30))]
    for a, b in itertools.permutations(places, 2):
        if degrees_from_diagonal(a, b) > 1e-6 and box_centre(a) != box_centre(b):
            assert spatial_relation(b, a) == INVERSE[spatial_relation(a, b)]


@pytest.mark.parametrize(
    ("dx", "dy", "degrees"),
    [(10, 0, 45), (0, -10, 45), (10, 10, 0), (-10, 10, 0), (-10, -10, 0), (10, 10 * math.tan(math.radians(30)), 15)],
)
def test_degrees_from_the_nearest_diagonal(dx: float, dy: float, degrees: float):
    assert degrees_from_diagonal(box(50 + dx, 50 + dy), AT) == pytest.approx(degrees)
    assert degrees_from_diagonal(AT, box(50 + dx, 50 + dy)) == pytest.approx(degrees)


def test_box_centre():
    assert box_centre((0.0, 2.0, 4.0, 8.0)) == (2.0, 5.0)
