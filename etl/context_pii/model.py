"""Is this folder a classifier that can be run?    folder -> Model

    FOLDER/model.onnx           input_ids, attention_mask, token_type_ids (int64[batch, length]) -> logits
    FOLDER/assets/vocab.txt     WordPiece: one piece a line
    FOLDER/assets/labels.txt    one label a line, B-NAME, I-NAME, ..., O, in the order of the logits
    FOLDER/assets/tokenizer.json  instead of vocab.txt where the pieces are of another kind (ONNX Runtime only)
    FOLDER/assets/settings.json   {"max_length": 128, "is_case_sensitive": true}

The form is that of Spark NLP's `loadSavedModel`.
"""

from __future__ import annotations

import hashlib
import importlib.resources
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from etl.context_pii import words
from etl.errors import ConfigError

INPUTS = ("input_ids", "attention_mask", "token_type_ids")
UNKNOWN, START, END, PAD = "[UNK]", "[CLS]", "[SEP]", "[PAD]"
BATCH_LINES = 32
_REMEDY = "export one with `python -m training.ner.export`, or leave out context_pii.model"

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Model:
    """A folder that was looked at. `model_id` changes with whatever could change a span."""

    folder: str
    model_id: str
    labels: tuple[str, ...]
    max_length: int
    is_case_sensitive: bool
    is_wordpiece: bool

    @property
    def onnx_path(self) -> Path:
        return Path(self.folder, "model.onnx")


def default_folder() -> str:
    """The classifier that comes with the package, which is installed as files."""
    return str(importlib.resources.files("etl.data").joinpath("ner"))


def load_model(folder: str | None) -> Model:
    """Raises ConfigError where a file is missing, or the network is not of the shape that they say."""
    root = Path(folder if folder is not None else default_folder())
    onnx, labels_file = root / "model.onnx", root / "assets" / "labels.txt"
    vocab, tokenizer = root / "assets" / "vocab.txt", root / "assets" / "tokenizer.json"
    settings_file = root / "assets" / "settings.json"
    pieces = vocab if vocab.is_file() else tokenizer
    for path in (onnx, labels_file, pieces, settings_file):
        if not path.is_file():
            raise ConfigError(f"context_pii.model: expected the file {path}, found none: {_REMEDY}")
    digest = hashlib.sha256(f"{words.VERSION}".encode())
    for path in (onnx, labels_file, pieces, settings_file):
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    try:
        settings = json.loads(settings_file.read_text("utf-8"))
        max_length, is_cased = int(settings["max_length"]), bool(settings["is_case_sensitive"])
    except (ValueError, KeyError, TypeError):
        raise ConfigError(
            f"context_pii.model: {settings_file}: expected JSON with max_length and is_case_sensitive, "
            f"found something else: {_REMEDY}"
        ) from None
    labels = tuple(labels_file.read_text("utf-8").split())
    model = Model(str(root), digest.hexdigest()[:16], labels, max_length, is_cased, pieces is vocab)
    _check(model)
    return model


def _check(model: Model) -> None:
    """One run with the last piece of the vocabulary: every array must have the size that it should."""
    where = f"context_pii.model: {model.onnx_path}"
    try:
        tagger = Tagger(model)
    except ConfigError:
        raise
    except Exception as error:  # noqa: BLE001  ONNX Runtime and tokenizers have many kinds
        raise ConfigError(
            f"{where}: expected a network in ONNX and its pieces, found {type(error).__name__}: {_REMEDY}"
        ) from None
    given = {value.name for value in tagger.session.get_inputs()}
    if not {"input_ids", "attention_mask"} <= given or not given <= set(INPUTS):
        raise ConfigError(
            f"{where}: expected the inputs {', '.join(INPUTS)}, found {', '.join(sorted(given))}: {_REMEDY}"
        )
    ids = np.full((1, model.max_length), tagger.num_pieces - 1, np.int64)
    try:
        shape = tagger.logits(ids, np.ones_like(ids)).shape
    except Exception as error:  # noqa: BLE001  as above
        raise ConfigError(
            f"{where}: expected a network for {tagger.num_pieces} pieces and {model.max_length} positions, "
            f"found one that fails with {type(error).__name__}: {_REMEDY}"
        ) from None
    if shape != (1, model.max_length, len(model.labels)):
        raise ConfigError(
            f"{where}: expected logits of shape {(1, model.max_length, len(model.labels))} for the "
            f"{len(model.labels)} labels of assets/labels.txt, found {shape}: {_REMEDY}"
        )


