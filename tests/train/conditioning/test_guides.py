"""`--guide` on the command line: what is read, what guides, and what is said of anything else."""

from pathlib import Path

import pytest
import torch
from PIL import Image

from sg_models.adapters.adapter import Adapter, write_adapter
from sg_models.bases import sg_mini
from sg_models.graph.formats import parse_scene_graph
from sg_models.layers.noised_encoder import NoisedEncoder
from sg_models.layers.picture_tower import PictureTower
from train.conditioning.conditioners import CaptionConditioner
from train.conditioning.guides import GuideOptions, GuideSpec, open_guides, read_guide
from train.conditioning.sampling import sample_latents, starting_noise
from train.running.command_line import UsageError

BOXED = parse_scene_graph("red circle @ 0 0 0.5 0.5 | left of | blue square @ 0.5 0.5 1 1")
OTHER = parse_scene_graph("red circle @ 0.5 0.5 1 1 | right of | blue square @ 0 0 0.5 0.5")


@pytest.fixture(scope="module")
def eyes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(3)
    encoder, tower = NoisedEncoder(128, [16, 24], depth=2), PictureTower(128)
    state = {f"noised.{k}": v for k, v in encoder.state_dict().items()}
    state |= {f"clean.{k}": v for k, v in tower.state_dict().items()}
    path = tmp_path_factory.mktemp("eyes") / "eyes.safetensors"
    config = {"noised": encoder.config, "clean": {"dim": 128}}
    write_adapter(path, Adapter("noised-clip", "sg-mini", "epsilon", "clip", config, "shapes", 0, state))
    return path


@pytest.fixture(scope="module")
def picture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("pictures") / "picture.png"
    Image.new("RGB", (200, 150), (200, 30, 30)).save(path)
    return path


def latents(base, checkpoint: Path, graphs=(BOXED, BOXED), **options):
    graphs = list(graphs)
    guides = open_guides(GuideOptions(**options), base, str(checkpoint))
    conditions, noise = CaptionConditioner(base)(graphs), starting_noise(base, 0, len(graphs))
    return sample_latents(base, conditions, noise, steps=3, guidance=1.0, guide=guides.of(graphs) if guides else None)


@pytest.mark.parametrize(
    ("text", "spec"),
    [
        ("language:a red circle", GuideSpec("language", 1.0, "a red circle")),
        ("language=2.5:at 10:30", GuideSpec("language", 2.5, "at 10:30")),
        ("style=1e3:a=b.png", GuideSpec("style", 1000.0, "a=b.png")),
        ("graph", GuideSpec("graph", 1.0, "")),
        ("graph=0.5", GuideSpec("graph", 0.5, "")),
    ],
)
def test_a_guide_is_read(text: str, spec: GuideSpec):
    assert read_guide(text) == spec


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("words:a red circle", "there is no guidance 'words'"),
        ("language", "what to guide by is missing"),
        ("graph:picture.png", "graph takes nothing after it"),
        ("style=much:a.png", "'much' is no number"),
        ("language=nan:x", "'nan' is no number"),
    ],
)
def test_anything_else_is_refused_with_the_form(text: str, said: str):
    with pytest.raises(UsageError, match=said) as error:
        read_guide(text)
    assert "KIND[=SCALE][:WHAT]" in str(error.value)


@pytest.mark.parametrize("eye", ["noised", "predicted", "clean"])
@pytest.mark.parametrize("kind", ["language", "content", "spatial", "style", "graph"])
def test_each_kind_guides_through_each_eye(base, sg_mini_checkpoint, eyes, picture, kind, eye):
    what = {"language": ":blue star", "graph": ""}.get(kind, f":{picture}")
    plain = latents(base, sg_mini_checkpoint)
    found = latents(base, sg_mini_checkpoint, guide=[kind + what], eye=eye, noised_clip=eyes)
    double = latents(base, sg_mini_checkpoint, guide=[f"{kind}=0.001{what}"], eye=eye, noised_clip=eyes)
    assert (found - plain).abs().max() > 1e-5 and (double - found).abs().max() > 1e-5


