"""Measures how graphs are arranged, against true boxes of real pictures and four simpler ways to get boxes.

    python train/prepare.py layouts --data <folder with vrd/, vg150-images/ and v-coco/>
    python train/measure_arrange.py --data <the same folder> --nsr <folder of NSR-1K> [--docs docs]

It trains what the learned prior is compared with (minutes; kept in run_dir), and the prior again without some names.
Out come a section of `docs/results.md` and a sheet of layouts, `docs/arrange.png`.
"""

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from time import process_time
from typing import Any

import msgspec
import numpy as np
from tqdm import tqdm

from sg_models.arrangement.arrange import arrange
from sg_models.arrangement.layout_prior import LayoutPrior, make_prior
from sg_models.arrangement.prior import Prior
from sg_models.arrangement.prior_file import SHIPPED, read_prior_file
from sg_models.files.whole_file import whole_file
from sg_models.graph.scene_graph import Relation, SceneGraph, SceneObject
from train.data.dataset import TRAIN, VALIDATION
from train.data.graph_variation import without_boxes
from train.data.prepared.prepared_dataset import Prepared
from train.objectives.arrangement import mean_surprise, surprises
from train.objectives.arrangement_baselines import Baseline, NameBoxes, NameSizes, Regression
from train.objectives.arrangement_rivals import trained_regression, trained_without
from train.report.arrangement_figures import Arrange, count_held, mean, measure, paired_iou, true_boxes
from train.report.arrangement_page import OURS, TRUTH, Measured, SetRows, page
from train.report.arrangement_sheet import draw_sheet
from train.report.page_sections import with_section
from train.running.command_line import UsageError, run

SETS = {"VRD, test": ("test", "vrd/"), "VG-150, held out": (VALIDATION, "vg150/"), "V-COCO, test": ("test", "v-coco/")}
# never seen in the second training: of all kinds, sizes and frequencies
NEW_NAMES = "elephant umbrella skateboard laptop sky hat bus pizza tower shirt bench giraffe wheel bottle horse".split()
NSR_PREDICATES = {"left": "to the left of", "right": "to the right of", "top": "above", "bottom": "below"}


@dataclass
class Config:
    data: Path
    """the folder that `prepare.py layouts` was given"""
    nsr: Path
    """the folder of NSR-1K, with spatial.val.json"""
    prior: Path = SHIPPED
    """the prior's file"""
    graphs: int = 100
    """that are arranged, of each set"""
    density_graphs: int = 1000
    """whose boxes' densities are measured, of each set"""
    seeds: int = 8
    steps: int = 1200
    """of training what the prior is compared with"""
    new_name_steps: int = 700
    """of training the prior without some names"""
    run_dir: Path = Path("runs/measure-arrange")
    docs: Path = Path("docs")
    """results.md and arrange.png are written there"""


def main(config: Config) -> None:
    data = Prepared("layouts", config.data)
    training, validation = (list(data.split(name, sys.maxsize).graphs) for name in (TRAIN, VALIDATION))
    sets = {title: list(graphs_from(data, *where)) for title, where in SETS.items()}
    file = read_prior_file(config.prior)
    prior = make_prior(file)
    regression = trained_regression(config.run_dir, config.steps, training, file)
    baselines: dict[str, Baseline] = {
        "(a) mean box of the name": NameBoxes(training),
        "(b) solver, mean sizes": NameSizes(training),
        "(d) sg2im's design": Regression(regression, file.vectors, validation[:500]),
    }
    new = trained_without(frozenset(NEW_NAMES), config.run_dir, config.new_name_steps, training, file)
    found = Measured(
        [measure_set(title, graphs, config, prior, baselines) for title, graphs in sets.items()],
        *measure_nsr(config, prior, baselines),
        *measure_new_names([g for graphs in sets.values() for g in graphs], config, new, training),
        times(prior, [g for graphs in sets.values() for g in graphs if len(g.objects) == 8][:40]),
    )
    command = "python train/measure_arrange.py --data DATA --nsr NSR"
    text = page(
        found,
        command=command,
        seeds=config.seeds,
        temperature=prior.temperature,
        names=list(NEW_NAMES),
        steps=(file.steps, config.steps, config.new_name_steps),
    )
    results = config.docs / "results.md"
    with whole_file(results) as beside:
        earlier = results.read_text("utf-8") if results.exists() else ""
        beside.write_text(with_section(earlier, "arrange", text), "utf-8")
    shown = [arranged(prior, without_boxes(g), 0) for graphs in sets.values() for g in readable(graphs)]
    draw_sheet(shown, 6).save(config.docs / "arrange.png", optimize=True)


def graphs_from(data: Prepared, split: str, origin: str) -> Iterator[SceneGraph]:
    """The graphs of a split that come from one data set."""
    return (record.graph for record in data.split(split, sys.maxsize).records if record.id.startswith(origin))


def readable(graphs: list[SceneGraph], count: int = 8) -> list[SceneGraph]:
    """Some graphs that are neither trivial nor too full for a small picture."""
    return [g for g in graphs if 3 <= len(g.objects) <= 8 and len(g.relations) >= 3][::7][:count]


def arranged(prior: Prior, graph: SceneGraph, seed: int) -> SceneGraph:
    """A graph with a box for every object, as the solver places them."""
    return arrange(graph, seed, prior=prior).graph


