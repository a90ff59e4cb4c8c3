"""Several scene graphs side by side, as the layers read them: the one place that makes a batch of graphs."""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor

from ..graph.scene_graph import SceneGraph

UNKNOWN_RELATION = -1  # of a predicate that is not spatial
NOWHERE = (-2.0, -2.0, -1.0, -1.0)  # the box of an object whose place is not known: it covers nothing of a picture


@dataclass(frozen=True)
class Targets:
    """What training knows of the graphs of a batch beyond what they say."""

    boxes: Tensor  # [O, 4], of all objects, NOWHERE for one whose box is not known
    spatial: Tensor  # [R] places in a list of spatial relations, UNKNOWN_RELATION for any other predicate
    masks: Tensor | None = None  # [O, M, M] bool, each within its own box; None where the data set has none

    @property
    def placed(self) -> Tensor:
        """Which objects' boxes are known: bool [O]."""
        return is_placed(self.boxes)


@dataclass(frozen=True)
class GraphBatch:
    """B graphs with O objects and R relations together, as PyTorch Geometric lays a batch out."""

    x: Tensor  # [O, P] phrase vectors of objects
    edge_attr: Tensor  # [R, P] phrase vectors of predicates
    edge_index: Tensor  # [2, R] subject and object
    box: Tensor  # [O, 4], zeros where a graph gives none
    has_box: Tensor  # [O] bool
    instance: Tensor  # [O] place of an object in its own graph
    batch: Tensor  # [O] which graph an object is of
    num_graphs: int
    targets: Targets | None = None

    def to(self, device: torch.device | str) -> "GraphBatch":
        """The same batch on a device."""
        targets = self.targets and _moved(self.targets, device)
        return replace(_moved(self, device), targets=targets)

    @property
    def truth(self) -> Targets:
        """The targets of a batch that has them, as in training."""
        assert self.targets is not None, "this batch was made without targets"
        return self.targets


def graph_batch(
    graphs: Sequence[SceneGraph], features: Sequence[tuple[Tensor, Tensor]], targets: Targets | None = None
) -> GraphBatch:
    """A batch of graphs with the features of each: vectors of its objects [O, P] and of its relations [R, P]."""
    counts = torch.tensor([len(graph.objects) for graph in graphs])
    first = (counts.cumsum(0) - counts).tolist()  # the place of each graph's first object
    edges = [[o + r.subject, o + r.object] for o, g in zip(first, graphs, strict=True) for r in g.relations]
    things = [thing for graph in graphs for thing in graph.objects]
    return GraphBatch(
        x=torch.cat([x for x, _ in features]),
        edge_attr=torch.cat([edge_attr for _, edge_attr in features]),
        edge_index=torch.tensor(edges, dtype=torch.long).reshape(-1, 2).T.contiguous(),
        box=torch.tensor([thing.box or (0.0,) * 4 for thing in things]),
        has_box=torch.tensor([thing.box is not None for thing in things]),
        instance=torch.cat([torch.arange(count) for count in counts.tolist()]),
        batch=torch.arange(len(graphs)).repeat_interleave(counts),
        num_graphs=len(graphs),
        targets=targets,
    )


def is_placed(boxes: Tensor) -> Tensor:
    """Which of some boxes [O, 4] are not `NOWHERE`: bool [O]."""
    return boxes[:, 2] > 0


def _moved(batch, device: torch.device | str):
    """A dataclass of tensors on a device."""
    values = {field.name: getattr(batch, field.name) for field in fields(batch)}
    return replace(batch, **{k: v.to(device) for k, v in values.items() if isinstance(v, Tensor)})
