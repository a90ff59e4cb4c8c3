"""Nodes that hold pictures against their graphs, and keep those that obey best."""

import torch
from comfy_api.latest import io, ui
from comfy_execution.graph import ExecutionBlocker
from server import PromptServer

from ..sg_models.graph.scene_graph import SceneGraph
from .boxes import frames_of, seen_in
from .listed_graphs import graph_for_each
from .pictures import one_batch, picture_arrays
from .socket_types import CATEGORY, SceneGraphSocket, Verification, VerificationSocket

VERIFY, PICK = "Verify Scene Graph", "Pick Best Pictures"
DETECTIONS, ORACLE = "bboxes", "Shapes oracle"

FRAMES = (
    "Verify Scene Graph got {pictures} pictures, and bboxes for {count}. Give the detector the same batch of pictures."
)
NO_BOXES = (
    "Verify Scene Graph has no bboxes, and so does not know what the pictures show. Connect a detector's (Detect "
    "Objects, or any other that gives labels); for pictures of SG-Mini alone, choose the Shapes oracle in seen_by."
)
OTHER_BATCH = (
    "Pick Best Pictures got {count} {what}, and the verification is of {pictures} pictures. Connect the same batch as "
    "to Verify Scene Graph."
)
NO_LATENT = "Pick Best Pictures has no latent to pick from; connect the sampler's to its latent input."


class SGVerify(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="SGVerify",
            display_name=VERIFY,
            category=CATEGORY,
            description="Whether pictures obey their scene graph: for each object and each relation whether it holds, "
            "does not, or cannot be decided. Draws the pictures with ticks and crosses.",
            search_aliases=["check scene graph", "score pictures", "spatial relations", "evaluate"],
            is_output_node=True,
            is_input_list=True,  # a list of graphs is a graph for each picture of a batch
            inputs=[
                io.Image.Input("images", tooltip="The pictures."),
                SceneGraphSocket.Input(
                    "scene_graph",
                    tooltip="What the pictures should show. A list of graphs (Create List) is a graph for each picture "
                    "of the batch.",
                ),
                io.Combo.Input(
                    "seen_by",
                    options=[DETECTIONS, ORACLE],
                    default=DETECTIONS,
                    tooltip="bboxes: what a detector saw, from the input of that name. Shapes oracle: for pictures of "
                    "SG-Mini, whose world it knows exactly, colours and sizes too; it sees nothing else.",
                ),
                io.BoundingBox.Input(
                    "bboxes",
                    optional=True,
                    force_input=True,
                    tooltip="What a detector saw in these pictures, with labels: from Detect Objects, core's RT-DETR "
                    "or any other. A label is the name of an object or its whole phrase (brown dog).",
                ),
                io.String.Input(
                    "known_names",
                    optional=True,
                    default="",
                    tooltip="All names that the detector knows, with commas between them, from Detect Objects: an "
                    "object of another name is undecidable instead of missing. Empty: it knows any name.",
                    advanced=True,
                ),
            ],
            hidden=[io.Hidden.unique_id],
            outputs=[
                VerificationSocket.Output(
                    id="verification", display_name="verification", tooltip="For Pick Best Pictures."
                ),
                io.Image.Output(
                    id="drawing",
                    display_name="drawing",
                    tooltip="The pictures with boxes around what was found, above a tick, a cross or a question mark "
                    "for each thing that the graph says. Small pictures are enlarged.",
                ),
                io.String.Output(id="report", display_name="report", tooltip="The same in words."),
                io.Float.Output(
                    id="scores",
                    display_name="scores",
                    is_output_list=True,
                    tooltip="Of each picture, the share of what could be decided that holds; an object that is missing "
                    "counts with its attributes and relations.",
                ),
            ],
        )

    @classmethod
    def execute(
        cls,
        images: list[torch.Tensor],
        scene_graph: list[SceneGraph],
        seen_by: list[str],
        bboxes: list | None = None,
        known_names: list[str] | None = None,
    ) -> io.NodeOutput:
        # importing these takes torchvision and Pillow's fonts with it, which ComfyUI's start must not pay
        from ..sg_models.drawing.report_drawing import draw_report
        from ..sg_models.verification.detection import plain
        from ..sg_models.verification.shapes.oracle import ShapesOracle
        from ..sg_models.verification.verify import verify, verify_picture

        pictures = picture_arrays(images)
        graphs = graph_for_each(scene_graph, len(pictures), VERIFY)
        if seen_by[0] == ORACLE:
            oracle = ShapesOracle()
            reports = [verify_picture(oracle, picture, graph) for picture, graph in zip(pictures, graphs, strict=True)]
        else:
            if not bboxes:
                raise ValueError(NO_BOXES)
            frames = [frame for value in bboxes for frame in frames_of(value)]
            if len(frames) != len(pictures):
                raise ValueError(FRAMES.format(count=len(frames), pictures=len(pictures)))
            words = [plain(name) for text in known_names or () for name in text.split(",") if name.strip()]
            names = frozenset(words) or None
            seen = [seen_in(frame, number) for number, frame in enumerate(frames, start=1)]
            reports = [verify(graph, things, names) for graph, things in zip(graphs, seen, strict=True)]
        drawing = one_batch([draw_report(picture, report) for picture, report in zip(pictures, reports, strict=True)])
        said = in_words([report.text() for report in reports])
        say(cls, said)
        return io.NodeOutput(
            Verification(tuple(reports)),
            drawing,
            said,
            [report.obedience for report in reports],
            ui=ui.PreviewImage(drawing, cls=cls),
        )


