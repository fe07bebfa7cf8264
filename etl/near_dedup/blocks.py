"""Which documents does one task compare?    candidate pairs -> blocks of bounded size

The connected components of the candidate pairs are put together into blocks: each document's content
is shipped once. A component above the bound is cut into tiles: its documents into chunks by a hash,
its pairs by the chunks of both ends; a document is then shipped once for each tile that it has a
pair in.
Components serve for this alone: what is similar is decided pair by pair.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from etl.facts.kernels import kernel
from etl.facts.minhash import mix
from etl.near_dedup.bands import Ints, Words

BLOCKS = 32  # so that there is work for many tasks
LEAST_BYTES = 1 << 20


class Blocks(NamedTuple):
    """Pairs sorted by block, and where each document is needed (each placement once)."""

    pair_block: Ints
    left: Ints
    right: Ints
    block: Ints
    document: Ints


def components(left: Ints, right: Ints) -> tuple[Ints, Ints]:
    """(documents, ascending; the least document of the component of each)."""
    documents, places = np.unique(np.concatenate((left, right)), return_inverse=True)
    roots = _roots(len(documents), places[: len(left)], places[len(left) :])
    return documents, documents[roots]


@kernel
def link(parents: Ints, one: int, two: int) -> None:
    """Union-find: the components of both become one, whose root is its least member."""
    while parents[one] != one:
        parents[one] = parents[parents[one]]
        one = parents[one]
    while parents[two] != two:
        parents[two] = parents[parents[two]]
        two = parents[two]
    parents[max(one, two)] = min(one, two)


@kernel
def _roots(count: int, left: Ints, right: Ints) -> Ints:
    """Of each the least index of its component."""
    parents = np.arange(count)
    for i in range(len(left)):
        link(parents, left[i], right[i])
    for i in range(count):
        parents[i] = parents[parents[i]]  # parents come before their children
    return parents


def blocks_of(left: Ints, right: Ints, weights: tuple[Ints, Ints] | int, limit: int) -> Blocks:
    """Blocks of at most about `limit` bytes. `weights`: (documents, ascending; bytes), or one for all.

    A document that is to be shipped without a pair is a pair with itself.
    """
    documents, labels = components(left, right)
    if isinstance(weights, int):
        sizes = np.full(len(documents), weights, np.int64)
    else:
        sizes = weights[1][np.searchsorted(weights[0], documents)]
    roots, of = np.unique(labels, return_inverse=True)
    total = np.bincount(of, weights=sizes, minlength=len(roots))
    # A tile holds two chunks
    num_chunks = np.where(total > limit, np.ceil(2 * total / limit), 1).astype(np.uint64)
    i, j = np.searchsorted(documents, left), np.searchsorted(documents, right)
    if (num_chunks == 1).all():
        block_of = _together(total, limit)
        pair_block, block, placed = block_of[of[i]], block_of[of], np.arange(len(documents))
    else:
        chunk = (mixed(documents.view(np.uint64)) % num_chunks[of]).astype(np.int64)
        low, high = np.minimum(chunk[i], chunk[j]), np.maximum(chunk[i], chunk[j])
        corners = np.stack((of[i], low, high), axis=1)
        tile = np.unique(corners, axis=0, return_inverse=True)[1].ravel()
        places = np.concatenate((i, j))
        of_tile, needed = _once(np.tile(tile, 2), places)
        pair_block = _together(np.bincount(of_tile, weights=sizes[needed]), limit)[tile]
        block, placed = _once(np.tile(pair_block, 2), places)
    order = np.argsort(pair_block, kind="stable")
    return Blocks(pair_block[order], left[order], right[order], block, documents[placed])


def _once(one: Ints, two: Ints) -> tuple[Ints, Ints]:
    found = np.unique(np.stack((one, two), axis=1), axis=0)
    return found[:, 0], found[:, 1]


def _together(weights: npt.NDArray[Any], limit: int) -> Ints:
    """Block of each tile: small ones together, so that there are BLOCKS of them or `limit` is reached."""
    goal = min(limit / 2, max(LEAST_BYTES, weights.sum() / BLOCKS))
    filled: Ints = (np.cumsum(weights) / goal).astype(np.int64)
    return filled


@kernel
def mixed(values: Words) -> Words:
    found = np.empty(len(values), np.uint64)
    for i in range(len(values)):
        found[i] = mix(values[i])
    return found
