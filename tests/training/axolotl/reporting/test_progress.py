"""What a person hears during a run, and how its end is named."""

import errno
import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from twin_assets.training.axolotl.failures import ZERO_LOSS, broken_loss, name_exception, name_failure
from twin_assets.training.axolotl.reporting.phases import LOADING, READING
from twin_assets.training.axolotl.reporting.plots import training_plot
from twin_assets.training.axolotl.reporting.progress import PREFIX, Progress, point_metrics, read_points
from twin_assets.training.configs.job import HistoryPoint

REPORTS = [
    '{"event": "begin", "rows": 20, "steps": 4, "step": 0}',
    '{"event": "log", "step": 1, "loss": 4.0, "tokens_per_second": 900.0, "memory_gb": 1.5, "grad_norm": 1.0}',
    '{"event": "log", "step": 2, "loss": 2.0, "tokens_per_second": 1100.0, "memory_gb": 1.6, '
    '"rewards/accuracies": 0.75, "rewards/margins": 0.1}',
    '{"event": "saved", "step": 2}',
    '{"event": "log", "step": 2, "eval_loss": 3.5}',
    '{"event": "end", "step": 2, "rows_trained": 10, "tokens": 1000}',
]


def read(lines: list[str], file: Path) -> tuple[Progress, list[str]]:
    """The progress after these lines, and the news among them."""
    progress = Progress("sft", file)
    told = [progress.read(f"{PREFIX}{line}\n") for line in lines]
    assert all(is_report for is_report, _ in told)
    return progress, [news for _, news in told if news]


def test_reports_become_history_and_metrics(tmp_path: Path) -> None:
    progress, _ = read(REPORTS, tmp_path / "history.jsonl")
    assert [(p.step, p.loss, p.eval_loss) for p in progress.history] == [
        (1, 4.0, None), (2, 2.0, None), (2, None, 3.5),
    ]  # fmt: skip
    metrics = progress.metrics()
    assert metrics.pop("seconds") >= 0
    assert metrics.pop("tokens_per_second") == pytest.approx(1000 / progress.seconds, abs=0.1)
    assert metrics == {
        "steps": 2, "train_loss": 2.0, "eval_loss": 3.5, "reward_accuracy": 0.75, "reward_margin": 0.1,
        "peak_memory_gb": 1.6,
    }  # fmt: skip
    assert progress.rows_trained == 10


def test_rewards_are_told_of_the_later_half_of_the_steps() -> None:
    margins = [0.0, 0.0, 0.1, 0.3, -0.1, 0.3]
    history = [
        HistoryPoint(step=n, loss=1.0, reward_margin=m, reward_accuracy=float(m > 0))
        for n, m in enumerate(margins)
    ]
    metrics = point_metrics(history)
    assert metrics["reward_margin"] == pytest.approx(0.5 / 3)
    assert metrics["reward_accuracy"] == pytest.approx(2 / 3)


def test_the_history_is_on_disk_as_it_comes_and_a_cut_line_is_left_out(tmp_path: Path) -> None:
    file = tmp_path / "history.jsonl"
    progress, _ = read(REPORTS[:3], file)
    assert read_points(file) == progress.history
    file.write_text(file.read_text() + '{"step": 3, "lo')
    assert read_points(file) == progress.history


