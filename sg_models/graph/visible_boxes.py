"""Which boxes are large enough to steer what is drawn in them."""

from .scene_graph import SceneGraph, SceneGraphError

LEAST_CELLS = 2  # of a map, across and down
ROUNDING = 1e-3  # cells


def check_visible(graph: SceneGraph, size: tuple[int, int], who: str) -> None:
    """Raises `SceneGraphError` for a box of under two cells of a map of `size` (h, w); `who` says what they are for."""
    height, width = size
    for thing in graph.objects:
        if thing.box is None:
            continue
        x0, y0, x1, y1 = thing.box
        across, down = (x1 - x0) * width, (y1 - y0) * height
        if min(across, down) < LEAST_CELLS - ROUNDING:
            raise SceneGraphError(
                f'the box of "{thing.phrase}" covers {across:.1f} × {down:.1f} cells of {width} × {height}, and '
                f"{who} {LEAST_CELLS} each way: make it at least {LEAST_CELLS / width:.3f} wide and "
                f"{LEAST_CELLS / height:.3f} high, or draw a larger picture"
            )
