"""The training loop on a small regression: exact resume, averaged weights, whole checkpoints."""

import errno
import io
import itertools
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from accelerate import DistributedType, PartialState
from accelerate.state import AcceleratorState
from safetensors import SafetensorError
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import Tensor, nn
from torch._dynamo.utils import counters

from train.running import checkpoints, loop
from train.running.command_line import Interrupted, UsageError, in_words
from train.running.loop import LoopConfig, step_generator, train
from train.running.processes import this_process
from train.train_gsa import parameter_groups


@pytest.fixture(autouse=True)
def fresh_accelerate() -> Iterator[None]:
    """accelerate keeps its settings for the whole process."""
    AcceleratorState._reset_state(True)
    yield
    AcceleratorState._reset_state(True)


class Regression(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(3)
            self.layers = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Dropout(0.1), nn.Linear(8, 1))
            self.fixed = nn.Linear(4, 1).requires_grad_(False)

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x) + self.fixed(x)


def batch(indices: Sequence[int]) -> Tensor:
    return torch.stack([torch.randn(4, generator=torch.Generator().manual_seed(i)) for i in indices])


def loss(model: nn.Module, x: Tensor, generator: torch.Generator, step: int = 0) -> tuple[Tensor, dict[str, float]]:
    noisy = x + 0.1 * torch.randn(x.shape, generator=generator)
    return (model(noisy) - x.sum(dim=1, keepdim=True)).square().mean(), {}


def config(folder: Path, **changes) -> LoopConfig:
    fields = {
        "steps": 12,
        "batch_size": 4,
        "learning_rate": 0.02,
        "warmup": 3,
        "ema_decay": 0.9,
        "mixed_precision": "no",
        "run_dir": folder,
        "checkpoint_every": 4,
        "preview_every": 5,
        "log_every": 3,
    }
    return LoopConfig(**(fields | changes))


def weights(model: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[k], other[k]) for k in one)


def run(settings: LoopConfig, **more) -> dict[str, Tensor]:
    return weights(train(settings, Regression(), loss, batch, **more))


@pytest.mark.parametrize("accumulate", [1, 2])
def test_a_resumed_run_ends_in_the_same_weights_bit_for_bit(accumulate: int, tmp_path: Path):
    settings = config(tmp_path / "whole", accumulate=accumulate)
    whole = run(settings)
    parts = replace(settings, run_dir=tmp_path / "parts")
    stopped = run(replace(parts, stop_at=5))
    run(replace(parts, stop_at=9))
    resumed = run(parts)
    assert same(whole, resumed)  # the averaged weights
    assert not same(stopped, resumed)
    files = [tmp_path / run / "checkpoint" / "optimizer.bin" for run in ("whole", "parts")]
    states = [torch.load(file, weights_only=True)["state"].values() for file in files]
    assert all(torch.equal(a["exp_avg"], b["exp_avg"]) for a, b in zip(*states, strict=True))


def test_a_compiled_run_is_the_same_and_goes_on_without_compilation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """As `accelerate launch --dynamo_backend` has it; the weights keep their names, in the checkpoint too."""
    settings = config(tmp_path / "compiled")
    whole = run(config(tmp_path / "plain"))
    counters.clear()
    with monkeypatch.context() as patch:
        patch.setenv("ACCELERATE_DYNAMO_BACKEND", "EAGER")
        AcceleratorState._reset_state(True)
        run(replace(settings, stop_at=5))
    assert counters["stats"]["unique_graphs"]
    AcceleratorState._reset_state(True)
    assert same(whole, run(settings))


def test_the_average_is_what_is_returned_and_what_goes_on_is_not(tmp_path: Path):
    seen: dict[str, dict[str, Tensor]] = {}

    def spy(model: nn.Module, x: Tensor, generator: torch.Generator, step: int = 0) -> tuple[Tensor, dict[str, float]]:
        seen["trained"] = weights(model)
        return loss(model, x, generator, step)

    averaged = weights(train(config(tmp_path), Regression(), spy, batch))
    assert not same(averaged, seen["trained"])
    assert not same(averaged, weights(Regression()))


def test_the_average_is_the_exponential_one(tmp_path: Path):
    """By hand after two steps: the warm-up gives the first a decay of 0 and the second one of 1 - 2^-0.75."""
    trained: list[dict[str, Tensor]] = []

    def spy(model: nn.Module, x: Tensor, generator: torch.Generator, step: int = 0) -> tuple[Tensor, dict[str, float]]:
        trained.append(weights(model))
        return loss(model, x, generator, step)

    train(config(tmp_path / "a", steps=3), Regression(), spy, batch)
    averaged = run(config(tmp_path / "b", steps=3, stop_at=2))
    _, first, second = trained
    for name in averaged:
        expected = 2**-0.75 * second[name] + (1 - 2**-0.75) * first[name]
        torch.testing.assert_close(averaged[name], expected, atol=1e-6, rtol=1e-6)


