"""Scene-graph conditioning for latent diffusion: the PyTorch library behind the nodes and the training scripts."""
