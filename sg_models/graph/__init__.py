"""The scene graph and its formats; nothing here needs torch at import."""
