"""Which documents share a band?    sketches -> band hashes; buckets -> candidate pairs

A document is a set of shingles, known by 8 bytes. A band is a few positions of its sketch, hashed
to 8 bytes; documents with an equal band share a bucket. Band rows travel packed (`pack`): hashes,
then documents, 8 bytes each, one binary for each part of the hash's range; Spark moves some
thousand of them at a time and kernels sort them.

A bucket holds new documents (N), and of those that were there: complete ones (C: all their pairs
are verified) and deferred ones (D: the election compares them, see `etl.near_dedup.elect`). Up to
`bucket_documents` of N and D: all pairs with a new document are candidates. In a fuller bucket only
N x C are, while they are fewer than `bucket_pairs`: N and D (and C, where they are not) become one
block of deferred documents.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from etl.facts.kernels import kernel
from etl.facts.minhash import mix

NEW, COMPLETE, DEFERRED = 0, 1, 2

Ints = npt.NDArray[np.int64]
Words = npt.NDArray[np.uint64]
Sketches = npt.NDArray[np.uint32]

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_HALF = np.uint64(32)


class Found(NamedTuple):
    """Of one part: candidate pairs (unique), star edges of fuller buckets, members C to defer."""

    left: Ints
    right: Ints
    star: Ints
    member: Ints
    deferred: Ints


@kernel
def band_hashes(sketches: Sketches, bands: int, rows: int) -> Words:
    """uint64[n, bands] of uint32[n, 256]."""
    hashes = np.empty((len(sketches), bands), np.uint64)
    for i in range(len(sketches)):
        for band in range(bands):
            value = np.uint64(band + 1) * _GOLDEN
            for position in range(band * rows, (band + 1) * rows):
                value = mix(value ^ np.uint64(sketches[i, position])) + _GOLDEN
            hashes[i, band] = mix(value)
    return hashes


def packed(*columns: npt.NDArray[np.generic]) -> bytes:
    """8-byte columns of one length, one after the other."""
    return b"".join(np.ascontiguousarray(column).view(np.uint8).tobytes() for column in columns)


def unpacked(data: bytes | bytearray | pa.Buffer, num_columns: int = 2) -> tuple[Ints, ...]:
    """The inverse of `packed`, as int64."""
    columns = np.frombuffer(data, np.int64).reshape(num_columns, -1)
    return tuple(columns)


def pack_bands(hashes: Words, documents: Ints, bits: int) -> list[tuple[int, bytes]]:
    """(part, packed band rows): the part is the hash's top bits. A document counts once."""
    _, first = np.unique(documents, return_index=True)
    bands = hashes.shape[1]
    flat = hashes[first].ravel()
    owners = np.repeat(documents[first], bands)
    return split_by_part(flat, bits, flat, owners)


def split_by_part(
    keys: Words, bits: int, *columns: npt.NDArray[np.generic]
) -> list[tuple[int, bytes]]:
    """The columns in 2^bits parts by the top bits of `keys`; empty parts are left out."""
    if bits == 0:
        return [(0, packed(*columns))] if len(keys) else []
    parts = (keys >> np.uint64(64 - bits)).astype(np.int64)
    order = np.argsort(parts, kind="stable")
    bounds = np.searchsorted(parts[order], np.arange((1 << bits) + 1))
    found = []
    for part in range(1 << bits):
        rows = order[bounds[part] : bounds[part + 1]]
        if len(rows):
            found.append((part, packed(*(column[rows] for column in columns))))
    return found


def find(
    hashes: Words, documents: Ints, kinds: npt.NDArray[np.uint8], limits: tuple[int, int]
) -> Found:
    """Candidates among band rows; `limits` are bucket_documents and bucket_pairs."""
    order = np.argsort(hashes)
    hashes, documents, kinds = hashes[order], documents[order], kinds[order]
    sizes = _count(hashes, documents, kinds, *limits)
    left, right = np.empty(sizes[0], np.int64), np.empty(sizes[0], np.int64)
    star, member = np.empty(sizes[1], np.int64), np.empty(sizes[1], np.int64)
    deferred = np.empty(sizes[2], np.int64)
    used = _fill(hashes, documents, kinds, *limits, left, right, star, member, deferred)
    left, right = unique_pairs(left[: used[0]], right[: used[0]])
    star, member = unique_pairs(star[: used[1]], member[: used[1]])
    return Found(left, right, star, member, np.unique(deferred[: used[2]]))


