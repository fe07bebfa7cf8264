"""Which lines of a text may name a person or say a credential in words?    texts, their spans -> lines

Hyperscan reads a batch once for cues (`author`, `thanks`, `by Ada`, `password`, ...); a compiled kernel
looks at the lines that have one, and at every line of prose (Markdown, documentation, notebooks). A line
is taken where it has the shape of what the cue speaks of: two words in upper case next to each other of
which one is no common word, a mention, a value of letters and digits. What another layer has found already
is no reason to take a line. No Python object a line; some 300 MB/s a core where few lines are prose.
"""

from __future__ import annotations

import array
import functools
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from etl.facts.kernels import (
    FNV_OFFSET,
    FNV_PRIME,
    Bytes,
    Mask,
    Offsets,
    fnv_step,
    is_among,
    kernel,
    string_views,
)
from etl.facts.pii_addresses import is_alnum
from etl.facts.pii_names import hash_of
from etl.facts.pii_people import is_inside
from etl.facts.pii_text import words
from etl.patterns import CASELESS, compile_all

VERSION = 1
PERSON, CREDENTIAL, PROSE = 0, 1, 2  # rank of a line: the lesser is looked at first
MAX_LINE_BYTES = 320  # a longer line is looked at in pieces
LINES = pa.list_(
    pa.struct(
        [
            ("start", pa.int32()),
            ("end", pa.int32()),
            ("line_hash", pa.int64()),
            ("line_rank", pa.int32()),
        ]
    )
)
PROSE_EXTENSIONS = (
    "md", "markdown", "mdx", "rst", "txt", "adoc", "asciidoc", "org", "textile", "ipynb", "rmd", "pod",
    "tex", "",
)  # fmt: skip

Int64 = npt.NDArray[np.int64]
Int32 = npt.NDArray[np.int32]

_BEFORE = 160  # bytes of a long line before a cue
_PERSON_CUES = (
    rb"\b(?:co-?)?authors?\b|__author|copyright|\(c\)|\xc2\xa9|maintain|contribut|\bthanks?\b|\bthx\b|kudos"
    rb"|\bcredits?\b|courtesy|acknowledg|inspired|written|\bpatch|reported|suggested|translat|\beditors?\b"
    rb"|reviewe|\bdeveloper|programme|signed-off|modified by|contact|\bport(?:ed)? by|\bhelp(?:ed)? (?:by|from|of)"
    rb"|\bteam\b|\bcreator|designe|founded|\bowners?\b|discovered|\bpointed out|\bdue to\b|based on|@author"
)
_PERSON_CUES_ABROAD = (
    rb"\bauto(?:r|re|res|ren)\b|auteur|verfasser|geschrieben|\bescrito|\bscritto|\xc3\xa9crit|traduit|traducid"
    rb"|traduzi|\xc3\xbcbersetz|\xd0\xb0\xd0\xb2\xd1\x82\xd0\xbe\xd1\x80|\xe4\xbd\x9c\xe8\x80\x85|\xe8\x91\x97\xe8\x80\x85"
)
_PERSON_CUES_CASED = (
    rb"\b(?:by|By|BY|from|to|cc|via|par|por|von|di|av|door)[: ][ \t]{0,3}[A-Z\xc3-\xf4@]"
)
_MENTION = rb"[\s(\[,/]@[a-z0-9][a-z0-9-]{2}"
_CREDENTIAL_CUES = (
    rb"passw|passphrase|passcode|\bpwd\b|credential|\blog(?:ged)?[ -]?in\b|\bsecret\b|\bapi[ _-]?key|access[ _-]key"
    rb"|\buser ?(?:name)?[\"'`*]{0,2}(?: is| was|:| =| [\"'`])|\baccount[ :][\"'`]"
)
_CUES = (  # expression, flags, rank
    (_PERSON_CUES, CASELESS, PERSON),
    (_PERSON_CUES_ABROAD, CASELESS, PERSON),
    (_PERSON_CUES_CASED, 0, PERSON),
    (_MENTION, CASELESS, PERSON),
    (_CREDENTIAL_CUES, CASELESS, CREDENTIAL),
)


