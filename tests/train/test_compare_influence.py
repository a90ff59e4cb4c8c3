"""The comparison of settings: every one draws the same graphs, and what was measured is not measured again."""

import pytest

from train import compare_influence
from train.compare_influence import Config, main
from train.report import influence_page
from train.report.influence_page import Setting
from train.running.command_line import UsageError


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> tuple[Setting, ...]:
    """Three settings of two steps, and the base's own."""
    compared = (Setting(steps=2), Setting(on_negative=False, steps=2), Setting(end=0.4, strength=0.5, steps=2))
    base = (Setting(end=0.0, steps=2),)
    for module in (compare_influence, influence_page):
        monkeypatch.setattr(module, "BASE", base)
        monkeypatch.setattr(module, "SETTINGS", (*base, *compared))
    monkeypatch.setattr(influence_page, "COMPARED", compared)
    monkeypatch.setattr(influence_page, "FULL", compared[0])
    monkeypatch.setattr(influence_page, "NO_NEGATIVE", compared[1])
    return compared


def test_writes_the_page_and_goes_on_where_it_was_stopped(few, tmp_path, monkeypatch):
    drawn = []
    draw = compare_influence.draw
    monkeypatch.setattr(compare_influence, "draw", lambda *given: drawn.append(draw(*given)) or drawn[-1])
    config = Config(graphs=2, run_dir=tmp_path / "run", docs=tmp_path)
    main(config)
    page = (tmp_path / "influence.md").read_text("utf-8")
    assert page.count("\n| ") == 1 + len(few)
    base, *others = drawn
    assert len(others) == len(few)
    for one, other in zip(drawn, [*drawn[1:], base], strict=True):
        assert (one - other).abs().max() > 0.01  # each setting draws another picture
    main(config)
    assert len(drawn) == 1 + len(few) and (tmp_path / "influence.md").read_text("utf-8") == page


def test_what_has_no_gated_self_attention_is_refused():
    with pytest.raises(UsageError, match=r"\(iv\) has no gated self-attention"):
        main(Config(adapter="iv", graphs=2))
    with pytest.raises(UsageError, match="at least 2"):
        main(Config(graphs=1))
