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

from etl.facts.kernels import Mask, kernel
from etl.near_dedup.bands import Ints, rows_of
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
    """`documents` in rank order; edges with others are left out. Cost: a sort of the edges."""
    order = np.argsort(documents)
    ranks = [rows_of(documents, order, ends) for ends in (edges.left, edges.right)]
    is_used = (ranks[0] >= 0) & (ranks[1] >= 0) & (ranks[0] != ranks[1])
    first = np.minimum(*ranks)[is_used]
    second = np.maximum(*ranks)[is_used]
    by_rank = np.lexsort((second, first))
    first, second = first[by_rank], second[by_rank]
    similarity = edges.similarity[is_used][by_rank]
    starts = np.searchsorted(first, np.arange(len(documents) + 1))
    is_kept, twin, best, cluster = _greedy(starts, second, similarity)
    return Elected(documents, is_kept, twin, best, cluster)


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
