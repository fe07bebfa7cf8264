"""Laws of near-dedup and the election through Spark, against an exact answer in Python."""

from __future__ import annotations

import hashlib
import itertools
import random
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pyspark.sql import functions as F

from etl.decide import DecideConfig, decide
from etl.errors import ConfigError
from etl.facts import annotators
from etl.facts.minhash import signatures
from etl.near_dedup import bands, candidates, contents, similarity
from etl.near_dedup.arrow import unpacked
from etl.near_dedup.config import Bounds, NearDedupConfig
from etl.near_dedup.stage import _changed, near_dedup
from etl.tables import (
    BAND_INDEX,
    DECISIONS,
    DEFERRED_SETS,
    DOCUMENTS,
    DUPLICATES,
    PAIRS,
    SIGNATURES,
    UNVERIFIED,
)
from tests.etl.by_hand import frame, repo_id, write
from tests.etl.memory import MemoryLake
from tests.etl.near_dedup.test_kernels import jaccard, shingles, sketches_of

pytestmark = pytest.mark.spark


@pytest.fixture
def lake(spark: Any) -> MemoryLake:
    return MemoryLake(spark)


File = dict[str, Any]
TINY = {"block_bytes": 15_000}  # some eight of the texts


def write_lake(lake: MemoryLake, files: list[File], added: dict[str, int] | None = None) -> None:
    """A lake up to `licenses`, with the signatures of its texts. `added`: by text; none: an older lake."""
    write(lake, files)
    texts = sorted({file["text"] for file in files})
    found = signatures(pa.array(texts, pa.string())).to_pylist()
    rows = [
        {
            "blob_id": hashlib.sha256(text.encode()).hexdigest(),
            "version": annotators.SIGNATURES_VERSION,
            "added": (added or {}).get(text),
            **row,
        }
        for text, row in zip(texts, found, strict=True)
    ]
    lake.overwrite(SIGNATURES, frame(lake, SIGNATURES, rows))


def run(lake: MemoryLake, config: NearDedupConfig, threshold: float = 0.7) -> dict[str, Any]:
    """repo -> its decision. Paths are all alike: a repository has one file."""
    near_dedup(lake, config)
    return run_decide(lake, threshold, config)


def run_decide(lake: MemoryLake, threshold: float, bounds: Bounds) -> dict[str, Any]:
    rules = {"license": {}, "near_duplicate": {"threshold": threshold}}
    own = {"block_bytes": bounds.block_bytes, "driver_pairs": bounds.driver_pairs}
    decide(lake, DecideConfig.model_validate({"rules": rules, "bounds": own}))
    lake.clear_staging()
    return {row["repo_name"]: row for row in lake.read(DECISIONS).collect()}


def rows_of(lake: MemoryLake, table: Any) -> list[tuple[Any, ...]]:
    found = lake.read(table).collect()
    return sorted(tuple(map(str, row)) for row in found)


def truth(files: list[File], threshold: float) -> dict[str, tuple[str, str | None]]:
    """repo -> (repo of the file kept in its place, reason), by comparing each text with each."""

    def place(file: File) -> tuple[Any, ...]:
        is_dropped = file.get("license_category") == "strong_copyleft"
        stars = int(np.floor(np.log(1 + file.get("stars", 0)) / np.log(4) + 1e-9))
        text_id = hashlib.sha256(file["text"].encode()).hexdigest()
        return (is_dropped, 3 if is_dropped else 0, -stars, text_id, repo_id(file["repo"]))

    ranked = sorted(files, key=place)
    first: dict[str, File] = {}
    for file in ranked:
        first.setdefault(file["text"], file)
    texts = list(first)
    sets = [shingles(text) for text in texts]
    long = [i for i, found in enumerate(sets) if found]
    sketches = sketches_of([texts[i] for i in long]) if long else None
    scores: dict[tuple[int, int], float] = {}
    for (a, i), (b, j) in itertools.combinations(enumerate(long), 2):
        score = jaccard(sets[i], sets[j])
        if score >= threshold and similarity.shares_band(sketches, a, b, 42, 6):
            scores[i, j] = scores[j, i] = score
    kept: list[int] = []
    twin: dict[int, int] = {}
    for i in range(len(texts)):
        near = [(-scores[i, k], k) for k in kept if (i, k) in scores]
        twin[i] = min(near)[1] if near else i
        if not near:
            kept.append(i)
    found = {}
    for file in files:
        own = texts.index(file["text"])
        stands = first[texts[twin[own]]]
        reasons = []
        if file.get("license_category") == "strong_copyleft":
            reasons.append("license")
        if stands["repo"] != file["repo"]:
            is_same = stands["text"] == file["text"]
            reasons.append("exact_duplicate" if is_same else "near_duplicate")
        found[file["repo"]] = (stands["repo"], (reasons or [None])[0])
    return found


