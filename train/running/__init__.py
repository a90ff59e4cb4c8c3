"""Running a training: the loop, its precision, and the command line."""
