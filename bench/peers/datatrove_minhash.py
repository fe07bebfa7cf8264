"""datatrove's MinHash pipeline (0.10.1) at its best: Parquet of id, content -> a file of the ids removed.

    python datatrove_minhash.py CORPUS OUTPUT SCRATCH WORKERS BANDS ROWS

Signatures, buckets and clusters, in one task a Parquet file and a bucket, `WORKERS` at a time. Its
settings: a tokenizer of our own (the words, with `re`; its own load spaCy), no normalisation of the
text, xxHash, signature files read whole (`lines_to_buffer=-1`). Its last stage, which
copies what is left, is not run: the result is the ids.
"""

import re
import struct
import sys
from pathlib import Path

import pyarrow.parquet as pq
from datatrove.executor import LocalPipelineExecutor
from datatrove.pipeline.dedup import MinhashDedupSignature
from datatrove.pipeline.dedup.minhash import (
    MinhashConfig,
    MinhashDedupBuckets,
    MinhashDedupCluster,
)
from datatrove.pipeline.readers import ParquetReader
from datatrove.utils import word_tokenizers
from datatrove.utils.hashing import HashConfig
from datatrove.utils.text import TextNormConfig

WORDS = re.compile(r"\w+")


class Words(word_tokenizers.WordTokenizer):
    def word_tokenize(self, text: str) -> list[str]:
        return WORDS.findall(text)

    def sent_tokenize(self, text: str) -> list[str]:
        return [text]

    def span_tokenize(self, text: str) -> list[tuple[int, int]]:
        return [(0, len(text))]


def main(corpus: str, output: str, scratch: str, workers: str, bands: str, rows: str) -> None:
    as_is = TextNormConfig(
        lowercase=False,
        norm_whitespace=False,
        remove_punctuation=False,
        norm_unicode_diacritics=False,
        norm_numbers=False,
        norm_weekdays=False,
        norm_monthnames=False,
    )
    config = MinhashConfig(
        n_grams=5,
        num_buckets=int(bands),
        hashes_per_bucket=int(rows),
        norm_config=as_is,
        hash_config=HashConfig(precision=64, hash_fc="xxhash"),
    )
    files = sorted(Path(corpus).glob("*.parquet"))
    reader = ParquetReader(
        corpus, glob_pattern="*.parquet", text_key="content", id_key="id", batch_size=1000,
        read_metadata=False, doc_progress=False,
    )  # fmt: skip
    stages = [
        (len(files), [reader, MinhashDedupSignature(f"{scratch}/signatures", config, Words())]),
        (
            int(bands),
            [
                MinhashDedupBuckets(
                    f"{scratch}/signatures", f"{scratch}/buckets", config=config, lines_to_buffer=-1
                )
            ],
        ),
        (
            1,
            [
                MinhashDedupCluster(
                    f"{scratch}/buckets", f"{scratch}/remove", config, lines_to_buffer=-1
                )
            ],
        ),
    ]
    for number, (tasks, pipeline) in enumerate(stages):
        LocalPipelineExecutor(
            pipeline,
            tasks=tasks,
            workers=min(tasks, int(workers)),
            logging_dir=f"{scratch}/logs/{number}",
            start_method="fork",
        ).run()
    with Path(output).open("w") as out:
        for rank, path in enumerate(files):
            remove = Path(scratch, "remove", f"{rank:06d}.remove")
            if remove.exists():
                ids = pq.read_table(path, columns=["id"]).column("id").to_pylist()
                for (index,) in struct.iter_unpack("<I", remove.read_bytes()):
                    out.write(ids[index] + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