def test_previews_and_reports_do_not_touch_the_training(tmp_path: Path):
    previews: list[tuple[str, bool, bool]] = []

    def preview(model: nn.Module, path: Path) -> None:
        torch.randn(100)  # draws, as pictures do
        previews.append((path.name, model.training, torch.is_grad_enabled()))

    plain = run(config(tmp_path / "a", preview_every=1000))
    drawn = run(config(tmp_path / "b", preview_every=2), preview=preview, report=lambda model: {"figure": 1.0})
    assert same(plain, drawn)
    assert previews == [(f"{step:06d}", False, False) for step in range(2, 13, 2)]


def test_previews_see_the_averaged_weights(tmp_path: Path):
    last: list[dict[str, Tensor]] = []
    result = run(config(tmp_path), preview=lambda model, _: last.append(weights(model)))
    assert same(last[-1], result)


def test_every_parameter_that_requires_grad_is_optimised_and_no_other(tmp_path: Path, monkeypatch):
    made: list[torch.optim.Optimizer] = []
    adam = torch.optim.AdamW
    monkeypatch.setattr(torch.optim, "AdamW", lambda *a, **k: made.append(adam(*a, **k)) or made[-1])
    model = Regression()
    before = weights(model)
    train(config(tmp_path), model, loss, batch)
    optimised = {id(p) for group in made[0].param_groups for p in group["params"]}
    assert optimised == {id(p) for p in model.parameters() if p.requires_grad}
    after = weights(model)
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed == {name for name, p in model.named_parameters() if p.requires_grad}


def test_the_adapters_groups_hold_every_parameter_once(make_adapter):
    adapter = make_adapter().requires_grad_(True)
    groups = parameter_groups(adapter, 1e-3)
    held = [id(p) for group in groups for p in group["params"]]
    assert len(held) == len(set(held)) and set(held) == {id(p) for p in adapter.parameters()}
    gates = {id(p) for n, p in adapter.named_parameters() if n.endswith(("alpha_attn", "alpha_dense"))}
    assert {id(p) for p in groups[1]["params"]} == gates and groups[1]["lr"] > 1e-3


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_loss_that_is_no_number_ends_the_run(bad: float, tmp_path: Path):
    steps: list[int] = []

    def spoiled(
        model: nn.Module, x: Tensor, generator: torch.Generator, step: int = 0
    ) -> tuple[Tensor, dict[str, float]]:
        steps.append(1)
        value, figures = loss(model, x, generator, step)
        return (value * bad if len(steps) == 7 else value), figures

    with pytest.raises(FloatingPointError, match="at step 6"):
        train(config(tmp_path), Regression(), spoiled, batch)
    assert len(steps) == 7
    assert same(run(config(tmp_path)), run(config(tmp_path / "other")))  # step 4's checkpoint is sound


def test_a_run_that_is_over_is_not_trained_further(tmp_path: Path):
    first = run(config(tmp_path))
    called: list[int] = []
    again = train(config(tmp_path), Regression(), lambda *_: called.append(1), batch)  # type: ignore[arg-type]
    assert called == [] and same(weights(again), first)


def test_only_one_checkpoint_stays(tmp_path: Path):
    run(config(tmp_path))
    assert {p.name for p in tmp_path.iterdir() if p.name.startswith("checkpoint")} == {"checkpoint"}


class Broken(Exception):
    pass


def interrupt(monkeypatch, at: str, when: int) -> None:
    """Ends the run at the `when`-th saving: while it is written, or between the two renamings of the swap."""
    calls = {"save": 0, "rename": 0}
    rename, save = Path.rename, loop.Accelerator.save_state

    def failing_rename(path: Path, target: Path) -> Path:
        if path.name == "checkpoint.new":
            calls["rename"] += 1
            if at == "rename" and calls["rename"] == when:
                raise Broken
        return rename(path, target)

    def failing_save(accelerator, folder: str) -> None:
        calls["save"] += 1
        if at == "save" and calls["save"] == when:
            Path(folder).mkdir(exist_ok=True)
            (Path(folder) / "model.safetensors").write_bytes(b"half")
            raise Broken
        save(accelerator, folder)

    monkeypatch.setattr(Path, "rename", failing_rename)
    monkeypatch.setattr(loop.Accelerator, "save_state", failing_save)


