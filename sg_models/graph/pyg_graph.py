"""Scene graphs as `torch_geometric.data.Data` and back.

torch and torch-geometric are imported inside the two functions, and only here: importing them takes over a second,
which everything that only reads or draws a graph would pay too.
"""

from typing import TYPE_CHECKING, Any

from .scene_graph import Relation, SceneGraph, SceneGraphError, SceneObject
from .scene_graph_error import located

if TYPE_CHECKING:
    from torch_geometric.data import Data

TENSORS = ("edge_index", "box", "has_box")
LISTS = ("names", "attributes", "predicates")


def to_pyg(graph: SceneGraph) -> "Data":
    """A new `Data` for O objects and R relations.

    `edge_index` [2, R] int64 (subject, object), `num_nodes` = O, `box` [O, 4] float32 (zeros where none), `has_box` [O]
    bool, and the lists `names` (O strings), `attributes` (O lists of strings), `predicates` (R strings).
    """
    import torch  # here and not above: slow, see the module's docstring
    from torch_geometric.data import Data

    ends = [[relation.subject, relation.object] for relation in graph.relations]
    return Data(
        edge_index=torch.tensor(ends, dtype=torch.long).reshape(-1, 2).t().contiguous(),
        num_nodes=len(graph.objects),
        box=torch.tensor([item.box or (0.0,) * 4 for item in graph.objects], dtype=torch.float32),
        has_box=torch.tensor([item.box is not None for item in graph.objects]),
        names=[item.name for item in graph.objects],
        attributes=[list(item.attributes) for item in graph.objects],
        predicates=[relation.predicate for relation in graph.relations],
    )


def from_pyg(data: "Data") -> SceneGraph:
    """Reads one `Data` as `to_pyg` makes it, its inverse up to the rounding of boxes to float32.

    Raises `SceneGraphError` for missing or wrongly shaped fields and for batches of several graphs.
    """
    import torch  # here and not above: slow, see the module's docstring
    from torch_geometric.data import Batch, Data

    if not isinstance(data, Data) or isinstance(data, Batch):
        raise SceneGraphError(f"expected one torch_geometric Data, got {type(data).__name__}; pass data[i] of a batch")
    fields: dict[str, Any] = {name: data[name] for name in (*TENSORS, *LISTS) if name in data}
    for name in (*TENSORS, *LISTS):
        kind = torch.Tensor if name in TENSORS else list
        if not isinstance(fields.get(name), kind):
            raise SceneGraphError(f"expected a {kind.__name__}, as to_pyg makes it", name)
    _check_shapes(fields)
    boxes, has_box = fields["box"].tolist(), fields["has_box"].tolist()
    objects = []
    for i, (name, attributes) in enumerate(zip(fields["names"], fields["attributes"], strict=True)):
        with located(f"object {i}"):
            objects.append(SceneObject(name, attributes, boxes[i] if has_box[i] else None))
    relations = []
    for i, (subject, object_) in enumerate(fields["edge_index"].t().tolist()):
        with located(f"edge_index[:, {i}]"):
            relations.append(Relation(subject, fields["predicates"][i], object_))
    return SceneGraph(tuple(objects), tuple(relations))


def _check_shapes(fields: dict[str, Any]) -> None:
    objects, relations = len(fields["names"]), len(fields["predicates"])
    if len(fields["attributes"]) != objects:
        raise SceneGraphError(f"{len(fields['attributes'])} lists for {objects} names; write one each", "attributes")
    for name, shape in (("edge_index", (2, relations)), ("box", (objects, 4)), ("has_box", (objects,))):
        if tuple(fields[name].shape) != shape:
            raise SceneGraphError(f"the shape is {list(fields[name].shape)}; write {list(shape)}", name)
