"""What a picture shows of its graph: for each object, its attributes and each relation whether it holds.

The third answer, *undecidable*, is that of amineross/SpatialBench-UC: a rate over what could be decided alone flatters,
for what is missing from a picture stands in no wrong place.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from ..graph.scene_graph import SceneGraph
from .detection import DetectedObject


class Outcome(Enum):
    """Of one thing that a graph says."""

    HOLDS = "holds"
    FAILS = "does not hold"
    UNDECIDABLE = "undecidable"


@dataclass(frozen=True)
class Finding:
    """One thing that a graph says, and whether it holds; `why` says what is seen instead or what is in the way.

    `of_no_picture`: no picture would decide this, for the detector does not know what it is about. What is undecidable
    otherwise is so for want of an object in this picture.
    """

    said: str
    outcome: Outcome
    why: str = ""
    of_no_picture: bool = False


@dataclass(frozen=True)
class Report:
    """How a picture obeys a graph, as far as what was `seen` in it tells.

    `matched[i]` is the place in `seen` of what stands for object i, None if nothing does. `objects[i]` is whether it is
    there, `attributes[i]` whether it has all of its attributes (None where the graph gives none), `relations[k]`
    whether relation k holds between what stands for its ends.
    """

    graph: SceneGraph
    seen: tuple[DetectedObject, ...]
    matched: tuple[int | None, ...]
    objects: tuple[Finding, ...]
    attributes: tuple[Finding | None, ...]
    relations: tuple[Finding, ...]
    notes: tuple[str, ...] = ()

    @property
    def beside(self) -> tuple[DetectedObject, ...]:
        """What was seen and stands for nothing in the graph."""
        return tuple(thing for place, thing in enumerate(self.seen) if place not in self.matched)

    @property
    def findings(self) -> tuple[Finding, ...]:
        """All that the graph says."""
        return (*self.objects, *(finding for finding in self.attributes if finding is not None), *self.relations)

    @property
    def obedience(self) -> float:
        """The share of what a picture could decide that holds in this one; 1 where there is nothing of that kind.

        What is undecidable because an object is missing counts against the picture: it has not drawn it.
        """
        held, asked = _counts([finding for finding in self.findings if not finding.of_no_picture])
        return held / asked if asked else 1.0

    @property
    def exact(self) -> bool:
        """Whether all of the graph holds, and nothing else was seen."""
        return all(finding.outcome is Outcome.HOLDS for finding in self.findings) and not self.beside

    @property
    def scores(self) -> dict[str, tuple[int, int]]:
        """What holds and out of how much, by what it is a share of."""
        attributes = [finding for finding in self.attributes if finding is not None]
        return {
            "objects seen": _counts(_decided(self.objects)),
            "attributes of decided": _counts(_decided(attributes)),
            "relations of all": _counts(self.relations),
            "relations of decided": _counts(_decided(self.relations)),
        }

    def text(self) -> str:
        """The report for people: scores, then a line for each thing that the graph says."""
        lines = [f"obedience {self.obedience:.3f}" + ("; the exact graph" if self.exact else "")]
        lines += [f"{name}: {held} of {total}" for name, (held, total) in self.scores.items() if total]
        lines += [_line(finding) for finding in self.findings]
        if self.beside:
            names = ", ".join(thing.phrase for thing in self.beside)
            lines.append(f"seen beside the graph: {names}")
        return "\n".join([*lines, *self.notes])


def best(reports: Sequence[Report], count: int) -> list[int]:
    """The places of the reports of the `count` pictures that obey best, the best first.

    By obedience; then by how little else was seen, by how certain what was seen is, and by their order.
    """

    def rank(place: int) -> tuple[float, int, float, int]:
        report = reports[place]
        certainty = sum(report.seen[k].score for k in report.matched if k is not None)
        return -report.obedience, len(report.beside), -certainty, place

    return sorted(range(len(reports)), key=rank)[:count]


def _decided(findings: Sequence[Finding]) -> list[Finding]:
    return [finding for finding in findings if finding.outcome is not Outcome.UNDECIDABLE]


def _counts(findings: Sequence[Finding]) -> tuple[int, int]:
    return sum(finding.outcome is Outcome.HOLDS for finding in findings), len(findings)


def _line(finding: Finding) -> str:
    signs = {Outcome.HOLDS: "✓", Outcome.FAILS: "✗", Outcome.UNDECIDABLE: "?"}
    why = f" ({finding.why})" if finding.why else ""
    return f"{signs[finding.outcome]} {finding.said}: {finding.outcome.value}{why}"
