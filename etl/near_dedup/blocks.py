"""Which documents does one task compare?    candidate pairs -> blocks of bounded size

The connected components of the candidate pairs are blocks: each document's content is shipped once.
A component above the bound is cut into tiles: its documents into chunks by a hash, its pairs by the
chunks of both ends; a document is then shipped once for each tile that it has a pair in.
Components serve for this alone: what is similar is decided pair by pair.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from etl.facts.kernels import kernel
from etl.facts.minhash import mix
from etl.near_dedup.bands import Ints, Words


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
    """Blocks of at most about `limit` bytes. `weights`: (documents, ascending; bytes), or one for all."""
    documents, labels = components(left, right)
    if isinstance(weights, int):
        sizes = np.full(len(documents), weights, np.int64)
    else:
        sizes = weights[1][np.searchsorted(weights[0], documents)]
    roots, of = np.unique(labels, return_inverse=True)
    total = np.bincount(of, weights=sizes, minlength=len(roots))
    # A tile holds two chunks
    num_chunks = np.where(total > limit, np.ceil(2 * total / limit), 1).astype(np.uint64)
    chunk = (mixed(documents.view(np.uint64)) % num_chunks[of]).astype(np.int64)
    i, j = np.searchsorted(documents, left), np.searchsorted(documents, right)
    low, high = np.minimum(chunk[i], chunk[j]), np.maximum(chunk[i], chunk[j])
    tile = (low << 32) | high
    block = np.where(
        tile == 0, labels[i], mixed(labels[i].view(np.uint64) + tile.view(np.uint64)).view(np.int64)
    )
    order = np.argsort(block, kind="stable")
    placed = np.unique(
        np.stack((np.concatenate((block, block)), np.concatenate((left, right))), axis=1), axis=0
    )
    return Blocks(block[order], left[order], right[order], placed[:, 0], placed[:, 1])


@kernel
def mixed(values: Words) -> Words:
    found = np.empty(len(values), np.uint64)
    for i in range(len(values)):
        found[i] = mix(values[i])
    return found


@kernel
def find_rows(blocks: Ints, documents: Ints, of_block: Ints, of_document: Ints) -> Ints:
    """Row of each (block, document) among rows sorted by them; -1 where there is none."""
    found = np.empty(len(of_block), np.int64)
    for i in range(len(of_block)):
        low, high = 0, len(blocks)
        while low < high:
            middle = (low + high) // 2
            is_before = blocks[middle] < of_block[i] or (
                blocks[middle] == of_block[i] and documents[middle] < of_document[i]
            )
            if is_before:
                low = middle + 1
            else:
                high = middle
        is_there = (
            low < len(blocks) and blocks[low] == of_block[i] and documents[low] == of_document[i]
        )
        found[i] = low if is_there else -1
    return found
