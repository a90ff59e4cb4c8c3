"""ComfyUI and the standalone scripts compute the same: phrase vectors, grounding tokens and whole samplings."""

from pathlib import Path

import pytest
from comfyui_host import REPOSITORY

torch = pytest.importorskip("torch")
pytest.importorskip("diffusers", reason="the standalone side needs the train extra")

from safetensors.torch import load_file  # noqa: E402

from sg_models.adapters.adapter import read_adapter  # noqa: E402
from sg_models.adapters.gsa_adapter import GSAAdapter  # noqa: E402
from sg_models.adapters.phrase_features import phrase_features  # noqa: E402
from sg_models.graph.formats import parse_scene_graph  # noqa: E402
from train.bases.sg_mini_checkpoint import load_sg_mini  # noqa: E402
from train.conditioning.influence import Influence  # noqa: E402
from train.conditioning.phrase_encoders import BertPhrases, packaged_bert  # noqa: E402
from train.conditioning.sampling import sample_latents  # noqa: E402
from train.conditioning.trained_adapter import load_variant  # noqa: E402

CHECKPOINT = REPOSITORY / "models" / "checkpoints" / "sg_mini.safetensors"
LATENT_TOLERANCE = 1e-3
TOLERANCE = 1e-4


@pytest.fixture(scope="module")
def base():
    return load_sg_mini(CHECKPOINT).freeze()


@pytest.fixture(scope="module")
def tensors(measured):
    return load_file(measured.tensors)


def standalone(path: Path) -> GSAAdapter:
    file = read_adapter(path)
    adapter = GSAAdapter(file.config).eval().requires_grad_(False)
    adapter.load_state_dict({name: tensor.float() for name, tensor in file.state_dict.items()})
    return adapter


def test_phrase_vectors_are_transformers_own(measured, tensors, base):
    texts = measured["phrases"]["texts"]
    for number, expected in enumerate(base.encode_phrases(texts)):
        torch.testing.assert_close(tensors[f"phrase.{number}"], expected, atol=TOLERANCE, rtol=TOLERANCE)


def test_bert_vectors_are_the_standalone_encoders_own(measured, tensors):
    expected = BertPhrases(packaged_bert()).encode(list(measured["bert_phrases"]["texts"]))
    torch.testing.assert_close(tensors["bert"], expected, atol=TOLERANCE, rtol=TOLERANCE)


def test_each_phrase_is_encoded_once_in_one_batch(measured):
    assert measured["phrases"]["calls"] == [3], "dog, near and cat"


def test_clip_skip_does_not_change_phrase_vectors(measured):
    assert measured["phrases"]["clip_skip"] == 0.0


def test_grounding_tokens_are_the_librarys_own(measured, tensors, base):
    graph = parse_scene_graph(measured["grounding_tokens"]["graph"])
    adapter = standalone(Path(measured["grounding_tokens"]["adapter"]))
    tokens = adapter.tokens([graph], phrase_features([graph], base.encode_phrases))
    torch.testing.assert_close(tensors["tokens"], tokens, atol=TOLERANCE, rtol=TOLERANCE)
    torch.testing.assert_close(tensors["null_tokens"], adapter.null_tokens(1), atol=0.0, rtol=0.0)


def test_latents_are_the_standalone_samplers_own(measured, tensors):
    run, noise = measured["parity"], tensors["noise"]
    graphs = [parse_scene_graph(run["graph"])] * len(noise)
    variants = [name.removeprefix("parity.") for name in tensors if name.startswith("parity.")]
    assert len(variants) > 1, "no adapter was shipped"
    for variant in variants:
        base = load_sg_mini(CHECKPOINT).freeze()  # a variant changes the UNet that it is put into
        conditions = load_variant(base, variant)(graphs)
        expected = sample_latents(base, conditions, noise, steps=run["steps"], guidance=run["guidance"])
        assert (tensors[f"parity.{variant}"] - expected).abs().max().item() <= LATENT_TOLERANCE, variant


@pytest.mark.parametrize("variant", ["vi", "iv"])
def test_an_adapter_that_acts_less_and_for_a_while_acts_alike_in_both(measured, tensors, variant):
    run, noise = measured["influence"], tensors["noise"]
    graphs = [parse_scene_graph(measured["parity"]["graph"])] * len(noise)
    latents = []
    for acts in (run["acts"], {"strength": run["acts"]["strength"]}, {}):
        condition = load_variant(load_sg_mini(CHECKPOINT).freeze(), variant, influence=Influence(**acts))
        if variant == "vi":
            condition.on_negative = False
        guidance = measured["parity"]["guidance"]
        latents.append(sample_latents(condition.base, condition(graphs), noise, steps=run["steps"], guidance=guidance))
    found = tensors[f"influence.{variant}"]
    assert (found - latents[0]).abs().max().item() <= LATENT_TOLERANCE
    for other in latents[1:]:  # so that each of the three numbers matters
        assert (found - other).abs().max().item() > 10 * LATENT_TOLERANCE
