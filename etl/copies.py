"""What becomes of the files of a part?    Arrow tables of judged files -> who stands for whom, outcomes

All files of a text, and of a document (a set of shingles), lie in one part. The first of them in rank
order stands for all; of linked documents the election has said which is kept. Everything here is
a function of one part's rows, in whatever order they come.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from etl.near_dedup.arrow import ids_of_words
from etl.near_dedup.bands import Ints, rows_of

Mask = npt.NDArray[np.bool_]

EXACT, NEAR = "exact_text", "shingle_jaccard"
RULE_VERSION = 2

TWIN = ("repo_id", "path", "repo_name", "blob_id", "text_id")  # what is said of a kept file


class Linked(NamedTuple):
    """Documents that pairs link: which is kept for each, how similar, the cluster's least blob_id."""

    document: Ints
    kept: Ints
    similarity: Ints  # the bits of a double
    cluster: Ints  # int64[n, 4]


class Copies(NamedTuple):
    """The rules that drop copies: place in the configuration's order, -1 where switched off."""

    names: tuple[str, ...]  # of all rules, in order
    exact: int
    near: int


def to_bytes(table: pa.Table) -> bytes:
    """The table as one Arrow stream."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    data: bytes = sink.getvalue().to_pybytes()
    return data


def from_bytes(values: list[Any]) -> pa.Table:
    return pa.concat_tables([pa.ipc.open_stream(value).read_all() for value in values])


def grouped(files: pa.Table) -> pa.Table:
    """`files` with kept_row (the row of the file that stands for all with its document, or without
    one its text), least_row (the row with their least blob_id), num_alike and num_copies (files
    with its text)."""
    rows = np.arange(len(files))
    kept, least = rows.copy(), rows.copy()
    alike, copies = np.ones(len(files), np.int64), np.ones(len(files), np.int64)
    groups = np.asarray(files.column("group"))
    order = np.argsort(groups, kind="stable")
    is_start = np.ones(len(order), np.bool_)
    is_start[1:] = np.diff(groups[order]) != 0
    lengths = np.diff(np.append(np.flatnonzero(is_start), len(order)))
    many = order[np.repeat(lengths, lengths) > 1]
    if len(many):
        some = _ranked(files.take(pa.array(many)).append_column("row", pa.array(many)))
        row = np.asarray(some.column("row"))
        is_first = _changes(some, "group") | _changes(some, "own_text")
        starts = np.flatnonzero(is_first)
        of = np.cumsum(is_first) - 1
        kept[row] = row[starts][of]
        alike[row] = np.bincount(of)[of]
        by_blob = np.lexsort((_ranks(some.column("blob_id")), of))
        least[row] = row[by_blob[starts]][of]
        _, text = np.unique(
            np.stack((of, _ranks(some.column("text_id"))), axis=1), axis=0, return_inverse=True
        )
        copies[row] = np.bincount(text.ravel())[text.ravel()]
    has_no_text = np.array(pc.is_null(files.column("text_id")), np.bool_)
    for name, column in (("kept_row", kept), ("least_row", least), ("num_alike", alike)):
        files = files.append_column(name, pa.array(column))
    return files.append_column("num_copies", pa.array(copies, mask=has_no_text))


def _ranked(files: pa.Table) -> pa.Table:
    """Sorted by group and rank. A group is a document; without one a text: hashes may collide."""
    whole = pc.binary_join_element_wise(files.column("repo_id"), files.column("path"), " ")
    own = pc.coalesce(files.column("text_id"), whole)
    own = pc.if_else(pc.is_null(files.column("document")), own, "")
    keys = ("group", "own_text", "rank", "text_id", "repo_id", "path")
    return files.append_column("own_text", own).sort_by([(key, "ascending") for key in keys])


def _changes(files: pa.Table, name: str) -> Mask:
    """Where a column's value is not the one before."""
    column = files.column(name)
    found = np.ones(len(column), np.bool_)
    if len(column) > 1:
        found[1:] = np.array(pc.not_equal(column.slice(1), column.slice(0, len(column) - 1)))
    return found


def _ranks(column: pa.ChunkedArray) -> Ints:
    """Numbers in the order of the strings; equal ones are equal."""
    ranks: Ints = np.asarray(pc.rank(column, tiebreaker="dense")).astype(np.int64)
    return ranks


def representatives(files: pa.Table, documents: Ints) -> pa.Table:
    """Of grouped files, the one that stands for each of these documents that is here."""
    document = np.asarray(pc.fill_null(files.column("document"), 0))
    is_first = np.asarray(files.column("kept_row")) == np.arange(len(files))
    is_first &= np.array(pc.is_valid(files.column("document")), np.bool_)
    return files.take(pa.array(np.flatnonzero(is_first & np.isin(document, documents))))


