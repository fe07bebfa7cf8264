"""Which hits of the assignments' hints are worth a look in Python?    hits -> bool, compiled

A necessary condition: a value that could be a password or a key. It drops nine hits of ten in code,
where most strings beside a telling name are words: `token = "IDENT"`, `key="name of the column"`.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from etl.facts.heads import find
from etl.facts.kernels import Bytes, Mask, Offsets, kernel
from etl.facts.pii_addresses import Positions, is_alnum

_PASS = np.frombuffer(b"pass", np.uint8)
_PW = np.frombuffer(b"pw", np.uint8)
_LONGEST = 2048
_NAME_BYTES = 100  # before a value, in which its name stands


def plausible(
    offsets: Offsets,
    data: Bytes,
    rows: Positions,
    is_quoted: npt.NDArray[np.bool_],
    ends: Positions,
) -> Mask:
    """For hits whose hint ends with the fourth byte of a value."""
    found = np.zeros(len(ends), np.bool_)
    _plausible(offsets, data, rows, is_quoted, ends, found)
    return found


@kernel
def _plausible(
    offsets: Offsets,
    data: Bytes,
    rows: Positions,
    is_quoted: npt.NDArray[np.bool_],
    ends: Positions,
    found: Mask,
) -> None:
    for i in range(len(ends)):
        low, high = int(offsets[rows[i]]), int(offsets[rows[i] + 1])
        start = ends[i] - 4
        if start <= low:
            continue
        after = _value_end(data, start, high, is_quoted[i])
        if after < 0:
            continue
        digits, others, uppers = 0, 0, 0
        for j in range(start, after):
            byte = data[j]
            digits += 48 <= byte <= 57
            uppers += 65 <= byte <= 90
            others += not is_alnum(byte) and byte != 95 and byte != 45 and byte != 46
        length = after - start
        is_key = length >= 8 and (digits >= 2 or (length >= 12 and uppers > 0))
        is_key = is_key or (length >= 16 and uppers + digits + others == 0)
        if is_key:
            found[i] = True
            continue
        before = max(low, start - _NAME_BYTES)
        found[i] = find(data, before, start, _PASS) >= 0 or find(data, before, start, _PW) >= 0


@kernel
def _value_end(data: Bytes, start: int, high: int, is_quoted: bool) -> int:
    """Behind the value, or -1 where it holds a blank, what no value of that kind holds, or no end."""
    quote = data[start - 1]
    for j in range(start, min(high, start + _LONGEST)):
        byte = data[j]
        if is_quoted:
            if byte == quote:
                return j
            if byte <= 32:
                return -1
        else:
            if byte <= 32 or byte == 34 or byte == 39 or byte == 96:
                return j
            if byte == 40 or byte == 41 or byte == 123 or byte == 125 or byte == 91 or byte == 93:
                return -1
    return -1 if is_quoted or high - start > _LONGEST else high
