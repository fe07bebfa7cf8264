"""What does a text look like without its secrets?    content, spans -> redacted content

Spans are byte offsets into the UTF-8 text, found by several layers. Overlapping and touching spans of one
kind become one replacement; of overlapping kinds the one that begins first names it, of those that begin
together the one of the first layer. The text outside the spans is
copied byte by byte. What stands in place of a span is a tag, or a made-up value of the same form
(`Fakes`): the same for the same value wherever it stands in a repository.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from etl.facts.kernels import string_views

Int32 = npt.NDArray[np.int32]
Bytes = npt.NDArray[np.uint8]

REPLACEMENTS: Mapping[str, str] = {  # kind of a span -> what stands in its place
    "email": "<EMAIL>",
    "ip_address": "<IP_ADDRESS>",
    "key": "<KEY>",
    "name": "<NAME>",
    "password": "<PASSWORD>",
    "username": "<USERNAME>",
}

_STAYS = -1  # kind of a span that is not replaced, nor what lies in it
_ESCAPE = re.compile(rb"\\(?:x[0-9A-Fa-f]{2}|u[0-9A-Fa-f]{4}|U[0-9A-Fa-f]{8}|.)", re.S)
_GIVEN = b"Alex Casey Drew Ellis Frankie Harper Jamie Kim Logan Morgan Noel Parker Quinn Riley Sasha Taylor".split()
_FAMILY = b"Abbot Barker Chandler Draper Fletcher Glover Hooper Joiner Mercer Naylor Porter Weaver".split()


@dataclass(frozen=True)
class Fakes:
    """Made-up values, by HMAC-SHA256 of repository, kind and value: no order of rows changes them.

    E-mail addresses and IP addresses are of ranges that nobody has (example.com, 10/8, fd00::/8).
    Keys and passwords keep their length, and where their letters, digits and signs stand.
    """

    key: bytes

    def text(self, repo_id: str, kind: str, value: bytes) -> bytes:
        """In place of `value`; ASCII."""
        message = b"\0".join((repo_id.encode(), kind.encode(), value))
        digest = hmac.new(self.key, message, hashlib.sha256).digest()
        tail = digest.hex()[:10].encode()
        if kind == "email":
            return b"user-" + tail + b"@example.com"
        if kind == "username":
            return b"user-" + tail
        if kind == "name":
            return _GIVEN[digest[0] % len(_GIVEN)] + b" " + _FAMILY[digest[1] % len(_FAMILY)]
        if kind == "ip_address" and b":" in value:
            return b"fd00::" + b":".join(
                digest[i : i + 2].hex().lstrip("0").encode() or b"1" for i in (0, 2, 4)
            )
        if kind == "ip_address":
            return b"10.%d.%d.%d" % (digest[0], digest[1], 1 + digest[2] % 254)
        return b"\n".join(
            line if line.startswith(b"-----") else self._alike(digest, line)
            for line in value.split(b"\n")
        )

    def _alike(self, digest: bytes, value: bytes) -> bytes:
        """Other letters and digits in the same places; escapes of a string stay as they are."""
        stream = hashlib.shake_256(digest + value).digest(len(value))
        made_up = bytearray(
            _same_class(byte, random) for byte, random in zip(value, stream, strict=True)
        )
        for escape in _ESCAPE.finditer(value):
            made_up[escape.start() : escape.end()] = escape[0]
        return bytes(made_up)


def _same_class(byte: int, random: int) -> int:
    if 48 <= byte <= 57:
        return 48 + random % 10
    if 65 <= byte <= 90:
        return 65 + random % 26
    if 97 <= byte <= 122:
        return 97 + random % 26
    return byte if byte < 0x80 else 97 + random % 26


def redact(
    content: pa.Array,
    layers: Sequence[pa.ListArray],
    replacements: Mapping[str, str] = REPLACEMENTS,
    *,
    keep: Collection[str] = (),
    fakes: Fakes | None = None,
    repo_ids: pa.Array | None = None,
) -> tuple[pa.Array, pa.Array]:
    """Texts with each span replaced, and the number of replacements in each (int32).

    content: string array of n texts without nulls; each layer: n lists of structs with kind, start, end
    and, if it has any that may be kept, detector, in any order. Spans of kinds that `replacements` does
    not name stay as they are; those of the detectors in `keep` do, with what lies in them. No row is
    dropped. `fakes` needs the n `repo_ids`.
    """
    num_rows = len(content)
    offsets, data, _ = string_views(content)
    names = list(replacements)
    rows, starts, ends, kinds = _flat(layers, names, keep)
    if not len(rows):
        return content, pa.array(np.zeros(num_rows, np.int32))

    starts, ends, kinds, firsts, counts = _merge(rows, starts, ends, kinds, offsets)
    if fakes is None or repo_ids is None:
        texts, choices = [replacement.encode() for replacement in replacements.values()], kinds
    else:
        places = (np.repeat(np.arange(num_rows), counts), starts, ends, kinds)
        texts = _made_up(fakes, data, offsets, repo_ids.to_pylist(), names, places)
        choices = np.arange(len(kinds), dtype=np.int32)
    text_offsets = np.cumsum([0, *map(len, texts)]).astype(np.int32)
    text_data = np.frombuffer(b"".join(texts), np.uint8)
    sizes = _sizes(offsets, firsts, starts, ends, choices, text_offsets)
    new_offsets = np.zeros(num_rows + 1, np.int32)
    np.cumsum(sizes, out=new_offsets[1:])
    new_data = np.empty(int(new_offsets[-1]), np.uint8)
    _copy(
        offsets, data, firsts, starts, ends, choices, text_offsets, text_data, new_offsets, new_data
    )
    buffers = [None, pa.py_buffer(new_offsets), pa.py_buffer(new_data)]
    return pa.Array.from_buffers(pa.string(), num_rows, buffers), pa.array(counts)


def _made_up(
    fakes: Fakes, data: Bytes, offsets: Int32, repo_ids: list[str], kinds: list[str], places: Any
) -> list[bytes]:
    texts = []
    for row, start, end, kind in zip(*(column.tolist() for column in places), strict=True):
        value = data[offsets[row] + start : offsets[row] + end].tobytes()
        texts.append(fakes.text(repo_ids[row], kinds[kind], value))
    return texts


def _flat(
    layers: Sequence[pa.ListArray], kinds: list[str], keep: Collection[str]
) -> tuple[Any, Any, Any, Any]:
    """Row, start, end and index of kind of each span, by row, start and layer; what stays is first of a place."""
    parts = []
    for number, lists in enumerate(layers):
        values = lists.flatten()
        kind = pa.compute.index_in(values.field("kind"), value_set=pa.array(kinds, pa.string()))
        layer = pa.array(np.full(len(values), number, np.int32))
        if keep and values.type.get_field_index("detector") >= 0:
            stays = pa.compute.is_in(values.field("detector"), value_set=pa.array(list(keep)))
            kind = pa.compute.if_else(stays, pa.scalar(_STAYS, pa.int32()), kind)
            layer = pa.compute.if_else(stays, pa.scalar(_STAYS, pa.int32()), layer)
        columns = {
            "row": lists.value_parent_indices().cast(pa.int32()),
            "start": values.field("start").cast(pa.int32()),
            "end": values.field("end").cast(pa.int32()),
            "layer": layer,
            "kind": kind,
        }
        parts.append(pa.table(columns))
    order = [
        ("row", "ascending"),
        ("start", "ascending"),
        ("layer", "ascending"),
        ("kind", "ascending"),
    ]
    table = pa.concat_tables(parts).drop_null().sort_by(order)
    return tuple(table.column(name).to_numpy() for name in ("row", "start", "end", "kind"))


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _merge(
    rows: Int32, starts: Int32, ends: Int32, kinds: Int32, offsets: Int32
) -> tuple[Int32, Int32, Int32, Int32, Int32]:
    """Disjoint spans; firsts[i] is row i's first of them. Ends beyond a text are cut to it.

    A span inside one that stays is left out.
    """
    num_rows = len(offsets) - 1
    merged_starts, merged_ends = np.empty_like(starts), np.empty_like(ends)
    merged_kinds = np.empty_like(kinds)
    counts = np.zeros(num_rows, np.int32)
    firsts = np.zeros(num_rows + 1, np.int32)
    num_merged = 0
    last_row = -1
    kept_row, kept_end = -1, 0
    for index in range(len(rows)):
        row = rows[index]
        length = offsets[row + 1] - offsets[row]
        start, end = max(0, starts[index]), min(ends[index], length)
        if start >= end:
            continue
        if kinds[index] == _STAYS:
            kept_end = max(kept_end, end) if row == kept_row else end
            kept_row = row
            continue
        if row == kept_row and end <= kept_end:
            continue
        overlaps = row == last_row and start < merged_ends[num_merged - 1]
        touches = (
            row == last_row
            and start == merged_ends[num_merged - 1]
            and kinds[index] == merged_kinds[num_merged - 1]
        )
        if overlaps or touches:
            merged_ends[num_merged - 1] = max(merged_ends[num_merged - 1], end)
            continue
        merged_starts[num_merged], merged_ends[num_merged] = start, end
        merged_kinds[num_merged] = kinds[index]
        counts[row] += 1
        num_merged += 1
        last_row = row
    for row in range(num_rows):
        firsts[row + 1] = firsts[row] + counts[row]
    return (
        merged_starts[:num_merged],
        merged_ends[:num_merged],
        merged_kinds[:num_merged],
        firsts,
        counts,
    )


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _sizes(
    offsets: Int32, firsts: Int32, starts: Int32, ends: Int32, choices: Int32, text_offsets: Int32
) -> Int32:
    """Bytes of each redacted text."""
    num_rows = len(offsets) - 1
    sizes = np.empty(num_rows, np.int32)
    for row in range(num_rows):
        size = offsets[row + 1] - offsets[row]
        for span in range(firsts[row], firsts[row + 1]):
            text = choices[span]
            size += text_offsets[text + 1] - text_offsets[text] - (ends[span] - starts[span])
        sizes[row] = size
    return sizes


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _copy(
    offsets: Int32,
    data: Bytes,
    firsts: Int32,
    starts: Int32,
    ends: Int32,
    choices: Int32,
    text_offsets: Int32,
    text_data: Bytes,
    new_offsets: Int32,
    new_data: Bytes,
) -> None:
    for row in range(len(offsets) - 1):
        source, target = offsets[row], new_offsets[row]
        for span in range(firsts[row], firsts[row + 1]):
            length = offsets[row] + starts[span] - source
            new_data[target : target + length] = data[source : source + length]
            target += length
            first, last = text_offsets[choices[span]], text_offsets[choices[span] + 1]
            new_data[target : target + last - first] = text_data[first:last]
            target += last - first
            source = offsets[row] + ends[span]
        length = offsets[row + 1] - source
        new_data[target : target + length] = data[source : source + length]
