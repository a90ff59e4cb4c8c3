"""Whether pictures obey their graphs: detectors, what they see, and reports on it."""
