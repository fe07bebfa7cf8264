"""spark-submit: bring the corpus up to date: every stage in its order, then the report.

stackmill refresh --conf conf/demo.yaml
stackmill refresh --lake DIR --source tree:PATH
"""

import logging
import sys
from collections.abc import Sequence
from pathlib import Path

from etl.flow import FLOW
from jobs.report import report_path, write_report
from jobs.runner import dry_run, exit_code, parse, start_logging, tracked_refresh

logger = logging.getLogger(__name__)


def main(argv: Sequence[str] | None = None) -> int:
    start_logging()
    try:
        args = parse("refresh", "bring the corpus up to date: every stage in its order", argv)
        if args.dry_run:
            dry_run(args, None)
            return 0
        report_path(args)  # a wrong setting is found before the work, not after it
        with tracked_refresh("refresh", args) as refresh:
            for stage in FLOW:
                refresh.run(stage)
            path = report_path(args)
            if refresh.has_changed() or not Path(path).exists():
                sys.stdout.write(write_report(refresh, path))
            refresh.artifacts[path] = "report"
        sys.stdout.write(f"report: {path}\n")
    except Exception as error:  # noqa: BLE001  the process ends here, with a code
        return exit_code(error)
    return 0


if __name__ == "__main__":
    sys.exit(main())
