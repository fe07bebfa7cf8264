"""Are the packer's tokens Hugging Face's, in every language of a lake, and how fast is each?

    python -m bench.pack [--lake build/demo/lake] [--files 20]

Takes so many files of each language of `corpus`, the first by path, encodes them with the lake's tokenizer both ways
on one core, and names each language in which any token differs. Exit code 1 if there is one.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import defaultdict
from pathlib import Path

from deltalake import DeltaTable
from tokenizers import Tokenizer

from etl.pack.tokenizer import FILE, Encoder

MAX_CHARS = 200_000


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--lake", default="build/demo/lake")
    parser.add_argument("--files", type=int, default=20, help="of a language")
    args = parser.parse_args()
    folder = Path(args.lake, "tokenizer")
    encoder, peer = Encoder(folder), Tokenizer.from_file(str(folder / FILE))
    peer.encode_special_tokens = True
    texts: dict[str, list[tuple[str, str]]] = defaultdict(list)
    corpus = DeltaTable(f"{args.lake}/corpus").to_pyarrow_dataset()
    for batch in corpus.to_batches(columns=["path", "content", "language"], batch_size=1024):
        for row in batch.to_pylist():
            texts[row["language"] or "unknown"].append((row["path"], row["content"][:MAX_CHARS]))
    chosen = {
        name: [text for _, text in sorted(found)[: args.files]] for name, found in texts.items()
    }
    num_bytes = sum(len(text.encode()) for found in chosen.values() for text in found)
    seconds, tokens = [], []
    for encode in (encoder.encode, lambda text: peer.encode(text).ids):
        started = time.process_time()
        tokens.append({name: [encode(text) for text in found] for name, found in chosen.items()})
        seconds.append(time.process_time() - started)
    ours, theirs = tokens
    differ = sorted(
        name
        for name in chosen
        if any(one.tolist() != two for one, two in zip(ours[name], theirs[name], strict=True))
    )
    num_tokens = sum(len(one) for found in ours.values() for one in found)
    files = sum(map(len, chosen.values()))
    print(
        f"{files:,} files in {len(chosen)} languages, {num_bytes / 1e6:.0f} MB, {num_tokens:,} tokens"
    )
    print(f"tiktoken      {num_bytes / 1e6 / seconds[0]:6.1f} MB/s a core")
    print(f"Hugging Face  {num_bytes / 1e6 / seconds[1]:6.1f} MB/s a core")
    print(f"languages with other tokens: {', '.join(differ) or 'none'}")
    sys.exit(bool(differ))


if __name__ == "__main__":
    main()
