"""Reports on pictures from detections made by hand."""

import pytest

from sg_models.graph.formats import parse_scene_graph
from sg_models.graph.scene_graph import SceneGraph, SceneObject
from sg_models.verification.detection import DetectedObject
from sg_models.verification.report import Finding, Outcome, Report, best
from sg_models.verification.verify import verify

HOLDS, FAILS, UNDECIDABLE = Outcome.HOLDS, Outcome.FAILS, Outcome.UNDECIDABLE
LEFT, RIGHT, MIDDLE = (0, 40, 10, 50), (80, 40, 90, 50), (40, 40, 50, 50)
ABOVE, BELOW, AROUND = (40, 0, 50, 10), (40, 80, 50, 90), (30, 30, 60, 60)


def seen(name: str, box: tuple, attributes: tuple | None = None, score: float = 0.9) -> DetectedObject:
    return DetectedObject(name, box, score, attributes)


def report(text: str, *things: DetectedObject, **known) -> Report:
    return verify(parse_scene_graph(text), things, **known)


def relation(text: str, *things: DetectedObject, **known) -> Finding:
    (finding,) = report(text, *things, **known).relations
    return finding


@pytest.mark.parametrize(
    ("predicate", "dog", "cat", "outcome"),
    [
        ("left of", LEFT, RIGHT, HOLDS),
        ("left of", RIGHT, LEFT, FAILS),
        ("right of", RIGHT, LEFT, HOLDS),
        ("right of", LEFT, RIGHT, FAILS),
        ("above", ABOVE, BELOW, HOLDS),
        ("above", BELOW, ABOVE, FAILS),
        ("below", BELOW, ABOVE, HOLDS),
        ("below", ABOVE, BELOW, FAILS),
        ("inside", MIDDLE, AROUND, HOLDS),
        ("inside", AROUND, MIDDLE, FAILS),
        ("surrounding", AROUND, MIDDLE, HOLDS),
        ("to the left of", LEFT, RIGHT, HOLDS),
        ("is beneath", BELOW, ABOVE, HOLDS),
        ("left of", ABOVE, BELOW, FAILS),
        ("on", ABOVE, BELOW, UNDECIDABLE),
        ("wearing", ABOVE, BELOW, UNDECIDABLE),
    ],
)
def test_a_relation_holds_where_the_boxes_say_so(predicate, dog, cat, outcome):
    assert relation(f"dog | {predicate} | cat", seen("dog", dog), seen("cat", cat)).outcome is outcome


def test_a_relation_of_what_is_not_seen_is_undecidable_and_not_false():
    found = report("dog | left of | cat", seen("dog", LEFT))
    assert found.relations[0] == Finding("dog left of cat", UNDECIDABLE, "cat not seen")
    assert [finding.outcome for finding in found.objects] == [HOLDS, FAILS]
    assert found.scores == {
        "objects seen": (1, 2),
        "attributes of decided": (0, 0),
        "relations of all": (0, 1),
        "relations of decided": (0, 0),
    }
    assert found.obedience == pytest.approx(1 / 3), "what is missing counts against the picture"


def test_what_no_detector_knows_is_undecidable_and_in_no_score():
    found = report("dog | left of | unicorn\ndog | wearing | cat", seen("dog", LEFT), names=frozenset({"dog", "cat"}))
    assert [finding.outcome for finding in found.objects] == [HOLDS, UNDECIDABLE, FAILS]
    assert "does not know 'unicorn'" in found.objects[1].why and "does not know" in found.relations[0].why
    assert [finding.outcome for finding in found.relations] == [UNDECIDABLE, UNDECIDABLE]
    assert "'wearing'" in found.relations[1].why
    assert found.obedience == 0.5
    assert report("unicorn", names=frozenset({"dog"})).obedience == 1.0, "nothing could be decided"


def test_two_dogs_need_two_dogs():
    assert [f.outcome for f in report("dog\ndog#2", seen("dog", LEFT)).objects].count(HOLDS) == 1
    assert [f.outcome for f in report("dog\ndog#2", seen("dog", LEFT), seen("dog", RIGHT)).objects] == [HOLDS, HOLDS]


