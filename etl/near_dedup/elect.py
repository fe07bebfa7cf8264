"""Which documents are kept?    verified pairs, rank -> kept documents, what each other is dropped for

In rank order, a document is kept unless it is as similar as the threshold to one that is kept: by
an exact, verified similarity, and by no transitive closure. What is dropped names the most similar
of the kept documents before it (of equal ones the first in rank).

Only pairs with a kept document decide. All pairs of a complete document are known. So the outcome
is right as soon as no kept document is unverified; until then the unverified documents that would
be kept are compared with the others of their block (`etl.near_dedup.demand`) and all is elected
again. Each round completes at least the first in rank of them in each block.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from etl.facts.kernels import Bytes, Mask, kernel
from etl.near_dedup.bands import Ints, in_order, rows_of
from etl.near_dedup.blocks import link

Floats = npt.NDArray[np.float64]


class Edges(NamedTuple):
    """Pairs of documents at or above the threshold."""

    left: Ints
    right: Ints
    similarity: Floats


class Elected(NamedTuple):
    """By position in `documents`, which are in rank order. `twin` is the position of the kept one."""

    documents: Ints
    is_kept: Mask
    twin: Ints
    similarity: Floats
    cluster: Ints  # equal for documents that pairs of a kept and a dropped one link


def elect(documents: Ints, edges: Edges) -> Elected:
    """`documents` in rank order; edges with others are left out. Cost: two look-ups an edge."""
    order = np.argsort(documents)
    left, right = (rows_of(documents, order, ends) for ends in (edges.left, edges.right))
    is_kept, twin, best, cluster = _greedy(
        *_by_first(len(documents), left, right, edges.similarity)
    )
    return Elected(documents, is_kept, twin, best, cluster)


def in_rank_order(rank: Ints, ids: Ints) -> Ints:
    """Rows by rank, of equal rank by their ids (int64[n, 4]) as hex. Cost: two passes, as ids are hashes."""
    first_words = np.ascontiguousarray(ids[:, 0]).view(">u8").astype(np.uint64)
    ranks, of = np.unique(rank, return_inverse=True)
    return _in_rank_order(of, len(ranks), ids.view(np.uint8), in_order(first_words))


@kernel
def _in_rank_order(of: Ints, count: int, ids: Bytes, by_id: Ints) -> Ints:
    places = np.zeros(count + 1, np.int64)
    for rank in of:
        places[rank + 1] += 1
    for rank in range(count):
        places[rank + 1] += places[rank]
    order = np.empty(len(of), np.int64)
    for row in by_id:
        order[places[of[row]]] = row
        places[of[row]] += 1
    for i in range(1, len(order)):  # ids that begin alike
        row, j = order[i], i
        while j > 0 and of[order[j - 1]] == of[row] and _is_before(ids, row, order[j - 1]):
            order[j] = order[j - 1]
            j -= 1
        order[j] = row
    return order


@kernel
def _is_before(ids: Bytes, one: int, two: int) -> bool:
    """In the order of their hex; `ids` are uint8[n, 32]."""
    for i in range(ids.shape[1]):
        if ids[one, i] != ids[two, i]:
            return bool(ids[one, i] < ids[two, i])
    return False


@kernel
def _by_first(count: int, one: Ints, two: Ints, similarity: Floats) -> tuple[Ints, Ints, Floats]:
    """Of each rank, where its edges with later ranks start; the later ranks; their similarities."""
    starts = np.zeros(count + 2, np.int64)
    for i in range(len(one)):
        if one[i] >= 0 and two[i] >= 0 and one[i] != two[i]:
            starts[min(one[i], two[i]) + 2] += 1
    for i in range(2, count + 2):
        starts[i] += starts[i - 1]
    second = np.empty(starts[-1], np.int64)
    found = np.empty(starts[-1], np.float64)
    for i in range(len(one)):
        if one[i] >= 0 and two[i] >= 0 and one[i] != two[i]:
            first = min(one[i], two[i]) + 1  # its start moves on, to where the next one's is
            second[starts[first]] = max(one[i], two[i])
            found[starts[first]] = similarity[i]
            starts[first] += 1
    return starts[:-1], second, found


@kernel
def _greedy(starts: Ints, second: Ints, similarity: Floats) -> tuple[Mask, Ints, Floats, Ints]:
    count = len(starts) - 1
    is_kept = np.ones(count, np.bool_)
    twin = np.arange(count)
    best = np.ones(count, np.float64)
    parents = np.arange(count)
    for rank in range(count):
        if not is_kept[rank]:
            continue
        for i in range(starts[rank], starts[rank + 1]):
            other = second[i]
            if is_kept[other] or similarity[i] > best[other]:
                twin[other] = rank
                best[other] = similarity[i]
            is_kept[other] = False
            link(parents, rank, other)
    for i in range(count):
        parents[i] = parents[parents[i]]
    return is_kept, twin, best, parents


@kernel
def least_rows(cluster: Ints, ids: Bytes) -> Ints:
    """By cluster, the row with the least of the ids (uint8[n, 32]); -1 where no row has the cluster."""
    found = np.full(len(cluster), -1, np.int64)
    for row in range(len(cluster)):
        other = found[cluster[row]]
        if other < 0 or _is_before(ids, row, other):
            found[cluster[row]] = row
    return found
