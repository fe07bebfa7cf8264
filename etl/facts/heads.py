"""Which heads of texts could hold what go-enry looks for in them: a kernel that lets most pass by.

go-enry decides most files by name alone; a call with the content costs 20 times the look at the
name. Each flag is a necessary condition, so that a call left out could not have changed anything:
no false negative, few false positives. Source: go-enry 2.9 (common.go, data/generated.go).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from etl.facts.kernels import Bytes, Mask, Offsets, kernel

HEAD_BYTES = 16 << 10  # go-enry gets this much: 1.4 to 1.8 times the speed at 0.03 % accuracy

DECIDES = 1  # a shebang, perhaps a modeline, or NUL bytes: may override the name
XML = 2  # perhaps an XML declaration in the first two lines
GENERATED = 4  # perhaps a mark of a generator, for files other than JavaScript, CSS, XML, ...

_BINARY_BYTES = 8000  # go-enry looks for NUL in these
_MODE_LINES = 5
_GENERATED_LINES = 40

_GENERAT = np.frombuffer(b"generat", np.uint8)
_XML = np.frombuffer(b"xml version=", np.uint8)
_MARKS = (  # at the start of source maps, which do not say that they are generated
    np.frombuffer(b'{"version":', np.uint8),
    np.frombuffer(b"/** begin line maps", np.uint8),
)
_EDITORS = tuple(np.frombuffer(name, np.uint8) for name in (b"vi", b"vim", b"ex"))
_OPTIONS = tuple(np.frombuffer(name, np.uint8) for name in (b"ft", b"filetype", b"syntax"))
_GIMP = np.frombuffer(b"gimp ", np.uint8)


def head_flags(offsets: Offsets, data: Bytes, due: Mask) -> npt.NDArray[np.uint8]:
    """Flags above of the first HEAD_BYTES of each row; 0 where not due."""
    flags = np.zeros(len(due), np.uint8)
    _flag_rows(offsets, data, due, flags)
    return flags


@kernel
def _flag_rows(offsets: Offsets, data: Bytes, due: Mask, flags: npt.NDArray[np.uint8]) -> None:
    for row in range(len(due)):
        if not due[row]:
            continue
        start = int(offsets[row])
        end = min(int(offsets[row + 1]), start + HEAD_BYTES)
        flag = 0
        is_binary = _has_nul(data, start, min(end, start + _BINARY_BYTES))
        is_script = end - start >= 2 and data[start] == 35 and data[start + 1] == 33
        if is_binary or is_script or _may_hold_modeline(data, start, end):
            flag |= DECIDES
        if find(data, start, after_lines(data, start, end, 2), _XML) >= 0:
            flag |= XML
        if _may_be_generated(data, start, end):
            flag |= GENERATED
        flags[row] = flag


@kernel
def _has_nul(data: Bytes, start: int, end: int) -> bool:
    count = 0
    for byte in data[start:end]:
        count += byte == 0
    return count > 0


@kernel
def after_lines(data: Bytes, start: int, end: int, lines: int) -> int:
    """After the LF that ends line number `lines`, or the end."""
    for i in range(start, end):
        if data[i] == 10:
            lines -= 1
            if lines == 0:
                return i + 1
    return end


@kernel
def _before_lines(data: Bytes, start: int, end: int, lines: int) -> int:
    """After the LF that is the last but `lines` - 1, or the start."""
    for i in range(end - 1, start - 1, -1):
        if data[i] == 10:
            lines -= 1
            if lines == 0:
                return i + 1
    return start


@kernel
def find(data: Bytes, start: int, end: int, phrase: Bytes) -> int:
    """Where `phrase` (lower case) first stands in [start, end) whatever its case, or -1."""
    length = len(phrase)
    position = start
    while position + length <= end:
        last = data[position + length - 1]
        if 65 <= last <= 90:
            last |= 0x20
        i = length - 1
        while i >= 0 and _lower(data[position + i]) == phrase[i]:
            i -= 1
        if i < 0:
            return position
        shift = 1
        while shift < length and phrase[length - 1 - shift] != last:
            shift += 1
        position += shift
    return -1


@kernel
def _lower(byte: int) -> int:
    return byte | 0x20 if 65 <= byte <= 90 else byte


@kernel
def _may_hold_modeline(data: Bytes, start: int, end: int) -> bool:
    head = after_lines(data, start, end, _MODE_LINES)
    foot = max(head, _before_lines(data, start, end, _MODE_LINES))
    if after_lines(data, start, end, 2 * _MODE_LINES) == end:  # short: all of it is looked at
        head = foot = end
    return _has_modeline_marks(data, start, head) or _has_modeline_marks(data, foot, end)


@kernel
def _has_modeline_marks(data: Bytes, start: int, end: int) -> bool:
    """`-*-`; or an editor and a colon, and later an option for the language and `=`."""
    is_opened = False
    for i in range(start, end):
        byte = data[i]
        if byte == 42 and start < i < end - 1 and data[i - 1] == 45 and data[i + 1] == 45:
            return True
        if byte != 58 and byte != 61:
            continue
        before = i
        while before > start and (data[before - 1] == 32 or 9 <= data[before - 1] <= 13):
            before -= 1
        if byte == 58:
            is_opened = is_opened or _names_editor(data, start, before)
        elif is_opened:
            for option in _OPTIONS:
                first = before - len(option)
                if first >= start and find(data, first, before, option) >= 0:
                    return True
    return False


@kernel
def _names_editor(data: Bytes, start: int, end: int) -> bool:
    """[start, end) ends with `vi`, `vim`, `vim` and a version, or `ex`."""
    first = end
    while first > start and 48 <= data[first - 1] <= 57:
        first -= 1
    if first < end and first > start and 60 <= data[first - 1] <= 62:
        first -= 1
    for editor in _EDITORS:
        position = first - len(editor)
        if position >= start and find(data, position, first, editor) >= 0:
            return True
    return False


@kernel
def _may_be_generated(data: Bytes, start: int, end: int) -> bool:
    if find(data, start, after_lines(data, start, end, _GENERATED_LINES), _GENERAT) >= 0:
        return True
    for mark in _MARKS:
        if find(data, start, min(start + len(mark), end), mark) >= 0:
            return True
    return find(data, start, after_lines(data, start, end, 1), _GIMP) >= 0
