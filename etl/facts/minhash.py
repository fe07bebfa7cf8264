"""What a text looks like, for finding near-duplicates: string array -> one signature a content.

The words (`\\w+`, case kept) of a text are cut into shingles of 5, the distinct shingles are
hashed to 64 bits, and a sketch of 256 positions is drawn from the set: at each position two
texts agree with a probability of their Jaccard similarity. White space and punctuation are no
content: were empty tokens counted, indentation would make 12 times as many pairs.

The sketch is a fast similarity sketch: each round throws every shingle into one of 256 bins, where
the least value wins; a bin keeps the winner of the first round that fills it, and round 256 + i
throws all into bin i, so that all get filled. One round does for a long text, where 256
permutations take 256 steps a shingle, and the variance is below MinHash's. A position holds 32
bits of hash of the winner.

Everything is arithmetic modulo 2^64 with fixed constants: equal on every machine and in every
process. Scratch memory is one hash table, reused from row to row: 8 bytes a slot, at most 67 MB for
10 MiB of text, and half as much again while it grows.

Source: Dahlgaard, Knudsen and Thorup, "Fast Similarity Sketching", FOCS 2017.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from etl.facts.kernels import (
    WORD,
    Bytes,
    Mask,
    Offsets,
    character_classes,
    decode,
    inlined,
    kernel,
    load_word,
    string_views,
)

VERSION = 1

WIDTH = 5  # tokens in a shingle
POSITIONS = 256

FIELDS = pa.struct(
    [
        ("num_tokens", pa.int64()),
        ("num_shingles", pa.int64()),
        ("set_hash", pa.int64()),
        ("sketch", pa.binary()),
    ]
)

LEAST_BITS = 6
_CHUNK = 4096  # bytes whose words are found before they are hashed
NUM_EDGES = _CHUNK + 8  # of words in a chunk: room that `insert_shingles` needs
_WORD_SHIFT = WORD.bit_length() - 1
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)  # 2^64 over the golden ratio, odd
_STEP = np.uint64(0xD6E8FEB86659FD93)  # odd, of the polynomial over a shingle's tokens
_MIX_ONE = np.uint64(0xBF58476D1CE4E5B9)  # splitmix64's constants
_MIX_TWO = np.uint64(0x94D049BB133111EB)
_STEPS_OUT = np.uint64(pow(0xD6E8FEB86659FD93, WIDTH, 1 << 64))
_EMPTY = np.uint64(0)
_UNFILLED = np.uint64(0xFFFFFFFFFFFFFFFF)
_BIN_SHIFT = np.uint64(56)  # the top 8 bits are the bin, the others the value
_VALUE_MASK = np.uint64((1 << 56) - 1)
_HALF = np.uint64(32)

Words = npt.NDArray[np.uint64]
Edges = npt.NDArray[np.int64]

NO_PAIRS: Words = np.empty((0, 2), np.uint64)


class Signed(NamedTuple):
    """`fields` is FIELDS of each content; `has_both` is [contents, pairs of shingles looked for]."""

    fields: pa.StructArray
    has_both: npt.NDArray[np.bool_]


def signatures(content: pa.Array, mask: Mask | None = None) -> pa.StructArray:
    """FIELDS of each content; null where `content` is null or not in `mask`."""
    return sign(content, mask).fields


def sign(content: pa.Array, mask: Mask | None = None, pairs: Words = NO_PAIRS) -> Signed:
    """Null fields where `content` is null or not in `mask`; and of which pairs of shingles, by hash, it holds both.

    The sketch is 256 little-endian uint32, or empty where there are fewer than 5 tokens.
    """
    offsets, data, due = string_views(content, mask)
    counts = np.zeros((len(content), 3), np.int64)
    sketches = np.zeros((len(content), POSITIONS), np.uint32)
    has_both = np.zeros((len(content), len(pairs)), np.bool_)
    _signature_rows(offsets, data, due, character_classes(), pairs, counts, sketches, has_both)
    has_sketch = counts[:, 1] > 0
    sketch_offsets = np.zeros(len(content) + 1, np.int32)
    np.cumsum(has_sketch * (4 * POSITIONS), out=sketch_offsets[1:])
    values = np.ascontiguousarray(sketches[has_sketch], "<u4")
    buffers = [None, pa.py_buffer(sketch_offsets), pa.py_buffer(values)]
    sketch = pa.Array.from_buffers(pa.binary(), len(content), buffers)
    arrays = [*(pa.array(counts[:, i], pa.int64()) for i in range(3)), sketch]
    fields = pa.StructArray.from_arrays(arrays, fields=list(FIELDS), mask=pa.array(~due))
    return Signed(fields, has_both)


@kernel
def _signature_rows(
    offsets: Offsets,
    data: Bytes,
    due: Mask,
    classes: Bytes,
    pairs: Words,
    counts: npt.NDArray[np.int64],
    sketches: npt.NDArray[np.uint32],
    has_both: npt.NDArray[np.bool_],
) -> None:
    table = np.zeros(1 << LEAST_BITS, np.uint64)
    winners = np.empty(POSITIONS, np.uint64)
    edges = np.empty(NUM_EDGES, np.int64)
    for row in range(len(due)):
        if not due[row]:
            continue
        start = int(offsets[row])
        end = int(offsets[row + 1])
        table, bits = table_for(table, end - start)
        winners[:] = _UNFILLED
        num_tokens, num_shingles, total, table, bits = insert_shingles(
            data, start, end, classes, edges, table, bits, winners
        )
        counts[row, 0] = num_tokens
        counts[row, 1] = num_shingles
        if num_shingles:
            for i in range(len(pairs)):
                if _is_in(table, bits, pairs[i, 0]) and _is_in(table, bits, pairs[i, 1]):
                    has_both[row, i] = True
            counts[row, 2] = np.int64(mix(total ^ mix(np.uint64(num_shingles))))
            _fill(table, 1 << bits, num_shingles, winners)
            for i in range(POSITIONS):
                sketches[row, i] = np.uint32(mix(winners[i]) >> _HALF)
        table[: 1 << bits] = _EMPTY


@inlined
def mix(value: np.uint64) -> np.uint64:
    """Splitmix64's finaliser: a bijection of 64 bits in which every bit depends on every bit."""
    value = (value ^ (value >> np.uint64(30))) * _MIX_ONE
    value = (value ^ (value >> np.uint64(27))) * _MIX_TWO
    return value ^ (value >> np.uint64(31))