def check(found: dict[str, Any], files: list[File], threshold: float) -> None:
    expected = truth(files, threshold)
    names = {repo_id(file["repo"]): file["repo"] for file in files}
    assert {
        repo: (names[row["kept_repo_id"]], row["reason"]) for repo, row in found.items()
    } == expected


def check_sets(lake: MemoryLake, files: list[File]) -> None:
    """The set of every document that has been deferred, and of none that is gone, is held once."""
    blob_of = {hashlib.sha256(file["text"].encode()).hexdigest(): file["text"] for file in files}
    documents = {row["document"]: row["blob_id"] for row in lake.read(DOCUMENTS).collect()}
    rows = lake.read(DEFERRED_SETS).collect()
    held = [row["document"] for row in rows]
    unverified = {row["document"] for row in lake.read(UNVERIFIED).collect()}
    assert len(held) == len(set(held)) > 5
    assert unverified <= set(held) <= set(documents)
    for row in rows:
        text = blob_of[documents[row["document"]]]
        values, _ = similarity.shingle_sets(pa.array([text]))
        assert row["shingles"] == values.tobytes()
        assert row["num_shingles"] == len(values) == len(shingles(text))


def corpus(seed: int) -> list[File]:
    """Families of near-duplicates (one large), equal texts, equal sets in other layout, short texts."""
    draw = random.Random(seed)
    words = [f"word{i}" for i in range(400)]
    texts = ["a b", "a b", "a b c", ""]
    for size in (14, 5, 3, 2, 1, 1):
        base = [draw.choice(words) for _ in range(120)]
        for _ in range(size):
            copy = list(base)
            for _ in range(draw.randint(0, 4)):
                copy[draw.randrange(len(copy))] = draw.choice(words)
            texts.append(" ".join(copy))
    texts += [texts[4], texts[5].replace(" ", "\n"), texts[6].replace(" ", "\t")]
    files: list[File] = []
    for number, text in enumerate(texts):
        licence = "strong_copyleft" if draw.random() < 0.25 else "permissive"
        files.append(
            {"repo": f"r{number}", "path": "a.py", "text": text, "license_category": licence,
             "stars": draw.choice([0, 5, 70, 900])}
        )  # fmt: skip
    return files


