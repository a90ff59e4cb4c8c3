"""Real data: pictures and graphs that `prepare.py` has put into one form, whatever they came from."""
