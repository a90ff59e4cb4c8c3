"""Scripts that make the weights: Shapes, its oracle, SG-Mini, the adapters, sampling and evaluation."""

import warnings

# torch-geometric's own, at its import; nothing that a user of these scripts could do about it
warnings.filterwarnings("ignore", message=r".*torch\.jit\.script.*")
