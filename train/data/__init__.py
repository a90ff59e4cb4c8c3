"""What is trained on: data sets behind one contract, and samples of them."""
