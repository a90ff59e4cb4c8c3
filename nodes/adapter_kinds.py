"""Which nodes an adapter is for, by its kind."""

from .socket_types import LoadedAdapter

GSA, LAYOUT_CONTROLNET, STRUCTURE_CLIP = "gsa", "layout-controlnet", "structure-clip"
NODES = {
    GSA: "Encode Scene Graph and Apply Scene Graph",
    LAYOUT_CONTROLNET: "Encode Scene Graph, Predict Layout and Apply Layout ControlNet",
    STRUCTURE_CLIP: "Structure-CLIP Encode",
}
FILES = {
    GSA: "variant v, vi or vii, such as vi-gsa-clip-sg-mini",
    LAYOUT_CONTROLNET: "variant iii or iv, such as iv-controlnet-clip-sg-mini",
    STRUCTURE_CLIP: "variant ii, such as structure-clip-sg-mini",
}
WRONG_KIND = (
    "{name} is for {nodes}, and it is connected to {node}. Connect it there instead, or load a file of {files} in Load "
    "Scene Graph Adapter."
)


def check_kind(adapter: LoadedAdapter, node: str, *kinds: str) -> None:
    """Raises `ValueError` in words if an adapter is of none of these kinds, the ones that a node takes."""
    if adapter.file.kind not in kinds:
        files = ", or of ".join(FILES[kind] for kind in kinds)
        raise ValueError(
            WRONG_KIND.format(name=adapter.file.name, nodes=NODES[adapter.file.kind], node=node, files=files)
        )
