from __future__ import annotations

import pyarrow as pa

from etl.batches import gathered


def batch(*texts: str) -> pa.RecordBatch:
    return pa.record_batch({"text": pa.array(texts, pa.string())})


def test_rows_keep_their_order_and_batches_reach_the_target() -> None:
    batches = [batch("a" * 40), batch("b" * 30, "c" * 40), batch("d"), batch(), batch("e" * 200)]
    found = list(gathered(iter(batches), target_bytes=100))
    assert [row for one in found for row in one.column("text").to_pylist()] == [
        row for one in batches for row in one.column("text").to_pylist()
    ]
    assert [len(one) for one in found] == [3, 2]


def test_a_batch_that_is_large_enough_goes_through_as_it_is() -> None:
    large = batch("x" * 500)
    (found,) = gathered([large], target_bytes=100)
    assert found.column("text").buffers()[2].address == large.column("text").buffers()[2].address


def test_no_batches_give_none() -> None:
    assert list(gathered([])) == []