def candidate_lines(content: pa.Array, is_prose: Mask, spans: pa.ListArray) -> pa.ListArray:
    """LINES of each text: in order, without overlap, without blanks at their ends; of null none.

    spans: what is found already, structs with start and end, in order. A line's hash is of its bytes.
    """
    offsets, data, due = string_views(content)
    hits, ranks = _cues(offsets, data, due)
    found = spans.flatten()
    span_offsets = np.zeros(len(content) + 1, np.int64)
    np.cumsum(np.asarray(spans.value_lengths().fill_null(0)), out=span_offsets[1:])
    span_starts, span_ends = (np.asarray(found.field(name), np.int64) for name in ("start", "end"))
    given = (
        offsets,
        data,
        due,
        is_prose,
        hits,
        ranks,
        span_offsets,
        span_starts,
        span_ends,
        _common(),
    )
    capacity = 1024
    while True:
        rows, starts, ends, line_ranks, hashes = (np.zeros(capacity, np.int64) for _ in range(5))
        count = _lines(*given, rows, starts, ends, line_ranks, hashes)
        if count <= capacity:
            break
        capacity = count
    rows, starts, ends, line_ranks, hashes = (
        column[:count] for column in (rows, starts, ends, line_ranks, hashes)
    )
    row_offsets = np.zeros(len(content) + 1, np.int32)
    np.cumsum(np.bincount(rows, minlength=len(content)), out=row_offsets[1:])
    values = pa.StructArray.from_arrays(
        [
            pa.array(starts.astype(np.int32)),
            pa.array(ends.astype(np.int32)),
            pa.array(hashes),
            pa.array(line_ranks.astype(np.int32)),
        ],
        fields=list(LINES.value_type),
    )
    return pa.ListArray.from_arrays(pa.array(row_offsets), values, type=LINES)


def line_texts(content: pa.Array, lines: pa.ListArray) -> pa.Array:
    """The bytes of each line, as strings: all lines of the first text, then of the second, ..."""
    offsets, data, _ = string_views(content)
    found = lines.flatten()
    rows = np.asarray(lines.value_parent_indices())
    base = offsets[rows].astype(np.int64)
    starts = base + np.asarray(found.field("start"))
    ends = base + np.asarray(found.field("end"))
    text_offsets = np.zeros(len(rows) + 1, np.int32)
    np.cumsum(ends - starts, out=text_offsets[1:])
    copied = np.empty(int(text_offsets[-1]), np.uint8)
    _copy(data, starts, ends, text_offsets, copied)
    buffers = [None, pa.py_buffer(text_offsets), pa.py_buffer(copied)]
    return pa.Array.from_buffers(pa.string(), len(rows), buffers)


def _cues(offsets: Offsets, data: Bytes, due: Mask) -> tuple[Int64, npt.NDArray[np.int8]]:
    """Ends of cues in the buffer, ascending, and the rank that each gives its line."""
    numbers, ends = array.array("i"), array.array("q")

    def note(number: int, start: int, end: int, flags: int, context: object) -> None:
        numbers.append(number)
        ends.append(end)

    if len(due) and int(offsets[-1]) > int(offsets[0]):
        view = memoryview(data)[int(offsets[0]) : int(offsets[-1])]  # type: ignore[arg-type]
        _database().scan(view, match_event_handler=note)
    if not ends:
        return np.zeros(0, np.int64), np.zeros(0, np.int8)
    found = np.frombuffer(ends, np.int64) + int(offsets[0])
    ranks = np.array([rank for _, _, rank in _CUES], np.int8)[np.frombuffer(numbers, np.int32)]
    order = np.argsort(found, kind="stable")
    return found[order], ranks[order]


