"""All facts of a batch of contents in one crossing: (blob_id, content, basenames, due) -> facts.

An annotator group is a column of the result with a version of its own; its bit in `due` says for
which rows it is to be computed, and where it is not set the column is null and nothing is spent.
To add a group is to write a function of (Batch) -> array and to put it into GROUPS.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from etl.facts import contamination, html, language, minhash, pii, quality
from etl.facts.kernels import Mask

FACTS = pa.struct([*quality.FIELDS, ("contaminated_by", pa.list_(pa.string()))])
NAME_FACT = pa.struct(
    [
        *language.NAME,
        ("visible_text_chars", pa.int64()),
        ("visible_text_fraction", pa.float64()),
    ]
)
PII = pii.FIELDS


@dataclass(frozen=True)
class Batch:
    """`content` string, `basenames` list<string>, and the rows that a group is due for.

    `shared` is what was drawn from the shingles of the rows that `facts` or `signature` is due for, where
    the groups share it.
    """

    content: pa.Array
    basenames: pa.ListArray
    due: Mask
    shared: minhash.Signed | None = None

    @property
    def signed(self) -> minhash.Signed:
        return self.shared or sign(self.content, self.due)


@dataclass(frozen=True)
class Group:
    """Annotators that are computed together, into one column of the result.

    `version` changes whenever a result may differ: new rows, never an update.
    """

    column: str
    bit: int
    version: int
    type: pa.DataType
    annotate: Callable[[Batch], pa.Array]


def sign(content: pa.Array, due: Mask) -> minhash.Signed:
    """Signatures, and which needles' anchors are among the shingles."""
    return minhash.sign(content, due, contamination.anchors())


def annotate_facts(batch: Batch) -> pa.Array:
    """FACTS."""
    scalars = quality.quality(batch.content, batch.due)
    columns = [scalars.field(i) for i in range(len(quality.FIELDS))]
    columns.append(contamination.matches(batch.content, batch.signed.has_both, batch.due))
    return pa.StructArray.from_arrays(columns, fields=list(FACTS), mask=pc.is_null(scalars))


def annotate_signature(batch: Batch) -> pa.Array:
    """`etl.facts.minhash.FIELDS`."""
    return pc.if_else(pa.array(batch.due), batch.signed.fields, None)


def annotate_pii(batch: Batch) -> pa.Array:
    """`etl.facts.pii.FIELDS`."""
    return pii.scan(batch.content, batch.due)


def annotate_names(batch: Batch) -> pa.Array:
    """A list of NAME_FACT for each content: the visible text only where the name makes it HTML."""
    names = language.classify(batch.content, batch.basenames, batch.due)
    values = names.values
    is_html = pc.fill_null(pc.equal(values.field("language"), "HTML"), False)
    rows = np.repeat(np.arange(len(names)), np.diff(np.asarray(names.offsets)))
    rows_html = np.zeros(len(names), np.bool_)
    rows_html[rows[np.array(is_html, np.bool_)]] = True
    columns = [values.field(i) for i in range(len(language.NAME))]
    for counted in html.visible_text(batch.content, rows_html):
        of_name = pc.take(counted, pa.array(rows, pa.int64()))
        columns.append(pc.if_else(is_html, of_name, pa.scalar(None, of_name.type)))
    facts = pa.StructArray.from_arrays(columns, fields=list(NAME_FACT))
    return pa.ListArray.from_arrays(names.offsets, facts, mask=pc.is_null(names))


FACTS_BIT, SIGNATURES_BIT, PII_BIT, NAMES_BIT = 1, 2, 4, 8
FACTS_VERSION = 100 * quality.VERSION + contamination.VERSION  # either one changes the row
SIGNATURES_VERSION = minhash.VERSION
PII_VERSION = pii.VERSION
NAMES_VERSION = 100 * language.VERSION + html.VERSION  # as well

GROUPS = (
    Group("facts", FACTS_BIT, FACTS_VERSION, FACTS, annotate_facts),
    Group("signature", SIGNATURES_BIT, SIGNATURES_VERSION, minhash.FIELDS, annotate_signature),
    Group("pii", PII_BIT, PII_VERSION, PII, annotate_pii),
    Group("names", NAMES_BIT, NAMES_VERSION, pa.list_(NAME_FACT), annotate_names),
)

INPUT = pa.schema(
    [
        ("blob_id", pa.string()),
        ("content", pa.string()),
        ("basenames", pa.list_(pa.string())),
        ("due", pa.int32()),
    ]
)
OUTPUT = pa.schema([("blob_id", pa.string()), *((group.column, group.type) for group in GROUPS)])


def annotate_batch(batch: pa.RecordBatch) -> pa.RecordBatch:
    """OUTPUT of INPUT, row for row: every group that is due.

    The rows of a group whose bit `due` lacks are null, as are those of a null content; a null
    `due` is 0. Memory: the result, one hash table and what the detectors find; no copy of content.
    """
    content = batch.column("content")
    basenames = batch.column("basenames")
    due = np.array(pc.fill_null(batch.column("due"), 0), np.int32)
    is_signed = (due & (FACTS_BIT | SIGNATURES_BIT)) != 0
    shared = sign(content, is_signed) if is_signed.any() else None
    columns = [batch.column("blob_id")]
    for group in GROUPS:
        rows = (due & group.bit) != 0
        if rows.any():
            columns.append(group.annotate(Batch(content, basenames, rows, shared)))
        else:
            columns.append(pa.nulls(len(batch), group.type))
    return pa.RecordBatch.from_arrays(columns, schema=OUTPUT)
