"""What is wrong with a detector, in words."""


class DetectorError(ValueError):
    """There is no such detector, or it cannot do what is asked; the message says what to do instead."""
