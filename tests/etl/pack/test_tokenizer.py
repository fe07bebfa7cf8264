"""tiktoken gives Hugging Face's tokens, on code of many kinds and on whatever hypothesis thinks of."""

from __future__ import annotations

import sysconfig
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from etl.errors import ConfigError
from etl.pack import tokenizer
from etl.pack.tokenizer import END, SENTINELS, Encoder

KINDS = (
    "*.py",
    "*.h",
    "*.md",
    "*.json",
    "*.txt",
    "*.html",
    "*.pyi",
    "*.cfg",
    "*.js",
    "*.css",
    "*.toml",
)


def real_texts(a_kind: int) -> list[str]:
    found: list[str] = []
    for kind in KINDS:
        for path in sorted(Path(sysconfig.get_path("purelib")).rglob(kind))[: a_kind * 7 : 7]:
            try:
                found.append(path.read_text("utf-8")[:20_000])
            except UnicodeDecodeError:
                continue
    return found


@pytest.fixture(scope="session")
def trained() -> Any:
    return tokenizer.train(real_texts(12), 4096)


@pytest.fixture(scope="session")
def encoder(trained: Any, tmp_path_factory: pytest.TempPathFactory) -> Encoder:
    folder = tmp_path_factory.mktemp("tokenizer")
    tokenizer.save(trained, folder)
    return Encoder(folder)


def test_sentinels_are_the_first_tokens_in_their_order(trained: Any) -> None:
    assert [trained.id_to_token(number) for number in range(len(SENTINELS))] == list(SENTINELS)
    assert len(SENTINELS) == 38
    assert SENTINELS[0] == "<|endoftext|>"
    assert trained.get_vocab_size() == 4096


def test_tokens_of_real_files_are_hugging_faces(trained: Any, encoder: Encoder) -> None:
    texts = real_texts(30)
    assert len(texts) > 100
    for text in texts:
        found = encoder.encode(text)
        assert found.tolist() == trained.encode(text).ids
        assert encoder.decode(found) == text.encode()


@settings(max_examples=300, deadline=None)
@given(text=st.text(max_size=60) | st.text(alphabet="a1 \n\t'<>|_é中\u00a0\u2003", max_size=60))
def test_tokens_of_any_text_are_hugging_faces(trained: Any, encoder: Encoder, text: str) -> None:
    found = encoder.encode(text)
    assert found.tolist() == trained.encode(text).ids
    assert encoder.decode(found) == text.encode()


def test_a_sentinel_in_a_text_is_text(trained: Any, encoder: Encoder) -> None:
    text = "x = '<|endoftext|>'  # <fim_prefix>"
    found = encoder.encode(text)
    assert not np.isin(found, range(len(SENTINELS))).any()
    assert encoder.decode(found) == text.encode()


def test_a_long_word_is_no_trouble(encoder: Encoder) -> None:
    assert encoder.decode(encoder.encode("ab" * 200_000)) == b"ab" * 200_000


def test_the_same_texts_give_the_same_tokens(trained: Any) -> None:
    again = tokenizer.train(real_texts(12), 4096)
    assert again.to_str() == trained.to_str()


def test_a_missing_and_a_foreign_tokenizer_are_refused(trained: Any, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="stackmill train_tokenizer"):
        Encoder(tmp_path)
    saved = tokenizer.save(trained, tmp_path)
    saved.write_text(saved.read_text("utf-8").replace(SENTINELS[END], "<|end|>"), "utf-8")
    with pytest.raises(ConfigError, match="sentinels"):
        Encoder(tmp_path)
