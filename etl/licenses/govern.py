"""Which license governs each file?    files, repos, license_facts, license_texts -> licenses

The nearest folder above a file that holds license files or a manifest governs it; all that they say
applies together. What the host says counts only where nothing else speaks.
Cost: license files are a percent of all; folders, not files, meet their ancestors.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import pyarrow as pa
from pydantic import Field
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql import types as T

from etl.config import Config
from etl.licenses.candidates import LICENSE_VERSION
from etl.licenses.categories import (
    UNKNOWN,
    Rating,
    all_of,
    badness,
    category,
    ids_of,
    parts_of,
)
from etl.licenses.detect import FAMILY_SCORE, detect, detector_version, named
from etl.licenses.names import TEXT, governed_directory
from etl.licenses.naming import is_within
from etl.tables import LICENSE_TEXTS, LICENSES

MAX_EVIDENCE = 20  # entries kept of one folder
MAX_PARTS = 40  # licenses in one expression; beyond it the worst decide
HOST = "host"

_EVIDENCE = LICENSES.schema["evidence"].dataType
_GOVERNING = T.StructType(
    [
        T.StructField("repo_id", T.StringType()),
        T.StructField("folder", T.StringType()),
        T.StructField("license_expression", T.StringType()),
        T.StructField("license_category", T.StringType()),
        T.StructField("evidence", _EVIDENCE),
    ]
)


_STATED = (
    "repo_id string, path string, license_role string, expression string, score double, "
    "blob_id string, folder string"
)


class LicenseConfig(Config):
    permissive_by: Rating = Field(
        default="either",
        description="whose rating makes a license permissive: scancode, blueoak, either or both; "
        "what ScanCode calls copyleft is never permissive",
    )
    trust_host: bool = Field(
        default=True, description="the host's statement counts where no file says anything"
    )


def detect_texts(license_facts: DataFrame, license_texts: DataFrame) -> DataFrame:
    """LICENSE_TEXTS of the distinct texts that the current detector has not seen."""
    known = license_texts.where(F.col("version") == detector_version()).select("text_hash")
    new = (
        license_facts.where((F.col("version") == LICENSE_VERSION) & F.col("text_hash").isNotNull())
        .groupBy("text_hash")
        .agg(F.min("license_role").alias("license_role"), F.min("text").alias("text"))
        .join(known, on="text_hash", how="left_anti")
    )
    return new.mapInArrow(_detect_batches, LICENSE_TEXTS.schema)


def _detect_batches(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        found = [
            detect(role, text)
            for role, text in zip(
                batch.column("license_role").to_pylist(),
                batch.column("text").to_pylist(),
                strict=True,
            )
        ]
        yield pa.RecordBatch.from_pydict(
            {
                "text_hash": batch.column("text_hash"),
                "version": pa.array([detector_version()] * len(batch)),
                "expression": pa.array([one.expression for one in found], pa.string()),
                "score": pa.array([one.score for one in found], pa.float64()),
            }
        )


def govern(
    files: DataFrame,
    repos: DataFrame,
    license_facts: DataFrame,
    license_texts: DataFrame,
    config: LicenseConfig,
) -> DataFrame:
    """LICENSES, a row a file of any status."""
    stated = _stated(files, license_facts, license_texts).mapInArrow(_with_folder, _STATED)
    entries = F.collect_list(F.struct("path", "license_role", "expression", "score", "blob_id"))
    governing = (
        stated.groupBy("repo_id", "folder")
        .agg(entries.alias("stated"))
        .mapInArrow(_Combiner(config.permissive_by), _GOVERNING)
    )
    by_folder = _nearest(_folders(files), governing)
    folder = F.regexp_replace("path", "/?[^/]*$", "")
    found = files.select("repo_id", "path", "repo_name", folder.alias("folder")).join(
        by_folder, on=["repo_id", "folder"], how="left"
    )
    found = found.join(_hosts(repos, config), on="repo_id", how="left")
    none = F.array().cast(_EVIDENCE)
    return found.select(
        "repo_id",
        "path",
        "repo_name",
        F.coalesce("license_expression", "host_expression").alias("license_expression"),
        F.coalesce("license_category", "host_category", F.lit("none")).alias("license_category"),
        F.coalesce("evidence", "host_evidence", none).alias("evidence"),
    ).select(*LICENSES.columns)


def _stated(files: DataFrame, license_facts: DataFrame, license_texts: DataFrame) -> DataFrame:
    """License files and manifests that state something: repo_id and the columns of evidence."""
    facts = license_facts.where(F.col("version") == LICENSE_VERSION)
    texts = license_texts.where(
        (F.col("version") == detector_version()) & F.col("expression").isNotNull()
    )
    return (
        files.where("license_role IS NOT NULL")
        .select("repo_id", "path", "blob_id", "license_role")
        .join(facts.select("blob_id", "license_role", "text_hash"), ["blob_id", "license_role"])
        .join(texts.select("text_hash", "expression", "score"), on="text_hash", how="inner")
        .select("repo_id", "path", "license_role", "expression", "score", "blob_id")
    )


def _with_folder(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        folders = [governed_directory(path) for path in batch.column("path").to_pylist()]
        yield batch.append_column("folder", pa.array(folders, pa.string()))


class _Combiner:
    """The license files of each folder to what governs it."""

    def __init__(self, rating: Rating) -> None:
        self.rating: Rating = rating

    def __call__(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        from pyspark.sql.pandas.types import to_arrow_schema

        schema = to_arrow_schema(_GOVERNING)
        for batch in batches:
            rows = [self._combined(row) for row in batch.to_pylist()]
            yield pa.RecordBatch.from_pylist(rows, schema=schema)

    def _combined(self, row: dict[str, Any]) -> dict[str, Any]:
        stated = sorted(
            row["stated"], key=lambda entry: (entry["license_role"] != TEXT, entry["path"])
        )
        exact = _without_families(stated)
        expression = combine([(entry["license_role"], entry["expression"]) for entry in exact])
        evidence = [{**entry, "kind": entry["license_role"]} for entry in stated[:MAX_EVIDENCE]]
        return {
            "repo_id": row["repo_id"],
            "folder": row["folder"],
            "license_expression": expression,
            "license_category": category(expression, self.rating),
            "evidence": evidence,
        }


def combine(stated: list[tuple[str, str]]) -> str:
    """What (role, expression) pairs of one folder say together.

    A manifest says how texts apply: its OR that names all of them is the choice they are offered
    under, if the text of its mildest alternative is there; its or-later widens the plain text of a
    version, and so does its exception. A manifest whose field nobody can read says nothing where a
    text speaks. All else applies together.
    """
    texts = sorted({expression for role, expression in stated if role == TEXT})
    manifests = sorted({expression for role, expression in stated if role != TEXT})
    if texts:
        manifests = [expression for expression in manifests if expression != UNKNOWN]
    if len(manifests) == 1:
        explained = [text for text in texts if _explains(manifests[0], text)]
        if " OR " not in manifests[0] or _holds_mildest(manifests[0], explained):
            texts = [text for text in texts if text not in explained]
    expression = all_of([*texts, *manifests])
    parts = parts_of(expression)
    if len(parts) > MAX_PARTS:  # bundles of hundreds: the worst of them decide
        worst = sorted(parts, key=lambda part: (-badness(part), part))
        return all_of(worst[:MAX_PARTS])
    return expression


def _explains(manifest: str, text: str) -> bool:
    """The text is what the manifest offers, in the manifest's own words more exactly."""
    offered = ids_of(manifest)
    if all(name in offered or _widened(name) in offered for name in ids_of(text)):
        is_choice = " OR " in manifest
        has_exception = " WITH " in manifest and " WITH " not in text
        return is_choice or has_exception or not ids_of(text) <= offered
    # COPYING beside COPYING.LESSER: LGPL-3.0 is written as an addition to GPL-3.0.
    is_lesser = {"LGPL-3.0-only", "LGPL-3.0-or-later"} & offered
    return bool(is_lesser) and ids_of(text) <= {"GPL-3.0-only", "GPL-3.0-or-later", *is_lesser}