@pytest.mark.parametrize("at", ["save", "rename"])
@pytest.mark.parametrize("when", [1, 2, 3])
def test_an_interrupted_saving_costs_nothing(at: str, when: int, tmp_path: Path, monkeypatch):
    with monkeypatch.context() as patch:
        interrupt(patch, at, when)
        with pytest.raises(Broken):
            run(config(tmp_path / "broken"))
    assert same(run(config(tmp_path / "broken")), run(config(tmp_path / "whole")))


def test_two_interruptions_in_a_row_leave_a_whole_checkpoint(tmp_path: Path, monkeypatch):
    """The first leaves only checkpoint.old; the second comes when that one's successor is being renamed."""
    for when in (2, 1):
        with monkeypatch.context() as patch:
            interrupt(patch, "rename", when)
            with pytest.raises(Broken):
                run(config(tmp_path))
    steps: list[int] = []

    def counting(indices: Sequence[int]) -> Tensor:
        steps.append(indices[0] // 4)
        return batch(indices)

    train(config(tmp_path), Regression(), loss, counting)
    assert steps[0] >= 4  # not from the start again


def test_step_generators_differ_by_seed_step_and_part_alone():
    def draw(*where: int) -> tuple[float, ...]:
        return tuple(torch.rand(4, generator=step_generator(*where, torch.device("cpu"))).tolist())

    places = [(seed, step, part) for seed in (0, 1) for step in (0, 1, 2, 1009) for part in (0, 1)]
    assert len({draw(*p) for p in places}) == len(places)
    assert draw(1, 2, 3) == draw(1, 2, 3)


def test_samples_are_counted_up_without_a_gap(tmp_path: Path):
    asked: list[int] = []

    def counting(indices: Sequence[int]) -> Tensor:
        asked.extend(indices)
        return batch(indices)

    train(config(tmp_path, accumulate=2), Regression(), loss, counting)
    assert asked == list(range(12 * 2 * 4))


def test_figures_are_logged(tmp_path: Path):
    run(config(tmp_path), report=lambda model: {"figure": 2.5})
    files = list((tmp_path / "logs").rglob("events*"))
    assert files and b"figure" in files[0].read_bytes()


def test_a_loss_gets_the_optimiser_step_and_not_the_pass(tmp_path: Path):
    steps: list[int] = []

    def spy(model: nn.Module, x: Tensor, generator: torch.Generator, step: int) -> tuple[Tensor, dict[str, float]]:
        steps.append(step)
        return loss(model, x, generator, step)

    train(config(tmp_path, steps=3, accumulate=2), Regression(), spy, batch)
    assert steps == [0, 0, 1, 1, 2, 2]


@pytest.fixture
def heard() -> Iterator[None]:
    """Signals as in a terminal: what a shell starts in the background does not hear Ctrl-C."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(params=[signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
def stopping(request: pytest.FixtureRequest, heard: None) -> Callable[..., Tensor]:
    """A `batch` that sends the process a signal in its fifth step."""
    steps: list[int] = []

    def signalling(indices: Sequence[int]) -> Tensor:
        steps.append(1)
        if len(steps) == 5:
            os.kill(os.getpid(), request.param)
        return batch(indices)

    signalling.number = request.param  # type: ignore[attr-defined]
    return signalling


def test_a_signal_ends_a_run_after_its_step_with_a_checkpoint(stopping, tmp_path: Path, capfd):
    before = signal.getsignal(stopping.number)
    with pytest.raises(
        Interrupted, match=rf"stopped by {stopping.number.name} after step 5.*goes on:\npython "
    ) as ended:
        train(config(tmp_path / "stopped"), Regression(), loss, stopping)
    assert ended.value.code == 128 + stopping.number
    assert "ending after this step, with a checkpoint; once more ends at once" in capfd.readouterr().err
    assert signal.getsignal(stopping.number) is before
    kept = torch.load(tmp_path / "stopped" / "checkpoint" / "custom_checkpoint_1.pkl", weights_only=True)
    assert kept["step"] == 5
    assert same(run(config(tmp_path / "stopped")), run(config(tmp_path / "whole")))


def test_a_second_signal_ends_a_run_at_once(heard: None, tmp_path: Path):
    def impatient(indices: Sequence[int]) -> Tensor:
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)
        return batch(indices)

    with pytest.raises(KeyboardInterrupt):
        train(config(tmp_path), Regression(), loss, impatient)
    assert not (tmp_path / "checkpoint").exists()


def test_an_interrupted_script_says_how_to_go_on(capsys):
    with pytest.raises(SystemExit) as ended, in_words():
        raise Interrupted("stopped; the same command goes on", signal.SIGINT)
    assert ended.value.code == 130 and "the same command goes on" in capsys.readouterr().err


@pytest.mark.parametrize("changes", [{"batch_size": 5}, {"accumulate": 2}])
def test_samples_that_would_be_dealt_out_otherwise_are_refused(changes: dict, tmp_path: Path):
    run(config(tmp_path, stop_at=5))
    with pytest.raises(UsageError, match="made with --batch-size 4 and 1 forward passes per step.*another --run-dir"):
        run(config(tmp_path, **changes))
    assert same(run(config(tmp_path)), run(config(tmp_path / "whole")))


def test_checkpoints_that_say_nothing_of_it_still_load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """As those of earlier versions."""
    with monkeypatch.context() as patch:
        patch.setattr(checkpoints.Progress, "state_dict", lambda progress: {"step": progress.step})
        run(config(tmp_path / "old", stop_at=5))
    assert same(run(config(tmp_path / "old")), run(config(tmp_path / "whole")))


def test_what_a_checkpoint_holds_keeps_its_order(tmp_path: Path):
    """Its files are numbered by it: the average first, then the steps."""
    run(config(tmp_path))
    average, progress = (
        torch.load(tmp_path / "checkpoint" / f"custom_checkpoint_{i}.pkl", weights_only=True) for i in (0, 1)
    )
    assert "shadow_params" in average and progress == {"step": 12, "batch_size": 4, "passes": 1}


class Full(io.RawIOBase):
    """A file on a disk without room."""

    def writable(self) -> bool:
        return True

    def write(self, data) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("words", ["os", "torch", "safetensors"])
def test_a_full_disk_ends_in_a_sentence_and_leaves_the_last_checkpoint(words: str, tmp_path: Path, monkeypatch):
    """As the system says it, as torch does, which only finds that its archive is short, and as safetensors does."""
    save, calls = loop.Accelerator.save_state, itertools.count()

    def full(accelerator, folder: str) -> None:
        if next(calls) == 1:
            (Path(folder)).mkdir()
            if words == "torch":
                torch.save({"a": torch.zeros(9)}, Full())  # type: ignore[arg-type]
            raise (
                OSError(errno.ENOSPC, "No space left") if words == "os" else SafetensorError("No space left on device")
            )
        save(accelerator, folder)

    with monkeypatch.context() as patch:
        patch.setattr(loop.Accelerator, "save_state", full)
        with pytest.raises(UsageError, match=r"cannot be written to .* GB are free .*the last one is whole: make room"):
            run(config(tmp_path / "full"))
    assert {path.name for path in (tmp_path / "full").iterdir()} == {"checkpoint", "logs"}
    assert same(run(config(tmp_path / "full")), run(config(tmp_path / "whole")))


@pytest.mark.parametrize(
    "error", [OSError(errno.EIO, "Input/output error"), UsageError("the picture a.jpg is damaged")]
)
def test_what_cannot_be_read_ends_a_run_and_leaves_the_last_checkpoint(error: Exception, tmp_path: Path, capsys):
    def unreadable(indices: Sequence[int]) -> Tensor:
        if indices[0] == 4 * 6:
            raise error
        return batch(indices)

    with pytest.raises(SystemExit) as ended, in_words():
        train(config(tmp_path / "broken"), Regression(), loss, unreadable)
    assert ended.value.code == 2 and str(error) in capsys.readouterr().err
    assert same(run(config(tmp_path / "broken")), run(config(tmp_path / "whole")))


def test_figures_of_several_passes_are_their_means(tmp_path: Path):
    said: list[float] = []

    def spy(model: nn.Module, x: Tensor, generator: torch.Generator, step: int) -> tuple[Tensor, dict[str, float]]:
        value, _ = loss(model, x, generator, step)
        said.append(value.item())
        return value, {"pass": float(len(said))}

    train(config(tmp_path, steps=1, accumulate=4, log_every=1), Regression(), spy, batch)
    (file,) = (tmp_path / "logs").rglob("events*")
    events = EventAccumulator(str(file)).Reload()
    assert events.Scalars("pass")[0].value == 2.5
    assert events.Scalars("loss")[0].value == pytest.approx(sum(said) / 4)


def test_processes_that_accelerate_takes_for_one_are_refused(monkeypatch: pytest.MonkeyPatch):
    PartialState()  # without being told that these share a CPU
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(UsageError, match="2 processes were started, and accelerate takes them for 1"):
        this_process()


@pytest.mark.parametrize("kind", [DistributedType.FSDP, DistributedType.DEEPSPEED])
def test_weights_that_are_dealt_out_are_refused(kind: DistributedType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(loop.Accelerator, "distributed_type", kind)
    with pytest.raises(UsageError, match=f"every process keeps the whole model here.*{kind.value}.*--half-unet"):
        run(config(tmp_path))
