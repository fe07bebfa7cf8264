"""Why is this file in the corpus, or why not?

    stackmill why REPO PATH --lake build/demo/lake

REPO is a repository's name or id. Exits with 2 where no such file was ingested, and names what comes close.
"""

from __future__ import annotations

import difflib
import json
import sys
from collections.abc import Sequence
from typing import Any

from etl.errors import ConfigError
from etl.tables import (
    CONTEXT_SPANS,
    DECISIONS,
    DUPLICATES,
    FACTS,
    FILES,
    LICENSES,
    NAME_FACTS,
    PII_SPANS,
    REPOS,
    SOURCE_ERRORS,
)
from jobs import conf
from jobs.lookup import Row, lake_of, looks_like_id, no_such_repository, parser, rows_of
from jobs.runner import exit_code

MAX_FINDINGS = 50  # spans that are listed
MAX_ORIGINS = 10  # other files with the same text that are listed


def main(argv: Sequence[str] | None = None) -> int:
    flags = parser("why", __doc__)
    flags.add_argument("repo", help="name or id of the repository")
    flags.add_argument("path", help="path of the file inside it")
    args = flags.parse_args(argv)
    try:
        answers = explain(lake_of(conf.load(args.conf, [], args.lake)), args.repo, args.path)
        if args.json:
            json.dump(answers, sys.stdout, indent=2, default=str)
            sys.stdout.write("\n")
        else:
            sys.stdout.write("\n".join(render(answer) for answer in answers))
    except Exception as error:  # noqa: BLE001  the process ends here, with a code
        return exit_code(error)
    return 0


def explain(lake: str, repo: str, path: str) -> list[Row]:
    """One answer a repository of that name or id. Raises ConfigError if none has such a file."""
    column = "repo_id" if looks_like_id(repo) else "repo_name"
    files = rows_of(lake, FILES, **{column: repo, "path": path})
    if not files:
        raise ConfigError(_no_such_file(lake, column, repo, path))
    return [_explain(lake, file) for file in files]


def _explain(lake: str, file: Row) -> Row:
    here = {"repo_id": file["repo_id"], "path": file["path"]}
    held = [file["blob_id"]] if file["blob_id"] else []
    facts = _newest(rows_of(lake, FACTS, blob_id=held))
    names = _newest(rows_of(lake, NAME_FACTS, blob_id=held, basename=file["basename"]))
    findings = [
        span
        for row in (
            _newest(rows_of(lake, PII_SPANS, blob_id=held)),
            _one(rows_of(lake, CONTEXT_SPANS, blob_id=held)),
        )
        for span in row.get("spans") or []
    ]
    same_text = rows_of(lake, FILES, text_id=file["text_id"]) if file["text_id"] else []
    others = [
        f"{row['repo_name']} {row['path']}"
        for row in sorted(same_text, key=lambda row: (row["repo_name"], row["path"]))
        if (row["repo_id"], row["path"]) != (file["repo_id"], file["path"])
    ]
    decision = _one(rows_of(lake, DECISIONS, **here))
    kept_repo = decision.get("kept_repo_id")
    return {
        "file": file,
        "repository": _one(rows_of(lake, REPOS, repo_id=file["repo_id"])),
        "decision": decision,
        "license": _one(rows_of(lake, LICENSES, **here)),
        "facts": {**facts, **names},
        "findings": findings,
        "duplicate": _one(rows_of(lake, DUPLICATES, blob_id=held)),
        "kept_repository": _one(rows_of(lake, REPOS, repo_id=kept_repo)) if kept_repo else {},
        "same_text": others,
    }


def _one(rows: list[Row]) -> Row:
    return rows[-1] if rows else {}


def _newest(rows: list[Row]) -> Row:
    """Facts of the last version of their annotator."""
    return max(rows, key=lambda row: row["version"], default={})


