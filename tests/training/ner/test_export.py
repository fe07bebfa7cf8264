"""Any token classifier of transformers becomes a folder that the context layer runs, or is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("onnx")
pytest.importorskip("transformers")

PIECES = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "by", "jane", "doe", "##r", "x", "."]
LABELS = {0: "O", 1: "B-NAME", 2: "I-NAME"}


def save(folder: Path, tokenizer: Any) -> Any:
    """A random classifier with its tokenizer, as `save_pretrained` writes them."""
    from transformers import BertConfig, BertForTokenClassification, PreTrainedTokenizerFast

    config = BertConfig(
        vocab_size=len(PIECES), hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8,
        max_position_embeddings=16, id2label=LABELS, label2id={name: i for i, name in LABELS.items()},
    )  # fmt: skip
    model = BertForTokenClassification(config).eval()
    model.save_pretrained(folder)
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        unk_token="[UNK]",
        pad_token="[PAD]",
        cls_token="[CLS]",
        sep_token="[SEP]",
    )
    fast.save_pretrained(folder)
    return model


def tokenizer(kind: str) -> Any:
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

    vocab = {piece: number for number, piece in enumerate(PIECES)}
    found = Tokenizer(
        models.WordPiece(vocab, unk_token="[UNK]")
        if kind == "WordPiece"
        else models.WordLevel(vocab, unk_token="[UNK]")
    )
    found.normalizer = normalizers.BertNormalizer(lowercase=True)
    found.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    return found


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", ["WordPiece", "WordLevel"])
def test_an_exported_classifier_gives_the_logits_of_the_original(tmp_path: Path, kind: str) -> None:
    import torch

    from etl.context_pii.model import Tagger, load_model
    from training.ner.export import main

    torch.manual_seed(1)
    model = save(tmp_path / "from", tokenizer(kind))
    assert main(["--model", str(tmp_path / "from"), "--to", str(tmp_path / "to")]) == 0
    loaded = load_model(str(tmp_path / "to"))
    assert (loaded.labels, loaded.max_length) == (("O", "B-NAME", "I-NAME"), 16)
    assert (loaded.is_wordpiece, loaded.is_case_sensitive) == (kind == "WordPiece", False)
    ids = np.array([[2, 4, 5, 6, 3], [2, 8, 3, 0, 0]])
    mask = (ids != 0).astype(np.int64)
    with torch.no_grad():
        expected = model(torch.tensor(ids), attention_mask=torch.tensor(mask)).logits.numpy()
    found = Tagger(loaded).logits(ids, mask)
    np.testing.assert_allclose(found[mask == 1], expected[mask == 1], atol=1e-5)


@pytest.mark.filterwarnings("ignore")
def test_a_folder_that_is_no_classifier_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from training.ner.export import main

    to = str(tmp_path / "to")
    assert main(["--model", str(tmp_path), "--to", to]) == 2
    assert "expected a folder with config.json" in capsys.readouterr().err
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "bert"}))
    assert main(["--model", str(tmp_path), "--to", to]) == 2
    assert "expected a token classifier of transformers" in capsys.readouterr().err


@pytest.mark.filterwarnings("ignore")
def test_labels_lie_on_first_pieces_and_what_is_not_known_has_none(tmp_path: Path) -> None:
    from training.ner.made import Labelled
    from training.ner.train import IGNORED, LABELS, encode, scores_of

    vocab = tmp_path / "vocab.txt"
    vocab.write_text("\n".join(PIECES))
    line = Labelled("by janer doe. x", ((3, 12, "NAME"),), ((14, 15),))
    [encoded] = encode([line], vocab, 16)
    assert [PIECES[piece] for piece in encoded.ids] == [
        "[CLS]", "by", "jane", "##r", "doe", ".", "x", "[SEP]",
    ]  # fmt: skip
    begin, inside = LABELS.index("B-NAME"), LABELS.index("I-NAME")
    assert encoded.labels == [IGNORED, 0, begin, IGNORED, inside, 0, IGNORED, IGNORED]
    truth = [[0, begin, inside, 0], [begin, 0, 0, 0]]
    guess = [[0, begin, inside, 0], [begin, inside, 0, begin]]
    assert scores_of(truth, guess)["NAME"] == {
        "labelled": 2, "precision": 0.3333, "recall": 0.5, "f1": 0.4,
    }  # fmt: skip
