"""What every script's command line does with what was typed."""

from dataclasses import dataclass, field

import pytest

from train.running.command_line import UsageError, check_lists_come_once, run


@dataclass
class Options:
    graph_files: list[str]
    ends: tuple[float, ...] = (1.0,)
    steps: int = 1
    names: list[str] = field(default_factory=list)


@pytest.mark.parametrize(
    "arguments",
    ["--graph-files a --graph-files b", "--graph_files a --graph-files=b", "--ends 1 --steps 2 --ends 3"],
)
def test_an_option_of_several_values_that_comes_twice_would_lose_the_first(arguments: str):
    with pytest.raises(UsageError, match="is given twice; write all of its values after one --"):
        check_lists_come_once(arguments.split(), Options)


def test_others_may_come_again_and_the_last_one_counts():
    check_lists_come_once("--graph-files a b --steps 1 --steps 2 --names --graph --ends 1 2".split(), Options)


@dataclass
class Weighted:
    grounding_weight: float = 0.1
    learning_rate: float = 1.0


def test_a_weight_below_zero_ends_in_a_sentence_before_anything_runs(monkeypatch, capsys: pytest.CaptureFixture):
    called: list[Weighted] = []

    def main(options: Weighted) -> None:
        called.append(options)

    for value in ("-0.5", "nan"):
        monkeypatch.setattr("sys.argv", ["train.py", f"--grounding-weight={value}"])
        with pytest.raises(SystemExit):
            run(main, Weighted)
        assert f"--grounding-weight is a weight, 0 or more, and not {value}" in capsys.readouterr().err
    monkeypatch.setattr("sys.argv", ["train.py", "--grounding-weight=0"])
    run(main, Weighted)
    assert called == [Weighted(grounding_weight=0.0)]
