"""Pictures of graphs on disk: all that are drawn, or of several those that obey best, each with its report."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

from sg_models.files.whole_file import whole_file
from sg_models.graph.scene_graph import SceneGraph
from sg_models.verification.detection import Detector
from sg_models.verification.report import Report, best
from sg_models.verification.verify import verify_picture


@dataclass
class Kept:
    """Takes in `drawn` pictures of each graph and keeps `count`, by what a `detector` sees; without one, all."""

    folder: Path
    count: int
    drawn: int
    detector: Detector | None
    waiting: dict[str, list[tuple[Image.Image, Report]]] = field(default_factory=dict)  # by the graph's name

    def add(self, name: str, place: int, graph: SceneGraph, picture: Image.Image) -> None:
        """Picture number `place` of a graph; they come in order."""
        if self.detector is None:
            self._write(f"{name}_{place}", picture)
            return
        report = verify_picture(self.detector, np.asarray(picture), graph)
        pictures = self.waiting.setdefault(name, [])
        pictures.append((picture, report))
        if len(pictures) == self.drawn:
            self._keep_best(name, self.waiting.pop(name))

    def _keep_best(self, name: str, pictures: list[tuple[Image.Image, Report]]) -> None:
        places = best([report for _, report in pictures], self.count)
        for number, place in enumerate(places):
            picture, report = pictures[place]
            self._write(f"{name}_{number}", picture)
            with whole_file(self.folder / f"{name}_{number}.txt") as file:
                file.write_text(f"picture {place} of {self.drawn}: {report.text()}\n", "utf-8")
        scores = ", ".join(f"{pictures[place][1].obedience:.3f}" for place in places)
        print(f"{name}: kept {', '.join(map(str, places))} of {self.drawn}, obedience {scores}")

    def _write(self, name: str, picture: Image.Image) -> None:
        with whole_file(self.folder / f"{name}.png") as file:
            picture.save(file, "PNG")