def _holds_mildest(choice: str, texts: list[str]) -> bool:
    """A text is as mild as the choice: no text of GPL alone is excused by an `MIT OR GPL`."""
    parts = {part for text in texts for part in parts_of(text)}
    return any(badness(part) <= badness(choice) for part in parts)


def _widened(name: str) -> str:
    return f"{name.removesuffix('-only')}-or-later" if name.endswith("-only") else name


def _without_families(stated: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """ "BSD" in a manifest beside a BSD text says no more than the text."""
    texts = [entry["expression"] for entry in stated if entry["license_role"] == TEXT]
    return [
        entry
        for entry in stated
        if entry["license_role"] == TEXT
        or entry["score"] != FAMILY_SCORE
        or not any(is_within(entry["expression"], text) for text in texts)
    ]


def _folders(files: DataFrame) -> DataFrame:
    """Each folder that holds a file, once: repo_id, folder."""
    folder = F.regexp_replace("path", "/?[^/]*$", "")
    return files.select("repo_id", folder.alias("folder")).distinct()


def _nearest(folders: DataFrame, governing: DataFrame) -> DataFrame:
    """For each folder what the nearest one at or above it says: a row a folder and ancestor."""
    depths = F.sequence(F.lit(0), F.size(F.split("folder", "/")))
    ancestors = folders.select(
        "repo_id",
        "folder",
        F.explode(
            F.transform(
                depths,
                lambda depth: F.array_join(F.slice(F.split("folder", "/"), 1, depth), "/"),
            )
        ).alias("ancestor"),
    ).distinct()
    above = governing.withColumnRenamed("folder", "ancestor")
    met = ancestors.join(above, on=["repo_id", "ancestor"], how="inner")
    return met.groupBy("repo_id", "folder").agg(
        *(
            F.max_by(name, F.length("ancestor")).alias(name)
            for name in ("license_expression", "license_category", "evidence")
        )
    )


def _hosts(repos: DataFrame, config: LicenseConfig) -> DataFrame:
    """repo_id with what its host or registry states, where that is a license."""
    schema = "repo_id string, host_expression string, host_category string"
    stated = repos.where(F.col("host_license").isNotNull() & F.lit(config.trust_host))
    found = stated.select("repo_id", "host_license").mapInArrow(
        _HostReader(config.permissive_by), schema
    )
    entry = F.struct(
        F.lit("").alias("path"),
        F.lit(HOST).alias("kind"),
        F.col("host_expression").alias("expression"),
        F.lit(None).cast("double").alias("score"),
        F.lit(None).cast("string").alias("blob_id"),
    )
    return found.withColumn("host_evidence", F.array(entry).cast(_EVIDENCE))


class _HostReader:
    def __init__(self, rating: Rating) -> None:
        self.rating: Rating = rating

    def __call__(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            found = [named(stated) for stated in batch.column("host_license").to_pylist()]
            yield pa.RecordBatch.from_pydict(
                {
                    "repo_id": batch.column("repo_id"),
                    "host_expression": pa.array(found, pa.string()),
                    "host_category": pa.array(
                        [category(expression, self.rating) for expression in found], pa.string()
                    ),
                }
            )