def test_a_clip_of_transformers_is_the_clean_eye_of_other_bases(base, sg_mini_checkpoint, networks, picture):
    plain = latents(base, sg_mini_checkpoint)
    for guide in ("language=100:blue star", f"content=100:{picture}", f"style=100:{picture}", "graph=100"):
        assert (
            latents(base, sg_mini_checkpoint, guide=[guide], eye="clean", clip=str(networks / "clip")) - plain
        ).abs().max() > 1e-6


def test_guides_add_up_and_act_in_their_part_of_sampling_alone(base, sg_mini_checkpoint, eyes, picture):
    both = ["language:blue star", f"style:{picture}"]
    one, two, all_ = (latents(base, sg_mini_checkpoint, guide=g, noised_clip=eyes) for g in (both[:1], both[1:], both))
    assert (all_ - one).abs().max() > 1e-6 and (all_ - two).abs().max() > 1e-6
    late = latents(base, sg_mini_checkpoint, guide=both, noised_clip=eyes, guide_start=0.5)
    assert (late - all_).abs().max() > 1e-6
    nowhere = latents(base, sg_mini_checkpoint, guide=both, noised_clip=eyes, guide_start=0.5, guide_end=0.501)
    assert torch.equal(nowhere, latents(base, sg_mini_checkpoint))


def test_a_scale_is_over_the_one_that_serves_a_kind(base, sg_mini_checkpoint, eyes):
    of_one, of_none, twice = (
        latents(base, sg_mini_checkpoint, guide=[guide], noised_clip=eyes)
        for guide in ("language=1:blue star", "language:blue star", "language=0.002:blue star")
    )
    assert torch.equal(of_one, of_none) and not torch.equal(of_one, twice)


def test_without_a_choice_content_is_seen_through_both_eyes_of_an_encoder(base, sg_mini_checkpoint, eyes, picture):
    both, *single = (
        latents(base, sg_mini_checkpoint, guide=[f"content:{picture}"], noised_clip=eyes, eye=eye)
        for eye in ("auto", "noised", "predicted")
    )
    assert all((both - one).abs().max() > 1e-4 for one in single)


def test_a_file_of_another_clip_than_the_texts_is_refused(base, sg_mini_checkpoint, eyes, networks):
    with pytest.raises(UsageError, match="sees pictures in 128 numbers, and the texts are read in 8"):
        options = GuideOptions(guide=["language:x"], noised_clip=eyes, clip=str(networks / "clip"))
        open_guides(options, base, str(sg_mini_checkpoint))


def test_each_picture_has_its_own_graph(base, sg_mini_checkpoint, eyes):
    options = {"guide": ["graph"], "noised_clip": eyes}
    both = latents(base, sg_mini_checkpoint, (BOXED, OTHER), **options)
    same = latents(base, sg_mini_checkpoint, (BOXED, BOXED), **options)
    assert torch.allclose(both[0], same[0], atol=1e-4) and not torch.allclose(both[1], same[1], atol=1e-4)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"guide": ["language:x"], "eye": "third"}, "write auto, noised, predicted, clean"),
        ({"guide": ["language:x"], "guide_start": 0.6, "guide_end": 0.4}, "0 ≤ start ≤ end ≤ 1"),
        ({"guide": ["style:nowhere.png"]}, "nowhere.png is no picture that can be read"),
        ({"guide": ["language:x"], "noised_clip": Path("nowhere.safetensors")}, "train/train_noised_clip.py"),
        ({"guide": ["language:x"], "eye": "clean", "clip": "no/such/folder"}, "holds no CLIP of transformers"),
    ],
)
def test_what_cannot_guide_is_said(base, sg_mini_checkpoint, eyes, options, said):
    with pytest.raises(UsageError, match=said):
        latents(base, sg_mini_checkpoint, **{"noised_clip": eyes} | options)


def test_another_base_needs_a_clip_of_its_own(base, eyes):
    base.name = "sd21-base"
    with pytest.raises(UsageError, match="guidance on sd21-base needs --clip"):
        open_guides(GuideOptions(guide=["language:x"], noised_clip=eyes), base, sg_mini.NAME)


def test_no_guide_is_none(base, sg_mini_checkpoint):
    assert open_guides(GuideOptions(), base, str(sg_mini_checkpoint)) is None
