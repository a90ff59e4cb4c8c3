"""A list of graphs beside a batch of pictures: a graph for each picture, or one for all."""

from ..sg_models.graph.scene_graph import SceneGraph

COUNTS = (
    "{node} got {count} graphs for {pictures} pictures: connect a list of as many, in the order of the pictures, or "
    "one graph for all of them."
)


def graph_for_each(graphs: list[SceneGraph], pictures: int, node: str) -> list[SceneGraph]:
    """As many graphs as pictures; raises `ValueError` in words for any other number of graphs than that, or one."""
    if len(graphs) not in (1, pictures):
        raise ValueError(COUNTS.format(node=node, count=len(graphs), pictures=pictures))
    return graphs * pictures if len(graphs) == 1 else graphs