@pytest.mark.slow
def test_refresh_equals_rebuild_and_the_exact_answer_whatever_the_bounds(
    spark: Any, lake: MemoryLake
) -> None:
    """Two refreshes (texts come and go, ranks and licenses change) with bounds so small that all is
    deferred and compared in chunks, and one build of what is left with ordinary ones."""
    files = corpus(1)
    small = NearDedupConfig(bucket_documents=2, bucket_pairs=3, **TINY)
    draw = random.Random(2)
    first = draw.sample(files, 20)
    write_lake(lake, first)
    check(run(lake, small), first, 0.7)
    assert lake.read(BAND_INDEX).where("document IS NULL").isEmpty()
    check_sets(lake, first)

    kept = [file for file in files if file not in first[:6]]
    changed = [
        {**file, "stars": draw.choice([0, 5, 70, 900])}
        | ({"license_category": "strong_copyleft"} if draw.random() < 0.2 else {})
        for file in kept
    ]
    write_lake(lake, changed)
    found = run(lake, small)
    check(found, changed, 0.7)
    assert "near_duplicate" in {row["reason"] for row in found.values()}
    gone = {row["document"] for row in lake.read(DOCUMENTS).collect()}
    for pair in lake.read(PAIRS).collect():
        assert {pair["document_a"], pair["document_b"]} <= gone
    check_sets(lake, changed)

    rebuilt = MemoryLake(spark)
    write_lake(rebuilt, changed[::-1])
    before = spark.conf.get("spark.sql.shuffle.partitions")
    spark.conf.set("spark.sql.shuffle.partitions", "5")
    try:
        assert run(rebuilt, NearDedupConfig()) == found
    finally:
        spark.conf.set("spark.sql.shuffle.partitions", before)
    assert rows_of(rebuilt, DUPLICATES) == rows_of(lake, DUPLICATES)
    assert rows_of(rebuilt, DOCUMENTS) == rows_of(lake, DOCUMENTS)

    # A higher threshold needs no content; a lower one is refused.
    versions = [rebuilt.version(table) for table in (PAIRS, UNVERIFIED, BAND_INDEX)]
    check(run_decide(rebuilt, 0.9, Bounds()), changed, 0.9)
    assert [rebuilt.version(table) for table in (PAIRS, UNVERIFIED, BAND_INDEX)] == versions
    with pytest.raises(ConfigError, match=r"must be at least 0.7.*rebuild"):
        run_decide(rebuilt, 0.6, Bounds())


