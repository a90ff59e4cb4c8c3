"""SG-Mini: the sizes of the small base, in the terms of the libraries that build its parts.

A model of Stable Diffusion 2.1's kind (a CLIP text model conditioned on its penultimate layer, a UNet with linear
projections in its transformers, an autoencoder with 8 x downsampling), small enough to draw on a CPU in a second.
"""

NAME = "sg-mini"
SIDE = 128  # pixels
LATENT_CHANNELS = 4
DOWNSAMPLING = 8
PREDICTION_TYPE = "epsilon"
CHECKPOINT = "sg_mini.safetensors"

# diffusers.UNet2DConditionModel; in LDM terms: model_channels 64, channel_mult [1, 2], num_res_blocks 1,
# transformer_depth 1, context_dim 128, num_head_channels 32, use_linear_in_transformer
UNET = {
    "sample_size": SIDE // DOWNSAMPLING,
    "in_channels": LATENT_CHANNELS,
    "out_channels": LATENT_CHANNELS,
    "down_block_types": ("CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
    "block_out_channels": (64, 128),
    "layers_per_block": 1,
    "cross_attention_dim": 128,
    "attention_head_dim": (2, 4),  # diffusers means the number of heads
    "use_linear_projection": True,
}

# transformers.CLIPTextModel
TEXT_MODEL = {
    "vocab_size": 49408,
    "hidden_size": 128,
    "intermediate_size": 512,
    "projection_dim": 128,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "max_position_embeddings": 77,
    "hidden_act": "gelu",
    "bos_token_id": 49406,
    "eos_token_id": 49407,
    "pad_token_id": 0,
}

# diffusers.AutoencoderTiny, half as wide as TAESD; written to the checkpoint zero-padded to TAESD's width
AUTOENCODER = {
    "encoder_block_out_channels": (32, 32, 32, 32),
    "decoder_block_out_channels": (32, 32, 32, 32),
    "scaling_factor": 1.0,
}

# diffusers' schedulers: Stable Diffusion's own noise schedule
SCHEDULE = {
    "num_train_timesteps": 1000,
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "prediction_type": PREDICTION_TYPE,
    "clip_sample": False,
    "set_alpha_to_one": True,
    "timestep_spacing": "trailing",
}
