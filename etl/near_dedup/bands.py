"""Which documents share a band?    sketches -> band hashes; buckets -> candidate pairs

A document is a set of shingles, known by 8 bytes. A band is a few positions of its sketch, hashed
to 8 bytes; documents with an equal band share a bucket. Band rows (a hash and a document, 8 bytes
each) travel packed, in parts of the hash's range, and kernels sort them.

A bucket holds new documents (N), and of those that were there: complete ones (C: all their pairs
are verified) and deferred ones (D: the election compares them, see `etl.near_dedup.elect`). Up to
`bucket_documents` of N and D: all pairs with a new document are candidates. In a fuller bucket only
N x C are, while they are fewer than `bucket_pairs`: N and D (and C, where they are not) become one
block of deferred documents.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from etl.facts.kernels import Mask, first_among, kernel
from etl.facts.minhash import mix

NEW, COMPLETE, DEFERRED = 0, 1, 2

Ints = npt.NDArray[np.int64]
Words = npt.NDArray[np.uint64]
Sketches = npt.NDArray[np.uint32]

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_HALF = np.uint64(32)


class Found(NamedTuple):
    """Of one part: candidate pairs (unique), star edges of fuller buckets, members C to defer, and
    documents that may have several contents, one of them new."""

    left: Ints
    right: Ints
    star: Ints
    member: Ints
    deferred: Ints
    mates: Ints


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


@kernel
def split_bands(hashes: Words, documents: Ints, bits: int) -> tuple[Words, Ints, Ints]:
    """Band rows of uint64[n, bands] by the top bits of the hash: hashes, documents, bounds of parts."""
    shift = np.uint64(64 - bits)
    bounds = np.zeros((1 << bits) + 1, np.int64)
    for i in range(hashes.shape[0]):
        for band in range(hashes.shape[1]):
            bounds[np.int64(hashes[i, band] >> shift) + 1] += 1
    bounds = np.cumsum(bounds)
    places = bounds.copy()
    out = np.empty(hashes.size, np.uint64)
    owners = np.empty(hashes.size, np.int64)
    for i in range(hashes.shape[0]):
        for band in range(hashes.shape[1]):
            part = np.int64(hashes[i, band] >> shift)
            out[places[part]] = hashes[i, band]
            owners[places[part]] = documents[i]
            places[part] += 1
    return out, owners, bounds


@kernel
def in_order(hashes: Words) -> Ints:
    """The order of the hashes. They are uniform: where each lies between the least and the greatest
    says nearly where it goes; equal ones fall together."""
    count = len(hashes)
    order = np.empty(count, np.int64)
    if count == 0:
        return order
    least, greatest = hashes[0], hashes[0]
    for value in hashes:
        least, greatest = min(least, value), max(greatest, value)
    scale = (count - 0.5) / max(1.0, float(greatest - least)) * (1.0 - 1e-15)
    places = np.zeros(count + 1, np.int64)
    for value in hashes:
        places[np.int64(float(value - least) * scale) + 1] += 1
    for i in range(count):
        places[i + 1] += places[i]
    for i in range(count):
        place = np.int64(float(hashes[i] - least) * scale)
        order[places[place]] = i
        places[place] += 1
    for i in range(1, count):
        row = order[i]
        j = i
        while j > 0 and hashes[order[j - 1]] > hashes[row]:
            order[j] = order[j - 1]
            j -= 1
        order[j] = row
    return order


@kernel
def places_in(ordered: npt.NDArray[Any], wanted: npt.NDArray[Any]) -> Ints:
    """Where each of the wanted is first in `ordered`, which ascends; -1 where it is not.

    Values are hashes, so where one lies between the least and the greatest says nearly where it is.
    """
    found = np.full(len(wanted), -1, np.int64)
    count = len(ordered)
    if count == 0:
        return found
    least, greatest = ordered[0], ordered[-1]
    scale = (count - 0.5) / max(1.0, float(greatest) - float(least)) * (1.0 - 1e-15)
    starts = np.zeros(count + 1, np.int64)
    for value in ordered:
        starts[np.int64((float(value) - float(least)) * scale) + 1] += 1
    for i in range(count):
        starts[i + 1] += starts[i]
    for i in range(len(wanted)):
        value = wanted[i]
        if value < least or value > greatest:
            continue
        part = np.int64((float(value) - float(least)) * scale)
        found[i] = first_among(ordered, starts[part], starts[part + 1], value)
    return found


@kernel
def are_met(hashes: Words, bounds: Ints, met: Words) -> Mask:
    """Which hashes are among the `met`, which ascend as the hashes do from each bound to the next."""
    found = np.zeros(len(hashes), np.bool_)
    for run in range(len(bounds) - 1):
        start, end = bounds[run], bounds[run + 1]
        if start == end:
            continue
        place = np.searchsorted(met, hashes[start])
        for i in range(start, end):
            while place < len(met) and met[place] < hashes[i]:
                place += 1
            found[i] = place < len(met) and met[place] == hashes[i]
    return found


def rows_of(documents: Ints, order: Ints, wanted: Ints) -> Ints:
    """The first row of each wanted document; -1 where there is none. `order` sorts the documents."""
    places = places_in(documents[order], wanted)
    return np.where(places < 0, -1, order[places]) if len(order) else places


def find(
    hashes: Words, documents: Ints, kinds: npt.NDArray[np.uint8], limits: tuple[int, int]
) -> Found:
    """Candidates among band rows; `limits` are bucket_documents and bucket_pairs."""
    order = in_order(hashes)
    return find_sorted(hashes[order], documents[order], kinds[order], limits)


def find_sorted(
    hashes: Words, documents: Ints, kinds: npt.NDArray[np.uint8], limits: tuple[int, int]
) -> Found:
    """`find` of rows in the order of their hashes."""
    sizes = _count(hashes, documents, kinds, *limits)
    left, right = np.empty(sizes[0], np.int64), np.empty(sizes[0], np.int64)
    star, member = np.empty(sizes[1], np.int64), np.empty(sizes[1], np.int64)
    deferred, mates = np.empty(sizes[2], np.int64), np.empty(sizes[3], np.int64)
    used = _fill(hashes, documents, kinds, *limits, left, right, star, member, deferred, mates)
    left, right = unique_pairs(left[: used[0]], right[: used[0]])
    star, member = unique_pairs(star[: used[1]], member[: used[1]])
    return Found(
        left, right, star, member, np.unique(deferred[: used[2]]), np.unique(mates[: used[3]])
    )


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
    members = documents[start:end].copy()
    roles = kinds[start:end].copy()
    if len(members) <= 16:
        for i in range(1, len(members)):
            member, role = members[i], roles[i]
            j = i
            while j > 0 and members[j - 1] > member:
                members[j], roles[j] = members[j - 1], roles[j - 1]
                j -= 1
            members[j], roles[j] = member, role
    else:
        order = np.argsort(documents[start:end])
        members = members[order]
        roles = roles[order]
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
def _note_mates(
    documents: Ints, members: Ints, roles: npt.NDArray[np.uint8], mates: Ints, count: int
) -> int:
    """Documents of a bucket that stand in it twice and are new."""
    if len(members) == len(documents):
        return count
    ordered = np.sort(documents)
    for i in range(1, len(ordered)):
        if ordered[i] == ordered[i - 1]:
            place = np.searchsorted(members, ordered[i])
            if roles[place] == 0:
                mates[count] = ordered[i]
                count += 1
    return count


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
def _partners(roles: npt.NDArray[np.uint8], is_open: bool, is_met: bool) -> Ints:
    """Where the members stand that new ones are paired with: in a full bucket none but the complete."""
    places = np.empty(len(roles), np.int64)
    count = 0
    for i in range(len(roles)):
        places[count] = i
        count += is_met if roles[i] == 1 else is_open
    return places[:count]


@kernel
def _count(
    hashes: Words,
    documents: Ints,
    kinds: npt.NDArray[np.uint8],
    max_documents: int,
    max_pairs: int,
) -> tuple[int, int, int, int]:
    pairs = stars = deferred = mates = start = 0
    while start < len(hashes):
        end = _bucket_end(hashes, start)
        if end - start > 1:
            members, roles = _bucket(documents, kinds, start, end)
            mates += end - start - len(members)
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
    return pairs, stars, deferred, mates


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
    mates: Ints,
) -> tuple[int, int, int, int]:
    pairs = stars = deferrals = num_mates = start = 0
    while start < len(hashes):
        end = _bucket_end(hashes, start)
        if end - start > 1:
            members, roles = _bucket(documents, kinds, start, end)
            num_mates = _note_mates(documents[start:end], members, roles, mates, num_mates)
            num_new, _, is_open, is_met = _shape(roles, max_documents, max_pairs)
            partners = _partners(roles, is_open, is_met)
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
                for j in partners:
                    if roles[j] == 0 and j <= i:
                        continue
                    left[pairs] = min(members[i], members[j])
                    right[pairs] = max(members[i], members[j])
                    pairs += 1
        start = end
    return pairs, stars, deferrals, num_mates
