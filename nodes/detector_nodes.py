"""Nodes that open a detector and let it look for a graph's objects in pictures."""

import copy

import comfy.model_management
import comfy.utils
import torch
from comfy_api.latest import io

from ..sg_models.graph.scene_graph import SceneGraph
from .boxes import frame_of
from .detector_files import detector_path, detectors, fetched, home, open_detector
from .file_identity import FileIdentity, file_identity
from .listed_graphs import graph_for_each
from .pictures import picture_arrays
from .socket_types import CATEGORY, DetectorSocket, LoadedDetector, SceneGraphSocket

DOWNLOAD = "download"
DEFAULT_HUB_ID = "google/owlv2-base-patch16-ensemble"
DETECT = "Detect Objects"
NAMES, PHRASES = "names", "phrases"
NO_PHRASES = (
    "{name} knows {count} names and no phrases: set ask_for to names, or load OWLv2 or Grounding DINO, which take any "
    "words."
)


class SGDetectorLoader(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="SGDetectorLoader",
            display_name="Load Detector",
            category=CATEGORY,
            description="Opens a detector: OWLv2 or Grounding DINO, which find anything by its name, or a YOLOX for "
            "COCO's 80 names.",
            search_aliases=["owl", "owlv2", "grounding dino", "yolox", "object detection"],
            inputs=[
                io.Combo.Input(
                    "detector_name",
                    options=[*sorted(detectors()), DOWNLOAD],
                    tooltip="A folder of OWLv2 or Grounding DINO in transformers' format, or a YOLOX .onnx file, in "
                    "ComfyUI/models/detection. Only the choice download uses the network.",
                ),
                io.String.Input(
                    "hub_id",
                    default=DEFAULT_HUB_ID,
                    advanced=True,
                    tooltip="What download fetches from the Hugging Face hub into ComfyUI/models/detection, once.",
                ),
            ],
            outputs=[DetectorSocket.Output(id="detector", display_name="detector", tooltip="For Detect Objects.")],
        )

    @classmethod
    def validate_inputs(cls, detector_name: str | None = None) -> bool | str:
        if detector_name in (None, DOWNLOAD):  # None comes from another node, and is known only when that has run
            return True
        try:
            detector_path(detector_name, DOWNLOAD)
        except FileNotFoundError as error:
            return str(error)
        return True

    @classmethod
    def fingerprint_inputs(cls, detector_name: str, hub_id: str) -> list[FileIdentity]:
        chosen = detector_name == DOWNLOAD
        path = home() / hub_id.split("/")[-1] if chosen else detector_path(detector_name, DOWNLOAD)
        files = [path] if path.is_file() else sorted(path.glob("*"))
        return [file_identity(file) for file in files if file.is_file()]

    @classmethod
    def execute(cls, detector_name: str, hub_id: str) -> io.NodeOutput:
        chosen = detector_name == DOWNLOAD
        return io.NodeOutput(open_detector(fetched(hub_id) if chosen else detector_path(detector_name, DOWNLOAD)))


class SGDetect(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="SGDetect",
            display_name=DETECT,
            category=CATEGORY,
            description="Looks for a scene graph's objects in pictures, by their names.",
            search_aliases=["open vocabulary detection", "bounding boxes", "owl", "grounding dino"],
            is_input_list=True,  # a list of graphs is a graph for each picture of a batch
            inputs=[
                DetectorSocket.Input("detector", tooltip="From Load Detector."),
                io.Image.Input("images", tooltip="The pictures to look at."),
                SceneGraphSocket.Input(
                    "scene_graph",
                    tooltip="What is looked for. A list of graphs (Create List) is a graph for each picture of the "
                    "batch.",
                ),
                io.Combo.Input(
                    "ask_for",
                    options=[NAMES, PHRASES],
                    default=NAMES,
                    tooltip="names: dog. phrases: brown dog, with the attributes, for OWLv2 and Grounding DINO alone; "
                    "these often call a dog of any colour so.",
                ),
                io.Float.Input(
                    "threshold",
                    default=0.0,
                    min=0.0,
                    max=1.0,
                    step=0.01,
                    tooltip="The score from which on something counts as seen. 0: what the detector's authors take "
                    "(0.1 for OWLv2, 0.25 for Grounding DINO, 0.3 for YOLOX).",
                ),
            ],
            outputs=[
                io.BoundingBox.Output(
                    id="bboxes",
                    display_name="bboxes",
                    tooltip="What was seen in each picture, with labels and scores, for Verify Scene Graph and core's "
                    "box nodes.",
                ),
                io.String.Output(
                    id="known_names",
                    display_name="known_names",
                    tooltip="All names that the detector knows, for Verify Scene Graph; empty if it knows any.",
                ),
            ],
        )

    @classmethod
    def execute(
        cls,
        detector: list[LoadedDetector],
        images: list[torch.Tensor],
        scene_graph: list[SceneGraph],
        ask_for: list[str],
        threshold: list[float],
    ) -> io.NodeOutput:
        (loaded,) = detector
        pictures = picture_arrays(images)
        graphs = graph_for_each(scene_graph, len(pictures), DETECT)
        finder = copy.copy(loaded.detector)
        finder.threshold = threshold[0] or finder.threshold
        if loaded.patcher is not None:
            comfy.model_management.load_models_gpu([loaded.patcher])
        frames, progress = [], comfy.utils.ProgressBar(len(pictures))
        for picture, graph in zip(pictures, graphs, strict=True):
            asked = words_for(graph, loaded, ask_for[0])
            frames.append(frame_of(finder.detect(picture, asked) if asked else []))
            progress.update(1)
        return io.NodeOutput(frames, ", ".join(sorted(finder.names or ())))


def words_for(graph: SceneGraph, loaded: LoadedDetector, ask_for: str) -> list[str]:
    """What a detector is asked for, to find a graph's objects: those of their names that it knows, or their phrases."""
    from ..sg_models.verification.detection import known_names, plain

    names = loaded.detector.names
    if ask_for == NAMES:
        return known_names(graph, names)
    if names is not None:
        raise ValueError(NO_PHRASES.format(name=loaded.name, count=len(names)))
    return sorted({plain(thing.phrase) for thing in graph.objects})
