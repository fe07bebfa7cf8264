"""Laws of decoding: what is text is found to be, and its id does not depend on how it was written."""

from __future__ import annotations

import codecs
import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from etl.sources.decode import decode, make_file, text_path

CHARS = st.characters(exclude_categories=["Cs", "Cc"]) | st.sampled_from("\t\n\r")
TEXTS = st.text(CHARS, max_size=200).filter(lambda text: not text.startswith("\ufeff"))
CODE = st.text(st.sampled_from("abcxyz_ =+()[]{}:#'\"0123456789\n\t"), min_size=8, max_size=300)
MARKED = {
    "utf-8": codecs.BOM_UTF8,
    "utf-16-le": codecs.BOM_UTF16_LE,
    "utf-16-be": codecs.BOM_UTF16_BE,
    "utf-32-le": codecs.BOM_UTF32_LE,
    "utf-32-be": codecs.BOM_UTF32_BE,
}


def sha256(raw: bytes) -> str:
    return hashlib.sha256(raw).hexdigest()


def with_lf(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")


@given(TEXTS)
def test_utf8_is_taken_as_it_is(text):
    raw = text.encode("utf-8")
    found = decode(raw)
    assert (found.status, found.encoding, found.text) == ("stored", "utf-8", raw)
    assert found.blob_id == sha256(raw)
    assert found.text_id == sha256(with_lf(text).encode("utf-8"))


@pytest.mark.parametrize("encoding", MARKED)
@given(text=TEXTS)
def test_a_byte_order_mark_names_the_encoding_and_is_dropped(encoding, text):
    raw = MARKED[encoding] + text.encode(encoding)
    found = decode(raw)
    assert (found.status, found.encoding) == ("stored", encoding)
    assert found.text == text.encode("utf-8")
    assert found.blob_id == sha256(raw)
    assert found.text_id == sha256(with_lf(text).encode("utf-8"))


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"])
@given(text=CODE)
def test_wide_source_text_is_found_without_a_mark(encoding, text):
    found = decode(text.encode(encoding))
    assert (found.encoding, found.text) == (encoding, text.encode("utf-8"))


@given(text=CODE, end=st.sampled_from(["\n", "\r\n", "\r"]), encoding=st.sampled_from([*MARKED]))
def test_text_id_depends_on_no_mark_line_end_or_encoding(text, end, encoding):
    written = text.replace("\n", end)
    plain = decode(text.encode("utf-8"))
    assert decode(written.encode(encoding)).text_id == plain.text_id
    assert decode(MARKED[encoding] + written.encode(encoding)).text_id == plain.text_id
    assert plain.text_id == plain.blob_id


@given(text=TEXTS)
def test_line_ends_of_the_text_stay_as_they_were(text):
    assert decode(text.encode("utf-16")).text == text.encode("utf-8")


SAMPLES = {
    "fr": "# Créé par François, été 2003\ndef f(x):\n    return x  # déjà vérifié\n",
    "pl": "# Zażółć gęślą jaźń, proszę sprawdzić wartość zmiennej\nx = 1\n",
    "ru": "# Привет мир, проверка значения переменной\nx = 1\n",
    "el": "# Έλεγχος της τιμής της μεταβλητής\nx = 1\n",
    "ja": "// これはテストです。値を確認してください\nint x;\n",
    "ja-vendor": "// ①これはテストです。値を確認してください\nint x;\n",
    "quotes": "# Créé par “François”, l’été 2003\n",
    "zh": "// 这是一个测试，请检查变量的值\nint x;\n",
    "zh-Hant": "// 這是一個測試，請檢查變數的值\nint x;\n",
    "ko": "// 이것은 테스트입니다. 값을 확인하세요\nint x;\n",
    "copyright": "/* Copyright © 1999 Foo Inc. */\nint main(void) { return 0; }\n",
}


@pytest.mark.parametrize(
    ("sample", "encoding"),
    [
        ("fr", "latin-1"), ("fr", "cp1252"), ("pl", "cp1250"), ("pl", "iso8859-2"),
        ("ru", "cp1251"), ("ru", "koi8-r"), ("ru", "cp866"), ("el", "iso8859-7"),
        ("quotes", "cp1252"),
        ("ja-vendor", "cp932"),
        ("ja", "shift_jis"), ("ja", "euc_jp"), ("zh", "gb18030"), ("zh-Hant", "big5"),
        ("ko", "euc_kr"), ("copyright", "cp1252"),
    ],
)  # fmt: skip
def test_text_of_other_encodings_is_detected(sample, encoding):
    text = SAMPLES[sample]
    found = decode(text.encode(encoding))
    assert found.text == text.encode("utf-8")
    assert found.text_id == sha256(text.encode("utf-8"))
    codecs.lookup(found.encoding)


def test_the_detector_sees_the_bytes_that_are_not_utf8_however_late_they_come():
    text = "x = 1\n" * 50_000 + SAMPLES["ru"]
    assert decode(text.encode("cp1251")).text == text.encode("utf-8")


def test_a_stray_byte_in_a_marked_file_does_not_make_it_binary():
    found = decode(codecs.BOM_UTF8 + "# café\n".encode("cp1252"))
    assert (found.status, found.text) == ("stored", "# café\n".encode())


def test_bytes_that_windows_1252_lacks_are_latin_1_where_they_are_few():
    text = "x" * 300 + "\x81 é\n"
    assert decode(text.encode("latin-1")).status == "stored"


@pytest.mark.parametrize(
    "raw",
    [
        b"a\0b",
        b"\0",
        b"text\n" * 100 + b"\0",
        codecs.BOM_UTF8 + b"a\0b",
        b"\x7fELF\x02\x01\x01" + bytes(9) + b"\x03\0>\0\x01\0\0\0",
        b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR",
        bytes(range(1, 256)) * 8,
        b"\xff\xfe\0",  # a mark, then half a character
        b"GIF89a\x01\x01\x80\x81\x02\x03\xff\xfe\x05\x06\x07\x01\x02\x90\x8d\x81" * 20,
    ],
)
def test_binary_stays_binary(raw):
    found = decode(raw)
    assert found.status == "binary"
    assert (found.encoding, found.text, found.text_id) == (None, None, None)
    assert found.blob_id == sha256(raw)


@given(st.lists(st.integers(-3000, 3000), min_size=64, max_size=300))
def test_sixteen_bit_samples_are_not_taken_for_utf16(samples):
    raw = b"".join(sample.to_bytes(2, "little", signed=True) for sample in [0, *samples])
    assert decode(raw).status == "binary"


@given(st.binary(max_size=400))
def test_any_bytes_are_decoded_or_binary(raw):
    found = decode(raw)
    assert found.blob_id == sha256(raw)
    if found.status == "stored":
        text = found.text.decode("utf-8")
        assert "\0" not in text
        lf = with_lf(text).encode("utf-8")
        assert found.text_id == sha256(lf)
    else:
        assert found.status == "binary"


def test_an_empty_file_is_an_empty_text():
    found = decode(b"")
    assert (found.status, found.text, found.encoding) == ("stored", b"", "utf-8")


def test_text_is_text_whatever_its_name_says():
    assert make_file(b"picture.png", b"print(1)\n").status == "stored"


@given(st.binary(max_size=60))
def test_an_escaped_path_gives_its_bytes_back(raw):
    shown, is_escaped = text_path(raw)
    shown.encode("utf-8")
    if not is_escaped:
        assert shown.encode("utf-8") == raw
        return
    back, rest = b"", shown.encode("utf-8")
    while rest:
        if rest.startswith(b"%"):
            back, rest = back + bytes.fromhex(rest[1:3].decode()), rest[3:]
        else:
            back, rest = back + rest[:1], rest[1:]
    assert back == raw


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        (b"a/b.py", ("a/b.py", False)),
        ("é.py".encode(), ("é.py", False)),
        (b"100%.py", ("100%.py", False)),
        (b"caf\xe9.py", ("caf%E9.py", True)),
        (b"100%/caf\xe9.py", ("100%25/caf%E9.py", True)),
        (b"\xed\xa0\x80", ("%ED%A0%80", True)),
    ],
)
def test_only_a_path_that_is_not_utf8_is_escaped(raw, shown):
    assert text_path(raw) == shown
