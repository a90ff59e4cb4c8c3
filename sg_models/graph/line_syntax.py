"""The line syntax: the scene graph that people type.

    # a comment
    small brown dog | on | motorcycle
    dog#2 | next to | small brown dog
    "cup of tea" @ 0.6 0.1 0.9 0.8
    motorcycle | is | shiny

A line is a relation `subject | predicate | object`, or an object alone. The last word of an object is its name (or the
last words, if they are a common name such as fire hydrant, or in quotes), the words before it are its attributes. The
same words are the same object wherever they are written, in any case and order; a name alone means the only object of
that name. `dog#2` is a second dog (`dog#1` is `dog`). `@ x0 y0 x1 y1` gives an object's box, in [0, 1], at any one of
its mentions. `is` gives attributes.
"""

from .line_objects import LineObjects
from .line_phrase import Phrase, check_attributes, read_phrase
from .line_words import ARTICLES, INVISIBLE, LINE_EXAMPLE, Token, check_words, is_plain, line_tokens, quoted
from .scene_graph import MAX_RELATIONS, Box, Relation, SceneGraph, SceneGraphError, SceneObject

BOX_EXAMPLE = "brown dog @ 0.1 0.4 0.6 0.9"
MAX_LINE_CHARS = 8_000  # the longest that `format_lines` writes is a third of it
ROLES = ("subject", "predicate", "object")
COPULAS = ("is", "are")


def parse_lines(text: str) -> SceneGraph:
    """Reads the line syntax; objects are numbered in the order of their first mention.

    Raises `SceneGraphError` with the number of the line (from 1).
    """
    objects = LineObjects()
    relations: list[Relation] = []
    for number, line in enumerate(text.splitlines(), start=1):
        try:
            _read_line(line, objects, relations)
        except SceneGraphError as error:
            raise SceneGraphError(error.message, f"line {number}") from None
    if not objects.objects:
        raise SceneGraphError(f"the text holds no object; write a line such as: {LINE_EXAMPLE}")
    return SceneGraph(tuple(objects.objects), tuple(relations))


def _read_line(line: str, objects: LineObjects, relations: list[Relation]) -> None:
    bare = line.translate(INVISIBLE).strip()
    if bare.startswith("#"):
        if bare[1:2].strip():
            raise SceneGraphError("the line begins with '#'; write '# ' with a space for a comment")
        return
    if len(bare) > MAX_LINE_CHARS:
        raise SceneGraphError(f"the line has {len(bare)} characters; write one relation a line, as in: {LINE_EXAMPLE}")
    parts = _parts(line_tokens(line.strip()))
    if len(parts) == 1:
        if parts[0]:
            _read_object(parts[0], objects)
        return
    if len(parts) != 3:
        raise SceneGraphError(
            f"{len(parts)} parts between bars; write three, as in: {LINE_EXAMPLE}, or no bar for an object alone"
        )
    for part, role in zip(parts, ROLES, strict=True):
        if not part:
            raise SceneGraphError(f"the {role} is empty; write all three parts, as in: {LINE_EXAMPLE}")
    if _gives_attributes(parts, objects):
        _read_attributes(parts[0], parts[2], objects)
    else:
        _read_relation(parts, objects, relations)


def _parts(tokens: list[Token]) -> list[list[Token]]:
    """What stands between the bars, or between the tabs of a line without bars."""
    separator = "bar" if any(token.kind == "bar" for token in tokens) else "tab"
    parts: list[list[Token]] = [[]]
    for token in tokens:
        if token.kind == separator:
            parts.append([])
        elif token.kind != "tab":
            parts[-1].append(token)
    return parts


def _read_relation(parts: list[list[Token]], objects: LineObjects, relations: list[Relation]) -> None:
    check_words(parts[1])
    for token in parts[1]:
        if token.kind not in ("word", "quoted"):
            raise SceneGraphError(f"'{token.text}' in a predicate; put quotes around it, or leave it out")
    if len(relations) == MAX_RELATIONS:
        raise SceneGraphError(f"this is relation {len(relations) + 1}; write at most {MAX_RELATIONS}")
    subject, object_ = _read_object(parts[0], objects), _read_object(parts[2], objects)
    if subject == object_:
        phrase = objects.objects[subject].phrase
        raise SceneGraphError(f"the subject and the object are the same; write {phrase}#2 for a second {phrase}")
    relations.append(Relation(subject, " ".join(token.text for token in parts[1]), object_))


def _gives_attributes(parts: list[list[Token]], objects: LineObjects) -> bool:
    """Whether the line says what an object is like: `circle | is | red`, unless red is itself an object."""
    predicate, described = parts[1], parts[2]
    if len(predicate) != 1 or predicate[0].kind != "word" or predicate[0].text.casefold() not in COPULAS:
        return False
    return all(token.kind in ("word", "quoted") for token in described) and not _is_object(described, objects)


