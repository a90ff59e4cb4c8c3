"""The nodes that guide sampling by a gradient, with nothing retrained: by a text, by a picture, by a scene graph."""

import comfy.clip_vision
import comfy.sd
import comfy.utils
from comfy.model_patcher import ModelPatcher
from comfy_api.latest import io
from torch import Tensor

from ..sg_models.bases.known_bases import BASES
from ..sg_models.graph.scene_graph import SceneGraph
from ..sg_models.guidance.scales import AUTO, CONTENT, GRAPH, LANGUAGE, LIMITS, SCALES, SPATIAL, STYLE
from .eyes import Connected, HostEye, eye_inputs, open_eyes
from .guidance_patch import guide
from .loaded_adapter import LoadedNoisedClip
from .loaded_base import base_and_prediction
from .phrase_vectors import text_vectors
from .single_values import one
from .socket_types import CATEGORY, SceneGraphSocket

LANGUAGE_NODE, IMAGE_NODE, GRAPH_NODE = "Language Guidance", "Image Guidance", "Graph Guidance"
OTHER_CLIP = (
    "{node}: the clip gives texts of {text} numbers, and the eye sees pictures in {picture}. Connect the CLIP and the "
    "CLIP Vision (or the adapter) that were trained together."
)


def strength_inputs() -> list[io.Input]:
    """How strongly, and when, a guidance acts."""
    part = {"min": 0.0, "max": 1.0, "step": 0.01, "advanced": True}
    return [
        io.Float.Input(
            "scale",
            default=1.0,
            min=0.0,
            max=100.0,
            step=0.05,
            tooltip="How strongly. 1 is what served SG-Mini best with the eye in use; 0 leaves the model as it was, "
            "at no cost. Too much of it draws what pleases the eye and looks like nothing.",
        ),
        io.Float.Input("start", default=0.0, tooltip="The part of sampling after which it sets in.", **part),
        io.Float.Input("end", default=1.0, tooltip="The part of sampling after which it is let go.", **part),
    ]


def guided_output() -> io.Output:
    return io.Model.Output(id="model_out", display_name="model", tooltip="The model, guided. Nodes of guidance chain.")


class SGLanguageGuidance(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="SGLanguageGuidance",
            display_name=LANGUAGE_NODE,
            category=CATEGORY,
            description="Draws the picture towards a text while it is sampled, beside whatever the prompt does: the "
            "gradient of CLIP's likeness of picture and text (Semantic Diffusion Guidance). Nothing is retrained.",
            search_aliases=["semantic diffusion guidance", "clip guidance", "sdg", "text guidance"],
            inputs=[
                io.Model.Input("model", tooltip="Any Stable Diffusion 2.x or SG-Mini model, LoRAs and all."),
                io.Clip.Input("clip", tooltip="The CLIP of the base's own checkpoint. It reads the text literally."),
                io.String.Input("text", default="a red circle", multiline=True, tooltip="What the picture shall show."),
                *strength_inputs(),
                io.Vae.Input("vae", optional=True, tooltip="Needed by the clean eye alone."),
                *eye_inputs(),
            ],
            outputs=[guided_output()],
        )

    @classmethod
    def execute(
        cls,
        model: ModelPatcher,
        clip: comfy.sd.CLIP,
        text: str,
        scale: float,
        start: float,
        end: float,
        vae: comfy.sd.VAE | None = None,
        adapter: LoadedNoisedClip | None = None,
        clip_vision: comfy.clip_vision.ClipVisionModel | None = None,
        eye: str = AUTO,
    ) -> io.NodeOutput:
        if scale == 0.0 or start >= end:
            return io.NodeOutput(model)
        from ..sg_models.guidance.guidance import Guidance  # late: torchvision
        from ..sg_models.guidance.semantic_guidance import language

        found = Connected(LANGUAGE_NODE, model, adapter, clip_vision, vae)
        eyes = open_eyes(found, LANGUAGE, eye)
        objective = language(texts_for(LANGUAGE_NODE, clip, eyes, [text])[0])

        def make(host: HostEye) -> Guidance:
            return Guidance(host.eye, objective, scale * SCALES[host.kind][LANGUAGE], LIMITS[LANGUAGE])

        return io.NodeOutput(guide(found, eyes, make, (start, end)))


