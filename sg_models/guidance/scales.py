"""The guidance that there is, and how strong each kind is unless somebody says otherwise."""

LANGUAGE, CONTENT, SPATIAL, STYLE, GRAPH = "language", "content", "spatial", "style", "graph"
NOISED, CLEAN = "noised", "clean"  # eyes: trained on noisy latents, and CLIP on the predicted clean picture

# measured on SG-Mini: docs/guidance.md
SCALES = {
    NOISED: {LANGUAGE: 10.0, CONTENT: 10.0, SPATIAL: 10.0, STYLE: 1000.0, GRAPH: 10.0},
    CLEAN: {LANGUAGE: 10.0, CONTENT: 10.0, SPATIAL: 10.0, STYLE: 1000.0, GRAPH: 10.0},
}
