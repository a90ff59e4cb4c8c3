"""What `measure_arrange.py` trains for its comparisons: sg2im's design, and the learned prior without some names."""

import sys
from pathlib import Path

import torch

from sg_models.arrangement.layout_prior import LayoutPrior
from sg_models.arrangement.prior_file import PriorFile
from sg_models.arrangement.prior_network import PriorNetwork
from sg_models.files.safetensors_file import read_weights, write_weights
from sg_models.graph.scene_graph import SceneGraph
from train.data.arrangement_samples import ArrangementSamples, whole_graphs
from train.objectives.arrangement import PriorObjective
from train.objectives.box_regression import BoxRegression, regression_loss
from train.running.loop import LoopConfig, train


def trained_regression(run_dir: Path, steps: int, training: list[SceneGraph], file: PriorFile) -> BoxRegression:
    """sg2im's design, trained once and kept in run_dir."""
    model, path = BoxRegression(file.vectors.dim), run_dir / f"regression-{steps}.safetensors"
    if path.exists():
        model.load_state_dict(read_weights(path)[0])
        return model
    torch.manual_seed(0)
    train(loop(path.with_suffix(""), steps), model, regression_loss, samples_of(training, file))
    write_weights(path, model.state_dict(), {})
    return model


def trained_without(
    names: frozenset[str], run_dir: Path, steps: int, training: list[SceneGraph], file: PriorFile
) -> LayoutPrior:
    """A prior of the same sizes that never saw some names, trained once and kept in run_dir."""
    path = run_dir / f"without-names-{steps}.safetensors"
    network = PriorNetwork(**file.config, dropout=0.1)
    if path.exists():
        network.load_state_dict(read_weights(path)[0])
    else:
        torch.manual_seed(0)
        graphs = whole_graphs(training, sys.maxsize, names)
        objective = PriorObjective(graphs[:1], file.vectors)
        train(loop(path.with_suffix(""), steps), network, objective.loss, samples_of(graphs, file))
        write_weights(path, network.state_dict(), {})
    return LayoutPrior(file.vectors, network, file.temperature)


def samples_of(graphs: list[SceneGraph], file: PriorFile) -> ArrangementSamples:
    """Training samples with mirrored graphs, as the prior's own."""
    return ArrangementSamples(graphs, file.vectors, seed=0)


def loop(run_dir: Path, steps: int) -> LoopConfig:
    """How what the prior is compared with is trained: as the prior."""
    return LoopConfig(
        steps=steps, batch_size=128, learning_rate=3e-3, weight_decay=0.01, mixed_precision="no", run_dir=run_dir
    )
