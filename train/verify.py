"""Holds pictures against a scene graph: what of it holds, what does not, and what cannot be decided.

    python train/verify.py --pictures pictures --graph graphs/desk.txt --detector shapes --out verified

A picture belongs to the graph whose name its own begins with, as `sample.py` names them (desk_0.png to desk.txt); with
one graph, all pictures belong to that. Out come the pictures with ticks and crosses, a report beside each, and all
scores.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from tqdm import tqdm

from sg_models.drawing.report_drawing import draw_report
from sg_models.files.whole_file import whole_file
from sg_models.graph.scene_graph import SceneGraph
from sg_models.verification.report import Report, best
from sg_models.verification.verify import verify_picture
from train.data.graph_sources import read_graphs
from train.report.detectors import DetectorOptions
from train.running.command_line import UsageError, run

ENDINGS = (".png", ".jpg", ".jpeg", ".webp")


@dataclass(kw_only=True)
class Config(DetectorOptions):
    pictures: Path
    """a folder of pictures, or one"""
    graph: list[str]
    """.json, .jsonl or .txt files in any accepted format, folders of them, or - for standard input"""
    out: Path = Path("verified")


def main(config: Config) -> None:
    graphs = read_graphs(config.graph)
    pictures = {path: graph_of(path, graphs) for path in found(config.pictures)}
    detector = config.open()
    reports: dict[str, Report] = {}
    for path, graph in tqdm(pictures.items(), unit="picture", disable=len(pictures) < 10):
        picture = np.asarray(Image.open(path).convert("RGB"))
        reports[path.name] = verify_picture(detector, picture, graph)
        write(config.out, path, picture, reports[path.name])
    with whole_file(config.out / "scores.json") as file:
        file.write_text(
            json.dumps({name: scores(report) for name, report in reports.items()}, indent=1) + "\n", "utf-8"
        )
    names = list(reports)
    for place in best(list(reports.values()), len(reports)):
        report = reports[names[place]]
        print(f"{report.obedience:.3f}{' exact' if report.exact else ''}  {names[place]}")


def found(place: Path) -> list[Path]:
    """The pictures in a folder, or the one at a path; raises `UsageError` where there are none."""
    files = [place] if place.is_file() else sorted(place.glob("*"))
    pictures = [path for path in files if path.suffix.lower() in ENDINGS]
    if not pictures:
        raise UsageError(f"there are no pictures ({', '.join(ENDINGS)}) in {place}")
    return pictures


def graph_of(path: Path, graphs: dict[str, SceneGraph]) -> SceneGraph:
    """The graph that a picture is of; raises `UsageError` where its name does not say which."""
    if len(graphs) == 1:
        return next(iter(graphs.values()))
    name = path.stem.rpartition("_")[0] or path.stem
    for called in (path.stem, name):
        if called in graphs:
            return graphs[called]
    raise UsageError(f"{path.name} is of none of the graphs {', '.join(graphs)}; name it <graph>_<number>{path.suffix}")


def write(folder: Path, path: Path, picture: np.ndarray, report: Report) -> None:
    """The drawing of a report, and its words."""
    with whole_file(folder / f"{path.stem}.png") as file:
        draw_report(picture, report).save(file, "PNG")
    with whole_file(folder / f"{path.stem}.txt") as file:
        file.write_text(report.text() + "\n", "utf-8")


def scores(report: Report) -> dict:
    """The figures of a report."""
    return {"obedience": report.obedience, "exact": report.exact, **report.scores}


if __name__ == "__main__":
    run(main, Config)
