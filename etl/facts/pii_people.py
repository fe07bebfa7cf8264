"""Where do a repository's own people stand in its texts?    texts, their repositories' hashes -> spans

A name is looked for as its words, with a blank or two between them, the first and the last in upper
case, at the bounds of words. A user name counts only where one stands: behind `@`, in `TODO(...)`,
`/home/...` (before a repository's name in a URL most are organisations'); an address counts wherever
it stands. Hashes are compared, as no
table but `blobs` holds a name (`etl.facts.pii_names`). One pass over the bytes, whatever the number
of people: a look-up (of a sorted array) a word in upper case, some 300 MB/s.
"""

from __future__ import annotations

import numba
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from etl.facts.heads import find
from etl.facts.kernels import Bytes, fnv_step, is_among, kernel, string_views
from etl.facts.pii_addresses import is_alnum
from etl.facts.pii_names import ADDRESS, FIRST_WORD, FULL_NAME, MAX_WORDS, USERNAME, hash_of

KINDS = ("name", "username", "email")  # of a span, by the number that a kernel gives
SPANS = pa.list_(pa.struct([("kind", pa.string()), ("start", pa.int32()), ("end", pa.int32())]))

Int64 = npt.NDArray[np.int64]
Int32 = npt.NDArray[np.int32]

_NAME, _USERNAME, _EMAIL = range(3)
_BEGINS = np.zeros(256, np.bool_)  # a name, an address or what stands before a user name
_BEGINS[65:91] = _BEGINS[0xC3:] = True
_BEGINS[[40, 47, 64, 92]] = True
_DECORATOR = np.frombuffer(b" decorat", np.uint8)
_BEFORE_USER = tuple(
    np.frombuffer(mark, np.uint8)
    for mark in (
        b"todo(",
        b"fixme(",
        b"xxx(",
        b"hack(",
        b"/home/",
        b"/users/",
        b"\\users\\",
    )
)


def find_people(content: pa.Array, people: pa.ListArray) -> pa.ListArray:
    """SPANS of each text: people[i] are the sorted hashes of text i's repository; null is none."""
    num_rows = len(content)
    offsets, data, _ = string_views(content)
    lists = people.fill_null(pa.scalar([], people.type)) if people.null_count else people
    list_offsets = np.asarray(lists.offsets).astype(np.int64)
    hashes = np.asarray(lists.values).astype(np.int64)
    kinds_of_hash = (FIRST_WORD, FULL_NAME, USERNAME, ADDRESS)
    seeds = np.array([hash_of(kind, b"") for kind in kinds_of_hash], np.int64).view(np.uint64)
    capacity = 1024
    while True:
        rows, starts, ends = (np.zeros(capacity, np.int64) for _ in range(3))
        kinds = np.zeros(capacity, np.int8)
        count = _find(offsets, data, list_offsets, hashes, seeds, rows, starts, ends, kinds)
        if count <= capacity:
            break
        capacity = count
    row_offsets = np.zeros(num_rows + 1, np.int32)
    np.cumsum(np.bincount(rows[:count], minlength=num_rows), out=row_offsets[1:])
    values = pa.StructArray.from_arrays(
        [
            pa.array(KINDS).take(pa.array(kinds[:count])),
            pa.array(starts[:count].astype(np.int32)),
            pa.array(ends[:count].astype(np.int32)),
        ],
        fields=list(SPANS.value_type),
    )
    return pa.ListArray.from_arrays(pa.array(row_offsets), values, type=SPANS)


@kernel
def _is_letter(byte: int) -> bool:
    return 65 <= byte <= 90 or 97 <= byte <= 122 or byte >= 0x80


@kernel
def _is_inner(data: Bytes, i: int, high: int) -> bool:
    """A hyphen or an apostrophe inside a name: neither a quote behind it nor that of `Doe's`."""
    if data[i] == 45:
        return True
    if data[i] != 39 or i + 1 >= high or not _is_letter(data[i + 1]):
        return False
    return data[i + 1] != 115 or (i + 2 < high and _is_letter(data[i + 2]))


@kernel
def is_inside(byte: int) -> bool:
    """It makes what stands beside it part of a longer word."""
    return is_alnum(byte) or byte == 95 or byte >= 0x80


