"""What a judge says of a picture: which objects it sees, and what of a graph they fulfil."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from ..graph.spatial_relations import Box


class Detection(Protocol):
    """One object seen in a picture."""

    @property
    def box(self) -> Box:
        """In pixels, y down."""
        ...


@dataclass(frozen=True)
class Verdict:
    """How a picture obeys a graph.

    `matched[i]` is the detection that stands for object i (None if it is missing), `bound[i]` whether that one has all
    of the object's attributes, `related[k]` whether relation k holds between the detections of its two ends.
    """

    detections: Sequence[Detection]
    matched: Sequence[Detection | None]
    bound: Sequence[bool]
    related: Sequence[bool]

    @property
    def exact(self) -> bool:
        """Whether the picture shows this graph, all of it, and no further object."""
        complete = len(self.detections) == len(self.matched)
        return complete and None not in self.matched and all(self.bound) and all(self.related)
