"""The objects of a text in the line syntax: which mentions are the same object."""

from dataclasses import replace

from .line_phrase import NameKey, Phrase, PhraseKey, plain_form
from .scene_graph import MAX_OBJECTS, Box, SceneGraphError, SceneObject

MAX_CHOICES = 5  # that an error names


class LineObjects:
    """Objects in the order of their first mention; each keeps the words of that mention."""

    def __init__(self) -> None:
        self.objects: list[SceneObject] = []
        self._positions: dict[tuple[PhraseKey, int], int] = {}
        self._named: dict[NameKey, list[int]] = {}  # without those told apart by a number alone: dog#2
        self._labels: list[str] = []

    def known(self, phrase: Phrase) -> bool:
        return (phrase.key, 1) in self._positions

    def mention(self, phrase: Phrase, number: int | None, box: Box | None) -> int:
        """The position of the object that is meant: the one of the same words and number; for a name alone, the only
        one of that name; else a new one.

        Raises `SceneGraphError` where a name alone could mean several, and for a second, different box.
        """
        mentioned = SceneObject(phrase.name, phrase.attributes, box)
        if number == 0:
            raise SceneGraphError(f"objects are counted from 1; write {phrase} or {phrase}#2")
        position = self._find(phrase, number or 1)
        if position is None:
            return self._add(phrase, number or 1, mentioned)
        known = self.objects[position]
        if known.box is None:
            self.objects[position] = replace(known, box=mentioned.box)
        elif mentioned.box not in (None, known.box):
            raise SceneGraphError(f"a second, different box for {phrase}; give each object one box, at one mention")
        return position

    def describe(self, position: int, attributes: list[str]) -> None:
        """Gives the object further attributes; it can then be mentioned with them, too."""
        item = self.objects[position]
        has = set(map(plain_form, item.attributes))
        new = [attribute for attribute in attributes if plain_form(attribute) not in has]
        item = self.objects[position] = replace(item, attributes=(*item.attributes, *new))
        self._positions.setdefault((Phrase(item.attributes, item.name).key, 1), position)

    def _find(self, phrase: Phrase, number: int) -> int | None:
        exact = self._positions.get((phrase.key, number))
        if exact is not None or phrase.attributes or number > 1:
            return exact
        candidates = self._named.get(phrase.key[0], [])
        if len(candidates) > 1:
            choices = ", ".join(self._labels[position] for position in candidates[:MAX_CHOICES])
            raise SceneGraphError(
                f"'{phrase}' could be several objects; write one of: {choices}, or {phrase}#2 for another"
            )
        return candidates[0] if candidates else None

    def _add(self, phrase: Phrase, number: int, item: SceneObject) -> int:
        position = len(self.objects)
        if position == MAX_OBJECTS:
            raise SceneGraphError(f"this is object {position + 1}; write at most {MAX_OBJECTS} different objects")
        self.objects.append(item)
        self._labels.append(f"{phrase}#{number}" if number > 1 else str(phrase))
        self._positions[phrase.key, number] = position
        if phrase.attributes or number == 1:
            self._named.setdefault(phrase.key[0], []).append(position)
        return position
