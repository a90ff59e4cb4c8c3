"""Scene-graph conditioning for latent diffusion: the PyTorch library behind the nodes and the training scripts."""

import warnings

# torch-geometric's own, at its import; nothing that a user of this library could do about it
warnings.filterwarnings("ignore", message=r".*torch\.jit\.script.*")
