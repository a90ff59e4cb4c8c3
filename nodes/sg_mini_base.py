"""The SG-Mini architecture, made known to ComfyUI so that the ordinary *Load Checkpoint* reads its file."""

import comfy.latent_formats
import comfy.model_base
import comfy.sd1_clip
import comfy.supported_models
import comfy.supported_models_base
import comfy.utils
import torch

from ..sg_models.bases import sg_mini

CLIP_NAME = "mini"  # of the text model, in ComfyUI's terms
CONDITIONING_LAYER = -2  # the penultimate, as in Stable Diffusion 2.1


class SGMiniTextModel(comfy.sd1_clip.SDClipModel):
    def __init__(self, device="cpu", dtype=None, model_options={}, **kwargs):  # noqa: B006 (ComfyUI's signature)
        super().__init__(
            device=device,
            dtype=dtype,
            layer="hidden",
            layer_idx=CONDITIONING_LAYER,
            textmodel_json_config=dict(sg_mini.TEXT_MODEL),
            special_tokens={
                "start": sg_mini.TEXT_MODEL["bos_token_id"],
                "end": sg_mini.TEXT_MODEL["eos_token_id"],
                "pad": sg_mini.TEXT_MODEL["pad_token_id"],
            },
            return_projected_pooled=True,
            model_options=model_options,
        )


class SGMiniCLIP(comfy.sd1_clip.SD1ClipModel):
    def __init__(self, device="cpu", dtype=None, model_options={}, **kwargs):  # noqa: B006
        super().__init__(
            device=device, dtype=dtype, model_options=model_options, clip_name=CLIP_NAME, clip_model=SGMiniTextModel
        )


class SGMiniWordTokenizer(comfy.sd1_clip.SDTokenizer):
    def __init__(self, embedding_directory=None, tokenizer_data={}, **kwargs):  # noqa: B006
        super().__init__(
            pad_with_end=False,
            embedding_directory=embedding_directory,
            embedding_size=sg_mini.TEXT_MODEL["hidden_size"],
            embedding_key=f"clip_{CLIP_NAME}",
            tokenizer_data=tokenizer_data,
        )


class SGMiniTokenizer(comfy.sd1_clip.SD1Tokenizer):
    def __init__(self, embedding_directory=None, tokenizer_data={}):  # noqa: B006
        super().__init__(
            embedding_directory=embedding_directory,
            tokenizer_data=tokenizer_data,
            clip_name=CLIP_NAME,
            tokenizer=SGMiniWordTokenizer,
        )


class SGMini(comfy.supported_models_base.BASE):
    """A UNet of Stable Diffusion 2's class at SG-Mini's sizes, a TAESD autoencoder and a small CLIP."""

    unet_config = {
        "context_dim": sg_mini.UNET["cross_attention_dim"],
        "model_channels": sg_mini.UNET["block_out_channels"][0],
        "use_linear_in_transformer": True,
        "adm_in_channels": None,
    }
    unet_extra_config = {
        "num_heads": -1,
        "num_head_channels": sg_mini.UNET["block_out_channels"][0] // sg_mini.UNET["attention_head_dim"][0],
    }
    latent_format = comfy.latent_formats.LatentFormat
    memory_usage_factor = 1.0

    def model_type(self, state_dict, prefix=""):
        return comfy.model_base.ModelType.EPS

    def process_clip_state_dict(self, state_dict):
        return comfy.utils.state_dict_prefix_replace(
            state_dict, {"cond_stage_model.": f"clip_{CLIP_NAME}."}, filter_keys=True
        )

    def process_clip_state_dict_for_saving(self, state_dict):
        return comfy.utils.state_dict_prefix_replace(state_dict, {f"clip_{CLIP_NAME}.": "cond_stage_model."})

    def process_vae_state_dict(self, state_dict):
        return {"vae_scale": torch.tensor(1.0), "vae_shift": torch.tensor(0.0), **state_dict}

    def clip_target(self, state_dict={}):  # noqa: B006
        return comfy.supported_models_base.ClipTarget(SGMiniTokenizer, SGMiniCLIP)


def register_sg_mini() -> None:
    """Adds SG-Mini to the architectures that ComfyUI's model detection tries."""
    comfy.supported_models.models.append(SGMini)