def ways_to_arrange(prior: LayoutPrior, baselines: dict[str, Baseline]) -> dict[str, Arrange]:
    """All that is compared, in the order of the table."""

    def alone(graph: SceneGraph, seeds: int) -> np.ndarray:
        return np.stack([p.boxes for p in prior.samples(graph, 0, 1.0, seeds)])

    def fitted(baseline: Baseline, graph: SceneGraph, seeds: int) -> np.ndarray:
        rng = np.random.default_rng(0)
        drawn = (baseline.drawn(graph, rng, prior.temperature) for _ in range(seeds - 1))
        return np.stack([baseline.boxes(graph), *drawn])

    def solved(with_prior: Prior, graph: SceneGraph, seeds: int) -> np.ndarray:
        return np.stack([true_boxes(arranged(with_prior, graph, seed)) for seed in range(seeds)])

    ways: dict[str, Arrange] = {
        name: partial(solved, baseline) if isinstance(baseline, NameSizes) else partial(fitted, baseline)
        for name, baseline in baselines.items()
    }
    return dict(sorted({**ways, "(c) learned prior alone": alone, OURS: partial(solved, prior)}.items()))


def measure_set(
    title: str, graphs: list[SceneGraph], config: Config, prior: LayoutPrior, baselines: dict[str, Baseline]
) -> SetRows:
    """All ways to arrange on one set of graphs."""
    some, graphs = spread_out(graphs, config.graphs), spread_out(graphs, config.density_graphs)
    rows = {TRUTH: measure(some, lambda graph, seeds: true_boxes(graph)[None], 1)}
    bare = {id(graph): without_boxes(graph) for graph in some}
    for name, way in ways_to_arrange(prior, baselines).items():
        hidden = lambda graph, seeds, way=way: way(bare[id(graph)], seeds)  # noqa: E731
        rows[name] = measure(tqdm(some, desc=f"{title}: {name}", mininterval=10), hidden, config.seeds)
    nats = {name: -mean([float(v) for g in graphs for v in b.log_density(g)]) for name, b in baselines.items()}
    nats["(c) learned prior alone"] = nats[OURS] = mean_surprise(prior, graphs)
    return SetRows(title, len(some), sum(len(graph.objects) for graph in graphs), rows, nats)


def spread_out(graphs: list[SceneGraph], count: int) -> list[SceneGraph]:
    """So many graphs, from first to last; all, if there are no more."""
    return [graphs[int(i)] for i in np.linspace(0, len(graphs) - 1, min(count, len(graphs)))]


def measure_nsr(
    config: Config, prior: LayoutPrior, baselines: dict[str, Baseline]
) -> tuple[dict[str, tuple[float, float]], int]:
    """The directions of NSR-1K that hold, by the way to arrange, one seed each, and how many there are."""
    rows = read_json(config.nsr / "spatial.val.json")
    graphs = [nsr_graph(row) for row in rows if row["relation"] in NSR_PREDICATES]
    found = {}
    for name, way in ways_to_arrange(prior, baselines).items():
        held: dict[str, list[bool]] = {"directions": [], "of them exact": [], "containment": []}
        for graph in tqdm(graphs, desc=f"NSR-1K: {name}", mininterval=10):
            count_held(graph, way(graph, 1)[0], held)
        found[name] = mean(held["directions"]), mean(held["of them exact"])
    return found, len(graphs)


def nsr_graph(row: dict[str, Any]) -> SceneGraph:
    """Two objects and their direction."""
    things = tuple(SceneObject(row[end][0]) for end in ("obj1", "obj2"))
    return SceneGraph(things, (Relation(0, NSR_PREDICATES[row["relation"]], 1),))


def measure_new_names(
    graphs: list[SceneGraph], config: Config, new: LayoutPrior, training: list[SceneGraph]
) -> tuple[dict[str, tuple[float, float, float]], int]:
    """Objects of the names that `new` has never seen: nats, mean and best IoU; and how many there are."""
    graphs = [graph for graph in graphs if any(thing.name in NEW_NAMES for thing in graph.objects)]
    graphs = spread_out(graphs, config.density_graphs)
    which = np.array([thing.name in NEW_NAMES for graph in graphs for thing in graph.objects])
    anything = NameBoxes(training, by_name=False)
    nats = {
        "mean of all boxes": np.concatenate([-anything.log_density(graph) for graph in graphs]),
        "prior that has never seen the name": surprises(new, graphs),
    }
    near: dict[str, list[np.ndarray]] = {name: [] for name in nats}
    for graph in tqdm(graphs, desc="new names", mininterval=10):
        bare, rng = without_boxes(graph), np.random.default_rng(0)
        tried = {
            "mean of all boxes": [anything.boxes(bare)]
            + [anything.drawn(bare, rng, new.temperature) for _ in range(config.seeds - 1)],
            "prior that has never seen the name": [p.boxes for p in new.samples(bare, 0, 1.0, config.seeds)],
        }
        for name, several in tried.items():
            near[name].append(np.stack([paired_iou(boxes, true_boxes(graph)) for boxes in several]))
    found = {}
    for name, parts in near.items():
        ious = np.concatenate(parts, axis=1)[:, which]  # [S, objects]
        found[name] = float(nats[name][which].mean()), float(ious.mean()), float(ious.max(0).mean())
    return found, int(which.sum())


def times(prior: LayoutPrior, graphs: list[SceneGraph]) -> tuple[float, float]:
    """Median milliseconds of processor time of one arrangement, and of one sample of the prior."""
    taken: list[tuple[float, float]] = []
    for graph in map(without_boxes, graphs):
        start = process_time()
        prior.samples(graph, 0, 1.0, 1)
        middle = process_time()
        arrange(graph, 0, prior=prior)
        taken.append((process_time() - middle, middle - start))
    whole, alone = np.median(np.array(taken), axis=0) * 1000
    return float(whole), float(alone)


def read_json(path: Path) -> Any:
    """A JSON file; raises `UsageError` where there is none."""
    if not path.is_file():
        raise UsageError(f"there is no {path}; --nsr is the folder of NSR-1K's spatial.val.json")
    return msgspec.json.decode(path.read_bytes())


if __name__ == "__main__":
    run(main, Config)