class Tagger:
    """The classifier on ONNX Runtime, one thread."""

    def __init__(self, model: Model) -> None:
        import onnxruntime
        from tokenizers import Tokenizer

        self.model = model
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 4
        self.session = onnxruntime.InferenceSession(
            str(model.onnx_path), options, providers=["CPUExecutionProvider"]
        )
        assets = Path(model.folder, "assets")
        self.tokenizer: Any
        if model.is_wordpiece:
            self.tokenizer = wordpiece(assets / "vocab.txt", model.is_case_sensitive)
        else:
            self.tokenizer = Tokenizer.from_file(str(assets / "tokenizer.json"))
        self.num_pieces = self.tokenizer.get_vocab_size()
        self.tokenizer.enable_truncation(model.max_length)
        self.tokenizer.enable_padding(pad_token=PAD, pad_id=self.tokenizer.token_to_id(PAD) or 0)
        self.inputs = {value.name for value in self.session.get_inputs()}

    def logits(self, ids: Ints, mask: Ints) -> npt.NDArray[np.float32]:
        every = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
        given = {name: value for name, value in every.items() if name in self.inputs}
        found: npt.NDArray[np.float32] = self.session.run(None, given)[0]
        return found

    def __call__(self, lines: list[str]) -> list[list[words.LineSpan]]:
        """The spans of each line."""
        shown = [words.shown(line) for line in lines]
        found: list[list[words.LineSpan]] = [[] for _ in lines]
        order = sorted(range(len(lines)), key=lambda index: (len(shown[index]), index))
        for first in range(0, len(order), BATCH_LINES):
            batch = order[first : first + BATCH_LINES]
            encoded = self.tokenizer.encode_batch([shown[index] for index in batch])
            ids = np.array([each.ids for each in encoded], np.int64)
            mask = np.array([each.attention_mask for each in encoded], np.int64)
            labels, scores = _decided(self.logits(ids, mask))
            others = np.array([label == "O" for label in self.model.labels])
            telling = (~others[labels] & (mask == 1)).any(axis=1)
            for place in np.flatnonzero(telling).tolist():
                tagged = _words(
                    shown[batch[place]], encoded[place].offsets, labels[place], scores[place],
                    self.model.labels,
                )  # fmt: skip
                found[batch[place]] = words.spans_of(lines[batch[place]], tagged)
        return found


def _decided(
    logits: npt.NDArray[np.float32],
) -> tuple[Ints, npt.NDArray[np.float32]]:
    """The likeliest label of each piece, and its probability."""
    shifted = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return logits.argmax(axis=-1), (shifted.max(axis=-1) / shifted.sum(axis=-1))


def _words(
    line: str,
    pieces: list[tuple[int, int]],
    labels: Ints,
    scores: npt.NDArray[np.float32],
    names: tuple[str, ...],
) -> list[words.Word]:
    """Every word with the label of the piece that its first character is in; a word cut off has none."""
    piece_at: dict[int, int] = {}
    for number, (start, end) in enumerate(pieces):
        for character in range(start, end):
            piece_at.setdefault(character, number)
    found = []
    for start, end in words.word_bounds(line):
        piece = piece_at.get(start)
        if piece is not None:
            found.append(words.Word(start, end, names[labels[piece]], float(scores[piece])))
    return found


def wordpiece(vocab: Path, is_case_sensitive: bool) -> Any:
    """As Spark NLP has it: the words, then WordPiece, greedily, in each."""
    from tokenizers import Tokenizer
    from tokenizers.models import WordPiece
    from tokenizers.normalizers import BertNormalizer
    from tokenizers.processors import TemplateProcessing

    pieces = {piece: number for number, piece in enumerate(vocab.read_text("utf-8").splitlines())}
    missing = [piece for piece in (UNKNOWN, START, END, PAD) if piece not in pieces]
    if missing:
        raise ConfigError(
            f"context_pii.model: {vocab}: expected the pieces {', '.join(missing)}, found none: {_REMEDY}"
        )
    tokenizer = Tokenizer(WordPiece(pieces, unk_token=UNKNOWN, max_input_chars_per_word=200))
    if not is_case_sensitive:
        tokenizer.normalizer = BertNormalizer(
            clean_text=False, handle_chinese_chars=False, strip_accents=True, lowercase=True
        )
    tokenizer.pre_tokenizer = words.splitter()
    tokenizer.post_processor = TemplateProcessing(
        single=f"{START} $A {END}", special_tokens=[(START, pieces[START]), (END, pieces[END])]
    )
    return tokenizer
