"""The picture that a run draws now and then: the same noise with the graphs on, off and shuffled."""

from collections.abc import Sequence
from pathlib import Path

import torch

from sg_models.graph.scene_graph import SceneGraph
from train.bases.base_model import BaseModel
from train.conditioning.conditioners import Conditioner
from train.conditioning.sampling import draw_graphs, starting_noise
from train.data.graph_variation import without_boxes
from train.report.picture_grid import save_grid


def draw_preview(base: BaseModel, condition: Conditioner, graphs: Sequence[SceneGraph], path: Path) -> None:
    """Writes rows from the same noise: the right graphs, none, and each other's.

    A first row shows the right graphs with their boxes, where the variant uses boxes. `path` has no ending.
    """
    noise = starting_noise(base, 0, len(graphs))
    bare = [without_boxes(graph) for graph in graphs]
    rows = [draw_graphs(base, condition, graphs, noise)] if condition.uses_boxes else []
    rows += [
        draw_graphs(base, condition, bare, noise),
        draw_graphs(base, condition, bare, noise, guidance=0.0),
        draw_graphs(base, condition, bare[1:] + bare[:1], noise),
    ]
    save_grid(torch.cat(rows), f"{path}.png", columns=len(graphs))
