"""Compiles every kernel and archives the JVM's classes, once an installation:    python -m jobs.warm_up

Numba compiles a kernel at its first call and keeps it beside the source (`etl.facts.kernels`): a minute
of CPU, which each Python worker of a first refresh would spend again. The JVM loads some 20,000 classes
a session: from an archive beside the jars (`jobs.session`) it takes a fifth less CPU. Both come of one
run of the whole flow over a few made-up files that reach every kernel. For a cluster: run it in the
environment before it is packed, on a machine with the executors' processor.
"""

from __future__ import annotations

import logging
import os
import sys
import tempfile
from pathlib import Path

from etl.flow import FLOW
from jobs import conf
from jobs.runner import Arguments, exit_code, open_refresh, start_logging
from jobs.session import ARCHIVE_CLASSES

logger = logging.getLogger(__name__)

NUM_VERSIONS = (
    80  # of one file: more than the documents of a bucket that near_dedup compares itself
)


def main() -> int:
    start_logging()
    os.environ["SPARK_MASTER"] = "local[1]"  # one worker: each kernel is compiled once
    os.environ[ARCHIVE_CLASSES] = "1"
    try:
        with tempfile.TemporaryDirectory() as folder:
            source = Path(folder) / "sources"
            for path, text in _files().items():
                file = source / path
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(text, "utf-8")
            config = conf.load(None, [], f"{folder}/lake", [f"tree:{source}"])
            args = Arguments(config, dry_run=False, sample=1.0, force=False)
            with open_refresh("warm_up", args) as refresh:
                for stage in FLOW:
                    refresh.run(stage)
    except Exception as error:  # noqa: BLE001  the process ends here, with a code
        return exit_code(error)
    return 0


def _files() -> dict[str, str]:
    words = [f"word{number}" for number in range(400)]
    files = {
        "one/pyproject.toml": '[project]\nname = "one"\nlicense = "MIT"\n',
        "one/AUTHORS": "Ada Example <ada@example.net>\n",
        "one/page.html": f"<html><body><p>{' '.join(words[:40])} &amp; é</p></body></html>\n",
        "one/module.py": '# Copyright 2026 Ada Example\nhost = "93.184.216.34"\npassword = "x7Kq2mVt9z"\n',
        "one/text.md": f"# Ünïcode\n\n{' '.join(words)}\n",
    }
    for number in range(NUM_VERSIONS):
        files[f"one/versions/v{number}.py"] = f"{' '.join(words[:300])} serial{number}\n"
    for number in range(0, 300, 5):
        files[f"one/windows/w{number}.py"] = f"{' '.join(words[number : number + 60])}\n"
    return files


if __name__ == "__main__":
    sys.exit(main())
