"""How much of an HTML page is text a reader sees: string array -> characters and their fraction.

Dropped: tags with their attributes, comments, declarations, processing instructions, and the bodies
of `script`, `style`, `title`, `noscript`, `template` and `iframe`, up to their end tag or the end
of the page. Of `head` nothing else is text, and its end tag may be left out, so that it is no
element to drop. A character reference is one character; white space, across tags too, is one
character between two others and none at either end.

The rules are those of a browser's tokeniser where they matter for a count: `<` opens a tag only
before a letter, `/`, `!` or `?`; a quoted attribute may hold `>`; what is not closed lasts to the
end. Source: StarCoder 2, section 3.1 (HTML filter); HTML Living Standard, section 13.2.5.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from etl.facts.kernels import (
    SPACE,
    Bytes,
    Mask,
    Offsets,
    character_classes,
    count_characters,
    decode,
    kernel,
    string_views,
)

VERSION = 1

_HIDDEN = tuple(
    np.frombuffer(name, np.uint8)
    for name in (b"script", b"style", b"title", b"noscript", b"template", b"iframe")
)
_LONGEST_REFERENCE = 33  # "&CounterClockwiseContourIntegral;" without its semicolon


def visible_text(content: pa.Array, mask: Mask | None = None) -> tuple[pa.Array, pa.Array]:
    """(characters int64, fraction of all characters float64), null as `content` or not in `mask`.

    The fraction is 0 for an empty page; at most 1.
    """
    offsets, data, due = string_views(content, mask)
    counts = np.zeros((len(content), 2), np.int64)
    _visible_rows(offsets, data, due, character_classes(), counts)
    chars = pa.array(counts[:, 0], pa.int64(), mask=~due)
    fractions = counts[:, 0] / np.maximum(counts[:, 1], 1)
    return chars, pa.array(fractions, pa.float64(), mask=~due)


@kernel
def _visible_rows(
    offsets: Offsets, data: Bytes, due: Mask, classes: Bytes, counts: npt.NDArray[np.int64]
) -> None:
    for row in range(len(due)):
        if due[row]:
            start = int(offsets[row])
            end = int(offsets[row + 1])
            counts[row, 0] = _count_visible(data, start, end, classes)
            counts[row, 1] = count_characters(data, start, end)


@kernel
def _count_visible(data: Bytes, start: int, end: int, classes: Bytes) -> int:
    count = 0
    is_after_space = False
    position = start
    while position < end:
        byte = data[position]
        if byte == 60 and _opens_markup(data, position + 1, end):
            position = _after_markup(data, position, end)
            continue
        if byte == 38:
            position = _after_reference(data, position, end)
        else:
            point, position = decode(data, position, end)
            if classes[point] & SPACE:
                is_after_space = count > 0
                continue
        count += 2 if is_after_space else 1
        is_after_space = False
    return count


@kernel
def _is_letter(byte: int) -> bool:
    lower = byte | 0x20
    is_letter: bool = lower >= 97 and lower <= 122
    return is_letter


@kernel
def _opens_markup(data: Bytes, position: int, end: int) -> bool:
    if position >= end:
        return False
    byte = data[position]
    if byte == 47:  # "</" before the end of the page is text
        return position + 1 < end
    return byte == 33 or byte == 63 or _is_letter(byte)


@kernel
def _after_markup(data: Bytes, position: int, end: int) -> int:
    """Where the markup at `position` ends, the body of a hidden element included."""
    following = data[position + 1]
    if following == 33 and _stands_at(data, position + 2, end, 45, 45):
        return _after_comment(data, position + 4, end)
    is_end_tag = following == 47
    name = position + 2 if is_end_tag else position + 1
    if not _is_letter(data[name]):  # a declaration or a bogus comment
        return _after_byte(data, name, end, 62)
    after = _after_tag(data, name, end)
    if is_end_tag:
        return after
    for hidden in _HIDDEN:
        if _is_name(data, name, end, hidden):
            return _after_end_tag(data, after, end, hidden)
    return after


@kernel
def _stands_at(data: Bytes, position: int, end: int, one: int, other: int) -> bool:
    return position + 1 < end and data[position] == one and data[position + 1] == other


@kernel
def _after_byte(data: Bytes, position: int, end: int, wanted: int) -> int:
    while position < end and data[position] != wanted:
        position += 1
    return min(position + 1, end)


@kernel
def _after_comment(data: Bytes, position: int, end: int) -> int:
    """`position` is after `<!--`. Ends with `-->` or `--!>`; `<!-->` and `<!--->` are whole."""
    if position < end and data[position] == 62:
        return position + 1
    if _stands_at(data, position, end, 45, 62):
        return position + 2
    while position < end:
        position = _after_byte(data, position, end, 62)
        last = position - 1
        if data[last] == 62 and _stands_at(data, last - 2, end, 45, 45):
            return position
        if data[last] == 62 and data[last - 1] == 33 and _stands_at(data, last - 3, end, 45, 45):
            return position
    return end


@kernel
def _after_tag(data: Bytes, position: int, end: int) -> int:
    """`position` is at a tag's name. A quote opens a value only after `=`."""
    is_value = False
    while position < end:
        byte = data[position]
        position += 1
        if byte == 62:
            return position
        if is_value and (byte == 34 or byte == 39):
            position = _after_byte(data, position, end, byte)
            is_value = False
        elif byte == 61:
            is_value = True
        elif not (byte == 32 or 9 <= byte <= 13):
            is_value = False
    return end


@kernel
def _is_name(data: Bytes, position: int, end: int, name: Bytes) -> bool:
    """The tag name at `position` is `name`, whatever its case."""
    after = position + len(name)
    if after > end:
        return False
    for i in range(len(name)):
        if data[position + i] | 0x20 != name[i]:
            return False
    if after == end:
        return True
    byte = int(data[after])
    return byte == 62 or byte == 47 or byte == 32 or 9 <= byte <= 13


@kernel
def _after_end_tag(data: Bytes, position: int, end: int, name: Bytes) -> int:
    """After the end tag of `name` that follows, or the end."""
    while position < end:
        position = _after_byte(data, position, end, 60)
        if position < end and data[position] == 47 and _is_name(data, position + 1, end, name):
            return _after_tag(data, position + 1, end)
    return end


@kernel
def _after_reference(data: Bytes, position: int, end: int) -> int:
    """After the character reference at `position` (`&amp;`, `&#38;`, `&#x26;`), or of `&`."""
    limit = min(position + _LONGEST_REFERENCE, end)
    first = position + 1
    is_number = first < limit and data[first] == 35
    if is_number:
        first += 1
    is_hex = is_number and first < limit and data[first] | 0x20 == 120
    if is_hex:
        first += 1
    after = first
    while after < limit and _is_reference_byte(data[after], is_number, is_hex, after == first):
        after += 1
    if after > first and after < end and data[after] == 59:
        return after + 1
    return position + 1


@kernel
def _is_reference_byte(byte: int, is_number: bool, is_hex: bool, is_first: bool) -> bool:
    is_digit = 48 <= byte <= 57
    if is_hex:
        return is_digit or 97 <= (byte | 0x20) <= 102
    if is_number:
        return is_digit
    return _is_letter(byte) or (is_digit and not is_first)
