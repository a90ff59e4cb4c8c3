"""The scene graph as one sentence: the prompt that a text-to-image model gets for it."""

from .scene_graph import Relation, SceneGraph

_VOWELS = tuple("aeiou")
_VOWEL_SOUNDS = ("heir", "honest", "honor", "honour", "hour")  # a silent h
_CONSONANT_SOUNDS = tuple(  # "you" and "won"
    "eu one ufo ukr ukulele unic unif union unis unit univ uran use usual ute".split()
)
_ORDINALS = ("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth")


def caption(graph: SceneGraph) -> str:
    """Every relation once, in order, and then every object in no relation.

    "a small red circle left of a large blue square, a green triangle": an object is introduced with a or an, the second
    of its kind with another, and named again with the (or the first, the second … where there are several of a kind).
    Deterministic; every object's phrase occurs.
    """
    speaker = _Speaker(graph)
    clauses = [
        f"{speaker.mention(relation.subject)} {relation.predicate} {speaker.mention(relation.object)}"
        for relation in graph.relations
    ]
    clauses += [speaker.mention(position) for position in mentions(graph)[2 * len(graph.relations) :]]
    return ", ".join(clauses)


def mentions(graph: SceneGraph) -> list[int]:
    """The objects in the order in which `caption` says their phrases: those of relations as often as they occur."""
    of_relations = [position for relation in graph.relations for position in (relation.subject, relation.object)]
    related = set(of_relations)
    return of_relations + [position for position in range(len(graph.objects)) if position not in related]


def relation_phrase(graph: SceneGraph, relation: Relation) -> str:
    """A relation of a graph in words: "small red circle left of blue square"."""
    subject, thing = graph.objects[relation.subject], graph.objects[relation.object]
    return f"{subject.phrase} {relation.predicate} {thing.phrase}"


def labels(graph: SceneGraph) -> str:
    """The objects alone, in order: "a small red circle, a large blue square". Of relations it says nothing."""
    speaker = _Speaker(graph)
    return ", ".join(speaker.mention(position) for position in range(len(graph.objects)))


class _Speaker:
    """Chooses the words for each mention of an object, remembering what was mentioned before."""

    def __init__(self, graph: SceneGraph):
        self.phrases = [item.phrase for item in graph.objects]
        self.mentioned: dict[str, list[int]] = {}  # phrase → its objects, by first mention

    def mention(self, position: int) -> str:
        phrase = self.phrases[position]
        same = self.mentioned.setdefault(phrase, [])
        if position not in same:
            same.append(position)
            return with_article(phrase) if len(same) == 1 else f"another {phrase}"
        if self.phrases.count(phrase) == 1:
            return f"the {phrase}"
        return f"the {_ordinal(same.index(position))} {phrase}"


def with_article(phrase: str) -> str:
    """An object's phrase as captions introduce it, and as a prompt of its own: "a small red circle"."""
    return f"{_article(phrase)} {phrase}"


def _article(phrase: str) -> str:
    word = phrase.lower()
    if word.startswith(_VOWEL_SOUNDS):
        return "an"
    return "an" if word.startswith(_VOWELS) and not word.startswith(_CONSONANT_SOUNDS) else "a"


def _ordinal(index: int) -> str:
    """The ordinal of a position from 0: first, second, … tenth, 11th."""
    if index < len(_ORDINALS):
        return _ORDINALS[index]
    number = index + 1
    ending = "th" if number % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{ending}"
