"""How long, how lettered, how encoded a text is: string array -> one struct a content.

Scalars only; the thresholds are SQL over them. One kernel over the Arrow buffer, a few walks of a
content that stays in cache. `etl.facts.reference.quality` says the same in plain Python.

Source: StarCoder 2, section 3.1 (basic filters), and StarCoder for the definitions it builds on.
"""

from __future__ import annotations

import functools

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from etl.facts.encoded import base64_runs, byte_classes, escape_runs, hex_runs
from etl.facts.kernels import (
    ALNUM,
    ALPHA,
    Bytes,
    Mask,
    Offsets,
    character_classes,
    decode,
    kernel,
    string_views,
)

VERSION = 1

MARKER_LINES = 5  # generated markers are looked for in the first lines only

FIELDS = pa.struct(
    [
        ("num_bytes", pa.int64()),
        ("num_chars", pa.int64()),
        ("num_lines", pa.int64()),
        ("max_line_length", pa.int64()),
        ("avg_line_length", pa.float64()),
        ("alphabetic_fraction", pa.float64()),
        ("alphanumeric_fraction", pa.float64()),
        ("base64_fraction", pa.float64()),
        ("hex_fraction", pa.float64()),
        ("unicode_escape_fraction", pa.float64()),
        ("max_encoded_run", pa.int64()),
        ("has_generated_marker", pa.bool_()),
    ]
)

# Columns of the kernel's result
_CHARS, _LINES, _LINE_CHARS, _LONGEST, _ALPHA, _ALNUM, _BASE64, _HEX, _ESCAPES, _RUN, _MARKER = (
    range(11)
)

_COUNTER_BLOCK = 255  # bytes until the byte-wide counters of `_count_bytes` are emptied


def quality(content: pa.Array, mask: Mask | None = None) -> pa.StructArray:
    """FIELDS of each content; null where `content` is null or not in `mask`.

    Fractions are of all characters and 0 for an empty text, which has 0 lines.
    """
    offsets, data, due = string_views(content, mask)
    counts = np.zeros((len(content), 11), np.int64)
    _quality_rows(offsets, data, due, character_classes(), _encoded_classes(), counts)
    chars = np.maximum(counts[:, _CHARS], 1)
    lines = np.maximum(counts[:, _LINES], 1)
    columns = [
        np.diff(offsets).astype(np.int64),
        counts[:, _CHARS],
        counts[:, _LINES],
        counts[:, _LONGEST],
        counts[:, _LINE_CHARS] / lines,
        counts[:, _ALPHA] / chars,
        counts[:, _ALNUM] / chars,
        counts[:, _BASE64] / chars,
        counts[:, _HEX] / chars,
        counts[:, _ESCAPES] / chars,
        counts[:, _RUN],
        counts[:, _MARKER] != 0,
    ]
    arrays = [pa.array(column, field.type) for column, field in zip(columns, FIELDS, strict=True)]
    return pa.StructArray.from_arrays(arrays, fields=list(FIELDS), mask=pa.array(~due))


@functools.cache
def _encoded_classes() -> Bytes:
    return byte_classes()


@kernel
def _quality_rows(
    offsets: Offsets,
    data: Bytes,
    due: Mask,
    classes: Bytes,
    bytes_of: Bytes,
    counts: npt.NDArray[np.int64],
) -> None:
    for row in range(len(due)):
        if not due[row]:
            continue
        start = int(offsets[row])
        end = int(offsets[row + 1])
        if start == end:
            continue
        out = counts[row]
        letters, digits, continuations, num_lf, num_cr = _count_bytes(data, start, end)
        alphanumerics = letters + digits
        is_ascii = continuations == 0
        num_chars = end - start - continuations
        if not is_ascii:
            more_letters, more_alphanumerics = _count_beyond_ascii(data, start, end, classes)
            letters += more_letters
            alphanumerics += more_alphanumerics
        num_crlf = _count_crlf(data, start, end) if num_cr else 0
        is_open = data[end - 1] != 10 and data[end - 1] != 13
        out[_CHARS] = num_chars
        out[_LINES] = num_lf + num_cr - num_crlf + is_open
        out[_LINE_CHARS] = num_chars - num_lf - num_cr
        if is_ascii:
            out[_LONGEST] = _longest_ascii_line(data, start, end)
        else:
            out[_LONGEST] = _longest_line(data, start, end)
        out[_ALPHA] = letters
        out[_ALNUM] = alphanumerics
        out[_BASE64], run = base64_runs(data, start, end, bytes_of)
        out[_HEX], hex_run = hex_runs(data, start, end, bytes_of, classes)
        out[_ESCAPES], escape_run = escape_runs(data, start, end, bytes_of)
        out[_RUN] = max(run, hex_run, escape_run)
        out[_MARKER] = _has_marker(data, start, _end_of_lines(data, start, end, MARKER_LINES))


