"""The guidance that there is, through which eyes, and how strong each kind is unless somebody says otherwise."""

LANGUAGE, CONTENT, SPATIAL, STYLE, GRAPH = "language", "content", "spatial", "style", "graph"
# eyes: an encoder of noisy latents on those, the same on the predicted clean ones, and CLIP on the predicted picture
NOISED, PREDICTED, CLEAN = "noised", "predicted", "clean"
EYES = (NOISED, PREDICTED, CLEAN)
AUTO = "auto"  # the eyes that serve a kind of guidance best

# measured on SG-Mini: docs/guidance.md
SCALES = {
    NOISED: {LANGUAGE: 100.0, CONTENT: 300.0, SPATIAL: 8000.0, STYLE: 1000.0, GRAPH: 300.0},
    PREDICTED: {LANGUAGE: 400.0, CONTENT: 300.0, SPATIAL: 8000.0, STYLE: 10000.0, GRAPH: 600.0},
    CLEAN: {LANGUAGE: 100.0, CONTENT: 100.0, SPATIAL: 1000.0, STYLE: 10000.0, GRAPH: 100.0},
}
# the most by which guidance changes the noise of a step, whose root mean square is 1: beyond it pictures show what an
# eye likes, and nothing else; a graph asks for several things in several places
LIMITS = {LANGUAGE: 0.3, CONTENT: 0.3, SPATIAL: 0.3, STYLE: 0.3, GRAPH: 0.5}
# The eyes that an encoder of noisy latents has for each kind, and their parts of sampling, where nobody chooses: what a
# picture shows is settled in noise, and its colours show in what the model predicts.
WHOLE_RUN = (0.0, 1.0)
PARTS = {
    LANGUAGE: {NOISED: WHOLE_RUN},
    CONTENT: {NOISED: WHOLE_RUN, PREDICTED: WHOLE_RUN},
    SPATIAL: {NOISED: WHOLE_RUN, PREDICTED: WHOLE_RUN},
    STYLE: {PREDICTED: WHOLE_RUN},
    GRAPH: {NOISED: (0.0, 0.6), PREDICTED: (0.3, 1.0)},
}


def parts(kind: str, eye: str, encoder: bool) -> dict[str, tuple[float, float]]:
    """Through which eyes, and in which parts of sampling, a kind of guidance looks where `eye` is chosen.

    `encoder` says whether there is one for noisy latents; without it, `AUTO` is CLIP at predicted pictures.
    """
    if eye == AUTO:
        return PARTS[kind] if encoder else {CLEAN: WHOLE_RUN}
    return {eye: WHOLE_RUN}
