"""Laws of sources that are tables: The Stack's columns are known, and no row is lost."""

from __future__ import annotations

import datetime as dt
import hashlib

import pyarrow as pa
import pytest

from etl.errors import ContractError
from etl.sources.records import ErrorRecord, FileRecord, repo_id_of
from etl.sources.rows import PRESETS, column_names, one_row_a_file, read_batch, resolve_columns

V1 = {
    "hexsha": "e" * 40, "size": 6, "ext": "py", "lang": "Python", "content": "a = 1\n",
    "max_stars_repo_path": "src/a.py", "max_stars_repo_name": "o/n",
    "max_stars_repo_head_hexsha": "c" * 40, "max_stars_repo_licenses": ["MIT", "Apache-2.0"],
    "max_stars_count": 7.0, "max_forks_count": None, "avg_line_length": 5.0,
}  # fmt: skip
WHEN = dt.datetime(2020, 9, 13, 12, 26, 40)
V2 = {
    "blob_id": "e" * 40, "directory_id": "d" * 40, "path": "/src/a.py", "content_id": "f" * 40,
    "detected_licenses": ["MIT"], "license_type": "permissive", "repo_name": "o/n",
    "snapshot_id": "5" * 40, "revision_id": "c" * 40, "branch_name": "refs/heads/main",
    "visit_date": WHEN, "revision_date": WHEN, "committer_date": WHEN, "github_id": 17,
    "star_events_count": 7, "fork_events_count": 2, "gha_license_id": "NOASSERTION",
    "src_encoding": "UTF-8", "language": "Python", "is_vendor": False, "is_generated": False,
    "length_bytes": 6, "extension": "py", "content": "a = 1\n",
}  # fmt: skip
V3_FILE = {
    "content_id": "f" * 40, "content": "a = 1\n", "size_bytes": 6, "file_path": "src/a.py",
    "file_timestamp": 1_600_000_000, "language": "Python", "license_type": "permissive",
    "is_vendor": False, "detected_licenses": ["MIT"],
}  # fmt: skip
V3 = {
    "repo_path": "o/n", "repo_id": 17, "commit_id": "c" * 40,
    "github_metadata": {
        "branch": "main", "commit_count": 3, "is_fork": True, "forked_from": "p/n", "stars": 7,
        "forks": 2,
    },
    "num_files": 1, "files": [V3_FILE],
}  # fmt: skip
OURS = {"content": "content", "path": "path", "repo_name": "repo_name"}


def read(rows, columns="the-stack-v2", max_file_bytes=100, host="h"):
    batch = pa.RecordBatch.from_pylist(rows)
    mapping = resolve_columns(batch.schema.names, columns, "here")
    return list(read_batch(batch, mapping, "here", host, max_file_bytes))


def test_the_stack_v1_is_read():
    ((repo, file),) = read([V1], "the-stack-v1")
    assert (repo.repo_name, repo.account, repo.revision_id) == ("o/n", "o", "c" * 40)
    assert (repo.stars, repo.forks, repo.host_license) == (7, None, "Apache-2.0 AND MIT")
    assert repo.repo_id == repo_id_of("h:o/n")
    assert (file.path, file.text, file.source_blob_id) == ("src/a.py", b"a = 1\n", "e" * 40)


def test_the_stack_v2_is_read():
    ((repo, file),) = read([V2])
    assert repo.repo_id == repo_id_of("h:17")
    assert (repo.branch_name, repo.stars, repo.forks) == ("refs/heads/main", 7, 2)
    assert repo.revision_date == WHEN.replace(tzinfo=dt.UTC)
    assert repo.host_license is None
    assert (file.path, file.source_blob_id, file.source_encoding) == ("src/a.py", "e" * 40, "UTF-8")


@pytest.mark.spark
def test_the_stack_v3_is_one_row_a_file_after_its_repositories_are_unfolded(spark):
    empty = {**V3, "repo_path": "o/empty", "repo_id": 18, "files": []}
    two = {**V3, "files": [V3_FILE, {**V3_FILE, "file_path": "b.py", "content": "b\n"}]}
    schema = """repo_path string, repo_id long, commit_id string, github_metadata struct<
        branch: string, commit_count: int, is_fork: boolean, forked_from: string, stars: int,
        forks: int>, num_files long, files array<struct<content_id: string, content: string,
        size_bytes: long, file_path: string, file_timestamp: long, language: string,
        license_type: string, is_vendor: boolean, detected_licenses: array<string>>>"""
    rows = spark.createDataFrame([two, empty], schema)
    columns = resolve_columns(column_names(rows.schema), "the-stack-v3", "here")
    assert columns == PRESETS["the-stack-v3"]
    files = one_row_a_file(rows, columns)
    assert files.columns == list(columns)
    batch = pa.RecordBatch.from_pylist([row.asDict() for row in files.collect()])
    found = list(read_batch(batch, {name: name for name in files.columns}, "here", "h", 100))
    repo = found[0].repo
    assert [record.path for _, record in found[:2]] == ["src/a.py", "b.py"]
    assert (repo.repo_name, repo.branch_name, repo.stars, repo.forks) == ("o/n", "main", 7, 2)
    assert (repo.is_fork, repo.fork_of, repo.repo_id) == (True, "p/n", repo_id_of("h:17"))
    assert (found[2].record.kind, found[2].record.member) == ("null_value", "o/empty")
    with pytest.raises(ContractError, match="more than one list"):
        one_row_a_file(
            rows.withColumn("more", rows["files"]), {"a": "files.content", "b": "more.content"}
        )


