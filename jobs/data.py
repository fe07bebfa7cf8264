"""Which tables, versions and files did a training run read?

    stackmill data --run ID --lake build/demo/lake

ID is the parent run in MLflow. `--files` lists every file with the first step that read it. The answer is the
same after VACUUM.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import Any

from jobs import conf
from jobs.lineage import files_of, open_run, sources_of, tables_of
from jobs.lookup import lake_of, parser
from jobs.runner import exit_code
from jobs.tracking import tracking_uri


def main(argv: Sequence[str] | None = None) -> int:
    flags = parser("data", __doc__)
    flags.add_argument("--run", metavar="ID", required=True, help="parent run of the training")
    flags.add_argument("--files", action="store_true", help="list the files too")
    args = flags.parse_args(argv)
    try:
        from mlflow import MlflowClient

        config = conf.load(args.conf, [], args.lake)
        answer = answer_of(MlflowClient(tracking_uri(config)), lake_of(config), args.run)
        if not args.files:
            del answer["files"]
        if args.json:
            json.dump(answer, sys.stdout, indent=2, default=str)
            sys.stdout.write("\n")
        else:
            sys.stdout.write(render(answer))
    except Exception as error:  # noqa: BLE001  the process ends here, with a code
        return exit_code(error)
    return 0


def answer_of(client: Any, lake: str, run_id: str) -> dict[str, Any]:
    run = open_run(client, run_id)
    sources, _ = sources_of(run, lake)
    files = files_of(run, lake)
    return {
        **run.heading,
        **{name: run.data.get(name) for name in ("lake", "corpus_version", "manifest", "seed")},
        "stages": run.data["stages"],
        "sources": [
            {
                "name": source.name,
                "corpus_version": source.manifest["corpus_version"],
                "tokenizer_sha256": source.manifest["tokenizer"]["sha256"],
                "splits": [_counts(files, source.name, split) for split in ("train", "validation")],
                "jobs": tables_of(lake, source.manifest["corpus_version"]),
            }
            for source in sources
        ],
        "elsewhere": [
            part
            for number, part in enumerate(run.data["mixture"])
            if number not in {source.number for source in sources}
        ],
        "files": files,
    }


def _counts(files: list[dict[str, Any]], source: str, split: str) -> dict[str, Any]:
    own = [file for file in files if (file["source"], file["split"]) == (source, split)]
    return {
        "split": split,
        "files": len(own),
        "repositories": len({file["repo_id"] for file in own}),
        "tokens": sum(file["num_tokens"] for file in own),
        "files_read": sum(file["first_step"] is not None for file in own),
    }


def render(answer: dict[str, Any]) -> str:
    lines = [
        f"run {answer['run_id']} {answer['name']}: {answer['status']}, {answer['step']} steps", "",
        f"  manifest {answer['manifest']}, seed {answer['seed']}",
    ]  # fmt: skip
    for stage in answer["stages"]:
        lines.append(
            f"  stage {stage['name']}: steps {stage['first_step'] + 1} to {stage['end_step']}, "
            f"{stage['sequences_per_batch']} sequences of {stage['sequence_length']} tokens"
        )
    for source in answer["sources"]:
        lines += ["", f"  {source['name']}: corpus version {source['corpus_version']}"]
        for split in source["splits"]:
            read = f", {split['files_read']} of them read" if split["split"] == "train" else ""
            lines.append(
                f"    {split['split']}: {split['files']} files of {split['repositories']} repositories, "
                f"{split['tokens']} tokens{read}"
            )
        for job in source["jobs"]:
            read = ", ".join(f"{name} v{version}" for name, version in job["tables_read"].items())
            lines.append(
                f"    {job['job']} of {job['started_at']:%Y-%m-%d %H:%M} read {read or 'sources'}"
            )
    for part in answer["elsewhere"]:
        lines += ["", f"  {part.get('name')}: of another lake, {part.get('lake')}"]
    for file in answer.get("files", ()):
        step = f"step {file['first_step']}" if file["first_step"] else "-"
        lines.append(
            f"{file['split']}\t{file['repo_id']}\t{file['path']}\t{file['blob_id'][:12]}\t{step}"
        )
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    sys.exit(main())
