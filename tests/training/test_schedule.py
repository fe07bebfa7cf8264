"""Rates and stages, against values worked out by hand."""

from __future__ import annotations

import pytest

from training.config import StageConfig
from training.schedule import learning_rate, place_of

SHAPE = {"sequence_length": 64, "sequences_per_batch": 8, "sequences_per_rank": 8}
BASE = StageConfig(
    name="base", steps=9, learning_rate=1.0, final_learning_rate=0.2, warmup_steps=4, **SHAPE
)  # type: ignore[arg-type]
LONG = StageConfig(
    name="long", steps=2, learning_rate=0.1, final_learning_rate=0.0, warmup_steps=0, **SHAPE
)  # type: ignore[arg-type]


def test_the_rate_warms_up_in_a_line_and_falls_along_a_cosine() -> None:
    # Steps 0-3: fifths of the peak; step 4 the peak; step 6 half-way down, step 8 the final rate
    found = [learning_rate(BASE, step) for step in range(9)]
    assert found[:5] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])
    assert found[6] == pytest.approx(0.6)
    assert found[8] == pytest.approx(0.2)
    assert found[4] > found[5] > found[6] > found[7] > found[8]


def test_a_stage_begins_anew() -> None:
    place = place_of((BASE, LONG), 9)
    assert (place.number, place.stage, place.step, place.first_step) == (1, LONG, 0, 9)
    assert learning_rate(place.stage, place.step) == pytest.approx(0.1)
    assert place_of((BASE, LONG), 8).stage is BASE
    with pytest.raises(IndexError):
        place_of((BASE, LONG), 11)