def outcomes(
    files: pa.Table, linked: Linked, twins: pa.Table | None, copies: Copies
) -> tuple[pa.Table, pa.Table]:
    """(rows of `decisions`, rows of `duplicates`) of grouped files; `twins`: document and TWIN."""
    rows = np.arange(len(files))
    document = np.asarray(pc.fill_null(files.column("document"), 0))
    place = rows_of(linked.document, np.argsort(linked.document), document)
    is_linked = (place >= 0) & np.array(pc.is_valid(files.column("document")), np.bool_)
    standing = files.select(TWIN)
    kept_row = np.asarray(files.column("kept_row")).copy()
    if twins is not None:
        of_twins = np.asarray(twins.column("document"))
        standing = pa.concat_tables([standing, twins.select(TWIN)])
        kept = linked.kept[place[is_linked]]
        twin = rows_of(of_twins, np.argsort(of_twins), kept)
        is_other = kept != document[is_linked]
        kept_row[np.flatnonzero(is_linked)[is_other]] = len(files) + twin[is_other]
    has_text = np.array(pc.is_valid(files.column("text_id")), np.bool_)
    kept_files = standing.combine_chunks().take(pa.array(kept_row, mask=~has_text))
    is_same = pc.equal(kept_files.column("text_id"), files.column("text_id"))
    is_same = np.array(pc.fill_null(is_same, False), np.bool_)
    similarity = np.ones(len(files))
    similarity[is_linked] = linked.similarity.view(np.float64)[place[is_linked]]
    is_copy = has_text & (kept_row != rows)
    decisions = _decisions(files, kept_files, similarity, is_copy, is_same, copies)
    is_clustered = has_text & (is_linked | (np.asarray(files.column("num_alike")) > 1))
    cluster = np.asarray(files.column("least_row")).copy()
    cluster[is_linked] = len(files) + np.arange(int(is_linked.sum()))
    ids = files.column("blob_id").combine_chunks()
    ids = pa.concat_arrays([_whole(ids), ids_of_words(linked.cluster[place[is_linked]])])
    duplicates = pa.table(
        {
            "blob_id": files.column("blob_id"),
            "cluster_id": ids.take(pa.array(cluster)),
            "kept_blob_id": kept_files.column("blob_id"),
            "similarity": pa.array(similarity),
            "rule": pc.if_else(pa.array(is_same), EXACT, NEAR),
            "version": pa.array(np.full(len(files), RULE_VERSION, np.int32)),
        }
    ).filter(pa.array(is_clustered))
    return decisions, _once(duplicates)


def counted(decisions: pa.Table) -> pa.Table:
    """reason (null: kept), files."""
    found = decisions.select(["reason"]).group_by("reason").aggregate([([], "count_all")])
    return found.rename_columns(["reason", "files"])


def _whole(column: pa.Array | pa.ChunkedArray) -> pa.Array:
    if isinstance(column, pa.ChunkedArray):
        return pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], column.type)
    return column


def _once(duplicates: pa.Table) -> pa.Table:
    """Files of one content have one outcome: a row a content."""
    if len(duplicates) == 0:
        return duplicates
    _, first = np.unique(_ranks(duplicates.column("blob_id")), return_index=True)
    return duplicates.take(pa.array(first))


def _decisions(
    files: pa.Table,
    kept_files: pa.Table,
    similarity: npt.NDArray[np.float64],
    is_copy: Mask,
    is_same: Mask,
    copies: Copies,
) -> pa.Table:
    failed = np.asarray(files.column("failed")).copy()
    twin = pc.binary_join_element_wise(
        kept_files.column("repo_name"), kept_files.column("path"), " "
    )
    dropped, rules, said = [], [], []
    for rule, is_dropped in ((copies.exact, is_copy & is_same), (copies.near, is_copy & ~is_same)):
        if rule < 0 or not is_dropped.any():
            continue
        failed[is_dropped] |= 1 << rule
        names = twin.filter(pa.array(is_dropped))
        if rule == copies.exact:
            text = pc.binary_join_element_wise("the same text as the elected", names, " ")
        else:
            score = pa.array([f"similarity {one:.4f}" for one in similarity[is_dropped].tolist()])
            text = pc.binary_join_element_wise(score, "with the elected", names, " ")
        dropped.append(np.flatnonzero(is_dropped))
        rules.append(np.full(len(text), rule))
        said.append(_whole(text))
    masks, of = np.unique(failed, return_inverse=True)
    lists = [
        [name for i, name in enumerate(copies.names) if mask >> i & 1] for mask in masks.tolist()
    ]
    take = pa.array(of.ravel())
    kept = failed == 0
    return pa.table(
        {
            "repo_id": files.column("repo_id"),
            "path": files.column("path"),
            "repo_name": files.column("repo_name"),
            "blob_id": files.column("blob_id"),
            "kept": pa.array(kept),
            "reason": pa.array([next(iter(one), None) for one in lists], pa.string()).take(take),
            "failed_rules": pa.array(lists, pa.list_(pa.string())).take(take),
            "evidence": _evidence(files.column("evidence"), dropped, rules, said, copies.names),
            "kept_repo_id": kept_files.column("repo_id"),
            "kept_path": kept_files.column("path"),
            "num_copies": files.column("num_copies"),
            "split": pc.if_else(
                pa.array(kept), files.column("split"), pa.scalar(None, pa.string())
            ),
        }
    )


def _evidence(
    evidence: pa.ChunkedArray,
    dropped: list[Ints],
    rules: list[Ints],
    said: list[pa.Array],
    names: tuple[str, ...],
) -> pa.MapArray:
    """The maps with what is said of copies as their last entry; empty where there was none."""
    maps = _whole(evidence)
    offsets = np.asarray(maps.offsets)
    lengths = np.diff(offsets).astype(np.int64)
    start, num_old = int(offsets[0]), int(lengths.sum())
    keys = [_string(maps.keys.slice(start, num_old))]
    items = [_string(maps.items.slice(start, num_old))]
    rows = np.concatenate((np.repeat(np.arange(len(maps)), lengths), *dropped))
    keys += [pa.array(names, pa.string()).take(pa.array(rule)) for rule in rules]
    items += [_string(text) for text in said]
    order = np.argsort(rows, kind="stable")  # those that were there come first
    ends = np.append(0, np.cumsum(np.bincount(rows, minlength=len(maps)))).astype(np.int32)
    take = pa.array(order)
    return pa.MapArray.from_arrays(
        pa.array(ends), pa.concat_arrays(keys).take(take), pa.concat_arrays(items).take(take)
    )


def _string(column: pa.Array) -> pa.Array:
    return column.cast(pa.string())
