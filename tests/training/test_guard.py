"""What the guard admits, on losses chosen by hand."""

from __future__ import annotations

import math

import pytest

from etl.errors import TrainingError
from training.config import GuardConfig
from training.guard import LossGuard


def guard(**values: float) -> LossGuard:
    found = LossGuard(GuardConfig(window=8, deviations=3, max_skipped=3, **values))  # type: ignore[arg-type]
    for loss in (2.0, 2.2, 1.8, 2.0):  # mean 2, standard deviation 0.1414
        assert found.admits(loss)
        found.took(loss)
    return found


@pytest.mark.parametrize(
    ("loss", "is_admitted"),
    [(2.4, True), (2.45, False), (math.nan, False), (math.inf, False), (0.1, True)],
)
def test_a_loss_three_deviations_above_the_mean_is_a_spike(loss: float, is_admitted: bool) -> None:
    assert guard().admits(loss) == is_admitted


def test_no_number_is_never_admitted_and_nothing_is_a_spike_at_first() -> None:
    fresh = LossGuard(GuardConfig(window=8))
    assert fresh.admits(1e9)
    assert not fresh.admits(math.nan)


def test_too_many_in_a_row_end_the_run() -> None:
    found = guard()
    found.left_out(10)
    found.left_out(11)
    found.took(2.0)
    found.left_out(13)
    found.left_out(14)
    with pytest.raises(TrainingError, match=r"step 15: expected a finite loss .* 3 steps"):
        found.left_out(15)


def test_a_restored_guard_judges_as_the_one_that_was_saved() -> None:
    first = guard()
    second = LossGuard(first.config)
    second.restore(first.state())
    assert [second.admits(loss) for loss in (2.4, 2.45)] == [True, False]
    assert second.state() == first.state()