@functools.cache
def _database() -> Any:
    """The compiled cues: once a process, in some 20 ms."""
    expressions = [expression for expression, _, _ in _CUES]
    return compile_all(expressions, range(len(_CUES)), [flags for _, flags, _ in _CUES])


@functools.cache
def _common() -> Int64:
    """Sorted hashes of common words."""
    return np.array(sorted(hash_of(b"", word) for word in words()), np.int64)


@kernel
def _lines(
    offsets: Offsets,
    data: Bytes,
    due: Mask,
    is_prose: Mask,
    hits: Int64,
    ranks: npt.NDArray[np.int8],
    span_offsets: Int64,
    span_starts: Int64,
    span_ends: Int64,
    common: Int64,
    rows: Int64,
    starts: Int64,
    ends: Int64,
    line_ranks: Int64,
    hashes: Int64,
) -> int:
    """Number of lines; those that the arrays have room for are written."""
    count = 0
    hit = 0
    for row in range(len(due)):
        low, high = int(offsets[row]), int(offsets[row + 1])
        while hit < len(hits) and hits[hit] <= low:
            hit += 1
        if not due[row]:
            continue
        span = span_offsets[row]
        position = low
        while position < high:
            while hit < len(hits) and hits[hit] <= position:
                hit += 1
            if is_prose[row]:
                begin, after = _piece(data, position, high)
            else:
                if hit == len(hits) or hits[hit] > high:
                    break
                begin, after = _around(data, position, high, hits[hit] - 1)
            position = after + 1
            rank = PROSE
            i = hit
            while i < len(hits) and hits[i] <= after + 1:
                rank = min(rank, int(ranks[i]))
                i += 1
            begin, after = _trimmed(data, begin, after)
            while span < span_offsets[row + 1] and low + span_ends[span] <= begin:
                span += 1
            if after - begin < 6 or not _has_shape(
                data,
                begin,
                after,
                rank,
                low,
                span,
                span_offsets[row + 1],
                span_starts,
                span_ends,
                common,
            ):
                continue
            if count < len(rows):
                rows[count], starts[count], ends[count] = row, begin - low, after - low
                line_ranks[count] = rank
                hashes[count] = _hash(data, begin, after)
            count += 1
    return count


@kernel
def _piece(data: Bytes, position: int, high: int) -> tuple[int, int]:
    """The line at `position`, or as much of it as is looked at, cut at a blank."""
    limit = min(high, position + MAX_LINE_BYTES)
    after = position
    while after < limit and data[after] != 10:
        after += 1
    if after < high and data[after] != 10:
        after = _blank_before(data, position, after)
    return position, after


@kernel
def _around(data: Bytes, position: int, high: int, hit: int) -> tuple[int, int]:
    """The line of the cue whose last byte is at `hit`, or a piece of it around the cue."""
    first = max(position, hit - _BEFORE)
    begin = hit
    while begin > first and data[begin - 1] != 10:
        begin -= 1
    if begin == first and begin > position and data[begin - 1] != 10:
        while begin < hit and data[begin] > 32:
            begin += 1
    limit = min(high, begin + MAX_LINE_BYTES)
    after = begin
    while after < limit and data[after] != 10:
        after += 1
    if after < high and data[after] != 10:
        after = _blank_before(data, max(begin, hit), after)
    return begin, after


@kernel
def _blank_before(data: Bytes, low: int, end: int) -> int:
    """The last blank of [low, end), or where none is, `end` without a part of a character."""
    i = end
    while i > low:
        i -= 1
        if data[i] <= 32:
            return i
    while end > low + 1 and (data[end] & 0xC0) == 0x80:
        end -= 1
    return end


@kernel
def _trimmed(data: Bytes, begin: int, after: int) -> tuple[int, int]:
    while begin < after and (data[begin] <= 32 or (data[begin] & 0xC0) == 0x80):
        begin += 1
    while after > begin and data[after - 1] <= 32:
        after -= 1
    return begin, after


