"""The line syntax: the scene graph that people type.

    # a comment
    small brown dog | on | motorcycle
    dog#2 | next to | small brown dog
    tree @ 0.6 0.1 0.9 0.8

A line is a relation `subject | predicate | object`, or an object alone. The last word of an object is its
name, the words before it are its attributes. The same phrase is the same object wherever it is written;
`dog#2` is a second dog (`dog#1` is `dog`). `@ x0 y0 x1 y1` gives an object's box, in [0, 1], at any one of
its mentions.
"""

import re

from .scene_graph import MAX_OBJECTS, MAX_RELATIONS, Box, Relation, SceneGraph, SceneGraphError, SceneObject

LINE_EXAMPLE = "brown dog | on | motorcycle"
BOX_EXAMPLE = "brown dog @ 0.1 0.4 0.6 0.9"
_NUMBERED = re.compile(r"(?P<phrase>.*\S)\s*#\s*(?P<number>[0-9]{1,9})", re.DOTALL)

ObjectKey = tuple[str, int]  # (phrase, which one of that phrase)


def parse_lines(text: str) -> SceneGraph:
    """Read the line syntax; objects are numbered in the order of their first mention.

    Raises `SceneGraphError` with the number of the line (from 1).
    """
    objects: dict[ObjectKey, SceneObject] = {}  # dicts keep their order: the order of first mention
    relations: list[Relation] = []
    for number, line in enumerate(text.splitlines(), start=1):
        try:
            _read_line(line.strip(), objects, relations)
            _check_limits(objects, relations)
        except SceneGraphError as error:
            raise SceneGraphError(error.message, f"line {number}") from None
    if not objects:
        raise SceneGraphError(f"the text holds no object; write a line such as: {LINE_EXAMPLE}")
    return SceneGraph(tuple(objects.values()), tuple(relations))


def _check_limits(objects: dict[ObjectKey, SceneObject], relations: list[Relation]) -> None:
    """Line by line and not at the end, so that a long text fails soon and at the line that went too far."""
    if len(objects) > MAX_OBJECTS:
        raise SceneGraphError(f"this is object {len(objects)}; write at most {MAX_OBJECTS} different objects")
    if len(relations) > MAX_RELATIONS:
        raise SceneGraphError(f"this is relation {len(relations)}; write at most {MAX_RELATIONS}")


def _read_line(line: str, objects: dict[ObjectKey, SceneObject], relations: list[Relation]) -> None:
    if not line or line == "#" or line.startswith("# "):
        return
    if line.startswith("#"):
        raise SceneGraphError("the line begins with '#'; write '# ' with a space for a comment")
    parts = line.split("|")
    if len(parts) == 1:
        _read_object(line, objects)
        return
    if len(parts) != 3:
        raise SceneGraphError(
            f"{len(parts)} parts between bars; write three, as in: {LINE_EXAMPLE}, or no bar for an object alone"
        )
    for part, role in zip(parts, ("subject", "predicate", "object"), strict=True):
        if not part.strip():
            raise SceneGraphError(f"the {role} is empty; write all three parts, as in: {LINE_EXAMPLE}")
    subject, object_ = _read_object(parts[0], objects), _read_object(parts[2], objects)
    if subject == object_:
        phrase = subject[0]
        raise SceneGraphError(f"the subject and the object are the same; write {phrase}#2 for a second {phrase}")
    positions = {key: position for position, key in enumerate(objects)}
    relations.append(Relation(positions[subject], parts[1], positions[object_]))


def _read_object(text: str, objects: dict[ObjectKey, SceneObject]) -> ObjectKey:
    """Add the object that `text` mentions, or give the one already there its box; returns its key."""
    mention, at, box_text = text.rpartition("@")
    words = (mention if at else text).strip()
    numbered = _NUMBERED.fullmatch(words)
    phrase = " ".join((numbered["phrase"] if numbered else words).split())
    number = int(numbered["number"]) if numbered else 1
    if not phrase:
        raise SceneGraphError(f"no object before '@'; write: {BOX_EXAMPLE}")
    *attributes, name = phrase.split(" ")
    mentioned = SceneObject(name, tuple(attributes), _read_box(box_text) if at else None)
    if number == 0:
        raise SceneGraphError(f"objects are counted from 1; write {phrase} or {phrase}#2")
    known = objects.setdefault((phrase, number), mentioned)
    if known.box is None:
        objects[phrase, number] = mentioned
    elif mentioned.box not in (None, known.box):
        raise SceneGraphError(f"a second, different box for {phrase}; give each object one box, at one mention")
    return phrase, number


def _read_box(text: str) -> Box:
    try:
        x0, y0, x1, y1 = (float(number) for number in text.replace(",", " ").split())
    except ValueError:  # not four, or not numbers
        raise SceneGraphError(f"after '@' come four numbers x0 y0 x1 y1 from 0 to 1; write: {BOX_EXAMPLE}") from None
    return x0, y0, x1, y1


def format_lines(graph: SceneGraph) -> str:
    """Write the line syntax, such that `parse_lines` gives the same graph back.

    Raises `SceneGraphError` for what it cannot say: names and attributes of more than one word ("teddy bear"
    would be read as a bear that is teddy), `|` in any text, and in objects `@`, a first `#`, a `#` with a
    number at the end, or a first brace or bracket (read as JSON). Canonical JSON says all of these.
    """
    labels = _labels(graph)
    lines: list[str] = []
    mentioned = 0  # objects 0 … mentioned-1 are written; keeping their order keeps their positions
    for i, relation in enumerate(graph.relations):
        if "|" in relation.predicate:
            raise SceneGraphError("'|' cannot be written in the line syntax; use JSON", f"relations[{i}].predicate")
        new = [position for position in (relation.subject, relation.object) if position >= mentioned]
        if new != list(range(mentioned, mentioned + len(new))):
            lines += (_mention(graph, labels, position, True) for position in range(mentioned, max(new) + 1))
            mentioned, new = max(new) + 1, []
        subject, object_ = (
            _mention(graph, labels, position, position in new) for position in (relation.subject, relation.object)
        )
        lines.append(f"{subject} | {relation.predicate} | {object_}")
        mentioned += len(new)
    lines += (_mention(graph, labels, position, True) for position in range(mentioned, len(graph.objects)))
    return "\n".join(lines)


def _labels(graph: SceneGraph) -> list[str]:
    """The phrase of each object, numbered from the second of its kind on."""
    count: dict[str, int] = {}
    labels = []
    for i, item in enumerate(graph.objects):
        _check_writable(item, f"objects[{i}]")
        count[item.phrase] = count.get(item.phrase, 0) + 1
        labels.append(item.phrase if count[item.phrase] == 1 else f"{item.phrase}#{count[item.phrase]}")
    return labels


def _mention(graph: SceneGraph, labels: list[str], position: int, is_first: bool) -> str:
    box = graph.objects[position].box
    if box is None or not is_first:
        return labels[position]
    return f"{labels[position]} @ {' '.join(map(repr, box))}"


def _check_writable(item: SceneObject, path: str) -> None:
    for text in (*item.attributes, item.name):
        if " " in text:
            raise SceneGraphError(
                f"'{text}' has more than one word, which would be read as attributes and a name; "
                "use JSON or join the words with a hyphen",
                path,
            )
    phrase = item.phrase
    if "|" in phrase or "@" in phrase or phrase[0] in "#{[\ufeff" or _NUMBERED.fullmatch(phrase):
        raise SceneGraphError(
            f"'{phrase}' holds one of | @ # {{ [ where the line syntax gives it a meaning; use JSON", path
        )