@inlined
def hash_token(data: Bytes, start: int, end: int) -> np.uint64:
    """64-bit hash of a token's UTF-8."""
    value = np.uint64(end - start) * _GOLDEN
    while end - start > 8:
        value = (value ^ load_word(data, start, 8)) * _MIX_ONE
        value = (value ^ (value >> _HALF)) * _MIX_TWO
        start += 8
    value = (value ^ load_word(data, start, end - start)) * _MIX_ONE
    value = (value ^ (value >> _HALF)) * _MIX_TWO
    return value ^ (value >> _HALF)


@kernel
def _find_edges(
    data: Bytes, start: int, stop: int, end: int, was_word: int, classes: Bytes, edges: Edges
) -> tuple[int, int, int]:
    """Where words start and end in [start, stop), in turn, into `edges`: no branch a byte in ASCII.

    Returns how many there are, whether the last character is of a word, and where it ends: up to
    3 bytes past `stop`.
    """
    count = 0
    beyond = np.uint8(0)
    for byte in data[start:stop]:
        beyond |= byte
    if beyond < 0x80:
        position = start
        for byte in data[start:stop]:
            is_word = (int(classes[byte]) & WORD) >> _WORD_SHIFT
            edges[count] = position
            count += is_word ^ was_word
            was_word = is_word
            position += 1
        return count, was_word, stop
    position = start
    while position < stop:
        point, following = decode(data, position, end)
        is_word = (int(classes[point]) & WORD) >> _WORD_SHIFT
        edges[count] = position
        count += is_word ^ was_word
        was_word = is_word
        position = following
    return count, was_word, position