class SGImageGuidance(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="SGImageGuidance",
            display_name=IMAGE_NODE,
            category=CATEGORY,
            description="Draws the picture towards another one while it is sampled: towards what it shows, where it "
            "shows it, or its style (Semantic Diffusion Guidance). Nothing is retrained.",
            search_aliases=[
                "semantic diffusion guidance",
                "style guidance",
                "content guidance",
                "image prompt",
                "gram",
            ],
            inputs=[
                io.Model.Input("model", tooltip="Any Stable Diffusion 2.x or SG-Mini model, LoRAs and all."),
                io.Vae.Input("vae", tooltip="The VAE of the base: the picture is seen through it."),
                io.Image.Input("image", tooltip="The picture to be like; cut to a square of the base's size."),
                io.Combo.Input(
                    "kind",
                    options=[CONTENT, SPATIAL, STYLE],
                    tooltip="content: what is in it, anywhere. spatial: what is where. style: colours and textures, "
                    "wherever they are.",
                ),
                *strength_inputs(),
                *eye_inputs(),
            ],
            outputs=[guided_output()],
        )

    @classmethod
    def execute(
        cls,
        model: ModelPatcher,
        vae: comfy.sd.VAE,
        image: Tensor,
        kind: str,
        scale: float,
        start: float,
        end: float,
        adapter: LoadedNoisedClip | None = None,
        clip_vision: comfy.clip_vision.ClipVisionModel | None = None,
        eye: str = AUTO,
    ) -> io.NodeOutput:
        if scale == 0.0 or start >= end:
            return io.NodeOutput(model)
        from ..sg_models.guidance.guidance import Guidance  # late: torchvision
        from ..sg_models.guidance.semantic_guidance import likeness

        found = Connected(IMAGE_NODE, model, adapter, clip_vision, vae)
        eyes, picture = open_eyes(found, kind, eye), picture_latents(model, vae, image)

        def make(host: HostEye) -> Guidance:
            objective = likeness(kind, host.eye, picture)
            return Guidance(host.eye, objective, scale * SCALES[host.kind][kind], LIMITS[kind])

        return io.NodeOutput(guide(found, eyes, make, (start, end), len(image)))


class SGGraphGuidance(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="SGGraphGuidance",
            display_name=GRAPH_NODE,
            category=CATEGORY,
            description="Draws each object of a scene graph towards its phrase inside its box, and each relation "
            "towards its words, while the picture is sampled. Nothing is retrained.",
            search_aliases=["scene graph guidance", "box guidance", "layout guidance", "without training"],
            is_input_list=True,  # a list of graphs is a graph for each picture of a batch
            inputs=[
                io.Model.Input("model", tooltip="Any Stable Diffusion 2.x or SG-Mini model, LoRAs and all."),
                io.Clip.Input("clip", tooltip="The CLIP of the base's own checkpoint. It reads phrases literally."),
                SceneGraphSocket.Input(
                    "scene_graph",
                    tooltip="A graph whose objects have boxes, written in it (@ x0 y0 x1 y1) or by Arrange Scene "
                    "Graph. A list of graphs (Create List) is a graph for each picture of a batch.",
                ),
                *strength_inputs(),
                io.Vae.Input("vae", optional=True, tooltip="Needed by the clean eye alone."),
                *eye_inputs(),
            ],
            outputs=[guided_output()],
        )

    @classmethod
    def execute(
        cls,
        model: list[ModelPatcher],
        clip: list[comfy.sd.CLIP],
        scene_graph: list[SceneGraph],
        scale: list[float],
        start: list[float],
        end: list[float],
        vae: list[comfy.sd.VAE] | None = None,
        adapter: list[LoadedNoisedClip] | None = None,
        clip_vision: list[comfy.clip_vision.ClipVisionModel] | None = None,
        eye: list[str] | None = None,
    ) -> io.NodeOutput:
        base, reader = one(GRAPH_NODE, "model", model), one(GRAPH_NODE, "clip", clip)
        if scale[0] == 0.0 or start[0] >= end[0]:
            return io.NodeOutput(base)
        from ..sg_models.guidance.graph_guidance import GraphObjective  # late: torchvision
        from ..sg_models.guidance.guidance import Guidance

        found = Connected(GRAPH_NODE, base, *(given[0] if given else None for given in (adapter, clip_vision, vae)))

        eyes = open_eyes(found, GRAPH, eye[0] if eye else AUTO)
        objective = GraphObjective(scene_graph, lambda texts: texts_for(GRAPH_NODE, reader, eyes, texts))

        def make(host: HostEye) -> Guidance:
            return Guidance(host.eye, objective, scale[0] * SCALES[host.kind][GRAPH], LIMITS[GRAPH])

        return io.NodeOutput(guide(found, eyes, make, (start[0], end[0]), len(scene_graph)))


def texts_for(node: str, clip: comfy.sd.CLIP, eyes: list[HostEye], texts: list[str]) -> Tensor:
    """Texts as vectors [P, D] in the space of what the eyes see; raises `ValueError` in words for another CLIP's."""
    vectors, dim = text_vectors(clip, texts, node), eyes[0].dim
    if vectors.shape[1] != dim:
        raise ValueError(OTHER_CLIP.format(node=node, text=vectors.shape[1], picture=dim))
    return vectors


def picture_latents(model: ModelPatcher, vae: comfy.sd.VAE, image: Tensor) -> Tensor:
    """Pictures [B, H, W, 3] as the model's latents [B, C, h, w], cut to a square of the base's own size."""
    base, _ = base_and_prediction(model, "sd21-base", IMAGE_NODE)
    side = BASES[base].side
    square = comfy.utils.common_upscale(image.movedim(-1, 1)[:, :3], side, side, "lanczos", "center")
    return model.get_model_object("latent_format").process_in(vae.encode(square.movedim(1, -1)))
