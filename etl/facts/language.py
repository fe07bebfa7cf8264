"""What language a file is in: (content, basenames) -> one struct a name, by the name and the head.

go-enry (Linguist's rules) decides, and the answers are its own. It looks, in this order, at a
modeline, the name, a shebang, the extension, an XML declaration, rules for the content by
extension, and a classifier among what is left. A name or an extension with one language is final
unless the head holds a modeline or a shebang; so the answer for a name is kept, and the content is
passed on only where `etl.facts.heads` sees that it could matter. Of C's headers, a tenth of many
repositories, the rules are matched here: Go's regular expressions take a millisecond a file. Where
nothing can be said the language is null: a guess by content alone is right in a third of cases.

go-enry is imported at first use: a Go runtime does not survive a fork.
"""

from __future__ import annotations

import functools
from pathlib import PurePosixPath
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from etl.facts.heads import DECIDES, GENERATED, HEAD_BYTES, XML, head_flags
from etl.facts.kernels import Mask, string_views
from etl.patterns import MULTILINE, SINGLEMATCH, compile_all

VERSION = 1

NAME = pa.struct(
    [
        ("basename", pa.string()),
        ("language", pa.string()),
        ("language_type", pa.string()),
        ("strategy", pa.string()),
        ("confidence", pa.float64()),
        ("is_generated", pa.bool_()),
    ]
)
FIELDS = pa.list_(NAME)

# Linguist's rules for .h, in their order, else C. Source: go-enry 2.9, data/content.go
_HEADER_RULES = (
    (
        "Objective-C",
        rb"^\s*(@(interface|class|protocol|property|end|synchronised|selector|implementation)\b"
        rb"|#import\s+.+\.h[\">])",
    ),
    (
        "C++",
        rb"^\s*#\s*include <(cstdint|string|vector|map|list|array|bitset|queue|stack|forward_list"
        rb"|unordered_map|unordered_set|(i|o|io)stream)>|^\s*template\s*<|^[ \t]*(try|constexpr)"
        rb"|^[ \t]*catch\s*\(|^[ \t]*(class|(using[ \t]+)?namespace)\s+\w+"
        rb"|^[ \t]*(private|public|protected):$|__has_cpp_attribute|__cplusplus >|std::\w+",
    ),
)

_NAMES_KEPT = 1 << 17  # answers for names, about 200 bytes each

# Extensions whose rules for generated files look for other things than `heads.GENERATED` does
_GENERATED_BY_CONTENT = frozenset(
    {".js", ".css", ".xml", ".ps", ".eps", ".pfa", ".yml", ".mod", ".meta", ".yy", ".yyp"}
)


class Verdict(NamedTuple):
    """`confidence`: 1 over how many languages name and rules leave to the classifier."""

    language: str | None
    language_type: str | None
    strategy: str | None
    confidence: float | None


class _Name(NamedTuple):
    """What a name says alone. `verdict` is None where the content has to be asked."""

    raw: bytes
    verdict: Verdict | None
    is_unknown: bool  # no language has this name or extension
    is_header: bool  # .h
    is_one_by_name: bool
    is_generated: bool  # by the name alone
    is_generated_by_content: bool  # may be, in a way that the flags do not show


NOTHING = Verdict(None, None, None, None)


def classify(content: pa.Array, basenames: pa.ListArray, mask: Mask | None = None) -> pa.ListArray:
    """For each content a list of NAME, one for each of its `basenames`, in their order.

    Null where `content` or `basenames` is null or not in `mask`. Only the first 16 KiB of a
    content are looked at.
    """
    offsets, data, due = string_views(content, mask)
    due = due & np.array(basenames.is_valid(), np.bool_)
    flags = head_flags(offsets, data, due)
    enry = _enry()
    head = enry.ffi.from_buffer("char[]", data)
    view = memoryview(data)  # type: ignore[arg-type]  # numpy's arrays have no __buffer__ in 3.11
    rows: list[tuple[Any, ...]] = []
    lengths = np.zeros(len(due) + 1, np.int32)
    names = basenames.to_pylist()
    for row in np.flatnonzero(due).tolist():
        start = int(offsets[row])
        size = min(int(offsets[row + 1]) - start, HEAD_BYTES)
        for name in names[row]:
            known = _known(name)
            flag = int(flags[row])
            is_header = known.is_header and not flag & DECIDES
            header = _header_language(view[start : start + size]) if is_header else None
            verdict, is_generated = _judge(known, flag, head + start, size, header)
            rows.append((name, *verdict, is_generated))
        lengths[row + 1] = len(names[row])
    columns = zip(*rows, strict=True) if rows else ([] for _ in NAME)
    arrays = [pa.array(column, field.type) for column, field in zip(columns, NAME, strict=True)]
    values = pa.StructArray.from_arrays(arrays, fields=list(NAME))
    list_offsets = pa.array(np.cumsum(lengths, dtype=np.int32))
    return pa.ListArray.from_arrays(list_offsets, values, type=FIELDS, mask=pa.array(~due))


