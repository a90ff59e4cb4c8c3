"""Core's BOUNDING_BOX: boxes as x, y, width and height in pixels, to and from what a detector says."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..sg_models.verification.detection import DetectedObject

NO_LABEL = (
    "Verify Scene Graph got a box without a label (picture {picture}, box {box}), so that it is not known what was "
    "seen there. Take a detector that names what it sees: Detect Objects, or core's Run Real-Time Detection (RT-DETR)."
)
NO_BOX = "Verify Scene Graph got bboxes that are none: {value}. Connect a detector's bboxes."
SIDES = ("x", "y", "width", "height")


def frame_of(seen: "list[DetectedObject]") -> list[dict[str, Any]]:
    """What was seen in one picture as a frame of BOUNDING_BOX, with labels, scores and, where known, attributes."""
    frame = []
    for thing in seen:
        x0, y0, x1, y1 = thing.box
        box: dict[str, Any] = {"x": x0, "y": y0, "width": x1 - x0, "height": y1 - y0}
        box |= {"label": thing.name, "score": thing.score}
        frame.append(box if thing.attributes is None else box | {"attributes": list(thing.attributes)})
    return frame


def frames_of(value: Any) -> list[list[dict[str, Any]]]:
    """The frames of a BOUNDING_BOX, one for each picture: it is a box, boxes of one picture, or a list of frames."""
    if isinstance(value, dict):
        return [[value]]
    if not isinstance(value, list):
        raise ValueError(NO_BOX.format(value=str(value)[:80]))
    if not value or isinstance(value[0], dict):
        return [value]
    return value


def seen_in(frame: list[dict[str, Any]], picture: int) -> "list[DetectedObject]":
    """A frame as what a detector says; raises `ValueError` in words for boxes that do not say what is in them."""
    from ..sg_models.verification.detection import DetectedObject

    seen = []
    for number, box in enumerate(frame, start=1):
        if not isinstance(box, dict) or not all(side in box for side in SIDES):
            raise ValueError(NO_BOX.format(value=str(box)[:80]))
        label = box.get("label")
        if not isinstance(label, str) or not label.strip():
            raise ValueError(NO_LABEL.format(picture=picture, box=number))
        x, y, width, height = (float(box[side]) for side in SIDES)
        attributes = box.get("attributes")
        seen.append(
            DetectedObject(
                label,
                (x, y, x + width, y + height),
                float(box.get("score", 1.0)),
                None if attributes is None else tuple(attributes),
            )
        )
    return seen
