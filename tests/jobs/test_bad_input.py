"""What is wrong with a call or with an input is said, or is a row; the exit code tells which."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from etl.tables import FILES, REPOS, SOURCE_ERRORS
from jobs.__main__ import main
from jobs.lake import DeltaLake
from tests.jobs import small
from tests.jobs.lakes import configure

pytestmark = [pytest.mark.spark, pytest.mark.slow]


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["ingest", "--lake", "LAKE", "--source", "tree:NOWHERE"], 2, "expected a folder at"),
        (["ingest", "--lake", "LAKE", "--source", "tree"], 2, "expected KIND:PATH"),
        (["ingest", "--lake", "LAKE", "--source", "parquet:NOWHERE"], 2, "NOWHERE"),
        (["decide", "--conf", "NOWHERE"], 2, "expected a readable YAML file"),
        (["decide", "--lake", "LAKE", "--set", "decide.rulez=1"], 2, "unknown key"),
        (["nothing"], 2, "expected a job"),
    ],
)
def test_what_is_wrong_with_a_call_is_said_and_the_exit_code_tells(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], code: int, said: str
) -> None:
    places = {"LAKE": str(tmp_path / "lake"), "NOWHERE": str(tmp_path / "NOWHERE")}
    filled = [
        argument.replace("NOWHERE", places["NOWHERE"]) if "NOWHERE" in argument
        else places.get(argument, argument)
        for argument in arguments
    ]  # fmt: skip
    assert main(filled) == code
    assert said in capsys.readouterr().err


def test_parquet_with_other_columns_is_refused_with_both_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pq.write_table(pa.table({"text": ["x"], "name": ["a.py"]}), tmp_path / "x.parquet")
    source = {"kind": "parquet", "path": str(tmp_path / "x.parquet"), "host": "h"}
    assert main(["ingest", "--conf", configure(tmp_path, [source])]) == 3
    said = capsys.readouterr().err
    assert "content <- content" in said
    assert "found text, name" in said


def test_sources_of_rows_that_hold_none_are_error_rows_and_the_others_are_read(
    spark: Any, tmp_path: Path
) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "none.jsonl").write_text("")
    columns = {name: pa.array([], pa.string()) for name in ("content", "path", "repo_name")}
    pq.write_table(pa.table(columns), tmp_path / "none.parquet")
    small.write_tree(tmp_path / "trees" / "ann", {"a.py": small.CODE})
    kinds = {"folder": "parquet", "none.jsonl": "jsonl", "none.parquet": "parquet", "trees": "tree"}
    sources = [{"kind": kind, "path": str(tmp_path / name)} for name, kind in kinds.items()]
    assert main(["ingest", "--conf", configure(tmp_path, sources)]) == 0
    lake = DeltaLake(spark, str(tmp_path / "lake"))
    assert [row["path"] for row in lake.read(FILES).collect()] == ["a.py"]
    errors = lake.read(SOURCE_ERRORS).collect()
    assert {(row["kind"], row["source"], row["member"]) for row in errors} == {
        ("empty_source", str(tmp_path / name), "") for name in list(kinds)[:3]
    }


def test_damaged_parquet_files_among_good_ones_are_error_rows(spark: Any, tmp_path: Path) -> None:
    """One is cut short; of one a page is overwritten, which shows only as it is read."""
    folder = tmp_path / "rows"
    folder.mkdir()
    for name in ("a good one", "cut", "worn", "z"):
        texts = [
            f"# {name} {i}\n" + "".join(f"{name}{j * i}\n" for j in range(50)) for i in range(99)
        ]
        columns = {
            "content": texts, "path": [f"{i}.py" for i in range(99)], "repo_name": [f"ann/{name}"] * 99
        }  # fmt: skip
        pq.write_table(pa.table(columns), folder / f"{name}.parquet", use_dictionary=False)
    whole = (folder / "cut.parquet").read_bytes()
    (folder / "cut.parquet").write_bytes(whole[: len(whole) // 2])
    worn = bytearray((folder / "worn.parquet").read_bytes())
    worn[4 : len(worn) // 4] = bytes(len(worn) // 4 - 4)
    (folder / "worn.parquet").write_bytes(worn)
    names = {name: name for name in ("content", "path", "repo_name")}
    source = {"kind": "parquet", "path": str(folder), "host": "h", "columns": names}
    path = configure(tmp_path, [source])
    for _ in range(2):
        assert main(["ingest", "--conf", path]) == 0
        lake = DeltaLake(spark, str(tmp_path / "lake"))
        files = lake.read(FILES).groupBy("repo_name").count().collect()
        assert {tuple(row) for row in files} == {("ann/a good one", 99), ("ann/z", 99)}
        errors = lake.read(SOURCE_ERRORS).collect()
        assert {(row["kind"], row["member"]) for row in errors} == {
            ("corrupt_file", "cut.parquet"), ("corrupt_file", "worn.parquet"),
        }  # fmt: skip
    (folder / "cut.parquet").write_bytes(whole)
    (folder / "worn.parquet").unlink()
    assert main(["ingest", "--conf", path]) == 0
    lake = DeltaLake(spark, str(tmp_path / "lake"))
    assert lake.read(SOURCE_ERRORS).count() == 0


def test_parquet_of_which_no_file_can_be_read_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "x.parquet").write_bytes(b"PAR1 cut short")
    source = {"kind": "parquet", "path": str(tmp_path), "host": "h"}
    assert main(["ingest", "--conf", configure(tmp_path, [source])]) == 2
    assert "found none that can be read" in capsys.readouterr().err


def test_a_table_of_a_newer_version_is_refused(
    spark: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lake = DeltaLake(spark, str(tmp_path / "lake"))
    lake.append(FILES, lake.local_rows([], FILES.schema))
    spark.sql(
        f"ALTER TABLE delta.`{tmp_path}/lake/files` SET TBLPROPERTIES "
        "('stackmill.schemaVersion' = '99')"
    )
    assert main(["decide", "--lake", str(tmp_path / "lake")]) == 3
    assert "written by a newer Stackmill" in capsys.readouterr().err


def test_one_name_on_two_hosts_is_two_repositories_and_on_one_host_the_first(
    spark: Any, tmp_path: Path
) -> None:
    places = {"a": "one", "b": "two", "c": "two"}
    for place in places:
        small.write_tree(tmp_path / place / "tool", {"x.py": f"PLACE = '{place}'\n"})
    sources = [
        {"kind": "tree", "path": str(tmp_path / place), "host": host}
        for place, host in places.items()
    ]
    assert main(["ingest", "--conf", configure(tmp_path, sources)]) == 0
    lake = DeltaLake(spark, str(tmp_path / "lake"))
    repos = lake.read(REPOS).collect()
    assert {(row["repo_name"], row["host"]) for row in repos} == {("tool", "one"), ("tool", "two")}
    assert len({row["repo_id"] for row in repos}) == 2
    assert {row["source"] for row in repos} == {str(tmp_path / "a"), str(tmp_path / "b")}
    (error,) = lake.read(SOURCE_ERRORS).collect()
    assert (error["kind"], error["source"]) == ("duplicate_repository", str(tmp_path / "c"))
