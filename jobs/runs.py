"""Which training runs, steps and checkpoints saw a file?

    stackmill runs --file REPO PATH --lake build/demo/lake

REPO is a repository's name or id; of a repository that is gone from the lake, its id. The answer is the same
after the file has changed or gone, and after VACUUM. Exits with 2 where no version of the corpus held such a
file, and with 3 if a run does not say what it read: the others are listed then.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import Any

from etl.errors import ConfigError, ContractError, StackmillError
from etl.tables import REPOS, SHARD_DOCUMENTS
from jobs import conf
from jobs.lineage import checkpoints_after, history_of, reads_of, training_runs
from jobs.lookup import lake_of, looks_like_id, no_such_repository, parser, rows_of
from jobs.runner import exit_code
from jobs.tracking import tracking_uri

MAX_STEPS = 12  # that are shown as text


def main(argv: Sequence[str] | None = None) -> int:
    flags = parser("runs", __doc__)
    flags.add_argument("--file", nargs=2, metavar=("REPO", "PATH"), required=True)
    args = flags.parse_args(argv)
    try:
        from mlflow import MlflowClient

        config = conf.load(args.conf, [], args.lake)
        client = MlflowClient(tracking_uri(config))
        answers = [
            answer_of(client, lake_of(config), repo_id, args.file[1])
            for repo_id in repo_ids(lake_of(config), args.file[0])
        ]
        answers = [answer for answer in answers if answer["history"] or answer["runs"]]
        if not answers:
            raise ConfigError(
                f"{args.file[0]} {args.file[1]}: expected a file that a version of the corpus held, found none: "
                "`stackmill why` says why not"
            )
        if args.json:
            json.dump(answers, sys.stdout, indent=2)
            sys.stdout.write("\n")
        else:
            sys.stdout.write("\n".join(render(args.file, answer) for answer in answers))
        silent = [error for answer in answers for error in answer["errors"]]
        if silent:
            raise ContractError("\n".join(dict.fromkeys(silent)))
    except Exception as error:  # noqa: BLE001  the process ends here, with a code
        return exit_code(error)
    return 0


def repo_ids(lake: str, repo: str) -> list[str]:
    """Of a name; an id is taken as it is, as its repository may be gone."""
    if looks_like_id(repo):
        return [repo]
    found = [row["repo_id"] for row in rows_of(lake, REPOS, repo_name=repo)]
    if not found:
        raise ConfigError(
            f"{no_such_repository(lake, repo)}; of one that is gone give the id (repo_id)"
        )
    return sorted(found)


def answer_of(client: Any, lake: str, repo_id: str, path: str) -> dict[str, Any]:
    """Spells in the corpus and what each run read of the file."""
    documents = rows_of(lake, SHARD_DOCUMENTS, repo_id=repo_id, path=path)
    runs, errors = [], []
    for run in training_runs(client):
        try:
            if isinstance(run, StackmillError):
                raise run
            reads = reads_of(run, lake, documents)
        except StackmillError as error:
            errors.append(str(error))
            continue
        steps = sorted({step for read in reads for step in read["steps"]})
        if reads:
            runs.append(
                {
                    **run.heading,
                    "corpus_version": run.data["corpus_version"],
                    "steps": steps,
                    "checkpoints": checkpoints_after(run, steps),
                    "reads": reads,
                }
            )
    return {
        "repo_id": repo_id,
        "path": path,
        "history": history_of(lake, repo_id, path),
        "runs": runs,
        "errors": errors,
    }


def render(file: Sequence[str], answer: dict[str, Any]) -> str:
    lines = [f"{file[0]}  {file[1]}  ({answer['repo_id']})", "", "  in the corpus"]
    for spell in answer["history"]:
        end = "now" if spell["valid_to"] is None else f"before {spell['valid_to']}"
        lines.append(
            f"    versions {spell['valid_from']} to {end}: content {spell['blob_id'][:12]}"
        )
    if not answer["history"]:
        lines.append("    no version that is recorded")
    lines.append("" if answer["runs"] else "\n  no training run has it in its shards")
    for run in answer["runs"]:
        lines.append(
            f"  run {run['run_id']} {run['name']}: {run['status']}, {run['step']} steps, corpus version "
            f"{run['corpus_version']}"
        )
        for read in run["reads"]:
            seen = _steps(read["steps"]) if read["split"] == "train" else "for validation only"
            lines.append(
                f"    content {read['blob_id'][:12]} in {read['source']} {read['split']}, "
                f"{read['num_tokens']} tokens: {seen}"
            )
        for one in run["checkpoints"]:
            lines.append(f"    checkpoint of step {one['step']}: {one['path']}")
    return "\n".join([*lines, ""])


def _steps(steps: list[int]) -> str:
    if not steps:
        return "not read yet"
    shown = ", ".join(map(str, steps[:MAX_STEPS]))
    more = f" and {len(steps) - MAX_STEPS} more" if len(steps) > MAX_STEPS else ""
    return f"read at step{'s' if len(steps) > 1 else ''} {shown}{more}"


if __name__ == "__main__":
    sys.exit(main())
