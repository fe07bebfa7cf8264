"""spark-submit: which tokens does a model see, and of which file is each?

stackmill pack --conf conf/demo.yaml
"""

import sys
from collections.abc import Sequence

from etl.pack.stage import STAGE
from jobs.runner import main_of


def main(argv: Sequence[str] | None = None) -> int:
    return main_of(STAGE, argv)


if __name__ == "__main__":
    sys.exit(main())