def _is_object(tokens: list[Token], objects: LineObjects) -> bool:
    try:
        return objects.known(read_phrase(tokens))
    except SceneGraphError:
        return False


def _read_attributes(subject: list[Token], described: list[Token], objects: LineObjects) -> None:
    tokens = [Token(token.kind, token.text.strip(",.")) if token.kind == "word" else token for token in described]
    tokens = [token for token in tokens if token.text and (token.kind != "word" or token.text.casefold() != "and")]
    check_words(tokens)
    if tokens and tokens[0].kind == "word" and tokens[0].text.casefold() in ARTICLES:
        raise SceneGraphError(
            f"'is' gives an object attributes, as in: dog | is | brown; a relation reads: {LINE_EXAMPLE}"
        )
    check_attributes(tokens)
    objects.describe(_read_object(subject, objects), [token.text for token in tokens])


def _read_object(tokens: list[Token], objects: LineObjects) -> int:
    """The position of the object that `tokens` mention, which is added where it is new."""
    kinds = [token.kind for token in tokens]
    at = kinds.index("at") if "at" in kinds else len(tokens)
    mention, box = tokens[:at], _read_box(tokens[at + 1 :]) if at < len(tokens) else None
    number = None
    if mention and mention[-1].kind == "number":
        number = int(mention.pop().text.lstrip("# "))
    if not mention:
        raise SceneGraphError(f"no object before '{tokens[0].text}'; write: {BOX_EXAMPLE}")
    if any(token.kind == "number" for token in mention):
        raise SceneGraphError("a number stands after the name, once, as in dog#2")
    return objects.mention(read_phrase(mention), number, box)


def _read_box(tokens: list[Token]) -> Box:
    try:
        words = " ".join(token.text for token in tokens).replace(",", " ").split()
        x0, y0, x1, y1 = (float(number) for number in words)
    except ValueError:  # not four, or not numbers
        raise SceneGraphError(f"after '@' come four numbers x0 y0 x1 y1 from 0 to 1; write: {BOX_EXAMPLE}") from None
    return x0, y0, x1, y1


# Writing


def format_lines(graph: SceneGraph) -> str:
    """Writes the line syntax, such that `parse_lines` gives the same graph back; every graph can be written."""
    labels = _labels(graph)
    lines: list[str] = []
    mentioned = 0  # objects 0 … mentioned-1 are written; keeping their order keeps their positions
    for relation in graph.relations:
        ends = relation.subject, relation.object
        new = [position for position in ends if position >= mentioned]
        if new != list(range(mentioned, mentioned + len(new))):
            lines += (_mention(graph, labels, position, True) for position in range(mentioned, max(new) + 1))
            mentioned, new = max(new) + 1, []
        subject, object_ = (_mention(graph, labels, position, position in new) for position in ends)
        lines.append(f"{subject} | {_predicate(relation.predicate)} | {object_}")
        mentioned += len(new)
    lines += (_mention(graph, labels, position, True) for position in range(mentioned, len(graph.objects)))
    return "\n".join(lines)


def _labels(graph: SceneGraph) -> list[str]:
    """The phrase of each object, numbered where it would otherwise be taken for an earlier one."""
    count: dict[tuple, int] = {}
    names: set[str] = set()
    labels = []
    for item in graph.objects:
        key = Phrase(item.attributes, item.name).key
        # a name alone would mean the earlier object that has it with attributes
        first = 2 if not item.attributes and key not in count and key[0] in names else 1
        count[key] = count.get(key, first - 1) + 1
        names.add(key[0])
        labels.append(_written(item) if count[key] == 1 else f"{_written(item)}#{count[key]}")
    return labels


def _written(item: SceneObject) -> str:
    """The object's words, with as few quotes as still make them the same phrase when they are read."""
    texts = (*item.attributes, item.name)
    everything = " ".join(map(quoted, texts))
    if not all(map(is_plain, item.attributes)):
        return everything
    attempts = [" ".join((*item.attributes, quoted(item.name)))]
    if is_plain(item.name):
        attempts.insert(0, " ".join(texts))
    return next((attempt for attempt in attempts if _reads_as(attempt, item)), everything)


def _reads_as(text: str, item: SceneObject) -> bool:
    try:
        return read_phrase(line_tokens(text)) == Phrase(item.attributes, item.name)
    except SceneGraphError:  # an article or a preposition, or more attributes than a line has without quotes
        return False


def _predicate(text: str) -> str:
    """The predicate, in quotes where it holds what a line gives a meaning, or would give attributes."""
    return text if all(map(is_plain, text.split(" "))) and text.casefold() not in COPULAS else quoted(text)


def _mention(graph: SceneGraph, labels: list[str], position: int, is_first: bool) -> str:
    box = graph.objects[position].box
    if box is None or not is_first:
        return labels[position]
    return f"{labels[position]} @ {' '.join(map(repr, box))}"
