"""The bases that adapters are trained on: their names and sizes."""