@kernel
def _has_shape(
    data: Bytes,
    begin: int,
    after: int,
    rank: int,
    low: int,
    span: int,
    last_span: int,
    span_starts: Int64,
    span_ends: Int64,
    common: Int64,
) -> bool:
    """It holds what could be a name, a mention or a credential, and is not found yet."""
    i = begin
    previous_end, previous_is_upper, previous_is_common = -9, False, True
    mixed = 0
    while i < after:
        while span < last_span and low + span_ends[span] <= i:
            span += 1
        if span < last_span and low + span_starts[span] <= i:
            i = low + span_ends[span]
            previous_is_upper = False
            continue
        byte = data[i]
        if byte == 64 and rank == PERSON and _is_mention(data, begin, after, i, common):
            return True
        if not is_inside(byte):
            i += 1
            continue
        start = i
        digits, signs, state = 0, 0, FNV_OFFSET
        while i < after and (is_inside(data[i]) or (data[i] == 39 or data[i] == 45)):
            digits += 48 <= data[i] <= 57
            signs += data[i] == 95
            state = fnv_step(state, data[i])
            i += 1
        length = i - start
        mixed += 0 < digits < length and length >= 5 and signs == 0
        is_upper = (65 <= byte <= 90 or byte >= 0xC3) and digits + signs == 0
        if rank == PERSON and byte >= 0xE3 and length >= 6:
            return True
        is_initial = length == 1 and is_upper
        is_common = is_initial or is_among(common, 0, len(common), np.int64(state))
        is_next = start - previous_end <= 2 and (
            data[previous_end] == 32 or (data[previous_end] == 46 and previous_end + 1 < start)
        )
        if rank != CREDENTIAL and is_upper and previous_is_upper and is_next and length > 1:
            is_telling = not is_common or not previous_is_common
            if rank == PROSE:
                is_telling = not is_common and not previous_is_common
            if is_telling:
                return True
        is_particle = not is_upper and length <= 3 and previous_is_upper and is_next and digits == 0
        if not is_particle:
            previous_is_upper, previous_is_common = is_upper, is_common
        previous_end = i
    return rank == CREDENTIAL and mixed > 0


@kernel
def _is_mention(data: Bytes, begin: int, after: int, at: int, common: Int64) -> bool:
    """`by @jane7`, `(@jane7)`; no decorator, doc tag, package scope, macro or common word."""
    if at == begin or data[at - 1] not in (32, 40, 91, 44):  # a blank, a bracket, a comma
        return False
    first = begin
    while first < at and not is_inside(data[first]):
        first += 1
    state = FNV_OFFSET
    i = at + 1
    while i < after and (is_alnum(data[i]) or data[i] == 45 or data[i] == 95):
        state = fnv_step(state, data[i])
        i += 1
    is_more = i < after and (
        data[i] in (64, 123, 47, 61, 40)
        or (data[i] == 46 and i + 1 < after and is_alnum(data[i + 1]))
    )
    return (
        first < at
        and i - at > 3
        and not is_more
        and not is_among(common, 0, len(common), np.int64(state))
    )


@kernel
def _hash(data: Bytes, begin: int, after: int) -> np.int64:
    """FNV-1a with a last mix: equal lines, equal hashes."""
    state = FNV_OFFSET
    for i in range(begin, after):
        state = (state ^ np.uint64(data[i])) * FNV_PRIME
    state ^= state >> np.uint64(32)
    state *= np.uint64(0xD6E8FEB86659FD93)
    state ^= state >> np.uint64(32)
    return np.int64(state)


@kernel
def _copy(data: Bytes, starts: Int64, ends: Int64, offsets: Int32, copied: Bytes) -> None:
    for i in range(len(starts)):
        copied[offsets[i] : offsets[i + 1]] = data[starts[i] : ends[i]]
