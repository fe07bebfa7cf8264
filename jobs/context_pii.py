"""spark-submit: which names and credentials stand in words?

stackmill context_pii --conf conf/demo.yaml
"""

import sys
from collections.abc import Sequence

from etl.context_pii.stage import STAGE
from jobs.runner import main_of


def main(argv: Sequence[str] | None = None) -> int:
    return main_of(STAGE, argv)


if __name__ == "__main__":
    sys.exit(main())
