"""Which of many copies is kept?    judged files, documents, pairs -> outcomes of files

Eligible files come first, so a file that a rule drops never takes its copies with it. The order is
total: row order and partitioning cannot change it.

Of equal texts the first file stands for all. Of documents (sets of shingles) the first text stands
for all, and among documents one is kept unless it is as similar as the threshold to a kept one
before it: see `etl.near_dedup.elect`. The kept file of a text is so the one that stands for the
document that its own is, or was dropped for.

Files travel packed, as Arrow streams of many rows (`etl.copies` works on them): by the part that
their document, or without one their text, lies in; and, once decided, by their repository.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import reduce
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from etl import copies
from etl.batches import gathered
from etl.copies import Copies, Linked, from_bytes, to_bytes
from etl.eligibility import LICENSE_RANK
from etl.errors import ContractError
from etl.near_dedup.arrow import (
    ID_WORDS,
    PACKED,
    buffers_of,
    by_part,
    chunks,
    numbers,
    of_kind,
    packed_batch,
    parts_of,
    unpacked,
)
from etl.near_dedup.bands import Ints
from etl.near_dedup.config import NearDedupConfig
from etl.near_dedup.demand import IS_COMPLETE, Unverified, compare_demanded
from etl.near_dedup.elect import Edges, Elected, elect, in_rank_order, least_rows
from etl.near_dedup.stage import store_pairs
from etl.near_dedup.transfer import collect_columns, local_columns
from etl.stage import Lake
from etl.tables import DECISIONS, DEFERRED_SETS, DUPLICATES, PAIRS, UNVERIFIED

PART_FILES = 1 << 17  # files of a part: about 64 MB
LEAST_PARTS = 8
FILE_ROWS = 8192  # files in an Arrow batch: 4 MB
STREAM_ROWS = 16  # packed files in an Arrow batch
PART_BYTES = 64 << 20  # of files that are split into parts at a time

_LACKING = (
    "deferred_sets: expected the set of every document in `unverified`, found fewer: delete the tables "
    "documents, band_index, pairs, unverified and deferred_sets, and run `stackmill near_dedup`"
)

FILES_KIND, INVOLVED, TWINS, LINKED, DECIDED, CLUSTERED, COUNTED = range(7)  # kinds of packed rows

GROUPED = "part int, files binary, nodes binary"
NODE_WIDTHS = [
    1,
    1,
    ID_WORDS,
    ID_WORDS,
    ID_WORDS,
]  # document, rank, text_id, blob_id, least blob_id
LINKED_WIDTHS = [1, 1, 1, ID_WORDS]


class Known(NamedTuple):
    """What the driver knows of documents: pairs at or above the threshold, and what is unverified.

    24 bytes a pair, 16 a document.
    """

    edges: Edges
    waiting: Ints
    block: Ints

    @property
    def documents(self) -> Ints:
        return np.unique(np.concatenate((self.edges.left, self.edges.right, self.waiting)))


class Nodes(NamedTuple):
    """Documents that have files, in rank order, with the content that stands for each and the least
    blob_id. 112 bytes each."""

    document: Ints
    blob: Ints
    least: Ints


_NO_INTS = np.empty(0, np.int64)
NOTHING = Known(Edges(_NO_INTS, _NO_INTS, np.empty(0)), _NO_INTS, _NO_INTS)
NONE_LINKED = Linked(_NO_INTS, _NO_INTS, _NO_INTS, np.empty((0, ID_WORDS), np.int64))


# --- files to parts


def num_parts(num_files: int) -> int:
    return max(LEAST_PARTS, -(-num_files // PART_FILES))


def rank_of() -> Column:
    """One number in rank order: not eligible, license, fork, star class, depth of the path.

    Stars count by floor(log4(1 + stars)): a refresh flips what is kept only where a repository
    has grown by a class.
    """
    ranks = F.create_map(*(F.lit(part) for pair in LICENSE_RANK.items() for part in pair))
    category = F.element_at(ranks, F.coalesce("license_category", F.lit("none"))).cast("long")
    is_dropped = (F.col("failed") != 0).cast("long")
    is_fork = F.coalesce("is_fork", F.lit(False)).cast("long")
    star_class = F.expr("CAST(floor(ln(1 + coalesce(stars, 0)) / ln(4) + 1e-9) AS LONG)")
    depth = F.expr("CAST(octet_length(path) - octet_length(replace(path, '/', '')) AS LONG)")
    return (
        F.shiftleft(is_dropped, 60)
        + F.shiftleft(category, 56)
        + F.shiftleft(is_fork, 55)
        + F.shiftleft(63 - star_class, 48)
        + depth
    )


def group(lake: Lake, judged: DataFrame, involved: Ints, parts: int) -> DataFrame:
    """`GROUPED`, staged: the files of each part, and what the driver needs of the involved documents.

    `judged` has document (null: none) and rank. Cost: one shuffle of files, about 300 bytes each,
    packed.
    """
    by_text = F.xxhash64(F.coalesce("text_id", F.concat_ws(" ", "repo_id", "path")))
    rows = judged.withColumn("group", F.coalesce("document", by_text))
    part = F.pmod(F.col("group"), F.lit(parts)).cast("int")
    wanted = [
        (number, INVOLVED, data)
        for number, places in by_part(np.mod(involved, parts))
        for data in chunks(involved[places])
    ]
    lake.batch_rows(FILE_ROWS)
    given = rows.withColumn("part", part).mapInArrow(_pack_files, PACKED)
    given = given.unionByName(lake.local_rows(wanted, PACKED))
    grouped = given.repartition("part").sortWithinPartitions("part")
    return lake.staged("grouped", grouped.mapInArrow(_group, GROUPED))


def _pack_files(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    for batch in gathered(batches, PART_BYTES):
        files = pa.Table.from_batches([batch.drop_columns(["part"])])
        yield packed_batch(
            (part, FILES_KIND, to_bytes(files.take(pa.array(rows))))
            for part, rows in by_part(numbers(batch.column("part")))
        )


def _group(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    for part, rows in parts_of(batches):
        streams = of_kind(rows, FILES_KIND)
        if not streams:
            continue
        files = copies.grouped(from_bytes(streams).combine_chunks())
        (involved,) = unpacked(of_kind(rows, INVOLVED), [1])
        yield pa.RecordBatch.from_arrays(
            [
                pa.array([part], pa.int32()),
                pa.array([to_bytes(files)], pa.binary()),
                pa.array([_nodes(files, involved)], pa.binary()),
            ],
            names=["part", "files", "nodes"],
        )


def _nodes(files: pa.Table, involved: Ints) -> bytes:
    first = copies.representatives(files, involved)
    least = files.column("blob_id").take(first.column("least_row"))
    columns = [
        numbers(first.column("document")),
        numbers(first.column("rank")),
        *(_words(ids) for ids in (first.column("text_id"), first.column("blob_id"), least)),
    ]
    return b"".join(np.ascontiguousarray(column).tobytes() for column in columns)


def _words(ids: pa.ChunkedArray) -> Ints:
    text = "".join(ids.to_pylist())
    return np.frombuffer(bytes.fromhex(text), np.int64).reshape(-1, ID_WORDS)


# --- documents


def known(lake: Lake, threshold: float) -> Known:
    edges = _edges(lake.read(PAIRS), threshold)
    waiting = lake.read(UNVERIFIED).select("document", "block", F.lit(-1.0).alias("similarity"))
    left, right, bits = collect_columns(lake, edges.union(waiting))
    similarity = bits.view(np.float64)
    is_edge = similarity >= 0
    return Known(
        Edges(left[is_edge], right[is_edge], similarity[is_edge]), left[~is_edge], right[~is_edge]
    )


def _edges(pairs: DataFrame, threshold: float) -> DataFrame:
    is_edge = (F.col("document_a") != F.col("document_b")) & (F.col("similarity") >= threshold)
    return pairs.where(is_edge).select("document_a", "document_b", "similarity")


def nodes_of(grouped: DataFrame) -> Nodes:
    rows = grouped.select("nodes").collect()
    document, rank, text, blob, least = unpacked([row["nodes"] for row in rows], NODE_WIDTHS)
    order = in_rank_order(rank, text)
    return Nodes(document[order], blob[order], least[order])


def elect_documents(
    lake: Lake,
    found: Known,
    nodes: Nodes,
    threshold: float,
    config: NearDedupConfig,
    stores: bool,
) -> Linked:
    """Rounds of election and verification until no kept document is unverified.

    Pairs that are missing are verified and, if `stores`, kept in `pairs` at the end: a table is written
    once, not once a round. Raises ContractError where `deferred_sets` lacks what is to be compared.
    """
    edges, waiting, blocks = found
    verified: list[DataFrame] = []
    waits = np.isin(waiting, nodes.document)
    waiting, blocks = waiting[waits], blocks[waits]
    while True:
        elected = elect(nodes.document, edges)
        kept = np.sort(elected.documents[elected.is_kept])
        is_demanded = np.isin(waiting, kept)
        if not is_demanded.any():
            break
        lake.progress(
            "decide: %d unverified documents would be kept: they are compared",
            int(is_demanded.sum()),
        )
        missing = _unverified(lake, nodes, waiting, blocks)
        compared = compare_demanded(lake, missing, is_demanded, threshold, config)
        (complete,) = collect_columns(lake, compared.where(IS_COMPLETE).select("document_a"))
        if not len(complete):
            raise ContractError(_LACKING)
        pairs = compared.where("blob_b IS NOT NULL")
        left, right, bits = collect_columns(lake, _edges(pairs, threshold))
        more = Edges(left, right, bits.view(np.float64))
        edges = Edges(*(np.concatenate(columns) for columns in zip(edges, more, strict=True)))
        is_left = ~np.isin(waiting, complete)
        waiting, blocks = waiting[is_left], blocks[is_left]
        verified.append(pairs)
    if stores and verified:
        store_pairs(lake, reduce(DataFrame.unionByName, verified), {})
        rows = local_columns(lake, "document long, block long", waiting, blocks)
        lake.overwrite(UNVERIFIED, rows)
    return _linked(elected, nodes)


def _unverified(lake: Lake, nodes: Nodes, waiting: Ints, blocks: Ints) -> Unverified:
    """What the comparison needs to know of the waiting documents."""
    rows = local_columns(lake, "document long", waiting)
    sizes = lake.read(DEFERRED_SETS).select("document", "num_shingles")
    sizes = sizes.join(F.broadcast(rows), on="document", how="left_semi")
    document, size = collect_columns(lake, sizes)
    order = np.argsort(document)
    if not np.array_equal(document[order], np.unique(waiting)):
        raise ContractError(_LACKING)
    by_node = np.argsort(nodes.document)
    rank = by_node[np.searchsorted(nodes.document[by_node], waiting)]
    return Unverified(
        waiting,
        blocks,
        size[order][np.searchsorted(document[order], waiting)],
        rank,
        nodes.blob[rank],
    )


def _linked(elected: Elected, nodes: Nodes) -> Linked:
    """The documents that pairs link."""
    sizes = np.bincount(elected.cluster, minlength=len(elected.documents))
    rows = np.flatnonzero(sizes[elected.cluster] > 1)
    least_of = least_rows(elected.cluster, nodes.least.view(np.uint8))
    return Linked(
        elected.documents[rows],
        elected.documents[elected.twin[rows]],
        elected.similarity[rows].view(np.int64),
        nodes.least[least_of[elected.cluster[rows]]],
    )


# --- outcomes


def outcomes(
    lake: Lake, grouped: DataFrame, linked: Linked, rules: Copies, parts: int
) -> DataFrame:
    """`PACKED`, staged: rows of `decisions` by repository, and of `duplicates`.

    Cost: two reads of the files, packed; they are shuffled once by their part, with what is said
    of kept files of other parts, and once by repository (`unpacked_rows`).
    """
    lake.batch_rows(STREAM_ROWS)
    files = grouped.select("part", F.lit(FILES_KIND).alias("kind"), F.col("files").alias("packed"))
    given = [files]
    of_document = np.mod(linked.document, parts)
    if len(linked.document):
        rows = [
            (part, LINKED, data)
            for part, places in by_part(of_document)
            for data in chunks(*(column[places] for column in linked))
        ]
        given += [lake.local_rows(rows, PACKED), _twins(lake, files, linked, parts)]
    rows_of = given[0]
    for more in given[1:]:
        rows_of = rows_of.unionByName(more)
    by_document = rows_of.repartition("part").sortWithinPartitions("part")
    return lake.staged("outcomes", by_document.mapInArrow(_Outcomes(rules, parts), PACKED))


def _twins(lake: Lake, files: DataFrame, linked: Linked, parts: int) -> DataFrame:
    """What is said of kept files, for the parts whose documents were dropped for theirs."""
    is_other = linked.kept != linked.document
    wanted = np.stack((linked.kept[is_other], np.mod(linked.document[is_other], parts)), axis=1)
    wanted = np.unique(wanted, axis=0)
    rows = [
        (part, data)
        for part, places in by_part(np.mod(wanted[:, 0], parts))
        for data in chunks(wanted[places, 0], wanted[places, 1])
    ]
    asked = F.broadcast(lake.local_rows(rows, "part int, asked binary"))
    return files.join(asked, on="part", how="inner").mapInArrow(_answer, PACKED)


def _answer(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        for stream, asked in zip(batch.column("packed"), batch.column("asked"), strict=True):
            document, part = unpacked([asked.as_buffer()], [1, 1])
            first = copies.representatives(from_bytes([stream.as_buffer()]), document)
            first = first.select(["document", *copies.TWIN]).combine_chunks()
            order = np.argsort(np.asarray(first.column("document")))
            known_documents = np.asarray(first.column("document"))[order]
            yield packed_batch(
                (
                    number,
                    TWINS,
                    to_bytes(
                        first.take(
                            pa.array(order[np.searchsorted(known_documents, document[places])])
                        )
                    ),
                )
                for number, places in by_part(part)
            )


class _Outcomes:
    def __init__(self, rules: Copies, parts: int) -> None:
        self.rules, self.parts = rules, parts

    def __call__(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for part, rows in parts_of(batches):
            streams = of_kind(rows, FILES_KIND)
            if not streams:
                continue
            answers = of_kind(rows, TWINS)
            twins = from_bytes(answers).combine_chunks() if answers else None
            linked = Linked(*unpacked(of_kind(rows, LINKED), LINKED_WIDTHS))
            files = from_bytes(streams).combine_chunks()
            decisions, duplicates = copies.outcomes(files, linked, twins, self.rules)
            found = [
                (number, DECIDED, to_bytes(decisions.take(pa.array(places))))
                for number, places in by_part(_by_repository(decisions, self.parts))
            ]
            found.append((part, CLUSTERED, to_bytes(duplicates)))
            found.append((part, COUNTED, to_bytes(copies.counted(decisions))))
            yield packed_batch(found)


def _by_repository(files: pa.Table, parts: int) -> Ints:
    """Ranges of repo_id: its first 16 bits, as hex digits."""
    heads = np.array(files.column("repo_id").to_pylist(), "S4")
    digits = heads.view(np.uint8).reshape(-1, 4).astype(np.int64)
    values = (digits & 15) + 9 * (digits >> 6)
    number = values @ np.array([4096, 256, 16, 1])
    ranges: Ints = np.minimum(number * parts // 65536, parts - 1)
    return ranges


def counts_of(found: DataFrame) -> dict[str | None, int]:
    """Files by reason; None: kept. Cost: a row a reason and part comes to the driver."""
    rows = found.where(F.col("kind") == COUNTED).select("packed").collect()
    counts: dict[str | None, int] = {}
    for row in from_bytes([bytes(row["packed"]) for row in rows]).to_pylist() if rows else []:
        counts[row["reason"]] = counts.get(row["reason"], 0) + row["files"]
    return counts


def decisions_of(lake: Lake, found: DataFrame) -> DataFrame:
    """DECISIONS, sorted by repository and path in ranges of repo_id. Cost: one shuffle, packed."""
    lake.batch_rows(STREAM_ROWS)
    rows = found.where(F.col("kind") == DECIDED).repartition("part").sortWithinPartitions("part")
    return rows.mapInArrow(_Unpack(["repo_id", "path"]), DECISIONS.schema)


def duplicates_of(lake: Lake, found: DataFrame) -> DataFrame:
    """DUPLICATES: a row for every content that stands in two or more files, alone or with others
    like it."""
    lake.batch_rows(STREAM_ROWS)
    rows = found.where(F.col("kind") == CLUSTERED)
    return rows.mapInArrow(_Unpack(["blob_id"]), DUPLICATES.schema)


class _Unpack:
    def __init__(self, order: list[str]) -> None:
        self.order = [(name, "ascending") for name in order]

    def __call__(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for _, rows in parts_of(batches):
            found = from_bytes(buffers_of(rows.column("packed"))).sort_by(self.order)
            yield from found.combine_chunks().to_batches(max_chunksize=FILE_ROWS)
