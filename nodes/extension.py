"""What the pack adds to ComfyUI: model folders, the SG-Mini architecture and the nodes."""

from comfy_api.latest import ComfyExtension, io

from .adapter_nodes import SGAdapterLoader
from .arrange_nodes import SGArrange, SGPickBox
from .batch_nodes import SGBatchEmbeds, SGBatchLayouts
from .bert_nodes import SGBertLoader
from .detector_nodes import SGDetect, SGDetectorLoader
from .gated_attention_nodes import GatedSelfAttentionPatch
from .graph_conditioning_nodes import SGGraphConditioning
from .graph_encoder_nodes import GraphEncoder
from .guidance_nodes import SGGraphGuidance, SGImageGuidance, SGLanguageGuidance
from .layout_nodes import LayoutPredictor, SGControlNetApply
from .model_folders import register_model_folders
from .regional_prompt_nodes import SGRegionalPrompt
from .scene_graph_nodes import SceneGraphInput, SGCaption
from .sg_mini_base import register_sg_mini
from .structure_clip_nodes import SGStructureCLIPEncode
from .verification_nodes import SGPickBest, SGVerify


class SceneGraphExtension(ComfyExtension):
    async def on_load(self) -> None:
        register_model_folders()
        register_sg_mini()

    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        return [
            SceneGraphInput,
            SGCaption,
            SGArrange,
            SGPickBox,
            SGAdapterLoader,
            SGBertLoader,
            GraphEncoder,
            SGBatchEmbeds,
            GatedSelfAttentionPatch,
            LayoutPredictor,
            SGBatchLayouts,
            SGControlNetApply,
            SGStructureCLIPEncode,
            SGGraphConditioning,
            SGDetectorLoader,
            SGDetect,
            SGVerify,
            SGPickBest,
            SGRegionalPrompt,
            SGLanguageGuidance,
            SGImageGuidance,
            SGGraphGuidance,
        ]