class SGPickBest(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="SGPickBest",
            display_name=PICK,
            category=CATEGORY,
            description="Of a batch, the pictures that obey their scene graph best, the best first.",
            search_aliases=["best of", "best of n", "rank pictures", "select best"],
            inputs=[
                io.Image.Input("images", tooltip="The batch that was verified."),
                VerificationSocket.Input("verification", tooltip="From Verify Scene Graph."),
                io.Int.Input(
                    "count",
                    default=1,
                    min=1,
                    max=4096,
                    tooltip="How many pictures are kept; at most as many as there are.",
                ),
                io.Latent.Input(
                    "latent",
                    optional=True,
                    tooltip="The latents that the pictures were decoded from, to go on with those of the best.",
                ),
            ],
            hidden=[io.Hidden.unique_id],
            outputs=[
                io.Image.Output(id="images_out", display_name="images", tooltip="The best pictures, the best first."),
                io.Latent.Output(
                    id="latent_out", display_name="latent", tooltip="Their latents, where latents are connected."
                ),
                io.Int.Output(
                    id="places",
                    display_name="places",
                    is_output_list=True,
                    tooltip="Which pictures of the batch these were, counted from 0.",
                ),
                io.Float.Output(
                    id="scores",
                    display_name="scores",
                    is_output_list=True,
                    tooltip="Of each picture that is kept, the share of what could be decided that holds.",
                ),
                io.String.Output(id="report", display_name="report", tooltip="Which are kept, and how they obey."),
            ],
        )

    @classmethod
    def execute(
        cls, images: torch.Tensor, verification: Verification, count: int, latent: dict | None = None
    ) -> io.NodeOutput:
        from ..sg_models.verification.report import best

        reports = verification.reports
        batches = {"pictures": len(images), "latents": len(reports) if latent is None else len(latent["samples"])}
        for what, found in batches.items():
            if found != len(reports):
                raise ValueError(OTHER_BATCH.format(count=found, what=what, pictures=len(reports)))
        places = best(reports, count)
        said = in_words([reports[place].text() for place in places], places)
        say(cls, said)
        return io.NodeOutput(
            images[places],
            ExecutionBlocker(NO_LATENT) if latent is None else picked(latent, places),
            places,
            [reports[place].obedience for place in places],
            said,
        )


def picked(latent: dict, places: list[int]) -> dict:
    """Some latents of a batch, which remember where in it they were, as core's *Latent From Batch* has it."""
    count = len(latent["samples"])
    kept = latent | {"samples": latent["samples"][places]}
    if "noise_mask" in latent and len(latent["noise_mask"]) > 1:
        masks = latent["noise_mask"]
        kept["noise_mask"] = masks[[place % len(masks) for place in places]]
    before = latent.get("batch_index", range(count))
    kept["batch_index"] = [before[place] for place in places]
    return kept


def in_words(texts: list[str], places: list[int] | None = None) -> str:
    """Reports below each other, each under the number of its picture, counted from 1."""
    numbers = range(len(texts)) if places is None else places
    return "\n\n".join(f"Picture {number + 1}: {text}" for number, text in zip(numbers, texts, strict=True))


def say(node: type[io.ComfyNode], text: str) -> None:
    """On the node: the front end draws a text output on no other than its own."""
    if hasattr(PromptServer, "instance"):  # not where a script calls the node
        PromptServer.instance.send_progress_text(text, node.hidden.unique_id)
