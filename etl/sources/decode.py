"""What text do these bytes hold?    raw bytes -> status, encoding, UTF-8 text, ids

UTF-8 first; then byte order marks; then UTF-16/32 by where the NUL bytes lie; other NUL bytes make
it binary; then a detector on a bounded sample, and Windows-1252 or Latin-1 where the result reads
as text. UTF-16 and UTF-32 without a mark are only seen in text that is mostly Latin: in other
scripts they cannot be told from binary data without guessing, and stay binary.
"""

from __future__ import annotations

import codecs
import hashlib
import re
from typing import NamedTuple

from etl.sources.records import BINARY, STORED, FileRecord

DETECT_BYTES = 64 << 10  # that the detector sees, from the line of the first byte that is not UTF-8
LINE_BYTES = 1024  # looked back for the start of that line
UTF16_SAMPLE = 4096
BOMS = (  # the longer first: UTF-32-LE begins as UTF-16-LE does
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
CONTROL = re.compile("[\x00-\x07\x0e-\x1a\x1c-\x1f\x7f-\x9f]")  # not \b \t \n \v \f \r ESC
MAX_CONTROL_SHARE = 0.01  # of the characters, in what a detector calls text
MIN_DETECT_CONFIDENCE = 0.5
WIDER = {  # what a detector calls by the standard's name is often the vendor's superset
    "SHIFT_JIS": "cp932", "EUC-KR": "cp949", "BIG5": "big5hkscs", "GB2312": "gb18030",
}  # fmt: skip


class Decoded(NamedTuple):
    status: str
    encoding: str | None
    text: bytes | None  # UTF-8, without BOM, line ends as they were
    blob_id: str  # SHA-256 of the raw bytes, hex
    text_id: str | None  # SHA-256 of the text with LF line ends, hex


def decode(raw: bytes) -> Decoded:
    """Never fails: what is no text in any encoding is BINARY."""
    blob_id = hashlib.sha256(raw).hexdigest()
    encoding, text = _text_of(raw)
    if text is None:
        return Decoded(BINARY, None, None, blob_id, None)
    if text is raw and b"\r" not in raw:
        return Decoded(STORED, encoding, raw, blob_id, blob_id)
    lf = text.replace(b"\r\n", b"\n").replace(b"\r", b"\n") if b"\r" in text else text
    return Decoded(STORED, encoding, text, blob_id, hashlib.sha256(lf).hexdigest())


def _text_of(raw: bytes) -> tuple[str | None, bytes | None]:
    for mark, encoding in BOMS:
        if raw.startswith(mark):
            # Bytes that only look like a mark are decoded as what they are, further down.
            text = _transcoded(raw[len(mark) :], encoding)
            if text is not None and b"\0" not in text:
                return encoding, text
    if b"\0" in raw:
        wide = _wide_encoding(raw)
        text = _transcoded(raw, wide) if wide else None
        if text is not None and b"\0" not in text and _is_plausible(text.decode("utf-8")):
            return wide, text
        return None, None
    try:
        # The first alone is faster and makes no copy; most source text is ASCII.
        raw.isascii() or raw.decode("utf-8")
    except UnicodeDecodeError as error:
        return _detected(raw, error.start)
    return "utf-8", raw


def _transcoded(raw: bytes, encoding: str) -> bytes | None:
    try:
        return raw.decode(encoding).encode("utf-8")
    except UnicodeError:
        return None


def _wide_encoding(raw: bytes) -> str | None:
    """UTF-16 or UTF-32 without a mark: nearly every character of a source text is below U+0100."""
    sample = raw[:UTF16_SAMPLE]
    if len(raw) % 4 == 0 and len(sample) >= 8:
        parts = [sample[index::4].count(0) / len(sample[index::4]) for index in range(4)]
        if min(parts[1:]) > 0.9 and parts[0] < 0.05:
            return "utf-32-le"
        if min(parts[:3]) > 0.9 and parts[3] < 0.05:
            return "utf-32-be"
    if len(raw) % 2 == 0 and len(sample) >= 4:
        even = sample[0::2].count(0) / len(sample[0::2])
        odd = sample[1::2].count(0) / len(sample[1::2])
        if odd > 0.7 and even < 0.05:
            return "utf-16-le"
        if even > 0.7 and odd < 0.05:
            return "utf-16-be"
    return None


def _detected(raw: bytes, first_bad: int) -> tuple[str | None, bytes | None]:
    """By a detector that sees the surroundings of the first byte that is not UTF-8."""
    import cchardet

    start = raw.rfind(b"\n", max(0, first_bad - LINE_BYTES), first_bad) + 1
    start = start or max(0, first_bad - LINE_BYTES)
    found = cchardet.detect(raw[start : start + DETECT_BYTES])
    guess, confidence = found.get("encoding"), found.get("confidence") or 0.0
    is_likely = guess is not None and confidence >= MIN_DETECT_CONFIDENCE
    # Not UTF, which it is not; not Latin-1, whose place Windows-1252 takes, as in browsers.
    name = (guess or "").upper()
    is_told = is_likely and name != "ISO-8859-1" and not name.startswith("UTF")
    guesses = [name, WIDER.get(name, name)] if is_told else []
    body = raw.removeprefix(codecs.BOM_UTF8)  # a marked file with a stray byte in it
    for encoding in [*guesses, "windows-1252", "latin-1"]:
        try:
            text = body.decode(encoding)
            encoded = text.encode("utf-8")
        except (UnicodeError, LookupError):
            continue
        if _is_plausible(text):
            return codecs.lookup(encoding).name, encoded
    return None, None


def _is_plausible(text: str) -> bool:
    """Few control characters: bytes read in a wrong encoding are full of them."""
    allowed = MAX_CONTROL_SHARE * len(text)
    controls = enumerate(CONTROL.finditer(text), start=1)
    return all(count <= allowed for count, _ in controls)


def text_path(raw: bytes) -> tuple[str, bool]:
    """A path as text, and whether it had to be escaped: bytes that are not UTF-8 become %XX.

    In an escaped path a `%` of the name itself becomes %25, so the bytes can be had back; a path
    that is not escaped is taken as it is, `%` and all. The flag is what tells them apart.
    """
    try:
        return raw.decode("utf-8"), False
    except UnicodeDecodeError:
        return _escaped(raw), True


def _escaped(raw: bytes) -> str:
    parts: list[str] = []
    rest = raw.replace(b"%", b"%25")
    while rest:
        try:
            return "".join([*parts, rest.decode("utf-8")])
        except UnicodeDecodeError as error:
            parts.append(rest[: error.start].decode("utf-8"))
            parts.append("".join(f"%{byte:02X}" for byte in rest[error.start : error.end]))
            rest = rest[error.end :]
    return "".join(parts)


def make_file(path: bytes, raw: bytes, source_blob_id: str | None = None) -> FileRecord:
    """A file whose bytes were read: stored or binary."""
    name, is_escaped = text_path(path)
    found = decode(raw)
    return FileRecord(
        path=name,
        size_bytes=len(raw),
        status=found.status,
        is_path_escaped=is_escaped,
        source_blob_id=source_blob_id,
        blob_id=found.blob_id,
        text_id=found.text_id,
        encoding=found.encoding,
        text=found.text,
    )


def make_name(
    path: bytes, size_bytes: int, status: str, source_blob_id: str | None = None
) -> FileRecord:
    """A file whose bytes were not read: oversize, link or unreadable."""
    name, is_escaped = text_path(path)
    return FileRecord(
        name, size_bytes, status, is_path_escaped=is_escaped, source_blob_id=source_blob_id
    )
