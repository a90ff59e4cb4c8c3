"""What figures were measured with: without it nobody can compare them with others'. It stands beside every table."""

from dataclasses import dataclass, field
from typing import Any

RESIZE = "Lanczos"


@dataclass(frozen=True)
class Protocol:
    """`drawn` is what each variant's pictures were drawn with, None where they came from elsewhere and nobody said."""

    dataset: str
    splits: dict[str, int]  # graphs of each, and as many true pictures
    samples: int  # drawn pictures of each graph
    side: int  # pixels, of all pictures when they are compared
    drawn: dict[str, dict[str, Any] | None]
    networks: dict[str, str] = field(default_factory=dict)
    notes: dict[str, dict[str, dict[str, str]]] = field(default_factory=dict)  # by split and variant

    def to_dict(self) -> dict[str, Any]:
        """For JSON: the words of the printed one."""
        return self.lines() | {"notes": self.notes}

    def lines(self) -> dict[str, str]:
        """Names with what is said of them."""
        counts = (f"{name}: {graphs} graphs, {graphs * self.samples} pictures" for name, graphs in self.splits.items())
        return {
            "data set": self.dataset,
            "splits": "; ".join(counts),
            "size": f"{self.side} × {self.side} pixels; {RESIZE} where a picture is larger or smaller, drawn or true",
            **{f"({name}) drawn with": _words(settings) for name, settings in self.drawn.items()},
            **self.networks,
        }

    def text(self) -> str:
        """A list in Markdown."""
        lines = [f"- {name}: {words}" for name, words in self.lines().items()]
        for split, variants in self.notes.items():
            for variant, notes in variants.items():
                lines += [f"- {split}, ({variant}), {name}: {words}" for name, words in notes.items()]
        return "\n".join(lines)


def _words(settings: dict[str, Any] | None) -> str:
    if settings is None:
        return "nobody said: the pictures came from elsewhere"
    return ", ".join(f"{name} {value}" for name, value in settings.items())
