"""Gradients while sampling: each picture by itself, in either host's mode, by the formulas that the papers give."""

import pytest
import torch
from torch import Tensor

from sg_models.guidance.eyes import CleanEye, NoisedEye, PredictedEye, ShapesTower
from sg_models.guidance.guidance import Guidance, at_most
from sg_models.guidance.scales import CONTENT, SPATIAL, STYLE
from sg_models.guidance.semantic_guidance import gram, language, likeness
from sg_models.guidance.view import View
from sg_models.layers.noised_encoder import NoisedEncoder
from sg_models.layers.picture_tower import PictureTower

DIM, LIMIT = 16, 0.3


@pytest.fixture
def noised() -> NoisedEye:
    torch.manual_seed(0)
    return NoisedEye(NoisedEncoder(DIM, [16, 24], depth=2).requires_grad_(False).eval())


@pytest.fixture
def predicted(noised: NoisedEye) -> PredictedEye:
    return PredictedEye(noised.encoder)


@pytest.fixture
def clean() -> CleanEye:
    torch.manual_seed(1)
    decoder = torch.nn.ConvTranspose2d(4, 3, 8, stride=8).requires_grad_(False)
    return CleanEye(lambda x: decoder(x).sigmoid(), ShapesTower(PictureTower(DIM).requires_grad_(False).eval()))


def view(count: int = 3, alpha: float = 0.3) -> View:
    noisy, clean = torch.randn(2, count, 4, 8, 8, generator=torch.Generator().manual_seed(2))
    return View(noisy, clean, torch.full((count,), 400), alpha)


def row(of: View, b: int) -> View:
    return View(of.noisy[b : b + 1], of.clean[b : b + 1], of.timesteps[b : b + 1], of.alpha)


def objectives(eye) -> dict:
    picture, text = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(3))[:1], torch.randn(DIM)
    return {"language": language(text)} | {k: likeness(k, eye, picture) for k in (CONTENT, SPATIAL, STYLE)}


@pytest.mark.parametrize("name", ["language", CONTENT, SPATIAL, STYLE])
@pytest.mark.parametrize("which", ["noised", "clean"])
def test_a_step_uphill_raises_the_objective_of_each_picture_by_itself(name, which, request):
    eye = request.getfixturevalue(which)
    objective, start = objectives(eye)[name], view()
    moved = Guidance(eye, objective, 0.02, LIMIT)(start)
    assert moved.shape == start.clean.shape and not moved.requires_grad
    for b in range(3):  # the same alone: Gram matrices and all never mix rows
        alone = Guidance(eye, objective, 0.02, LIMIT)(row(start, b))
        assert torch.allclose(alone, moved[b : b + 1], atol=1e-5)
        assert not torch.allclose(alone, start.clean[b : b + 1], atol=1e-7)

    def value(latents: Tensor) -> Tensor:
        with torch.no_grad():
            return objective(eye.look(latents, start), start)

    step = (moved - start.clean) / eye.reach(start)
    assert (value(eye.latents(start) + step) > value(eye.latents(start))).all()


def test_a_noised_eye_moves_epsilon_as_ddim_with_a_classifier_does(noised):
    start, text, scale = view(), torch.randn(DIM), 3.0
    noisy = start.noisy.clone().requires_grad_()
    seen = noised.look(noisy, start).embed(torch.tensor([[0.0, 0, 1, 1]] * 3), torch.arange(3))
    (gradient,) = torch.autograd.grad((seen @ (text / text.norm())).sum(), noisy)
    epsilon = (start.noisy - start.alpha**0.5 * start.clean) / (1 - start.alpha) ** 0.5
    guided = epsilon - (1 - start.alpha) ** 0.5 * scale * gradient  # Dhariwal and Nichol 2021, algorithm 2
    expected = (start.noisy - (1 - start.alpha) ** 0.5 * guided) / start.alpha**0.5
    assert torch.allclose(Guidance(noised, language(text), scale, None)(start), expected, atol=1e-4)


def test_a_clean_eye_moves_by_what_is_left_to_guess(clean):
    text = torch.randn(DIM)
    early, late = view(alpha=0.1), view(alpha=0.9)
    far = Guidance(clean, language(text), 1.0, None)(early) - early.clean
    near = Guidance(clean, language(text), 1.0, None)(late) - late.clean
    assert torch.allclose(far / 0.9, near / 0.1, rtol=1e-3, atol=1e-5)


def test_scale_zero_changes_nothing_and_twice_the_scale_moves_twice_as_far(noised):
    start, objective = view(), objectives(noised)["language"]
    assert torch.equal(Guidance(noised, objective, 0.0, LIMIT)(start), start.clean)
    once, twice = (Guidance(noised, objective, scale, None)(start) - start.clean for scale in (1.0, 2.0))
    assert torch.allclose(2 * once, twice, rtol=1e-3, atol=1e-6)