@kernel
def _find(
    offsets: Int32,
    data: Bytes,
    list_offsets: Int64,
    hashes: Int64,
    seeds: npt.NDArray[np.uint64],
    rows: Int64,
    starts: Int64,
    ends: Int64,
    kinds: npt.NDArray[np.int8],
) -> int:
    """Number of spans; those that the arrays have room for are written."""
    count = 0
    for row in range(len(offsets) - 1):
        first, last = int(list_offsets[row]), int(list_offsets[row + 1])
        if first == last:
            continue
        low, high = int(offsets[row]), int(offsets[row + 1])
        i = low
        while i < high:
            byte = data[i]
            if not _BEGINS[byte]:
                i += 1
                continue
            start, after, kind = i, i, _NAME
            if (65 <= byte <= 90 or byte >= 0xC3) and (i == low or not is_inside(data[i - 1])):
                after = _name_end(data, i, high, hashes, first, last, seeds)
            elif byte == 64:
                start, after = _address(data, low, high, i, hashes, first, last, seeds[3])
                kind = _EMAIL
                if after == start and _may_be_mention(data, low, i):
                    start = i + 1
                    after, kind = (
                        _user_end(data, start, high, hashes, first, last, seeds[2]),
                        _USERNAME,
                    )
            elif byte in (40, 47, 92) and _is_before_user(data, low, i + 1):
                start, kind = i + 1, _USERNAME
                after = _user_end(data, start, high, hashes, first, last, seeds[2])
            if after > start:
                if count < len(rows):
                    rows[count], kinds[count] = row, kind
                    starts[count], ends[count] = start - low, after - low
                count += 1
                i = max(after, i + 1)
            else:
                i += 1
    return count


@kernel
def _name_end(
    data: Bytes,
    start: int,
    high: int,
    hashes: Int64,
    first: int,
    last: int,
    seeds: npt.NDArray[np.uint64],
) -> int:
    """Behind the longest name that starts there, or `start`."""
    found = start
    i = start
    state = seeds[0]
    full = seeds[1]
    for part in range(MAX_WORDS):
        word = i
        while (
            i < high
            and i - word < 64
            and (_is_letter(data[i]) or (i > word and _is_inner(data, i, high)))
        ):
            full = fnv_step(full, data[i])
            if part == 0:
                state = fnv_step(state, data[i])
            i += 1
        if i == word or (i < high and (is_alnum(data[i]) or data[i] == 95)):
            return found
        if part == 0 and not is_among(hashes, first, last, np.int64(state)):
            return found
        is_upper = 65 <= data[word] <= 90 or data[word] >= 0x80
        if part > 0 and is_upper and is_among(hashes, first, last, np.int64(full)):
            found = i
        if i < high and data[i] == 46:
            i += 1
        blanks = 0
        while i < high and data[i] == 32 and blanks < 2:
            blanks += 1
            i += 1
        if blanks == 0:
            return found
        full = fnv_step(full, 32)
    return found


@kernel
def _address(
    data: Bytes, low: int, high: int, at: int, hashes: Int64, first: int, last: int, seed: np.uint64
) -> tuple[int, int]:
    """The address around the `@`, or (at, at)."""
    start = at
    while (
        start > low
        and at - start < 64
        and (is_alnum(data[start - 1]) or data[start - 1] in (46, 95, 37, 43, 45))
    ):
        start -= 1
    after = at + 1
    while after < high and after - at < 200 and (is_alnum(data[after]) or data[after] in (46, 45)):
        after += 1
    while after > at and data[after - 1] == 46:
        after -= 1
    if start == at or after <= at + 1:
        return at, at
    state = seed
    for i in range(start, after):
        state = fnv_step(state, data[i])
    return (start, after) if is_among(hashes, first, last, np.int64(state)) else (at, at)


@kernel
def _may_be_mention(data: Bytes, low: int, at: int) -> bool:
    """Not the first of its line, as a decorator is, nor of a line of a comment that begins with a star, as tags
    of documentation are, nor behind a letter or a backtick. In a list of Markdown it may be the first."""
    if at == low or is_alnum(data[at - 1]) or data[at - 1] == 96:
        return False
    i = at - 1
    first = at
    while i >= low and data[i] != 10 and at - i < 400:
        if is_inside(data[i]):
            return True
        if data[i] > 32:
            first = i
        i -= 1
    is_star = first < at and data[first] == 42 and first > low and data[first - 1] != 10
    return first < at and not is_star


@kernel
def _is_before_user(data: Bytes, low: int, end: int) -> bool:
    if end < low + 2:
        return False
    last = data[end - 2] | 32  # what a mark ends in: most brackets and slashes stand behind others
    if last not in ((101, 107, 111, 120) if data[end - 1] == 40 else (101, 101, 115, 115)):
        return False
    for mark in numba.literal_unroll(_BEFORE_USER):
        if end - len(mark) >= low and find(data, end - len(mark), end, mark) >= 0:
            return True
    return False


@kernel
def _user_end(
    data: Bytes, start: int, high: int, hashes: Int64, first: int, last: int, seed: np.uint64
) -> int:
    """Behind the user name that starts there, or `start`."""
    i = start
    state = seed
    while i < high and i - start < 40 and (is_alnum(data[i]) or data[i] == 45 or data[i] == 95):
        state = fnv_step(state, data[i])
        i += 1
    is_path = (
        i < high
        and data[start - 1] == 64
        and data[i] in (47, 46, 40)
        and (data[i] != 46 or (i + 1 < high and is_alnum(data[i + 1])))
    )
    if i == start or is_path or not is_among(hashes, first, last, np.int64(state)):
        return start
    behind = i + len(_DECORATOR)
    is_decorator = (
        data[start - 1] == 64 and behind <= high and find(data, i, behind, _DECORATOR) >= 0
    )
    return start if is_decorator else i