def test_attributes_are_decided_where_the_detector_says_something_of_them():
    text = "small shiny dog"
    known = {"attributes": frozenset({"small", "large"})}
    wrong = report(text, seen("dog", LEFT, ("large",)), **known).attributes[0]
    assert wrong.outcome is FAILS and "it is large" in wrong.why
    right = report(text, seen("dog", LEFT, ("small",)), **known).attributes[0]
    assert right.outcome is UNDECIDABLE and "shiny" in right.why, "nothing is known of what is shiny"
    assert report("small dog", seen("dog", LEFT, ("small",)), **known).attributes[0].outcome is HOLDS
    assert report("small dog", seen("dog", LEFT)).attributes[0].outcome is UNDECIDABLE
    missing = report("small dog").attributes[0]
    assert missing.outcome is UNDECIDABLE and not missing.of_no_picture
    assert report("dog", seen("dog", LEFT)).attributes == (None,)


def test_a_label_may_be_a_phrase_of_the_graph():
    found = report("brown dog | left of | white dog", seen("white dog", RIGHT), seen("Brown_dog", LEFT))
    assert [finding.outcome for finding in found.findings] == [HOLDS] * 4 + [HOLDS]
    assert found.matched == (1, 0)
    other = report("brown dog\nwhite dog", seen("brown dog", RIGHT), seen("brown dog", LEFT))
    assert sorted(f.outcome.value for f in other.attributes) == ["does not hold", "holds"]
    hot = report("dog\nhot dog", seen("hot dog", LEFT))
    assert [f.outcome for f in hot.objects].count(HOLDS) == 1, "a hot dog stands for one of them alone"


def test_of_things_of_one_name_those_are_taken_that_obey():
    things = seen("dog", RIGHT, score=0.9), seen("dog", LEFT, score=0.5), seen("cat", MIDDLE)
    assert relation("dog | left of | cat", *things).outcome is HOLDS
    assert relation("dog | right of | cat", *things).outcome is HOLDS
    assert report("dog\ncat", *things).matched == (0, 2), "the surest, where nothing tells them apart"


def test_exact_is_all_of_it_and_nothing_else():
    things = seen("dog", LEFT), seen("cat", RIGHT)
    assert report("dog | left of | cat", *things).exact
    more = report("dog | left of | cat", *things, seen("cat", ABOVE))
    assert not more.exact and more.obedience == 1.0 and len(more.beside) == 1
    assert not report("dog | near | cat", *things).exact, "what is undecidable is not known to hold"


def test_the_best_come_first():
    text = "dog | left of | cat"
    reports = [
        report(text, seen("dog", RIGHT), seen("cat", LEFT)),
        report(text, seen("dog", LEFT), seen("cat", RIGHT), seen("cat", BELOW)),
        report(text),
        report(text, seen("dog", LEFT, score=0.4), seen("cat", RIGHT, score=0.4)),
        report(text, seen("dog", LEFT), seen("cat", RIGHT)),
    ]
    assert best(reports, 9) == [4, 3, 1, 0, 2]
    assert best(reports, 2) == [4, 3]


def test_a_report_in_words():
    words = report(
        "dog | left of | cat\ndog | near | cat", seen("dog", RIGHT), seen("cat", LEFT), seen("cat", ABOVE)
    ).text()
    assert words.splitlines()[0] == "obedience 0.667"
    assert "✗ dog left of cat: does not hold (it is right of it)" in words
    assert "? dog near cat: undecidable (boxes do not decide 'near')" in words
    assert "relations of all: 0 of 2" in words and "relations of decided: 0 of 1" in words
    assert "seen beside the graph: cat" in words


def test_a_graph_of_nothing_but_one_object_and_no_detections():
    assert verify(SceneGraph((SceneObject("dog"),)), []).objects[0].outcome is FAILS
