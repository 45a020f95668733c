"""What a person hears during a run, and how its end is named."""

import pytest

from twin_assets.training.failures import broken_loss, name_failure
from twin_assets.training.plots import loss_plot
from twin_assets.training.progress import PREFIX, Progress
from twin_assets.training.records import HistoryPoint

REPORTS = [
    '{"event": "begin", "rows": 20, "steps": 4}',
    '{"event": "log", "step": 1, "loss": 4.0, "learning_rate": 0.001, "grad_norm": 1.0}',
    '{"event": "log", "step": 2, "loss": 2.0, "rewards/accuracies": 0.75, "rewards/margins": 0.1}',
    '{"event": "log", "step": 2, "eval_loss": 3.5}',
    '{"event": "end", "step": 2, "rows_trained": 10}',
]


def read(lines: list[str]) -> Progress:
    progress = Progress("sft")
    for line in lines:
        assert progress.read(f"{PREFIX}{line}\n")
    return progress


def test_reports_become_history_and_metrics() -> None:
    progress = read(REPORTS)
    assert [(p.step, p.loss, p.eval_loss) for p in progress.history] == [
        (1, 4.0, None), (2, 2.0, None), (2, None, 3.5),
    ]  # fmt: skip
    assert progress.metrics() == {
        "steps": 2, "train_loss": 2.0, "eval_loss": 3.5, "reward_accuracy": 0.75, "reward_margin": 0.1,
    }  # fmt: skip
    assert progress.rows_trained == 10


def test_a_line_says_step_loss_and_time_left() -> None:
    assert "step 2 of 4 · loss 2.000" in read(REPORTS).line()
    assert "left" in read(REPORTS).line()
    assert "starting" in read(REPORTS[:1]).line()


def test_other_output_is_no_report() -> None:
    assert not Progress("sft").read("[INFO] loading\n")


@pytest.mark.parametrize(
    ("line", "named"),
    [
        ("OSError: [Errno 28] No space left on device", "disk is full"),
        ("torch.OutOfMemoryError: CUDA out of memory.", "out of memory"),
        ("RuntimeError: [enforce fail] DefaultCPUAllocator: can't allocate memory", "out of memory"),
        ("ValueError: Sample exceeds configured sequence_len (512).", "longer than sequence_len"),
        ("pydantic_core.ValidationError: 1 validation error for AxolotlInputConfig", "refuses the training"),
        ("KeyError: 'surprise'", "status 1"),
    ],
)
def test_a_failure_is_named_with_its_last_lines(line: str, named: str) -> None:
    error = name_failure(1, ["first", line])
    assert named in error.problem
    assert line in error.problem
    assert error.fix


def test_a_process_killed_by_the_system_ran_out_of_memory() -> None:
    assert "out of memory" in name_failure(-9, ["step 3"]).problem


def test_a_broken_loss_says_where() -> None:
    assert "step 7: grad_norm" in str(broken_loss("grad_norm", 7))


@pytest.mark.parametrize(
    "history", [[], [HistoryPoint(step=1, loss=2.0), HistoryPoint(step=2, eval_loss=3.0)]]
)
def test_the_loss_plot_is_a_picture_even_of_nothing(history: list[HistoryPoint]) -> None:
    assert loss_plot(history).startswith(b"\x89PNG")