def classify_text(name: str, text: str) -> tuple[Verdict, bool]:
    """Verdict and generated, of one name and text: `classify` with a batch of one."""
    [[row]] = classify(pa.array([text]), pa.array([[name]])).to_pylist()
    verdict = Verdict(row["language"], row["language_type"], row["strategy"], row["confidence"])
    return verdict, row["is_generated"]


def _judge(
    known: _Name, flags: int, head: Any, size: int, header: str | None
) -> tuple[Verdict, bool]:
    """`header`: the language of a header that its content alone decides."""
    is_final = known.verdict is not None and not flags & DECIDES
    if header is not None:
        verdict = Verdict(header, _type_of(header), "content", 1.0)
    elif is_final and not (known.is_unknown and flags & XML):
        verdict = known.verdict or NOTHING
    else:
        verdict = _ask(known, flags, head, size)
    is_generated = known.is_generated
    if not is_generated and (known.is_generated_by_content or flags & GENERATED):
        is_generated = bool(_enry().lib.IsGenerated(known.raw, head, size))
    return verdict, is_generated


def _header_language(head: memoryview) -> str:
    found = len(_HEADER_RULES)

    def note(number: int, start: int, end: int, flags: int, context: object) -> None:
        nonlocal found
        found = min(found, number)

    if len(head):
        _header_rules().scan(head, match_event_handler=note)
    return _HEADER_RULES[found][0] if found < len(_HEADER_RULES) else "C"


@functools.cache
def _header_rules() -> Any:
    """Compiled, once a process."""
    # In Go \s has no vertical tab
    expressions = [rule.replace(rb"\s", rb"[ \t\n\f\r]") for _, rule in _HEADER_RULES]
    number = len(expressions)
    return compile_all(expressions, range(number), [MULTILINE | SINGLEMATCH] * number)


def _ask(known: _Name, flags: int, head: Any, size: int) -> Verdict:
    """go-enry's answer to name and content, and which of its strategies gave it."""
    enry = _enry()
    languages = enry.strings(enry.lib.GetLanguages(known.raw, head, size))
    language = next(filter(None, languages), None)
    if language is None:
        return NOTHING
    null = enry.ffi.NULL
    may_decide = bool(flags & DECIDES)
    if may_decide and enry.strings(enry.lib.GetLanguagesByModeline(known.raw, head, size, null)):
        strategy = "modeline"
    elif known.is_one_by_name:
        strategy = "filename"
    elif (
        may_decide
        and len(enry.strings(enry.lib.GetLanguagesByShebang(known.raw, head, size, null))) == 1
    ):
        strategy = "shebang"
    elif known.verdict is not None and known.verdict.strategy == "extension":
        strategy = "extension"
    else:
        strategy = "content"
    return Verdict(language, _type_of(language), strategy, 1.0 / len(languages))


@functools.lru_cache(_NAMES_KEPT)
def _known(name: str) -> _Name:
    enry = _enry()
    raw = name.encode()
    null = enry.ffi.NULL
    by_name = enry.strings(enry.lib.GetLanguagesByFilename(raw, null, 0, null))
    by_extension = enry.strings(enry.lib.GetLanguagesByExtension(raw, null, 0, null))
    verdict: Verdict | None = None
    if len(by_name) == 1:
        verdict = Verdict(by_name[0], _type_of(by_name[0]), "filename", 1.0)
    elif not by_name and len(by_extension) == 1:
        verdict = Verdict(by_extension[0], _type_of(by_extension[0]), "extension", 1.0)
    elif not by_name and not by_extension and not enry.strings(enry.lib.GetLanguages(raw, b" ", 1)):
        verdict = NOTHING
    suffix = PurePosixPath(name).suffix.lower() if name.rstrip(".") == name else ""
    return _Name(
        raw=raw,
        verdict=verdict,
        is_unknown=not by_name and not by_extension,
        is_header=not by_name and name.lower().endswith(".h"),
        is_one_by_name=len(by_name) == 1,
        is_generated=bool(enry.lib.IsGenerated(raw, b"", 0)),
        is_generated_by_content=suffix in _GENERATED_BY_CONTENT
        or name.lower().endswith("ppport.h"),
    )


@functools.cache
def _type_of(language: str) -> str | None:
    """programming, markup, data or prose; None for what Linguist gives no type."""
    import enry

    kind = enry.get_language_type(language)
    return kind if kind in ("programming", "markup", "data", "prose") else None


class _Enry(NamedTuple):
    """go-enry's C interface: the Python one copies the content once more for each question."""

    ffi: Any
    lib: Any
    to_strings: Any

    def strings(self, pointer: Any) -> list[str]:
        """A list that Go returned; frees it."""
        strings: list[str] = self.to_strings(self.lib, pointer)
        return strings


@functools.cache
def _enry() -> _Enry:
    from enry.definitions import ffi, lib
    from enry.utils import go_str_slice_to_py

    return _Enry(ffi, lib, go_str_slice_to_py)
