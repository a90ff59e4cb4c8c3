"""Scripts that make the weights: Shapes, its oracle, SG-Mini, the adapters, sampling and evaluation."""
