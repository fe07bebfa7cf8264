r"""Runs of encoded data: base64, hex bytes and \uXXXX escapes, exactly as Python's `re` finds them.

Kernels for three expressions; a match is leftmost and greedy, matches do not overlap:

- base64 `[a-zA-Z0-9+/\n=]{64,}`
- hex `(?:\b(?:0x|\\x)?[0-9a-fA-F]{2}(?:,|\b\s*)){8,}`
- escapes `(?:\\u[0-9a-fA-F]{4}){8,}`

Each match lies within a run of its class of bytes, and no shorter than its least length: one byte
in every least length is looked at, and only around those in the class anything more is done.
None of the three can backtrack into another match (see `hex_item`), so one walk finds the end.

Source: StarCoder 2, section 3.1, filters for encoded data.
"""

from __future__ import annotations

import numpy as np

from etl.facts.kernels import (
    SPACE,
    WORD,
    Bytes,
    class_at,
    class_before,
    count_characters,
    decode,
    kernel,
)

BASE64 = 1
HEX_RUN = 2  # may stand in a match of the hex expression
ESCAPE_RUN = 4  # may stand in a match of the escape expression
HEX_DIGIT = 8

BASE64_LEAST = 64
HEX_LEAST = 23  # 7 x `HH,` and `HH`
ESCAPE_LEAST = 48  # 8 x `\uHHHH`
REPEATS = 8


def byte_classes() -> Bytes:
    """uint8[256] of the classes above."""
    classes = np.zeros(256, np.uint8)
    digits = b"0123456789abcdefABCDEF"
    letters = bytes(range(ord("a"), ord("z") + 1)) + bytes(range(ord("A"), ord("Z") + 1))
    spaces = [chr(point) for point in range(0x3001) if chr(point).isspace()]
    for byte in letters + b"0123456789+/\n=":
        classes[byte] |= BASE64
    for byte in digits + b"x\\," + "".join(spaces).encode():
        classes[byte] |= HEX_RUN
    for byte in digits + b"u\\":
        classes[byte] |= ESCAPE_RUN
    for byte in digits:
        classes[byte] |= HEX_DIGIT
    return classes


@kernel
def next_run(
    data: Bytes, position: int, end: int, classes: Bytes, bit: int, least: int
) -> tuple[int, int]:
    """The next maximal run of at least `least` bytes of class `bit`; (end, end) if there is none.

    `position` must not lie inside such a run.
    """
    low = position
    probe = position + least - 1
    while probe < end:
        if not classes[data[probe]] & bit:
            low = probe + 1
            probe += least
            continue
        start = probe
        while start > low and classes[data[start - 1]] & bit:
            start -= 1
        stop = probe + 1
        while stop < end and classes[data[stop]] & bit:
            stop += 1
        if stop - start >= least:
            return start, stop
        low = stop + 1
        probe = stop + least
    return end, end


@kernel
def base64_runs(data: Bytes, start: int, end: int, bytes_of: Bytes) -> tuple[int, int]:
    """(characters in matches, characters of the longest)."""
    total = 0
    longest = 0
    first, stop = next_run(data, start, end, bytes_of, BASE64, BASE64_LEAST)
    while first < end:
        total += stop - first
        longest = max(longest, stop - first)
        first, stop = next_run(data, stop, end, bytes_of, BASE64, BASE64_LEAST)
    return total, longest


@kernel
def escape_runs(data: Bytes, start: int, end: int, bytes_of: Bytes) -> tuple[int, int]:
    r"""(characters in matches, characters of the longest) of \uXXXX escapes."""
    total = 0
    longest = 0
    first, stop = next_run(data, start, end, bytes_of, ESCAPE_RUN, ESCAPE_LEAST)
    while first < end:
        position = first
        while position + ESCAPE_LEAST <= stop:
            after = position
            while after + 6 <= stop and _is_escape(data, after, bytes_of):
                after += 6
            if after - position >= ESCAPE_LEAST:
                total += after - position
                longest = max(longest, after - position)
            # An escape's one backslash is its first byte: no other escape starts inside it
            position = max(after, position + 1)
        first, stop = next_run(data, stop, end, bytes_of, ESCAPE_RUN, ESCAPE_LEAST)
    return total, longest


@kernel
def _is_escape(data: Bytes, position: int, bytes_of: Bytes) -> bool:
    if data[position] != 92 or data[position + 1] != 117:
        return False
    are_digits = bytes_of[data[position + 2]] & bytes_of[data[position + 3]]
    are_digits &= bytes_of[data[position + 4]] & bytes_of[data[position + 5]]
    is_escape: bool = (are_digits & HEX_DIGIT) != 0
    return is_escape


@kernel
def hex_runs(data: Bytes, start: int, end: int, bytes_of: Bytes, classes: Bytes) -> tuple[int, int]:
    """(characters in matches, characters of the longest) of hex bytes."""
    total = 0
    longest = 0
    first, stop = next_run(data, start, end, bytes_of, HEX_RUN, HEX_LEAST)
    while first < end:
        position = first
        while position + HEX_LEAST <= stop:
            if not (bytes_of[data[position]] & HEX_DIGIT or data[position] == 92):
                position += 1
                continue
            after = _hex_match(data, position, start, end, bytes_of, classes)
            if after > position:
                length = count_characters(data, position, after)
                total += length
                longest = max(longest, length)
                position = after
            else:
                position += 1
        first, stop = next_run(data, stop, end, bytes_of, HEX_RUN, HEX_LEAST)
    return total, longest


@kernel
def _hex_match(
    data: Bytes, position: int, start: int, end: int, bytes_of: Bytes, classes: Bytes
) -> int:
    """End of the match that starts at `position`, or -1."""
    repeats = 0
    while True:
        after = hex_item(data, position, start, end, bytes_of, classes)
        if after < 0:
            return position if repeats >= REPEATS else -1
        repeats += 1
        position = after


@kernel
def hex_item(
    data: Bytes, position: int, start: int, end: int, bytes_of: Bytes, classes: Bytes
) -> int:
    r"""End of one `\b(?:0x|\\x)?[0-9a-fA-F]{2}(?:,|\b\s*)` at `position`, or -1.

    There is nothing to backtrack into: `x` is no hex digit, so a prefix that stands there is taken;
    `,` starts no item, so it is taken too; after fewer white-space characters than there are, an
    item would start with white space.
    """
    if position >= end:
        return -1
    byte = data[position]
    is_word_before = (class_before(data, start, position, classes) & WORD) != 0
    if byte == 92:
        if not is_word_before or position + 4 > end or data[position + 1] != 120:
            return -1
        digits = position + 2
    else:
        if is_word_before:
            return -1
        digits = position
        if byte == 48 and position + 4 <= end and data[position + 1] == 120:
            digits = position + 2
    if digits + 2 > end:
        return -1
    if not (bytes_of[data[digits]] & HEX_DIGIT and bytes_of[data[digits + 1]] & HEX_DIGIT):
        return -1
    after = digits + 2
    if after < end and data[after] == 44:
        return after + 1
    if class_at(data, after, end, classes) & WORD:
        return -1
    while after < end:
        point, following = decode(data, after, end)
        if not classes[point] & SPACE:
            break
        after = following
    return after
