"""How far the graph of a picture is the graph that it was drawn from: SG-IoU, Entity-IoU and Relation-IoU.

Source: Shen et al. 2024, "SG-Adapter", and Li et al. 2024, "LAION-SG": |both| / |either| of sets of exactly equal
triples, names of objects, and predicates; a mean over pictures. Whoever reads the graph off the picture (a person, a
model) is part of the metric, and named with it.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from sg_models.graph.graph_files import GraphFileError, read_source
from sg_models.graph.scene_graph import SceneGraph, SceneGraphError
from sg_models.verification.detection import plain
from train.report.metrics import with_interval
from train.report.picture_folder import picture_name
from train.report.picture_metric import DrawnPictures, Figures
from train.running.command_line import UsageError

TRIPLES, OBJECTS, PREDICATES = "SG-IoU", "Entity-IoU", "Relation-IoU"
FIGURES = (TRIPLES, OBJECTS, PREDICATES)


@dataclass(frozen=True)
class GraphWords:
    """What of a graph is compared: words in lower case. It may be empty, as a picture may show nothing."""

    objects: frozenset[str]
    triples: frozenset[tuple[str, str, str]]

    @classmethod
    def of(cls, graph: SceneGraph) -> "GraphWords":
        """Names without attributes, as the sources compare them."""
        names = [plain(thing.name) for thing in graph.objects]
        triples = ((names[r.subject], plain(r.predicate), names[r.object]) for r in graph.relations)
        return cls(frozenset(names), frozenset(triples))

    @property
    def predicates(self) -> frozenset[str]:
        return frozenset(predicate for _, predicate, _ in self.triples)


class GraphReader(Protocol):
    """Says what graph a picture shows."""

    def read(self, picture: np.ndarray, place: int, sample: int, graph: SceneGraph) -> GraphWords | None:
        """Of a picture, uint8 [H, W, 3], the sample of graph `place`; None where nothing readable was said."""
        ...

    def notes(self) -> dict[str, str]:
        """Who read, and what was left out on the way."""
        ...


class GraphFiles:
    """Graphs of pictures in files that are named like the pictures, in any format that the pack reads."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.warnings = 0

    def read(self, picture: np.ndarray, place: int, sample: int, graph: SceneGraph) -> GraphWords | None:
        """Raises `UsageError` where there is no file for the picture."""
        path = self.folder / picture_name(place, sample, ".json")
        if not path.is_file():
            raise UsageError(f"there is no {path}, the graph of a picture; write one for each")
        try:
            (file,) = read_source(str(path))
            found = file.reading.single()
        except (SceneGraphError, GraphFileError):
            return None
        self.warnings += len(file.reading.warnings)
        return GraphWords.of(found)

    def notes(self) -> dict[str, str]:
        return {"graphs of pictures": f"files in {self.folder}", "warnings while reading them": str(self.warnings)}


class GraphOverlap:
    """Means over pictures whose graph could be read; the others are counted."""

    def __init__(self, reader: GraphReader) -> None:
        self.reader = reader
        self.overlaps: dict[str, list[tuple[float, int]]] = {name: [] for name in FIGURES}  # of graphs: sum, pictures
        self.unread, self.pictures = 0, 0

    def see(self, drawn: DrawnPictures) -> None:
        for place, graph, pictures in zip(drawn.places, drawn.graphs, drawn.pictures, strict=True):
            read = [self.reader.read(picture, place, sample, graph) for sample, picture in enumerate(pictures)]
            self.unread += read.count(None)
            self.pictures += len(read)
            found = [overlaps(GraphWords.of(graph), other) for other in read if other is not None]
            for name in FIGURES:
                values = [one[name] for one in found if name in one]
                self.overlaps[name].append((sum(values), len(values)))

    def figures(self) -> Figures:
        """Raises `UsageError` where not one graph could be read."""
        if self.unread == self.pictures:
            raise UsageError(f"of {self.pictures} pictures not one graph could be read: {self.reader.notes()}")
        return {name: with_interval(*np.array(pairs).T) for name, pairs in self.overlaps.items()}

    def notes(self) -> dict[str, str]:
        unread = f"{self.unread} of {self.pictures}, in no figure"
        return self.reader.notes() | {"graphs that could not be read": unread}


def overlaps(one: GraphWords, other: GraphWords) -> dict[str, float]:
    """Each of `FIGURES`; one of two empty sets is left out, for it says nothing."""
    pairs = {
        TRIPLES: (one.triples, other.triples),
        OBJECTS: (one.objects, other.objects),
        PREDICATES: (one.predicates, other.predicates),
    }
    return {name: len(a & b) / len(a | b) for name, (a, b) in pairs.items() if a | b}
