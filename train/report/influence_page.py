"""What a graph costs while sampling, and what it gives for that: the settings that are compared, as a page to read."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from train.conditioning.conditioners import GRAPH_GUIDANCE
from train.conditioning.sampling import STEPS
from train.report.metrics import METRICS, RESAMPLES, with_interval


@dataclass(frozen=True)
class Setting:
    """One way to draw: `end`, `strength` and `on_negative` are those of *Apply Scene Graph*, `steps` the sampler's."""

    end: float = 1.0
    on_negative: bool = True
    strength: float = 1.0
    steps: int = STEPS

    @property
    def alone(self) -> "Setting":
        """The base alone in as many steps."""
        return Setting(end=0.0, steps=self.steps)


FULL, NO_NEGATIVE = Setting(), Setting(on_negative=False)
FEWER_STEPS = (15, 8)
COMPARED = (
    FULL,
    *(Setting(end=end) for end in (0.6, 0.4, 0.3, 0.2, 0.1)),
    *(Setting(end=end, on_negative=False) for end in (1.0, 0.4, 0.3, 0.2)),
    *(Setting(strength=strength) for strength in (0.5, 0.75, 1.25)),
    *(Setting(steps=steps) for steps in FEWER_STEPS),
    Setting(end=0.4, on_negative=False, steps=FEWER_STEPS[-1]),
)
BASE = tuple(Setting(end=0.0, steps=steps) for steps in (STEPS, *FEWER_STEPS))
SETTINGS = (*BASE, *COMPARED)


@dataclass
class Measured:
    """Of some graphs: `counts` [settings, metrics, G, 2], hits and how many there could be; `seconds` [settings]."""

    counts: np.ndarray
    seconds: np.ndarray

    @staticmethod
    def together(parts: Sequence["Measured"]) -> "Measured":
        counts = np.concatenate([part.counts for part in parts], axis=2)
        return Measured(counts, np.sum([part.seconds for part in parts], axis=0))

    def time(self, setting: Setting) -> float:
        """Of a whole run, over that of the base alone."""
        return float(self.seconds[SETTINGS.index(setting)] / self.seconds[SETTINGS.index(setting.alone)])

    def figure(self, setting: Setting, metric: str) -> list[float]:
        """One of METRICS: value, low, high."""
        return with_interval(*self.counts[SETTINGS.index(setting), METRICS.index(metric)].T)

    def gain(self, setting: Setting, metric: str = "relation accuracy") -> list[float]:
        """One of METRICS over that of the whole run, on the same graphs: value, and its 95 % interval."""
        hits, total = self.counts[SETTINGS.index(setting), METRICS.index(metric)].T
        full, _ = self.counts[SETTINGS.index(FULL), METRICS.index(metric)].T
        drawn = np.random.default_rng(0).integers(len(hits), size=(RESAMPLES, len(hits)))
        resampled = (hits - full)[drawn].sum(axis=1) / total[drawn].sum(axis=1).clip(1)
        return [float((hits - full).sum() / total.sum()), *map(float, np.percentile(resampled, [2.5, 97.5]))]


def influence_page(found: Measured, adapter: str, dataset: str, graphs: int) -> str:
    """The page; `adapter`, the data set's title and the number of graphs are what it was measured with."""
    parts = [
        "# What a graph costs while sampling, and what it gives",
        f"Measured by `python train/compare_influence.py` with ({adapter}) on {dataset}: {graphs} validation graphs "
        f"without boxes, one picture each from the same noise, guidance {GRAPH_GUIDANCE:g}, 95 % intervals. *end* is "
        "the part of sampling after which the graph is let go, *strength* and *negative* (`on_negative`) are those of "
        "*Apply Scene Graph*. *Time* is that of a whole run, from phrases to pixels, over the base's alone in as many "
        "steps. *Relations, gained* is relation accuracy over the first row's, on the same graphs.",
        _table(found),
        _chosen(found),
        _defaults(found),
    ]
    return "\n\n".join(parts) + "\n"


def _table(found: Measured) -> str:
    names = ["end", "negative", "strength", "steps", "time / base", *METRICS, "relations, gained"]
    lines = ["| " + " | ".join(names) + " |", "|---" * len(names) + "|"]
    for setting in COMPARED:
        options = [
            f"{setting.end:g}",
            "yes" if setting.on_negative else "no",
            f"{setting.strength:g}",
            str(setting.steps),
        ]
        figures = [f"{found.time(setting):.2f}", *(_cell(found.figure(setting, metric)) for metric in METRICS)]
        lines.append("| " + " | ".join([*options, *figures, _cell(found.gain(setting), "+.3f")]) + " |")
    return "\n".join(lines)


def _cell(figure: Sequence[float], form: str = ".3f") -> str:
    value, low, high = (format(number, form) for number in figure)
    return f"{value} [{low}, {high}]"


TIME_ASKED, LOSS_ASKED = 1.15, 0.01


def _chosen(found: Measured) -> str:
    """Which setting loses least of those that cost as little as asked, and which costs least of those that lose as
    little, in words."""
    whole = [setting for setting in COMPARED if setting.steps == FULL.steps]
    cheap = [setting for setting in whole if found.time(setting) <= TIME_ASKED]
    faithful = [setting for setting in whole if found.gain(setting)[0] >= -LOSS_ASKED]
    cheapest = min(faithful, key=found.time)  # the first row at the worst, which loses nothing
    asked = f"Asked was a run at most {TIME_ASKED} × as long as the base's that loses at most {LOSS_ASKED} of relations"
    if cheapest in cheap:
        return f"{asked}: that is {_said(found, cheapest)}."
    of_cheap = "none is as short"
    if cheap:
        best = max(cheap, key=lambda setting: found.gain(setting)[0])
        of_cheap = f"the best that is as short is {_said(found, best)}"
    return f"{asked}: none does. The shortest that loses as little is {_said(found, cheapest)}; {of_cheap}."


def _defaults(found: Measured) -> str:
    """What the defaults are, and what `on_negative` brings beside them."""
    exact = _cell(found.gain(NO_NEGATIVE, "exact graph"), "+.3f")
    return (
        "The nodes and the scripts begin with the first row, which all published figures were measured with. Who is in "
        f"a hurry turns `on_negative` off ({found.time(NO_NEGATIVE):.2f} × instead of {found.time(FULL):.2f} ×; exact "
        f"graphs {exact} on the same graphs) or takes fewer steps, not a smaller end. GLIGEN's weights are another "
        "matter: there an end of 0.3 to 0.4 is usual ([gligen.md](gligen.md)), and was not measured."
    )


def _said(found: Measured, setting: Setting) -> str:
    return f"{_words(setting)}, with {found.time(setting):.2f} × and {found.gain(setting)[0]:+.3f}"


def _words(setting: Setting) -> str:
    negative = "" if setting.on_negative else ", `on_negative` off"
    strength = "" if setting.strength == 1 else f", strength {setting.strength:g}"
    return f"end {setting.end:g}{negative}{strength}"
