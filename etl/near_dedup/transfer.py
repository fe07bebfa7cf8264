"""Columns of numbers and ids between the driver and Spark, packed: no Python object a row."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy.typing as npt
import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from etl.near_dedup.arrow import ID_WORDS, chunks, ids_of_words, numbers, unpacked, words_of_ids
from etl.near_dedup.bands import Ints
from etl.stage import Lake

TRANSFER_ROWS = 1 << 16


def collect_columns(lake: Lake, rows: DataFrame) -> tuple[Ints, ...]:
    """The columns, in the rows' order: numbers as int64 (a double by its bits), ids (strings of 64
    hex digits) as int64[n, 4]. 8 bytes a number, 32 an id; no column may hold a null."""
    is_id = [kind == "string" for _, kind in rows.dtypes]
    ids = {name: F.unhex(name) for name, found in zip(rows.columns, is_id, strict=True) if found}
    lake.batch_rows(TRANSFER_ROWS)
    found = rows.withColumns(ids).mapInArrow(_Pack(rows.columns, is_id), "packed binary").collect()
    widths = [ID_WORDS if found else 1 for found in is_id]
    return unpacked([row["packed"] for row in found], widths)


class _Pack:
    def __init__(self, names: list[str], is_id: list[bool]) -> None:
        self.columns = list(zip(names, is_id, strict=True))

    def __call__(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            columns = [
                words_of_ids(batch.column(name)) if is_id else numbers(batch.column(name))
                for name, is_id in self.columns
            ]
            data = pa.array(list(chunks(*columns)), pa.binary())
            yield pa.RecordBatch.from_arrays([data], names=["packed"])


def local_columns(lake: Lake, schema: str, *columns: npt.NDArray[Any]) -> DataFrame:
    """Rows of `schema` ("name long, name double, name string"), unpacked on the executors."""
    fields = [field.split() for field in schema.split(",")]
    rows = [(data,) for data in chunks(*columns)]
    given = lake.local_rows(rows, "packed binary")
    return given.mapInArrow(_Unpack([(name, kind) for name, kind in fields]), schema)


class _Unpack:
    def __init__(self, fields: list[tuple[str, str]]) -> None:
        self.fields = fields

    def __call__(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        widths = [ID_WORDS if kind == "string" else 1 for _, kind in self.fields]
        for batch in batches:
            for value in batch.column("packed"):
                columns = unpacked([value.as_buffer()], widths)
                yield pa.RecordBatch.from_arrays(
                    [
                        _array(column, kind)
                        for (_, kind), column in zip(self.fields, columns, strict=True)
                    ],
                    names=[name for name, _ in self.fields],
                )


def _array(column: Ints, kind: str) -> pa.Array:
    if kind == "string":
        return ids_of_words(column)
    if kind == "double":
        return pa.array(column.view("float64"))
    return pa.array(column).cast(pa.int32() if kind == "int" else pa.int64())
