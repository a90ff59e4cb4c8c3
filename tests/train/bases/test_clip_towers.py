"""CLIP's towers: of half a CLIP no whole one is made."""

from pathlib import Path

import pytest
from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

from train.bases.clip_towers import TransformersClip
from train.report.clip_score import ClipNetwork
from train.report.network_files import Source
from train.running.command_line import UsageError


@pytest.mark.parametrize("opened", [TransformersClip, lambda path: ClipNetwork(Source(path))])
def test_half_a_clip_is_refused_in_a_sentence(opened, tmp_path: Path):
    sizes = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    half = CLIPVisionModelWithProjection(CLIPVisionConfig(**sizes, image_size=32, patch_size=16, projection_dim=8))
    half.save_pretrained(tmp_path)
    with pytest.raises(UsageError, match="clip_vision_model, and not a CLIP with both of its towers"):
        opened(str(tmp_path))