@kernel
def table_for(table: Words, num_bytes: int) -> tuple[Words, int]:
    """`table` (all empty), or a larger one, and the bits of a slot to begin with for a text of this size."""
    bits = LEAST_BITS
    while 1 << bits < num_bytes // 4:
        bits += 1
    if 1 << bits > len(table):
        table = np.zeros(1 << bits, np.uint64)
    return table, bits


@kernel
def insert_shingles(
    data: Bytes,
    start: int,
    end: int,
    classes: Bytes,
    edges: Edges,
    table: Words,
    bits: int,
    winners: Words,
) -> tuple[int, int, np.uint64, Words, int]:
    """Puts the distinct shingles' hashes into `table[: 1 << bits]` and through the first round.

    A hash's first bits are its slot, so the table is nearly sorted. Returns tokens, distinct shingles,
    the sum of their hashes, the table (a larger one where it had to grow) and the bits of its slots.
    """
    num_tokens = num_shingles = was_word = 0
    total = rolling = np.uint64(0)
    one = two = three = four = five = np.uint64(0)  # hashes of the last tokens, the oldest first
    token_start = position = start
    while position < end:
        was_open = was_word
        count, was_word, position = _find_edges(
            data, position, min(position + _CHUNK, end), end, was_word, classes, edges
        )
        if position >= end and was_word:
            edges[count] = end
            count += 1
        for i in range(count):
            if (i & 1) ^ was_open == 0:
                token_start = edges[i]
                continue
            token = hash_token(data, token_start, edges[i])
            rolling = rolling * _STEP + token - one * _STEPS_OUT
            one, two, three, four, five = two, three, four, five, token
            num_tokens += 1
            if num_tokens < WIDTH:
                continue
            shingle = max(mix(rolling), np.uint64(1))  # 0 is an empty slot
            if not _insert(table, bits, shingle):
                continue
            num_shingles += 1
            total += shingle
            bin_ = np.int64(shingle >> _BIN_SHIFT)
            winners[bin_] = min(winners[bin_], shingle & _VALUE_MASK)
            if 3 * num_shingles > 2 << bits:
                table, bits = _grown(table, bits)
    return num_tokens, num_shingles, total, table, bits


@inlined
def _insert(table: Words, bits: int, value: np.uint64) -> bool:
    """Whether `value` was not there yet."""
    slot = np.int64(value >> np.uint64(64 - bits))
    while table[slot] != _EMPTY:
        if table[slot] == value:
            return False
        slot = (slot + 1) & ((1 << bits) - 1)
    table[slot] = value
    return True


@inlined
def _is_in(table: Words, bits: int, value: np.uint64) -> bool:
    slot = np.int64(value >> np.uint64(64 - bits))
    while table[slot] != _EMPTY and table[slot] != value:
        slot = (slot + 1) & ((1 << bits) - 1)
    return bool(table[slot] == value)


@kernel
def _grown(table: Words, bits: int) -> tuple[Words, int]:
    larger = np.zeros(2 << bits, np.uint64)
    for i in range(1 << bits):
        if table[i] != _EMPTY:
            _insert(larger, bits + 1, table[i])
    return larger, bits + 1


@kernel
def _fill(table: Words, slots: int, num_shingles: int, winners: Words) -> None:
    """The further rounds, until no bin is unfilled. Packs the set to the front of `table`."""
    unfilled = 0
    for i in range(POSITIONS):
        unfilled += winners[i] == _UNFILLED
    if unfilled == 0:
        return
    packed = 0
    for i in range(slots):
        if table[i] != _EMPTY:
            table[packed] = table[i]
            packed += 1
    earlier = np.empty(POSITIONS, np.uint64)
    for i in range(1, 2 * POSITIONS):
        earlier[:] = winners
        round_ = np.uint64(i + 1) * _GOLDEN
        for shingle in table[:num_shingles]:
            thrown = mix(shingle + round_)
            bin_ = np.int64(thrown >> _BIN_SHIFT) if i < POSITIONS else i - POSITIONS
            if earlier[bin_] == _UNFILLED:
                value = thrown & _VALUE_MASK
                if winners[bin_] == _UNFILLED:
                    unfilled -= 1
                winners[bin_] = min(winners[bin_], value)
        if unfilled == 0:
            return
