"""A worker's path holds Spark's own jar: its directory is read once a process, not once a task."""

import subprocess
import sys
import zipfile

TASKS = """
import importlib, sys, zipimport
{first}
import etl
sys.path.insert(0, {archive!r})
import inside_one
read = []
whole = zipimport._read_directory
zipimport._read_directory = lambda archive: read.append(archive) or whole(archive)
importlib.invalidate_caches()  # what PySpark does at the start of every task
import inside_two
print(len(read), inside_two.VALUE)
"""


def _run(first: str, archive: str) -> str:
    code = TASKS.format(first=first, archive=archive)
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    return done.stdout.strip()


def test_a_task_does_not_read_the_archives_on_a_workers_path_again(tmp_path):
    archive = tmp_path / "code.zip"
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("inside_one.py", "")
        file.writestr("inside_two.py", "VALUE = 7")
    assert _run("import pyspark.worker", str(archive)) == "0 7"
    assert _run("", str(archive)) == "1 7"  # elsewhere Python does as it always does
