"""What each script trains, and on which loss: the model around the frozen base, its losses, report and preview."""
