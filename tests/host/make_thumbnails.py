"""Makes the workflows' thumbnails: the graph as a drawing, and beside it what a running ComfyUI draws for it.

    python tests/host/make_thumbnails.py http://127.0.0.1:8188

Stable Diffusion's weights are not at hand where this project is built: its workflows show their graph, and beside it
the boxes that they arrange for it. A workflow without a graph shows what guides it, a text or a picture.
"""

import io
import json
import sys
import urllib.parse
import urllib.request
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).resolve().parents[2])]

from comfyui_host import REPOSITORY, Server  # noqa: E402
from PIL import Image, ImageDraw, ImageFont, ImageOps  # noqa: E402
from ui_to_api import api_prompt  # noqa: E402

from sg_models.arrangement.arrange import arrange  # noqa: E402
from sg_models.drawing.graph_drawing import draw_scene_graph  # noqa: E402
from sg_models.drawing.layout_drawing import draw_boxes  # noqa: E402
from sg_models.graph.formats import parse_scene_graph  # noqa: E402
from sg_models.graph.scene_graph import SceneGraph  # noqa: E402

WIDTH, HEIGHT = 512, 256
QUALITY = 90


def main(url: str) -> None:
    server = Server(url.rstrip("/"), Path(), Path())
    object_info = server.get("/object_info")
    for file in sorted((REPOSITORY / "workflows").glob("*.json")):
        workflow = json.loads(file.read_text())
        picture, guiding = draw(server, workflow, object_info) if file.stem.endswith("sg-mini") else (None, None)
        compose(workflow, picture, guiding).save(file.with_suffix(".jpg"), quality=QUALITY, optimize=True)
        print(file.with_suffix(".jpg"))


def draw(server: Server, workflow: dict, object_info: dict) -> tuple[Image.Image, Image.Image | None]:
    """The picture that a workflow saves; of one that does no more than verify, the last, as drawn with its report.

    With it the picture that guides it, where it previews one.
    """
    outputs = server.run(api_prompt(workflow, object_info))["outputs"]
    types = {str(node["id"]): node["type"] for node in workflow["nodes"]}
    verifiers = [number for number, kind in types.items() if kind == "SGVerify" and "SGPickBest" not in types.values()]
    shown = [outputs[number] for number in verifiers[-1:]] or outputs.values()
    kind = "temp" if verifiers else "output"
    saved = next(file for out in shown for file in out.get("images", []) if file["type"] == kind)
    previews = [outputs[number]["images"][0] for number, kind in types.items() if kind == "PreviewImage"]
    return opened(server, saved), opened(server, previews[0]) if previews else None


def opened(server: Server, file: dict) -> Image.Image:
    with urllib.request.urlopen(f"{server.url}/view?{urllib.parse.urlencode(file)}", timeout=30) as response:
        return Image.open(io.BytesIO(response.read())).convert("RGB")


def compose(workflow: dict, picture: Image.Image | None, guiding: Image.Image | None) -> Image.Image:
    widgets = {node["type"]: node["widgets_values"] for node in workflow["nodes"]}
    if "SceneGraphInput" not in widgets:
        words = widgets["SGLanguageGuidance"][0] if "SGLanguageGuidance" in widgets else "a picture guides a picture"
        return beside(guiding or written(words), picture)
    graph = parse_scene_graph(widgets["SceneGraphInput"][0])
    if picture is None:
        picture = boxes_of(workflow, graph)
    if picture is None:
        return draw_scene_graph(graph, WIDTH, HEIGHT).convert("RGB")
    return beside(draw_scene_graph(graph, WIDTH - HEIGHT, HEIGHT).convert("RGB"), picture)


def beside(left: Image.Image, right: Image.Image | None) -> Image.Image:
    """Two pictures, or one in the middle."""
    sheet = Image.new("RGB", (WIDTH, HEIGHT), "white")
    for place, picture in enumerate([left] if right is None else [left, right]):
        fitted = ImageOps.pad(picture, (HEIGHT, HEIGHT), Image.Resampling.LANCZOS, "white")
        sheet.paste(fitted, (WIDTH // 4 if right is None else place * HEIGHT, 0))
    return sheet


def written(words: str) -> Image.Image:
    """Words on white."""
    card = Image.new("RGB", (HEIGHT, HEIGHT), "white")
    ImageDraw.Draw(card).text(
        (HEIGHT // 2, HEIGHT // 2), "\n".join(words.split()), "black", ImageFont.load_default(36), "mm", align="center"
    )
    return card


def boxes_of(workflow: dict, graph: SceneGraph) -> Image.Image | None:
    """What Arrange Scene Graph draws, in a workflow that has the node."""
    for node in workflow["nodes"]:
        if node["type"] == "SGArrange":
            seed, _, width, height = node["widgets_values"]
            return draw_boxes(arrange(graph, seed, width / height).graph, (width, height)).convert("RGB")
    return None


if __name__ == "__main__":
    main(sys.argv[1])