def unique_pairs(left: Ints, right: Ints) -> tuple[Ints, Ints]:
    """Each pair once, in the order of their hash: equal pairs are neighbours in any order of rows."""
    hashes = pair_hashes(left, right)
    order = np.argsort(hashes, kind="stable")
    left, right = left[order], right[order]
    fresh = np.ones(len(left), np.bool_)
    fresh[1:] = (left[1:] != left[:-1]) | (right[1:] != right[:-1])
    return left[fresh], right[fresh]


@kernel
def pair_hashes(left: Ints, right: Ints) -> Words:
    hashes = np.empty(len(left), np.uint64)
    for i in range(len(left)):
        hashes[i] = mix(mix(np.uint64(left[i])) + np.uint64(right[i]))
    return hashes


@kernel
def _bucket_end(hashes: Words, start: int) -> int:
    """Behind the run of equal hashes that begins there."""
    end = start + 1
    while end < len(hashes) and hashes[end] == hashes[start]:
        end += 1
    return end


@kernel
def _bucket(
    documents: Ints, kinds: npt.NDArray[np.uint8], start: int, end: int
) -> tuple[Ints, npt.NDArray[np.uint8]]:
    """A bucket's documents and kinds, each document once: as new where it is also new."""
    if end - start == 1:
        return documents[start:end].copy(), kinds[start:end].copy()
    order = np.argsort(documents[start:end])
    members = documents[start:end][order]
    roles = kinds[start:end][order]
    count = 0
    for i in range(len(members)):
        if count and members[count - 1] == members[i]:
            roles[count - 1] = min(roles[count - 1], roles[i])
        else:
            members[count] = members[i]
            roles[count] = roles[i]
            count += 1
    return members[:count], roles[:count]


@kernel
def _shape(
    roles: npt.NDArray[np.uint8], max_documents: int, max_pairs: int
) -> tuple[int, int, bool, bool]:
    """New, complete; whether all pairs of N and D are candidates, and whether N x C are."""
    num_new = num_complete = 0
    for role in roles:
        num_new += role == 0
        num_complete += role == 1
    is_open = len(roles) - num_complete <= max_documents
    return num_new, num_complete, is_open, num_new * num_complete <= max_pairs


@kernel
def _count(
    hashes: Words,
    documents: Ints,
    kinds: npt.NDArray[np.uint8],
    max_documents: int,
    max_pairs: int,
) -> tuple[int, int, int]:
    pairs = stars = deferred = start = 0
    while start < len(hashes):
        end = _bucket_end(hashes, start)
        if end - start > 1:
            members, roles = _bucket(documents, kinds, start, end)
            num_new, num_complete, is_open, is_met = _shape(roles, max_documents, max_pairs)
            if num_new:
                others = len(members) - num_complete - num_new
                if is_open:
                    pairs += num_new * (num_new - 1) // 2 + num_new * others
                else:
                    stars += num_new + others
                if is_met:
                    pairs += num_new * num_complete
                else:
                    stars += num_new + num_complete
                    deferred += num_complete
        start = end
    return pairs, stars, deferred


@kernel
def _fill(
    hashes: Words,
    documents: Ints,
    kinds: npt.NDArray[np.uint8],
    max_documents: int,
    max_pairs: int,
    left: Ints,
    right: Ints,
    star: Ints,
    member: Ints,
    deferred: Ints,
) -> tuple[int, int, int]:
    pairs = stars = deferrals = start = 0
    while start < len(hashes):
        end = _bucket_end(hashes, start)
        if end - start > 1:
            members, roles = _bucket(documents, kinds, start, end)
            num_new, _, is_open, is_met = _shape(roles, max_documents, max_pairs)
            root = members[0]
            for i in range(len(members) if num_new else 0):
                if roles[i] == 0:
                    root = members[i]
                    break
            for i in range(len(members) if num_new else 0):
                is_complete = roles[i] == 1
                is_tied = (not is_met and roles[i] != 2) or (not is_open and not is_complete)
                if is_tied and members[i] != root:
                    star[stars] = root
                    member[stars] = members[i]
                    stars += 1
                if is_complete and not is_met:
                    deferred[deferrals] = members[i]
                    deferrals += 1
                if roles[i] != 0:
                    continue
                for j in range(len(members)):
                    if roles[j] == 0 and j <= i:
                        continue
                    if roles[j] == 1 and not is_met:
                        continue
                    if roles[j] != 1 and not is_open:
                        continue
                    left[pairs] = min(members[i], members[j])
                    right[pairs] = max(members[i], members[j])
                    pairs += 1
        start = end
    return pairs, stars, deferrals
