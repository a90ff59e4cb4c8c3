"""From a graph to the UNet: what each variant gives it, and drawing with that."""
