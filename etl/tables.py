"""The contract of each Delta table: columns with comments, key, order on disk, volatile columns.

A table's schema may gain columns in a later version of Stackmill; a table written by a newer one
is refused (`ContractError`), never half understood. Statistics are kept for ids and small
columns only; no deletion vectors and no column mapping, so that any Delta reader can read them.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from pyspark.sql import types as T

SCHEMA_VERSION = 2  # raised by any change that an older Stackmill must not read

# Repository tables are replaced by bucket: the first byte of repo_id, as a range of the column.

_TYPES: dict[str, T.DataType] = {
    "string": T.StringType(),
    "int": T.IntegerType(),
    "long": T.LongType(),
    "double": T.DoubleType(),
    "float": T.FloatType(),
    "boolean": T.BooleanType(),
    "binary": T.BinaryType(),
    "timestamp": T.TimestampType(),
    "strings": T.ArrayType(T.StringType(), containsNull=False),
    "longs": T.ArrayType(T.LongType(), containsNull=False),
    "string_map": T.MapType(T.StringType(), T.StringType(), valueContainsNull=True),
    "long_map": T.MapType(T.StringType(), T.LongType(), valueContainsNull=True),
}


def _struct(**fields: str) -> T.StructType:
    return T.StructType([T.StructField(name, _TYPES[kind]) for name, kind in fields.items()])


SPAN = _struct(kind="string", start="int", end="int", detector="string", score="float")
LICENSE_EVIDENCE = _struct(
    path="string", kind="string", expression="string", score="double", blob_id="string"
)
LINE = _struct(start="int", end="int", line_hash="long", line_rank="int")
SPANS = T.ArrayType(SPAN, containsNull=False)
_TYPES["spans"] = SPANS
_TYPES["lines"] = T.ArrayType(LINE, containsNull=False)
_TYPES["license_evidence"] = T.ArrayType(LICENSE_EVIDENCE, containsNull=False)


@dataclass(frozen=True)
class Table:
    """A Delta table at LAKE/name. `columns` in order; `key` is unique and never null."""

    name: str
    schema: T.StructType
    key: tuple[str, ...]
    order: tuple[str, ...]  # rows are sorted so inside each file
    statistics: tuple[str, ...]  # columns with min and max in the log
    volatile: frozenset[str] = field(default=frozenset())  # may differ between refresh and rebuild
    file_bytes: int = 128 << 20  # target size of a data file
    page_rows: int = 20_000  # rows of a Parquet page: a look-up by the order reads whole pages
    partitions: tuple[str, ...] = ()  # columns whose values have folders of their own
    is_cache: bool = False  # its rows may differ too: what is made from them may not

    @property
    def columns(self) -> list[str]:
        return self.schema.names


def _table(
    name: str,
    *columns: str,
    key: str,
    order: str = "",
    statistics: str = "",
    volatile: str = "",
    file_bytes: int = 128 << 20,
    page_rows: int = 20_000,
    partitions: str = "",
    is_cache: bool = False,
) -> Table:
    fields = []
    for line in columns:
        declaration, comment = line.split(": ", 1)
        column, kind = declaration.split()
        fields.append(T.StructField(column, _TYPES[kind], True, {"comment": comment}))
    keys = tuple(key.split())
    return Table(
        name,
        T.StructType(fields),
        keys,
        tuple(order.split()) or keys,
        tuple(statistics.split()) or keys,
        frozenset(volatile.split()),
        file_bytes,
        page_rows,
        tuple(partitions.split()),
        is_cache,
    )


REPOS = _table(
    "repos",
    "repo_id string: first 16 bytes of SHA-256 of host:host_id, canonical URL or source path, hex",
    "repo_name string: owner/name, or the name the source gives",
    "host string: where it lives: github.com, a registry, a source's own name",
    "account string: owner on its host",
    "url string: canonical URL",
    "source_kind string: tree, site-packages, git, archives, parquet, jsonl, delta",
    "source string: the configured location it was read from",
    "revision_id string: commit or version that was read",
    "branch_name string: ref that was read",
    "revision_date timestamp: author date of the revision, UTC",
    "committer_date timestamp: commit date of the revision, UTC",
    "is_fork boolean: the host says it is a fork",
    "fork_of string: repo_id or name of the repository it was forked from",
    "stars long: star count or star events",
    "forks long: fork count or fork events",
    "host_license string: license that the host or registry states for the whole, as stated",
    "people longs: 64-bit hashes of names, user names and addresses of its people, as it states them",
    "num_files long: files of any status",
    "num_bytes long: sum of their sizes",
    "fingerprint string: changes whenever the content may have changed",
    key="repo_id",
    statistics="repo_id",
    volatile="fingerprint source",
)

FILES = _table(
    "files",
    "repo_id string: repository",
    "path string: inside the repository, /-separated, percent-escaped where not UTF-8",
    "repo_name string: as in repos",
    "basename string: last part of path",
    "extension string: lower-case, without the dot; empty if none",
    "status string: stored, binary, oversize, link or unreadable",
    "blob_id string: SHA-256 of the raw bytes, hex; null where the bytes were not read",
    "text_id string: as in blobs; null unless stored",
    "size_bytes long: raw size",
    "size_class int: as in blobs; null unless stored",
    "is_path_escaped boolean: the path is not UTF-8 and was percent-escaped",
    "is_vendored boolean: lies in a copy of somebody else's code, by its path",
    "is_test boolean: lies among tests, by its path",
    "is_documentation boolean: documentation, by its path",
    "license_role string: license text, a kind of manifest, or null: by its path",
    "hash_basis string: raw, or text where the source gave text only",
    "source_blob_id string: git's or Software Heritage's hash of it",
    "source_encoding string: encoding that the source states",
    key="repo_id path",
    statistics="repo_id",
)

BLOBS = _table(
    "blobs",
    "blob_id string: SHA-256 of the raw bytes (of the UTF-8 text where a source gives text only)",
    "size_class int: 0 up to 1 MiB of text, 1 to 10 MiB, 2 above: bounds an Arrow batch",
    "text_id string: SHA-256 of the text without BOM and with LF line ends",
    "encoding string: encoding of the raw bytes",
    "size_bytes long: raw size",
    "content string: the text, without BOM. Raw secrets live here and nowhere else",
    "added long: version of this table at which the row was appended",
    key="blob_id",
    order="size_class blob_id",
    statistics="blob_id added",  # what is new is read alone
    volatile="added",
    file_bytes=256 << 20,
    page_rows=16,
    partitions="size_class",  # annotate reads each class by itself
)

SOURCE_ERRORS = _table(
    "source_errors",
    "source string: configured location",
    "member string: repository or path inside it; empty for the source itself",
    "repo_id string: repository, where one is known",
    "kind string: what went wrong, as a short name",
    "message string: what was expected and found; never a content",
    key="source member kind",
    volatile="source",
)

FACTS = _table(
    "facts",
    "blob_id string: content",
    "version int: of the annotator",
    "num_bytes long: UTF-8 bytes of the text",
    "num_chars long: characters (code points)",
    "num_lines long: lines, ended by LF, CRLF or CR; a last line without an end counts",
    "max_line_length long: characters of the longest line",
    "avg_line_length double: characters a line, line ends not counted",
    "alphabetic_fraction double: alphabetic characters over all characters",
    "alphanumeric_fraction double: alphanumeric characters over all characters",
    "base64_fraction double: characters in base64 runs of 64 or more, over all characters",
    "hex_fraction double: characters in runs of 8 or more hex bytes, over all characters",
    "unicode_escape_fraction double: characters in runs of 8 or more \\uXXXX, over all characters",
    "max_encoded_run long: characters of the longest of these runs",
    "has_generated_marker boolean: a phrase such as 'auto-generated' in the first 5 lines",
    "contaminated_by strings: benchmark tasks whose description or solution it holds: HumanEval/0 solution",
    key="blob_id version",
    statistics="blob_id",
)

NAME_FACTS = _table(
    "name_facts",
    "blob_id string: content",
    "basename string: name it stands under",
    "version int: of the annotator",
    "language string: Linguist's name; null where nothing can be said",
    "language_type string: programming, markup, data or prose",
    "strategy string: what decided: filename, extension, shebang, modeline, content",
    "confidence double: 1 where name and rules leave one language, else an estimate",
    "is_generated boolean: by Linguist's rules on name and content",
    "visible_text_chars long: characters of visible text; HTML only",
    "visible_text_fraction double: of all characters; HTML only",
    key="blob_id basename version",
    statistics="blob_id",
)

SIGNATURES = _table(
    "signatures",
    "blob_id string: content",
    "version int: of the annotator",
    "num_tokens long: word tokens",
    "num_shingles long: distinct 5-token shingles; 0 under 5 tokens",
    "set_hash long: order-free hash of the shingle set; equal sets have equal hashes",
    "sketch binary: 256 little-endian uint32, to be compared for equality only; empty under 5 tokens",
    "added long: version of this table at which the row was appended",
    key="blob_id version",
    statistics="blob_id added",  # near_dedup reads what is new alone
    volatile="added",
)

PII_SPANS = _table(
    "pii_spans",
    "blob_id string: content",
    "version int: of the annotator",
    "spans spans: kind, start and end in UTF-8 bytes of content, detector, score. Never the value",
    "people longs: 64-bit hashes of the persons that the content declares, to find them again",
    key="blob_id version",
    statistics="blob_id",
)

LICENSE_FACTS = _table(
    "license_facts",
    "blob_id string: content",
    "license_role string: how it was read: text, or the kind of manifest",
    "version int: of the annotator",
    "text_hash string: SHA-256 of role and text, hex; null where it states nothing",
    "text string: a license text without copyright lines, or the license fields of a manifest",
    key="blob_id license_role version",
    statistics="blob_id",
)

FACT_TABLES: tuple[tuple[Table, tuple[str, ...]], ...] = (  # what of a file each depends on
    (FACTS, ("blob_id",)),
    (SIGNATURES, ("blob_id",)),
    (PII_SPANS, ("blob_id",)),
    (NAME_FACTS, ("blob_id", "basename")),
    (LICENSE_FACTS, ("blob_id", "license_role")),
)

LICENSES = _table(
    "licenses",
    "repo_id string: repository",
    "path string: file",
    "repo_name string: as in repos",
    "license_expression string: effective SPDX expression; null if none was found",
    "license_category string: permissive, weak_copyleft, strong_copyleft, other or none",
    "evidence license_evidence: the files that say so: path, kind, expression, score, blob_id",
    key="repo_id path",
    statistics="repo_id",
)

LICENSE_TEXTS = _table(
    "license_texts",
    "text_hash string: as in license_facts",
    "version string: of the detector and its data",
    "expression string: SPDX expression; null if nothing was recognised",
    "score double: fraction of the text that the match covers",
    key="text_hash version",
)

DOCUMENTS = _table(
    "documents",
    "blob_id string: content with shingles that near_dedup is done with",
    "document long: 8-byte key of its shingle set: equal for equal sets, verified; set_hash, unless "
    "is_split",
    "is_split boolean: another content has the set_hash but not the set: the key is its own",
    "scheme string: bands and floor that it was compared by; one value in all rows",
    "added long: of its row in signatures",
    key="blob_id",
    statistics="blob_id document",
    volatile="added",
)

BAND_INDEX = _table(
    "band_index",
    "first_hash long: the first of the row's band hashes",
    "band_hash binary: some thousand band hashes, ascending, 8 bytes each; each is of a few positions "
    "of a sketch",
    "document binary: the document of each, 8 bytes; as in documents; it may be gone, and may stand "
    "here twice",
    key="first_hash",
    is_cache=True,
)

PAIRS = _table(
    "pairs",
    "blob_a string: a content; the lesser blob_id",
    "blob_b string: another",
    "document_a long: of blob_a, as in documents: the pair is one of documents",
    "document_b long: of blob_b; equal to document_a where the sets are equal",
    "similarity double: exact Jaccard of the shingle sets, at or above the floor",
    key="blob_a blob_b",
    order="document_a document_b",
    statistics="document_a",
    is_cache=True,
)

UNVERIFIED = _table(
    "unverified",
    "document long: as in documents: not all of its pairs inside its block are verified",
    "block long: label of the block; all its pairs with others are verified",
    key="document",
    is_cache=True,
)

DEFERRED_SETS = _table(
    "deferred_sets",
    "document long: as in documents: it has been unverified",
    "num_shingles long: as in signatures",
    "sketch binary: as in signatures",
    "shingles binary: hashes of its shingles, ascending, 8 bytes each",
    key="document",
    is_cache=True,
)

DUPLICATES = _table(
    "duplicates",
    "blob_id string: content that stands in a cluster of two or more files",
    "cluster_id string: least blob_id of the cluster: what dropped and kept pairs link",
    "kept_blob_id string: the content kept in its place; itself where kept",
    "similarity double: exact Jaccard with the kept content, verified; 1 for equal texts",
    "rule string: exact_text (equal text_id) or shingle_jaccard",
    "version int: of the rule",
    key="blob_id",
)

DECISIONS = _table(
    "decisions",
    "repo_id string: repository",
    "path string: file",
    "repo_name string: as in repos",
    "blob_id string: content; null where the bytes were not read",
    "kept boolean: it is in the corpus",
    "reason string: the first failing rule in the order of the configuration; null if kept",
    "failed_rules strings: all failing rules, in that order",
    "evidence string_map: rule to what was found and what is allowed",
    "kept_repo_id string: repository of the file kept in its place; itself where kept",
    "kept_path string: path of that file",
    "num_copies long: files that hold the same text, itself counted",
    "split string: train or validation, by the repository's network; null unless kept",
    key="repo_id path",
    statistics="repo_id",
)

CONTEXT_LINES = _table(
    "context_lines",
    "blob_id string: content of a kept file",
    "is_prose boolean: it was read as text, not as code, by the extension of its name",
    "version int: of the search and of the annotator whose finds it passes over",
    "lines lines: that may hold a name or a credential in words: start and end in UTF-8 bytes, hash, rank",
    key="blob_id is_prose version",
    statistics="blob_id",
)

LINE_SPANS = _table(
    "line_spans",
    "line_hash long: 64-bit hash of a line, as in context_lines",
    "model_id string: of the classifier that was asked, and of how it is understood",
    "spans spans: what it found, in UTF-8 bytes of the line. Never the value",
    key="line_hash model_id",
    is_cache=True,
)

CONTEXT_SPANS = _table(
    "context_spans",
    "blob_id string: content of a kept file in which something was found",
    "model_id string: as in line_spans",
    "spans spans: kind, start and end in UTF-8 bytes of content, detector, score. Never the value",
    key="blob_id",
)

CORPUS = _table(
    "corpus",
    "repo_id string: repository",
    "repo_name string: owner/name",
    "path string: inside the repository",
    "filename string: last part of path",
    "extension string: lower-case, without the dot",
    "content string: the text, redacted",
    "language string: Linguist's name",
    "license_expression string: effective SPDX expression",
    "license_type string: permissive or no_license, as The Stack v2 names them; else the category",
    "detected_licenses strings: SPDX ids in the expression",
    "split string: train or validation",
    "blob_id string: SHA-256 of the raw bytes before redaction",
    "text_id string: SHA-256 of the text before redaction, without BOM, LF line ends",
    "content_id string: git's or Software Heritage's hash, if the source has one",
    "src_encoding string: encoding of the raw bytes",
    "length_bytes long: UTF-8 bytes of content",
    "num_lines long: of the text before redaction",
    "avg_line_length double: of the text before redaction",
    "max_line_length long: of the text before redaction",
    "alpha_fraction double: alphabetic over all characters, before redaction",
    "is_vendor boolean: lies in a copy of somebody else's code",
    "is_generated boolean: by Linguist's rules or a marker",
    "is_test boolean: lies among tests",
    "is_documentation boolean: documentation",
    "host string: of the repository",
    "repo_url string: of the repository",
    "revision_id string: of the repository",
    "branch_name string: of the repository",
    "revision_date timestamp: of the repository",
    "committer_date timestamp: of the repository",
    "star_events_count long: stars of the repository",
    "fork_events_count long: forks of the repository",
    "num_copies long: files that held the same text, itself counted",
    "num_redactions int: values replaced in content",
    "digest string: of all that the row depends on: equal digests, equal rows",
    key="repo_id path",
    order="repo_id path",
    statistics="repo_id language split",
    file_bytes=256 << 20,
)

CORPUS_HISTORY = _table(
    "corpus_history",
    "repo_id string: repository",
    "path string: inside the repository",
    "blob_id string: as in corpus",
    "text_id string: as in corpus",
    "valid_from long: first version of `corpus` that holds this content at the path",
    "valid_to long: first version that does not any more; null while it does",
    key="repo_id path valid_from",
    statistics="repo_id",
    volatile="valid_from valid_to",
)

SHARDS = _table(
    "shards",
    "shard string: file under LAKE/shards: split, bucket and the first digits of a digest of tokens and files",
    "sha256 string: of its bytes",
    "split string: train or validation",
    "bucket long: range of repo_id",
    "num_tokens long: 2 bytes each",
    "num_documents long: repositories",
    "num_bytes long: UTF-8 bytes of the texts in it",
    "fingerprint string: of the rows of `corpus`, the tokenizer and the settings it was made from",
    key="shard",
)

SHARD_DOCUMENTS = _table(
    "shard_documents",
    "shard string: as in shards; those of earlier manifests stay for good",
    "offset long: first token of the file, its mark counted in",
    "num_tokens long: of mark, path (where its document has names) and text",
    "num_bytes long: UTF-8 bytes of its text",
    "repo_id string: repository",
    "path string: inside the repository",
    "blob_id string: SHA-256 of the raw bytes before redaction",
    "text_id string: SHA-256 of the text before redaction",
    "language string: Linguist's name",
    key="shard offset",
    order="shard offset",
    statistics="shard repo_id",
)

RUNS = _table(
    "runs",
    "run_id string: of the job",
    "refresh_id string: of the refresh it was part of",
    "job string: its name",
    "status string: done, skipped (nothing had changed) or failed",
    "started_at timestamp: UTC",
    "elapsed_s double: wall seconds",
    "config_hash string: SHA-256 of the resolved section",
    "config string: the resolved section, JSON",
    "code_hash string: SHA-256 of the packages' source",
    "tables_read long_map: table to version",
    "tables_written long_map: table to version",
    "counts long_map: funnel counts",
    "content_bytes_read long: bytes of content that were read",
    key="run_id",
    volatile="run_id refresh_id status started_at elapsed_s config_hash config code_hash "
    "tables_read tables_written counts content_bytes_read",
)

TABLES: tuple[Table, ...] = (
    REPOS,
    FILES,
    BLOBS,
    SOURCE_ERRORS,
    FACTS,
    NAME_FACTS,
    SIGNATURES,
    PII_SPANS,
    LICENSE_FACTS,
    LICENSE_TEXTS,
    LICENSES,
    DOCUMENTS,
    BAND_INDEX,
    PAIRS,
    UNVERIFIED,
    DEFERRED_SETS,
    DUPLICATES,
    DECISIONS,
    CONTEXT_LINES,
    LINE_SPANS,
    CONTEXT_SPANS,
    CORPUS,
    CORPUS_HISTORY,
    SHARDS,
    SHARD_DOCUMENTS,
    RUNS,
)
