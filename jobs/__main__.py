"""stackmill JOB ...: the same as `python -m jobs JOB ...` and `spark-submit jobs/JOB.py ...`."""

import importlib
import sys
from collections.abc import Sequence

from etl.flow import FLOW, TRAINING

OTHERS = {
    "report": "draw the report of the lake as it is",
    "refresh": "run every job in its order, then the report",
    "why": "say why a file is in the corpus or not: stackmill why REPO PATH --lake DIR",
    "runs": "say which training runs saw a file: stackmill runs --file REPO PATH --lake DIR",
    "data": "say what a training run read: stackmill data --run ID --lake DIR",
}


def usage() -> str:
    lines = ["usage: stackmill JOB [--conf FILE] [--set SECTION.KEY=VALUE ...] [--dry-run]", ""]
    lines += [f"  {stage.name:<18} {stage.decides}" for stage in (*FLOW, *TRAINING)]
    lines += [f"  {name:<18} {text}" for name, text in OTHERS.items()]
    return "\n".join([*lines, "", "stackmill JOB --help shows the flags of a job", ""])


def main(argv: Sequence[str] | None = None) -> int:
    argv = list(sys.argv[1:] if argv is None else argv)
    known = {stage.name for stage in (*FLOW, *TRAINING)} | set(OTHERS)
    if argv and argv[0] in ("-h", "--help"):
        sys.stdout.write(usage())
        return 0
    if not argv or argv[0] not in known:
        found = f"expected a job, found {argv[0]!r}\n\n" if argv else ""
        sys.stderr.write(f"stackmill: {found}{usage()}" if found else usage())
        return 2
    return int(importlib.import_module(f"jobs.{argv[0]}").main(argv[1:]))


if __name__ == "__main__":
    sys.exit(main())
