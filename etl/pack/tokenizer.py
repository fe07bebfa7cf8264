"""Texts to tokens and back: byte-level BPE with StarCoder2's sentinels, trained and saved by Hugging Face's
tokenizers, run by tiktoken, which gives the same tokens at several times the speed.

Digits stand alone; then GPT-2's pattern. Ids: the sentinels in their order, the 256 bytes, the merges in the
order in which they were learnt. A sentinel that stands in a text is text: only the packer writes them.

Source: StarCoder 2, section 5 and table 5.
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from etl.errors import ConfigError

SENTINELS = (
    "<|endoftext|>", "<fim_prefix>", "<fim_middle>", "<fim_suffix>", "<fim_pad>", "<repo_name>",
    "<file_sep>", "<issue_start>", "<issue_comment>", "<issue_closed>", "<jupyter_start>",
    "<jupyter_text>", "<jupyter_code>", "<jupyter_output>", "<jupyter_script>", "<empty_output>",
    "<code_to_intermediate>", "<intermediate_to_code>", "<pr>", "<pr_status>", "<pr_is_merged>",
    "<pr_base>", "<pr_file>", "<pr_base_code>", "<pr_diff>", "<pr_diff_hunk>", "<pr_comment>",
    "<pr_event_id>", "<pr_review>", "<pr_review_state>", "<pr_review_comment>",
    "<pr_in_reply_to_review_id>", "<pr_in_reply_to_comment_id>", "<pr_diff_hunk_comment_line>",
    "<NAME>", "<EMAIL>", "<KEY>", "<PASSWORD>",
)  # fmt: skip
END, FIM_PREFIX, FIM_MIDDLE, FIM_SUFFIX, FIM_PAD, REPO_NAME, FILE_SEP = range(7)
VOCABULARY = 49_152
FILE = "tokenizer.json"

# Digits first, then GPT-2's: the two pre-tokenisers of the saved tokenizer in one expression
PATTERN = r"\p{N}|'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?[^\s\p{L}\p{N}]+|\s+(?=\p{N})|\s+(?!\S)|\s+"

Tokens = npt.NDArray[np.uint16]


def train(texts: Iterable[str], vocabulary: int = VOCABULARY) -> Any:
    """A `tokenizers.Tokenizer` of at most `vocabulary` tokens. The same texts in the same order give the
    same tokens; memory: the distinct words of the texts."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=list(SENTINELS),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.encode_special_tokens = True  # a sentinel in a text is text
    return tokenizer


def save(tokenizer: Any, folder: Path) -> Path:
    """The files that `transformers.AutoTokenizer` reads."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / FILE))
    end = SENTINELS[END]
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": end, "eos_token": end, "unk_token": end, "pad_token": SENTINELS[FIM_PAD],
        "additional_special_tokens": list(SENTINELS),
        "clean_up_tokenization_spaces": False,
        "model_max_length": 16_384,
    }  # fmt: skip
    (folder / "tokenizer_config.json").write_text(json.dumps(settings, indent=1), "utf-8")
    return folder / FILE


class Encoder:
    """The tokenizer of a folder, as fast as it gets: texts to uint16 arrays, no Python object a token."""

    def __init__(self, folder: Path) -> None:
        import tiktoken

        raw = _read(folder)
        saved = json.loads(raw)
        self.digest = hashlib.sha256(raw).hexdigest()
        vocabulary: dict[str, int] = saved["model"]["vocab"]
        found = tuple(
            token["content"] for token in sorted(saved["added_tokens"], key=lambda one: one["id"])
        )
        if found != SENTINELS or any(
            vocabulary.get(name, number) != number for number, name in enumerate(SENTINELS)
        ):
            raise ConfigError(
                f"{folder / FILE}: expected StarCoder2's {len(SENTINELS)} sentinels as the first ids, found "
                f"{len(found)} others: train it with `stackmill train_tokenizer`"
            )
        if max(vocabulary.values()) >= 1 << 16:
            raise ConfigError(
                f"{folder / FILE}: expected at most 65,536 tokens, found {len(vocabulary)}: a token is "
                "kept in 2 bytes"
            )
        letters = _byte_of_letter()
        self.bytes_of = [b""] * (max(vocabulary.values()) + 1)
        for text, number in vocabulary.items():
            if number >= len(SENTINELS):
                self.bytes_of[number] = bytes(letters[letter] for letter in text)
        self.vocabulary = len(self.bytes_of)
        self._encoding = tiktoken.Encoding(
            "stackmill",
            pat_str=PATTERN,
            mergeable_ranks={raw: n for n, raw in enumerate(self.bytes_of) if raw},
            special_tokens={name: number for number, name in enumerate(SENTINELS)},
        )

    def encode(self, text: str) -> Tokens:
        """Tokens of the text; no sentinel is among them."""
        found: Tokens = self._encoding.encode_to_numpy(text, disallowed_special=()).astype(
            np.uint16
        )
        return found

    def decode(self, tokens: npt.NDArray[Any]) -> bytes:
        """The text's bytes; sentinels are left out."""
        return b"".join(map(self.bytes_of.__getitem__, tokens.tolist()))


def _read(folder: Path) -> bytes:
    try:
        return (folder / FILE).read_bytes()
    except OSError:
        raise ConfigError(
            f"{folder / FILE}: expected a tokenizer, found none: run `stackmill train_tokenizer`"
        ) from None


@functools.cache
def _byte_of_letter() -> dict[str, int]:
    """GPT-2's letters for bytes: the printable ones stand for themselves, the others for 256 and on."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in set(plain)]
    letters = {chr(byte): byte for byte in plain}
    return letters | {chr(256 + place): byte for place, byte in enumerate(others)}
