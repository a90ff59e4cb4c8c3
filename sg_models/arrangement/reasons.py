"""Why relations do not hold, in words."""

from collections.abc import Sequence

from ..graph.contradictions import MAX_SAID, cannot_hold, numbered_phrases, said_together
from ..graph.scene_graph import SceneGraph
from .obstacles import Obstacle
from .rules import Rule


class Reasons:
    """Collects what stands against relations of a graph."""

    def __init__(self, graph: SceneGraph) -> None:
        self._graph = graph
        self._names = numbered_phrases(graph)
        self._sentences: list[str] = []
        self._explained: set[int] = set()

    def contradiction(self, left_out: int, path: Sequence[int]) -> None:
        """A relation is left out that contradicts others."""
        if path:
            relations = sorted((left_out, *path))
            self._say(left_out, f"{cannot_hold(self._graph, self._names, relations)}{self._dropped(left_out)}")

    def given(self, rules: Sequence[Rule], objects: Sequence[int], left_out: int) -> None:
        """Rules cannot hold with the boxes that some objects are given."""
        relations = sorted(rule.relation for rule in rules)
        of = " and ".join(f"'{self._names[place]}'" for place in objects)
        boxes = f"the box given for {of}" if len(objects) == 1 else f"the boxes given for {of}"
        both = "" if len(relations) == 1 else " both" if len(relations) == 2 else " all"
        said = f"{said_together(self._graph, self._names, relations)} cannot{both} hold with {boxes}"
        self._say(left_out, said + (self._dropped(left_out) if both else ""))

    def obstacle(self, found: Obstacle) -> None:
        """A rule is left out that cannot hold beside others."""
        if found.given:
            self.given(found.against, found.given, found.rule.relation)
        elif len(found.against) > 1:
            others = [rule.relation for rule in found.against if rule is not found.rule]
            self.contradiction(found.rule.relation, others)

    def sentences(self, broken: Sequence[Rule], by_centres: Sequence[int]) -> tuple[str, ...]:
        """What was said, and what must be said of relations that do not hold and of which nothing was."""
        said = list(self._sentences)
        silent = [rule.relation for rule in broken if rule.relation not in self._explained]
        if silent:
            relations = said_together(self._graph, self._names, silent[:MAX_SAID])
            more = f" and {len(silent) - MAX_SAID} more relations" if len(silent) > MAX_SAID else ""
            said.append(f"{relations}{more} {'does' if len(silent) == 1 else 'do'} not hold beside the others")
        if by_centres:
            relations = said_together(self._graph, self._names, by_centres[:MAX_SAID])
            more = f" and {len(by_centres) - MAX_SAID} more relations" if len(by_centres) > MAX_SAID else ""
            hold = "holds by its" if len(by_centres) == 1 else "hold by their"
            said.append(f"{relations}{more} {hold} centres alone: another direction is greater")
        return tuple(said)

    def _say(self, relation: int, sentence: str) -> None:
        self._explained.add(relation)
        self._sentences.append(sentence)

    def _dropped(self, relation: int) -> str:
        return f"; {said_together(self._graph, self._names, [relation])} is left out"
