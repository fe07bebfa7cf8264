"""Which license governs each file?    license_facts, files, repos -> license_texts, licenses"""

from __future__ import annotations

from etl.licenses import LicenseConfig, detect_texts, govern
from etl.stage import Counts, Lake, Stage
from etl.tables import FILES, LICENSE_FACTS, LICENSE_TEXTS, LICENSES, REPOS

BATCH_ROWS = 64  # of license texts, 256 KiB at most each


def detect_licenses(lake: Lake, config: LicenseConfig) -> Counts:
    """Writes `licenses`, a row a file. A text is detected once for all lakes' refreshes.

    Cost: detection of the distinct new texts; SQL over the license files of each repository.
    """
    facts = lake.read(LICENSE_FACTS)
    lake.batch_rows(BATCH_ROWS)
    new_texts = lake.staged("license-texts", detect_texts(facts, lake.read(LICENSE_TEXTS)))
    num_new = new_texts.count()
    if num_new:
        lake.append(LICENSE_TEXTS, new_texts)
    licenses = govern(lake.read(FILES), lake.read(REPOS), facts, lake.read(LICENSE_TEXTS), config)
    lake.overwrite(
        LICENSES, licenses.repartition("repo_id").sortWithinPartitions("repo_id", "path")
    )
    categories = lake.read(LICENSES).groupBy("license_category").count().collect()
    return {
        "texts_detected": num_new,
        **{f"files_{row['license_category']}": int(row["count"]) for row in categories},
    }


STAGE = Stage(
    "license_detection",
    "which license governs each file?",
    reads=(REPOS, FILES, LICENSE_FACTS),
    writes=(LICENSE_TEXTS, LICENSES),
    config_type=LicenseConfig,
    run=detect_licenses,
)