def test_memory_is_the_most_so_far_though_axolotl_sets_the_peak_back(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from twin_assets.training.reporter import Peak, Reporter

    reporter = Reporter(SimpleNamespace(train_dataset=[0] * 4, is_world_process_zero=lambda: True))
    held = iter([9.0, 3.0, 11.0, 4.0, 5.0])  # a step, its log, an evaluation, a step, its log
    reporter.memory = Peak(held.__next__)
    args, state = SimpleNamespace(fp16=False), SimpleNamespace(global_step=1, num_input_tokens_seen=8)
    reporter.on_step_end(args, state, None)
    reporter.on_log(args, state, None, {"loss": 2.0})
    reporter.on_prediction_step(args, state, None)
    reporter.on_step_end(args, state, None)
    reporter.on_log(args, state, None, {"loss": 1.0})
    progress = Progress("sft", tmp_path / "history.jsonl")
    for line in capsys.readouterr().out.splitlines():
        progress.read(line)
    assert [p.memory_gb for p in progress.history] == [9.0, 11.0]
    assert progress.metrics()["peak_memory_gb"] == 11.0


def test_without_a_gpu_memory_is_that_of_the_process() -> None:
    from twin_assets.training.reporter import _memory_gb

    assert 0.05 < _memory_gb() < 100


def test_a_line_says_step_loss_speed_memory_and_time_left(tmp_path: Path) -> None:
    line = read(REPORTS, tmp_path / "history.jsonl")[0].line()
    assert line.startswith("sft: step 2 of 4 · loss 2.000 · 1,100 tokens/s · 1.6 GB · ")
    assert line.endswith(" s left")
    assert "starting" in read(REPORTS[:1], tmp_path / "history.jsonl")[0].line()


def test_a_checkpoint_and_an_evaluation_are_news(tmp_path: Path) -> None:
    _, news = read(REPORTS, tmp_path / "history.jsonl")
    assert news == ["sft: step 2 · checkpoint saved", "sft: step 2 · held-out loss 3.500"]


def test_a_resumed_run_goes_on_in_steps_and_seconds(tmp_path: Path) -> None:
    earlier = [HistoryPoint(step=50, seconds=100.0, loss=3.0)]
    progress = Progress("sft", tmp_path / "history.jsonl", earlier)
    progress.read(PREFIX + '{"event": "begin", "rows": 20, "steps": 100, "step": 50}')
    assert "step 50 of 100" in progress.line()
    assert "starting" in progress.line()  # the pace is this attempt's own
    progress.read(PREFIX + '{"event": "log", "step": 51, "loss": 2.9}')
    assert [p.step for p in read_points(tmp_path / "history.jsonl")] == [50, 51]
    assert progress.history[-1].seconds >= 100.0


def test_other_output_is_no_report(tmp_path: Path) -> None:
    assert Progress("sft", tmp_path / "history.jsonl").read("[INFO] loading\n") == (False, None)


@pytest.mark.parametrize(
    ("line", "named"),
    [
        ("OSError: [Errno 28] No space left on device", "disk is full"),
        ("torch.OutOfMemoryError: CUDA out of memory.", "out of memory"),
        ("RuntimeError: [enforce fail] DefaultCPUAllocator: can't allocate memory", "out of memory"),
        ("RuntimeError: could not create a primitive", "out of memory"),
        ("ValueError: Sample exceeds configured sequence_len (512).", "longer than sequence_len"),
        ("pydantic_core.ValidationError: 1 validation error for AxolotlInputConfig", "refuses the training"),
        ("SafetensorError: I/O error: No space left on device (os error 28)", "disk is full"),
        ("AssertionError: Torch not compiled with CUDA enabled", "needs a GPU"),
        ("wandb.errors.UsageError: No API key configured. Use `wandb login`", "no valid key"),
        ("KeyError: 'surprise'", "status 1"),
    ],
)
def test_a_failure_is_named_with_its_last_lines(line: str, named: str) -> None:
    error = name_failure(1, ["first", line], LOADING)
    assert named in error.problem
    assert line in error.problem
    assert error.fix


def test_a_process_killed_by_the_system_ran_out_of_memory() -> None:
    assert "out of memory" in name_failure(-9, ["step 3"], LOADING).problem


def test_a_disk_that_fills_under_our_own_files_is_named() -> None:
    assert "disk is full" in str(name_exception(OSError(errno.ENOSPC, "No space left on device"), READING))
    assert "train.log" in str(name_exception(PermissionError(errno.EACCES, "denied", "train.log"), READING))


def test_an_exception_that_has_no_name_is_told_as_it_is() -> None:
    error = name_exception(ZeroDivisionError("division by zero"), READING)
    assert error.problem == f"The training stopped while {READING}: ZeroDivisionError: division by zero."
    assert "report it" in error.fix


def test_a_broken_loss_says_where() -> None:
    assert "step 7: grad_norm" in str(broken_loss("grad_norm", 7))


@pytest.mark.parametrize(
    "history",
    [
        [],
        [
            HistoryPoint(step=1, loss=2.0, learning_rate=1e-4, tokens_per_second=900.0),
            HistoryPoint(step=2, eval_loss=3.0),
        ],
    ],
)
def test_the_training_plot_is_a_picture_even_of_nothing(history: list[HistoryPoint]) -> None:
    assert training_plot(history).startswith(b"\x89PNG")


@pytest.mark.parametrize("packs", [True, False])
def test_packed_rows_without_a_loss_stop_the_run(packs: bool, capsys: pytest.CaptureFixture[str]) -> None:
    from twin_assets.training.reporter import Reporter

    reporter = Reporter(SimpleNamespace(train_dataset=[0] * 4, is_world_process_zero=lambda: True))
    args = SimpleNamespace(fp16=False, sample_packing=packs)
    control = SimpleNamespace(should_training_stop=False, should_save=True)
    state = SimpleNamespace(global_step=3, num_input_tokens_seen=8)
    reporter.on_log(args, state, control, {"loss": 0.0, "grad_norm": 0.0})
    assert (control.should_training_stop, control.should_save) == (packs, not packs)
    progress = Progress("sft", Path(os.devnull))
    for line in capsys.readouterr().out.splitlines():
        progress.read(line)
    assert progress.broken == ((ZERO_LOSS, 3) if packs else None)