def test_guidances_one_after_another_are_their_weighted_sum(noised):
    start, found = view(), objectives(noised)
    once = {name: Guidance(noised, found[name], 1.0, None)(start) - start.clean for name in ("language", CONTENT)}
    first = Guidance(noised, found["language"], 2.0, None)(start)
    both = Guidance(noised, found[CONTENT], 3.0, None)(View(start.noisy, first, start.timesteps, start.alpha))
    assert torch.allclose(both - start.clean, 2 * once["language"] + 3 * once[CONTENT], rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("which", ["noised", "clean"])
def test_gradients_work_inside_inference_mode(which, request):
    eye = request.getfixturevalue(which)
    start = view()
    torch.manual_seed(5)
    plain = {name: Guidance(eye, objective, 1.0, LIMIT)(start) for name, objective in objectives(eye).items()}
    with torch.inference_mode():  # all of it is made there, as nodes make it
        torch.manual_seed(5)
        made = View(start.noisy * 1, start.clean * 1, start.timesteps * 1, start.alpha)
        for name, objective in objectives(eye).items():
            assert torch.allclose(Guidance(eye, objective, 1.0, LIMIT)(made), plain[name], atol=1e-5), name


def test_gram_matrices_are_of_each_picture_and_do_not_ask_where_things_are():
    maps = torch.randn(2, 3, 4, 5)
    for b in range(2):
        flat = maps[b].flatten(1)
        assert torch.allclose(gram(maps)[b], flat @ flat.T / flat.numel(), atol=1e-6)
    assert torch.allclose(gram(maps.flip(2).flip(3)), gram(maps), atol=1e-6)


def test_style_and_content_do_not_ask_where_things_are_and_spatial_does(clean):
    picture, start = torch.rand(1, 4, 8, 8), view(1)
    turned = picture.flip(3)
    gaps = {}
    for kind in (SPATIAL, STYLE):
        same, other = (
            likeness(kind, clean, reference)(clean.look(picture, start), start) for reference in (picture, turned)
        )
        assert same.abs().max() < 1e-6
        gaps[kind] = (same - other).item()
    assert gaps[SPATIAL] > 0.01 and gaps[SPATIAL] > 10 * gaps[STYLE] >= 0


def test_an_eye_for_noise_sees_a_reference_at_the_noise_of_the_step(noised):
    picture, noise, start = torch.randn(1, 4, 8, 8), torch.randn(1, 4, 8, 8), view(alpha=0.36)
    assert torch.allclose(noised.reference(picture, noise, start), 0.6 * picture + 0.8 * noise)


@pytest.mark.parametrize("kind", [CONTENT, SPATIAL, STYLE])
@pytest.mark.parametrize("which", ["noised", "predicted", "clean"])
def test_an_eye_that_sees_the_same_in_every_step_looks_at_a_reference_once(kind, which, request, monkeypatch):
    eye, picture = request.getfixturevalue(which), torch.randn(1, 4, 8, 8)
    looks, look = [], type(eye).look
    monkeypatch.setattr(type(eye), "look", lambda self, x, v: looks.append(v.alpha) or look(self, x, v))
    again = likeness(kind, eye, picture)
    for alpha in (0.1, 0.5, 0.9):
        start = view(alpha=alpha)
        start.timesteps.fill_(int(1000 * (1 - alpha)))
        sight = eye.look(eye.latents(start), start)
        assert torch.equal(again(sight, start), likeness(kind, eye, picture)(sight, start)), alpha
    references = [looks.count(alpha) - 2 for alpha in (0.1, 0.5, 0.9)]  # but for the sight, and for the objective anew
    assert references == ([1, 1, 1] if which == "noised" else [1, 0, 0])
    assert again(eye.look(eye.latents(row(start, 0)), row(start, 0)), row(start, 0)).shape == (1,)


@pytest.mark.parametrize("kind", [CONTENT, SPATIAL, STYLE])
def test_several_pictures_take_turns_and_may_be_of_another_size(noised, kind):
    pictures, start = torch.randn(2, 4, 12, 12), view(4)
    together = likeness(kind, noised, pictures)(noised.look(start.noisy, start), start)
    for b in range(4):
        part = row(start, b)
        alone = likeness(kind, noised, pictures[b % 2, None])(noised.look(part.noisy, part), part)
        assert torch.allclose(together[b], alone[0], atol=1e-4)


def test_a_step_moves_the_noise_by_no_more_than_the_limit_each_picture_by_itself(noised):
    start, objective = view(), objectives(noised)["language"]
    near, far = (Guidance(noised, objective, scale, LIMIT)(start) - start.clean for scale in (1e-3, 1e6))
    assert torch.allclose(near, Guidance(noised, objective, 1e-3, None)(start) - start.clean)
    noise = far / start.sigma  # what the predicted noise changes by, sign aside
    assert torch.allclose(noise.square().mean(dim=(1, 2, 3)).sqrt(), torch.full((3,), LIMIT), rtol=1e-4)


def test_shortened_moves_keep_their_direction():
    moves = torch.randn(2, 4, 3, 3) * torch.tensor([0.1, 10.0])[:, None, None, None]
    short = at_most(moves, 1.0)
    assert torch.equal(short[0], moves[0])
    assert torch.cosine_similarity(short[1].flatten(), moves[1].flatten(), dim=0) > 0.999
    assert short[1].square().mean().sqrt().item() == pytest.approx(1.0, rel=1e-4)
