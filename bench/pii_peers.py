"""How do other tools do on the same files?

    python -m bench.pii_peers [--only detect-secrets dolma] [--split test] [--gibberish-model FILE]

Each peer runs in an environment of its own under build/bench/pii-peers, made on demand, one after another in
one run. Prints, for each, precision, recall and F1 per kind and MB/s of one core; ours first (the
pattern layer's MB/s) if its predictions are given with --ours. Predictions are kept in build/bench/pii/predictions.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from bench import pii_peer_workers
from bench.environments import python_of
from bench.pii_files import CACHE, LABELS, LabelledFile, labelled_files
from bench.pii_ours import pattern, texts_of
from bench.pii_score import KINDS, Prediction, of_split, restricted, score
from etl.errors import SourceError, StackmillError

ENVIRONMENTS = Path("build/bench/pii-peers")
PACKAGES = {
    "detect-secrets": ("detect-secrets==1.5.0", "gibberish-detector==0.1.1", "regex"),
    "datatrove": ("datatrove[io,processing]==0.10.1",),
    "dolma": ("dolma[code]==1.2.1",),
    "data-juicer": ("py-data-juicer==1.6.1", "aiohttp"),
}
IN_ENVIRONMENT = {"bigcode": "detect-secrets"}
RUN_S = 1800


def run_peer(
    peer: str, files: Sequence[LabelledFile], folder: Path, model: Path | None
) -> tuple[list[Prediction], dict[str, float]]:
    """The peer's predictions, and its cost: CPU seconds, bytes and texts it failed on."""
    folder.mkdir(parents=True, exist_ok=True)
    texts, out = folder / "texts.jsonl", folder / f"{peer}.jsonl"
    with texts.open("w", encoding="utf-8") as lines:
        for index, file in enumerate(files):
            row = {"file": index, "path": file.path, "text": file.text.decode()}
            lines.write(json.dumps(row) + "\n")
    name = IN_ENVIRONMENT.get(peer, peer)
    python = python_of(ENVIRONMENTS / name, PACKAGES[name])
    command = [str(python), pii_peer_workers.__file__, peer, str(texts), str(out)]
    done = _call([*command, *([str(model)] if model and peer == "bigcode" else [])])
    found = [Prediction(**json.loads(line)) for line in out.read_text("utf-8").splitlines()]
    return found, json.loads(done.strip().splitlines()[-1])


def _call(command: Sequence[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=RUN_S, check=False)
    if done.returncode:
        raise SourceError(
            f"{Path(command[0]).name} {' '.join(command[1:3])}: expected exit code 0, found "
            f"{done.returncode}: {done.stderr.strip().splitlines()[-1:]}"
        )
    return done.stdout


def line_of(
    peer: str, files: Sequence[LabelledFile], found: Sequence[Prediction], speed: float
) -> str:
    """One row: precision / recall / F1 in percent by overlap, a dash where the peer knows no such kind."""
    scores = score(files, found)
    cells = []
    for kind in (*KINDS, "SECRET"):
        one = scores[kind]
        cells.append(
            f"{100 * one.precision:3.0f}/{100 * one.recall:3.0f}/{100 * one.f1:3.0f}"
            if one.found
            else "-"
        )
    return f"{peer:16}" + "".join(f"{cell:>13}" for cell in cells) + f"{speed:9.2f}"


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--labels", type=Path, default=LABELS, help="the labelled set")
    parser.add_argument("--cache", type=Path, default=CACHE, help="folder of archives")
    parser.add_argument(
        "--only", nargs="+", choices=tuple(pii_peer_workers.PEERS), help="these peers"
    )
    parser.add_argument("--split", choices=("dev", "test"), help="one half only")
    parser.add_argument("--ours", type=Path, help="our predictions, JSON lines")
    parser.add_argument("--gibberish-model", type=Path, help="BigCode's big.model")
    args = parser.parse_args(argv)
    try:
        files = labelled_files(args.labels, args.cache)
        results = []
        if args.ours:
            rows = args.ours.read_text("utf-8").splitlines()
            speed = pattern(texts_of(files))[1] / 1e6
            results.append(("ours", [Prediction(**json.loads(row)) for row in rows], speed))
        for peer in args.only or pii_peer_workers.PEERS:
            found, cost = run_peer(peer, files, args.cache / "predictions", args.gibberish_model)
            results.append((peer, found, cost["bytes"] / 1e6 / cost["seconds"]))
            if cost["failed"]:
                sys.stderr.write(f"{peer}: raised on {cost['failed']} of {len(files)} texts\n")
    except StackmillError as error:
        sys.stderr.write(f"stackmill: {error}\n")
        return error.exit_code
    for split in (args.split,) if args.split else ("dev", "test"):
        sys.stdout.write(
            f"\n{split}: precision/recall/F1 in percent by overlap, MB/s of one core\n"
        )
        sys.stdout.write(
            f"{'':16}" + "".join(f"{kind:>13}" for kind in (*KINDS, "SECRET")) + "     MB/s\n"
        )
        for peer, found, speed in results:
            half, mine = restricted(files, found, of_split(split))
            sys.stdout.write(line_of(peer, half, mine, speed) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
