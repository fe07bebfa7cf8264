"""The lake keeps its contract: versions, replacement by repository, refusal of what is newer."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import pytest
from deltalake import DeltaTable
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from etl.contents import contents_with, next_append
from etl.errors import ConfigError, ContractError
from etl.ingest import is_sampled
from etl.tables import BLOBS, DUPLICATES, LICENSES, REPOS, SCHEMA_VERSION, TABLES
from jobs.lake import DeltaLake, _in_buckets, is_catalog

pytestmark = pytest.mark.spark


def licenses(lake: DeltaLake, rows: dict[str, str]) -> object:
    """One file a repository: repo_id -> expression."""
    return lake.local_rows(
        [(repo, "a.py", repo, expression, "permissive", []) for repo, expression in rows.items()],
        LICENSES.schema,
    )


def stored(lake: DeltaLake) -> dict[str, str]:
    return {row["repo_id"]: row["license_expression"] for row in lake.read(LICENSES).collect()}


def test_a_table_that_does_not_exist_has_no_rows_and_no_version(lake: DeltaLake) -> None:
    assert lake.version(LICENSES) is None
    assert lake.read(LICENSES).columns == LICENSES.columns
    assert lake.read(LICENSES).isEmpty()


def test_replacing_repositories_leaves_their_neighbours_in_the_bucket(lake: DeltaLake) -> None:
    before = {"00a": "MIT", "00b": "MIT", "7f0": "MIT", "ff0": "MIT"}
    lake.overwrite(LICENSES, licenses(lake, before))
    lake.replace_repos(
        LICENSES, licenses(lake, {"00a": "ISC", "ff1": "Zlib"}), ["00a", "ff0", "ff1"]
    )
    assert stored(lake) == {"00a": "ISC", "00b": "MIT", "7f0": "MIT", "ff1": "Zlib"}


def test_a_read_sees_the_writes_before_it_and_not_those_after_it(lake: DeltaLake) -> None:
    lake.overwrite(LICENSES, licenses(lake, {"00a": "MIT"}))
    early = lake.read(LICENSES)
    lake.append(LICENSES, licenses(lake, {"00b": "MIT"}))
    assert early.count() == 1
    assert lake.read(LICENSES).count() == 2


def test_a_look_up_reads_the_pages_it_needs_and_finds_what_a_scan_finds(lake: DeltaLake) -> None:
    ids = sorted(hashlib.sha256(b"%d" % i).hexdigest() for i in range(3000))
    rows = [(name, 0, name, "utf-8", 4, name[:4], 0) for name in ids]
    lake.append(BLOBS, lake.local_rows(rows, BLOBS.schema).coalesce(1))
    wanted = ids[::100] + ids[:40]
    names = ", ".join(map(repr, wanted))
    found = lake.read(BLOBS).where(f"blob_id IN ({names})").select("blob_id", "content")
    assert {tuple(row) for row in found.collect()} == {(name, name[:4]) for name in wanted}
    scan = found._jdf.queryExecution().executedPlan().collectLeaves().apply(0)
    assert scan.metrics().apply("numOutputRows").value() <= BLOBS.page_rows * (30 + 3)


def contents(lake: DeltaLake, *names: str) -> DataFrame:
    """One content a name, as an append of its own."""
    rows = [(name, 0, name, "utf-8", 1, name, None) for name in names]
    given = lake.local_rows(rows, BLOBS.schema).coalesce(1)
    return given.withColumn("added", next_append(lake, BLOBS))


def test_contents_are_read_from_the_appends_that_hold_them(lake: DeltaLake) -> None:
    for names in ("ab", "cd", "ef"):
        lake.append(BLOBS, contents(lake, *names))
    for wanted, held in (("c", "cd"), ("af", "abef"), ("bde", "abcdef"), ("x", "")):
        ids = lake.local_rows([(name,) for name in wanted], "blob_id string")
        found = contents_with(lake, ids)
        assert {row["content"] for row in found.collect()} == set(held)
        if held:
            scan = found._jdf.queryExecution().executedPlan().collectLeaves().apply(0)
            assert scan.metrics().apply("numFiles").value() == len(held) / 2


def test_contents_of_a_table_of_an_older_schema_are_read(lake: DeltaLake) -> None:
    older = lake.local_rows([("a", "A"), ("b", "B")], "blob_id string, content string")
    place = f"{lake.location}/blobs"
    older.withColumn("size_class", F.lit(0)).write.format("delta").partitionBy("size_class").save(
        place
    )
    lake.append(BLOBS, contents(lake, "c"))
    assert lake.read(BLOBS).where("blob_id = 'c'").collect()[0]["added"] == 1
    for wanted, held in (("a", "AB"), ("c", "c"), ("bc", "ABc")):
        ids = lake.local_rows([(name,) for name in wanted], "blob_id string")
        assert {row["content"] for row in contents_with(lake, ids).collect()} == set(held)


def test_delete_takes_rows_by_key(lake: DeltaLake) -> None:
    lake.overwrite(LICENSES, licenses(lake, {"00a": "MIT", "00b": "MIT"}))
    lake.delete(LICENSES, lake.local_rows([("00a",)], "repo_id string"))
    assert set(stored(lake)) == {"00b"}


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_every_table_is_readable_by_another_delta_reader(
    lake: DeltaLake, tmp_path: Path, table: object
) -> None:
    lake.append(table, lake.local_rows([], table.schema))  # type: ignore[attr-defined, arg-type]
    found = DeltaTable(str(tmp_path / "lake" / table.name))  # type: ignore[attr-defined]
    fields = {field.name: field.metadata for field in found.schema().fields}
    assert list(fields) == table.columns  # type: ignore[attr-defined]
    assert all("comment" in metadata for metadata in fields.values())
    assert found.protocol().min_reader_version == 1


def test_a_table_is_made_with_its_first_rows_in_one_commit(lake: DeltaLake) -> None:
    lake.append(LICENSES, licenses(lake, {"00a": "MIT"}))  # type: ignore[arg-type]
    assert lake.version(LICENSES) == 0
    assert stored(lake) == {"00a": "MIT"}
    lake.append(LICENSES, licenses(lake, {"00b": "MIT"}))  # type: ignore[arg-type]
    lake.append(LICENSES, licenses(lake, {"00c": "MIT"}))  # type: ignore[arg-type]
    assert DeltaLake(lake.spark, lake.location).version(LICENSES) == 2


def test_files_of_a_first_write_that_was_killed_do_not_stop_the_next(
    lake: DeltaLake, tmp_path: Path
) -> None:
    orphan = tmp_path / "lake" / "blobs" / "size_class=0" / "part-0.parquet"
    orphan.parent.mkdir(parents=True)
    orphan.write_bytes(b"PAR1 cut short")
    lake.append(BLOBS, lake.local_rows([("b", 0, "t", "utf-8", 1, "x", 0)], BLOBS.schema))
    assert [row["content"] for row in lake.read(BLOBS).collect()] == ["x"]
    found = DeltaTable(str(tmp_path / "lake" / "blobs"))
    assert found.metadata().configuration["stackmill.schemaVersion"] == str(SCHEMA_VERSION)
    assert found.metadata().configuration["delta.dataSkippingStatsColumns"] == "blob_id,added"
    assert found.metadata().partition_columns == ["size_class"]
    assert all("comment" in field.metadata for field in found.schema().fields)


def test_a_table_of_a_newer_schema_is_refused(lake: DeltaLake) -> None:
    lake.overwrite(LICENSES, licenses(lake, {"00a": "MIT"}))
    lake.spark.sql(
        f"ALTER TABLE {lake.identifier(LICENSES)} SET TBLPROPERTIES "
        f"('stackmill.schemaVersion' = '{SCHEMA_VERSION + 1}')"
    )
    fresh = DeltaLake(lake.spark, lake.location)
    with pytest.raises(ContractError, match=rf"found {SCHEMA_VERSION + 1}.*upgrade"):
        fresh.read(LICENSES)
    with pytest.raises(ContractError):
        DeltaLake(lake.spark, lake.location).append(LICENSES, licenses(lake, {"00b": "MIT"}))


def test_a_foreign_table_at_the_place_is_refused(lake: DeltaLake) -> None:
    foreign = lake.local_rows([(1, "x")], "repo_id int, path string")
    foreign.write.format("delta").save(f"{lake.location}/licenses")
    with pytest.raises(ContractError, match=r"repo_id string \(found int\)"):
        lake.read(LICENSES)


def test_a_table_of_an_older_schema_is_read_with_nulls(lake: DeltaLake) -> None:
    older = lake.local_rows([("b", "b")], "blob_id string, kept_blob_id string")
    older.write.format("delta").save(f"{lake.location}/duplicates")
    (row,) = lake.read(DUPLICATES).collect()
    assert (row["blob_id"], row["similarity"]) == ("b", None)


def test_a_table_of_an_older_schema_gains_its_new_columns_at_the_next_write(
    lake: DeltaLake,
) -> None:
    older = lake.local_rows([("00a", "a.py")], "repo_id string, path string")
    older.write.format("delta").save(f"{lake.location}/licenses")
    lake.append(LICENSES, licenses(lake, {"00b": "MIT"}))
    assert stored(lake) == {"00a": None, "00b": "MIT"}
    lake.replace_repos(LICENSES, licenses(lake, {"00a": "ISC"}), ["00a"])
    assert stored(DeltaLake(lake.spark, lake.location)) == {"00a": "ISC", "00b": "MIT"}


def test_a_sample_reads_the_lake_and_writes_beside_it(lake: DeltaLake) -> None:
    ids = ["00000000aa", "7fffffffaa", "80000000aa", "ffffffffaa"]
    lake.overwrite(LICENSES, licenses(lake, dict.fromkeys(ids, "MIT")))
    half = DeltaLake(lake.spark, lake.location, sample=0.5)
    assert set(stored(half)) == set(ids[:2])
    assert [is_sampled(repo_id, 0.5) for repo_id in ids] == [True, True, False, False]
    half.overwrite(LICENSES, licenses(half, {"00000000aa": "ISC"}))
    assert stored(half) == {"00000000aa": "ISC"}
    assert set(stored(DeltaLake(lake.spark, lake.location))) == set(ids)


def test_a_change_in_a_sample_starts_from_the_rows_of_the_lake(lake: DeltaLake) -> None:
    lake.overwrite(LICENSES, licenses(lake, {"00a": "MIT", "00b": "MIT", "ffffffff0": "MIT"}))
    half = DeltaLake(lake.spark, lake.location, sample=0.5)
    half.append(LICENSES, licenses(half, {"00c": "ISC"}))
    half.replace_repos(LICENSES, licenses(half, {"00a": "Zlib"}), ["00a"])
    half.delete(LICENSES, half.local_rows([("00b",)], "repo_id string"))
    assert stored(half) == {"00a": "Zlib", "00c": "ISC"}


def test_staging_is_gone_after_it_was_cleared(lake: DeltaLake, tmp_path: Path) -> None:
    staged = lake.staged("x", licenses(lake, {"00a": "MIT"}))  # type: ignore[arg-type]
    assert staged.count() == 1
    lake.clear_staging()
    assert not (tmp_path / "lake" / "_staging").exists()


def test_a_broken_table_is_an_error_and_not_an_empty_one(lake: DeltaLake, tmp_path: Path) -> None:
    lake.overwrite(LICENSES, licenses(lake, {"00a": "MIT"}))
    broken = tmp_path / "broken"
    shutil.copytree(tmp_path / "lake", broken, ignore=shutil.ignore_patterns("*.crc"))
    for entry in (broken / "licenses" / "_delta_log").glob("*.json"):
        entry.write_text("{")
    with pytest.raises(Exception, match=r"(?i)delta|json|parse"):
        DeltaLake(lake.spark, str(broken)).read(LICENSES).collect()


def test_buckets_become_ranges_of_ids() -> None:
    assert _in_buckets(["00", "01", "02", "10"]) == (
        "(repo_id >= '00' AND repo_id < '03') OR (repo_id >= '10' AND repo_id < '11')"
    )
    assert _in_buckets(["fe", "ff"]) == "(repo_id >= 'fe')"


def test_a_catalog_lake_needs_a_staging_folder(spark: object) -> None:
    assert is_catalog("main.stackmill")
    assert not is_catalog("build/lake")
    assert not is_catalog("./lake.dir")
    with pytest.raises(ConfigError, match="staging"):
        _ = DeltaLake(spark, "main.stackmill").staging_home  # type: ignore[arg-type]


def test_table_names_and_keys_are_sound() -> None:
    names = [table.name for table in TABLES]
    assert len(set(names)) == len(names)
    for table in TABLES:
        assert set(table.key) | set(table.order) | set(table.statistics) <= set(table.columns)
        assert set(table.volatile) <= set(table.columns)
        assert json.loads(table.schema.json())
    assert REPOS.key == ("repo_id",)