@kernel
def _count_bytes(data: Bytes, start: int, end: int) -> tuple[int, int, int, int, int]:
    """ASCII letters, ASCII digits, continuation bytes, LF and CR.

    The counters are bytes, so that the compiler keeps 32 of them in a register.
    """
    letters = digits = continuations = num_lf = num_cr = 0
    position = start
    while position < end:
        stop = min(position + _COUNTER_BLOCK, end)
        block_letters = block_digits = block_continuations = block_lf = block_cr = np.uint8(0)
        for byte in data[position:stop]:
            lower = byte | np.uint8(0x20)
            block_letters = np.uint8(block_letters + np.uint8((lower >= 97) & (lower <= 122)))
            block_digits = np.uint8(block_digits + np.uint8((byte >= 48) & (byte <= 57)))
            block_continuations = np.uint8(
                block_continuations + np.uint8((byte >= 0x80) & (byte < 0xC0))
            )
            block_lf = np.uint8(block_lf + np.uint8(byte == 10))
            block_cr = np.uint8(block_cr + np.uint8(byte == 13))
        letters += block_letters
        digits += block_digits
        continuations += block_continuations
        num_lf += block_lf
        num_cr += block_cr
        position = stop
    return letters, digits, continuations, num_lf, num_cr


@kernel
def _count_beyond_ascii(data: Bytes, start: int, end: int, classes: Bytes) -> tuple[int, int]:
    """Letters and alphanumerics among the characters beyond ASCII."""
    letters = alphanumerics = 0
    position = start
    while position < end:
        if data[position] < 0x80:
            position += 1
            continue
        point, position = decode(data, position, end)
        letters += (classes[point] & ALPHA) != 0
        alphanumerics += (classes[point] & ALNUM) != 0
    return letters, alphanumerics


@kernel
def _count_crlf(data: Bytes, start: int, end: int) -> int:
    count = 0
    for i in range(start, end - 1):
        count += (data[i] == 13) & (data[i + 1] == 10)
    return count


@kernel
def _longest_ascii_line(data: Bytes, start: int, end: int) -> int:
    """Bytes of the longest line. Reads backwards from where a longer line would end."""
    longest = 0
    line = start
    while line + longest < end:
        probe = line + longest
        while probe >= line and data[probe] != 10 and data[probe] != 13:
            probe -= 1
        if probe >= line:
            line = probe + 1
            continue
        stop = line + longest + 1
        while stop < end and data[stop] != 10 and data[stop] != 13:
            stop += 1
        longest = stop - line
        line = stop + 1
    return longest


@kernel
def _longest_line(data: Bytes, start: int, end: int) -> int:
    """Characters of the longest line."""
    longest = length = 0
    for i in range(start, end):
        byte = data[i]
        if byte == 10 or byte == 13:
            longest = max(longest, length)
            length = 0
        else:
            length += (byte & 0xC0) != 0x80
    return max(longest, length)


@kernel
def _end_of_lines(data: Bytes, start: int, end: int, num_lines: int) -> int:
    """Where line `num_lines` ends, or the end."""
    lines = 0
    for i in range(start, end):
        byte = data[i]
        if byte == 10 or (byte == 13 and not (i + 1 < end and data[i + 1] == 10)):
            lines += 1
            if lines == num_lines:
                return i
    return end


# All phrases hold "generated": it is searched for, the rest is looked at around it
_WORD = np.frombuffer(b"generated", np.uint8)
_BEFORE = (
    np.frombuffer(b"auto", np.uint8),
    np.frombuffer(b"auto-", np.uint8),
    np.frombuffer(b"automatically ", np.uint8),
    np.frombuffer(b"this file is ", np.uint8),
)
_AFTER = np.frombuffer(b" automatically", np.uint8)


@kernel
def _has_marker(data: Bytes, start: int, end: int) -> bool:
    """One of the phrases in [start, end), whatever its case."""
    length = len(_WORD)
    position = start
    while position + length <= end:
        last = data[position + length - 1] | 0x20
        if last == 100 and _is_at(data, position, end, _WORD):
            if _is_at(data, position + length, end, _AFTER):
                return True
            for i in range(len(_BEFORE)):
                before = position - len(_BEFORE[i])
                if before >= start and _is_at(data, before, end, _BEFORE[i]):
                    return True
            position += length
        else:
            position += _skip(last)
    return False


@kernel
def _skip(last: int) -> int:
    """How far `generated` can move when the byte under its end is `last` (Horspool)."""
    for back in range(1, len(_WORD)):
        if _WORD[len(_WORD) - 1 - back] == last:
            return back
    return len(_WORD)


@kernel
def _is_at(data: Bytes, position: int, end: int, phrase: Bytes) -> bool:
    """`phrase` (lower case) stands at `position`, whatever its case."""
    if position + len(phrase) > end:
        return False
    for i in range(len(phrase)):
        byte = data[position + i]
        if 65 <= byte <= 90:
            byte |= 0x20
        if byte != phrase[i]:
            return False
    return True
