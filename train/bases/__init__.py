"""What is frozen: the bases that adapters are trained on."""
