"""Columns of 8-byte numbers between the driver and Spark, packed: no Python object a row."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pyspark.sql import DataFrame

from etl.near_dedup.arrow import chunks, joined, joined_bytes
from etl.near_dedup.bands import Ints
from etl.stage import Lake

TRANSFER_ROWS = 1 << 17


def collect_columns(lake: Lake, rows: DataFrame) -> tuple[Ints, ...]:
    """The columns as int64 (a double by its bits), in the rows' order. 8 bytes a value."""
    lake.batch_rows(TRANSFER_ROWS)
    packed = rows.mapInArrow(_Pack(rows.columns), "packed binary").collect()
    return joined_bytes([row["packed"] for row in packed], len(rows.columns))


class _Pack:
    def __init__(self, names: list[str]) -> None:
        self.names = names

    def __call__(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            columns = [np.asarray(batch.column(name)) for name in self.names]
            data = pa.array(list(chunks(*columns)), pa.binary())
            yield pa.RecordBatch.from_arrays([data], names=["packed"])


def local_columns(lake: Lake, schema: str, *columns: npt.NDArray[np.generic]) -> DataFrame:
    """Rows of `schema` ("name long, name double"), unpacked on the executors."""
    fields = [field.split() for field in schema.split(",")]
    names = [(name, kind == "double") for name, kind in fields]
    rows = [(data,) for data in chunks(*columns)]
    return lake.local_rows(rows, "packed binary").mapInArrow(_Unpack(names), schema)


class _Unpack:
    def __init__(self, names: list[tuple[str, bool]]) -> None:
        self.names = names

    def __call__(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            columns = joined(batch.column("packed"), len(self.names))
            arrays = [
                pa.array(column.view(np.float64) if is_double else column)
                for (_, is_double), column in zip(self.names, columns, strict=True)
            ]
            yield pa.RecordBatch.from_arrays(arrays, names=[name for name, _ in self.names])