def test_the_ids_are_those_of_the_text():
    ((_, file),) = read([{**V2, "content": "é\r\n"}])
    assert file.hash_basis == "text"
    assert file.blob_id == hashlib.sha256("é\r\n".encode()).hexdigest()
    assert file.text_id == hashlib.sha256("é\n".encode()).hexdigest()


def test_binary_content_is_taken_as_the_raw_bytes():
    raw = "é\n".encode("utf-16")
    ((_, file),) = read([{**V2, "content": raw}])
    assert (file.hash_basis, file.blob_id) == ("raw", hashlib.sha256(raw).hexdigest())
    assert file.text == "é\n".encode()


@pytest.mark.parametrize("column", ["path", "repo_name", "content"])
def test_a_row_without_a_value_that_it_needs_is_an_error_row(column):
    first, second = read([{**V2, column: None}, V2])
    assert first.repo is None
    assert isinstance(first.record, ErrorRecord)
    assert (first.record.kind, first.record.source) == ("null_value", "here")
    assert column in first.record.message
    assert "a = 1" not in repr(first)
    assert isinstance(second.record, FileRecord)


@pytest.mark.parametrize(
    ("changed", "kind"),
    [
        ({"path": ""}, "null_value"),
        ({"path": "//"}, "null_value"),
        ({"repo_name": ""}, "null_value"),
        ({"path": "a/../../b"}, "path_traversal"),
        ({"content": 1 << 40}, "wrong_type"),
        ({"content": ["a"]}, "wrong_type"),
    ],
)
def test_a_row_that_makes_no_file_is_an_error_row(changed, kind):
    ((repo, record),) = read([{**V2, **changed}])
    assert repo is None
    assert record.kind == kind


def test_an_empty_content_is_a_file():
    ((_, file),) = read([{**V2, "content": ""}])
    assert (file.status, file.text, file.size_bytes) == ("stored", b"", 0)


def test_content_over_the_limit_is_a_name():
    ((_, at), (_, over)) = read(
        [{**V2, "content": "é" * 5}, {**V2, "content": "é" * 6}], max_file_bytes=10
    )
    assert (at.status, over.status) == ("stored", "oversize")
    assert (over.size_bytes, over.text, over.blob_id) == (12, None, None)
    assert over.source_blob_id == "e" * 40


def test_nul_bytes_are_binary():
    ((_, file),) = read([{**V2, "content": "a\0b"}])
    assert (file.status, file.text) == ("binary", None)


@pytest.mark.parametrize("stars", [float("nan"), float("inf"), "many", None])
def test_a_count_that_is_none_is_unknown(stars):
    ((repo, _),) = read([{**V2, "star_events_count": stars}])
    assert repo.stars is None


@pytest.mark.parametrize("when", ["yesterday", None, 7])
def test_a_date_that_is_none_is_unknown(when):
    ((repo, _),) = read([{**V2, "revision_date": when}])
    assert repo.revision_date is None


def test_dates_of_json_are_read_as_utc():
    ((repo, _),) = read([{**V2, "revision_date": "2020-09-13T14:26:40+02:00"}])
    assert repo.revision_date == WHEN.replace(tzinfo=dt.UTC)


def test_one_name_on_two_hosts_is_two_repositories():
    row = {name: V2[name] for name in OURS}
    ids = {read([row], host=host)[0].repo.repo_id for host in ("one", "two")}
    assert len(ids) == 2


def test_missing_columns_are_told_with_those_expected_and_found():
    with pytest.raises(ContractError) as told:
        resolve_columns(["text", "path", "repo_name"], "the-stack-v2", "s3://x")
    message = str(told.value)
    for part in (
        "s3://x",
        "content <- content",
        "found text, path, repo_name",
        "at fault: content",
    ):
        assert part in message
    assert "set `columns` of this source" in message


@pytest.mark.parametrize(
    ("columns", "at_fault"),
    [
        ({"content": "text", "path": "path"}, "repo_name"),
        ({**OURS, "content": "body"}, "body"),
        ({**OURS, "stars": "num_stars"}, "num_stars"),
        ({**OURS, "colour": "path"}, "colour"),
        ("the-stack-v9", "the-stack-v9"),
    ],
)
def test_a_mapping_that_does_not_fit_is_told(columns, at_fault):
    with pytest.raises(ContractError, match=at_fault):
        resolve_columns(["text", "content", "path", "repo_name"], columns, "here")


def test_a_mapping_names_other_columns():
    columns = {"content": "text", "path": "file", "repo_name": "repo"}
    ((repo, file),) = read([{"text": "x\n", "file": "a.py", "repo": "o/n"}], columns)
    assert (repo.repo_name, file.path, file.text) == ("o/n", "a.py", b"x\n")


@pytest.mark.parametrize("preset", PRESETS)
def test_a_preset_needs_only_content_path_and_name(preset):
    needed = [PRESETS[preset][ours] for ours in OURS]
    assert resolve_columns(needed, preset, "here") == {ours: PRESETS[preset][ours] for ours in OURS}