def _no_such_file(lake: str, column: str, repo: str, path: str) -> str:
    in_repo = rows_of(lake, FILES, **{column: repo})
    if in_repo:
        near = difflib.get_close_matches(path, [row["path"] for row in in_repo], 3, 0.5)
        hint = f": did you mean {', '.join(near)}?" if near else ""
        return f"{repo}: expected the file {path}, found none of that path{hint}"
    errors = rows_of(lake, SOURCE_ERRORS, member=repo)
    if errors:
        return f"{repo}: could not be read: {errors[0]['kind']}: {errors[0]['message']}"
    return no_such_repository(lake, repo)


def render(answer: Row) -> str:
    """The answer as text; no content of any file."""
    file, decision, facts = answer["file"], answer["decision"], answer["facts"]
    repository = answer["repository"]
    lines = [f"{file['repo_name']}  {file['path']}", ""]
    if not decision:
        lines.append("  not decided yet: run `stackmill decide`")
    elif decision["kept"]:
        lines.append(f"  KEPT, split {decision['split']}")
    else:
        lines.append(f"  NOT KEPT: {decision['reason']}")
    evidence = dict(decision.get("evidence") or [])
    for rule in decision.get("failed_rules") or []:
        lines.append(f"    {rule}: {evidence.get(rule) or ''}".rstrip(": "))
    lines += ["", *_origin_lines(answer), *_license_lines(answer["license"])]
    lines.append("  file")
    lines += _values(
        file, "blob_id", "size_bytes", "status", "is_vendored", "is_test", "is_documentation"
    )
    lines.append("  facts" if facts else "  facts: none (its bytes are not stored as text)")
    skipped = {"blob_id", "version", "basename"}
    lines += _values(facts, *(name for name in facts if name not in skipped))
    lines += _finding_lines(answer["findings"])
    lines.append("  repository")
    lines += _values(
        repository,
        "repo_id",
        "host",
        "url",
        "revision_id",
        "revision_date",
        "stars",
        "host_license",
    )
    return "\n".join([*lines, ""])


def _origin_lines(answer: Row) -> list[str]:
    decision, others, duplicate = answer["decision"], answer["same_text"], answer["duplicate"]
    if not others and not duplicate:
        return []
    lines = []
    if others:
        lines.append(
            f"  the same text stands in {len(others)} other file{'s' if len(others) > 1 else ''}"
        )
    elif decision.get("kept_path"):
        lines.append("  other contents are like it")
    if decision.get("kept_path"):
        name = answer["kept_repository"].get("repo_name", decision["kept_repo_id"])
        similarity = duplicate.get("similarity")
        how = {"shingle_jaccard": ", another text"}.get(duplicate.get("rule"), "")
        shown = similarity if similarity in (None, 1.0) else f"{similarity:.4f}"
        lines.append(f"    elected: {name} {decision['kept_path']} (similarity {shown}{how})")
    lines += [f"    also in: {other}" for other in others[:MAX_ORIGINS]]
    if len(others) > MAX_ORIGINS:
        lines.append(f"    and {len(others) - MAX_ORIGINS} more")
    return [*lines, ""]


def _license_lines(license_row: Row) -> list[str]:
    if not license_row:
        return []
    expression = license_row["license_expression"] or "none found"
    lines = [f"  license: {expression} ({license_row['license_category']})"]
    for item in license_row["evidence"] or []:
        score = "" if item["score"] is None else f", score {item['score']:.2f}"
        lines.append(f"    {item['kind']} {item['path']}: {item['expression']}{score}")
    return [*lines, ""]


def _finding_lines(findings: list[Row]) -> list[str]:
    """Kinds and places, never values; the people of its repository are looked for when it is assembled."""
    if not findings:
        return []
    lines = [f"  personal data and secrets by pattern and in context: {len(findings)} found"]
    for span in findings[:MAX_FINDINGS]:
        place = f"bytes {span['start']} to {span['end']}"
        lines.append(
            f"    {span['kind']:<28} {place}, {span['detector']}, score {span['score']:.2f}"
        )
    if len(findings) > MAX_FINDINGS:
        lines.append(f"    and {len(findings) - MAX_FINDINGS} more")
    return lines


def _values(row: Row, *names: str) -> list[str]:
    return [
        f"    {name:<28} {_shown(row[name])}" for name in names if row.get(name) not in (None, "")
    ]


def _shown(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    sys.exit(main())