def test_the_index_finds_the_same_whether_all_of_it_is_shuffled_or_what_new_documents_meet(
    spark: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = corpus(3)
    found = []
    for bound in (candidates.MET_BANDS, 0):
        monkeypatch.setattr(candidates, "MET_BANDS", bound)
        lake = MemoryLake(spark)
        for some in (files[:20], files):
            write_lake(lake, some)
            near_dedup(lake, NearDedupConfig(bucket_documents=4))
            lake.clear_staging()
        found.append([rows_of(lake, table) for table in (PAIRS, UNVERIFIED, DOCUMENTS)])
    assert found[0] == found[1]
    held = {hashlib.sha256(file["text"].encode()).hexdigest() for file in files[:20]}
    pairs = lake.read(PAIRS).collect()
    assert any((pair["blob_a"] in held) != (pair["blob_b"] in held) for pair in pairs)


def test_what_is_new_is_told_by_its_append_and_by_all_ids_where_some_are_gone(
    spark: Any, lake: MemoryLake
) -> None:
    """20 files, then twelve more, then the last while some go: of these one has a set that stays."""
    files = corpus(4)
    kept = [file for number, file in enumerate(files) if number % 5]
    assert shingles(files[5]["text"]) == shingles(files[31]["text"])
    steps = (files[:20], files[:32], kept)
    added: dict[str, int] = {}
    for append, some in enumerate(steps):
        for file in some:
            added.setdefault(file["text"], append)
    for some, joins in zip(steps, (None, 0, 1), strict=True):
        write_lake(lake, some, added)
        if joins is not None:
            plan = _changed(lake)._jdf.queryExecution().optimizedPlan().toString()
            assert plan.count("Join") == joins
        near_dedup(lake, NearDedupConfig(bucket_documents=4))
    assert {row["added"] for row in lake.read(DOCUMENTS).collect()} == {0, 1, 2}
    assert near_dedup(lake, NearDedupConfig(bucket_documents=4))["contents_new"] == 0

    rebuilt = MemoryLake(spark)
    write_lake(rebuilt, kept, added)
    near_dedup(rebuilt, NearDedupConfig(bucket_documents=4))
    assert rows_of(rebuilt, DOCUMENTS) == rows_of(lake, DOCUMENTS)
    decided = [run_decide(one, 0.7, Bounds()) for one in (lake, rebuilt)]
    assert decided[0] == decided[1]


def test_contents_are_the_same_looked_up_or_read_whole(
    spark: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = corpus(5)
    found = []
    for share in (0, contents.LOOK_UP_SHARE):
        monkeypatch.setattr(contents, "LOOK_UP_SHARE", share)
        lake = MemoryLake(spark)
        write_lake(lake, files)
        near_dedup(lake, NearDedupConfig())
        found.append([rows_of(lake, table) for table in (PAIRS, DOCUMENTS)])
    assert found[0] == found[1]
    assert found[0][0]


def test_of_the_index_only_what_new_documents_meet_is_taken() -> None:
    hashes = np.array([7, 9, 9, 1 << 63], np.uint64)
    documents = np.array([1, 2, 3, 4])
    index = pa.RecordBatch.from_pydict(
        {"band_hash": [hashes.tobytes()], "document": [documents.tobytes()]}
    )
    met = np.array([8, 9, 1 << 63], np.uint64)
    (rows,) = candidates._Held(1, met)([index])
    assert rows.column("part").to_pylist() == [0, 1]
    assert rows.column("role").to_pylist() == [bands.COMPLETE] * 2
    taken = [unpacked([value], [1])[0].tolist() for value in rows.column("document").to_pylist()]
    assert taken == [[2, 3], [4]]


def test_the_evidence_names_the_kept_twin_and_the_pair_is_exact(lake: MemoryLake) -> None:
    words = [f"w{i}" for i in range(50)]  # 46 shingles; one word changed at the end: 1 differs
    files = [
        {"repo": "ann", "path": "a.py", "text": " ".join(words), "stars": 9},
        {"repo": "bob", "path": "b.py", "text": " ".join([*words[:-1], "other"])},
        {"repo": "cho", "path": "c.py", "text": "\n".join(words)},  # the same set, another text
    ]
    write_lake(lake, files)
    found = run(lake, NearDedupConfig())
    assert {repo: row["reason"] for repo, row in found.items()} == {
        "ann": None, "bob": "near_duplicate", "cho": "near_duplicate",
    }  # fmt: skip
    assert (
        found["bob"]["evidence"]["near_duplicate"] == "similarity 0.9574 with the elected ann a.py"
    )
    rows = {row["blob_id"]: row for row in lake.read(DUPLICATES).collect()}
    scores = {found["bob"]["blob_id"]: 45 / 47, found["cho"]["blob_id"]: 1.0}
    for blob_id, score in scores.items():
        assert rows[blob_id]["similarity"] == score
        assert rows[blob_id]["rule"] == "shingle_jaccard"
        assert rows[blob_id]["kept_blob_id"] == found["ann"]["blob_id"]
    assert {row["cluster_id"] for row in rows.values()} == {min(rows)}


def test_equal_hashes_of_unlike_sets_are_no_equal_documents(lake: MemoryLake) -> None:
    """A collision of 64 bits, made by hand: the set hash of one text is given to the other."""
    files = [
        {"repo": name, "path": "a.py", "text": " ".join(f"{name}{i}" for i in range(40))}
        for name in ("ann", "bob")
    ]
    write_lake(lake, files)
    same = lake.staged("same", lake.read(SIGNATURES).withColumn("set_hash", F.lit(7).cast("long")))
    lake.overwrite(SIGNATURES, same)
    found = run(lake, NearDedupConfig())
    assert {row["reason"] for row in found.values()} == {None}
    rows = lake.read(DOCUMENTS).collect()
    assert len({row["document"] for row in rows}) == 2
    assert sorted(row["is_split"] for row in rows) == [False, True]


def test_texts_without_a_shingle_are_decided_too(lake: MemoryLake) -> None:
    files = [{"repo": name, "path": "a.py", "text": f"import {name}"} for name in ("ann", "bob")]
    write_lake(lake, files)
    found = run(lake, NearDedupConfig())
    assert {row["reason"] for row in found.values()} == {None}
