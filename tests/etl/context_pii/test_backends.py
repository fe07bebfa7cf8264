"""Spark NLP and ONNX Runtime give the same spans: in a session of its own, which has Spark NLP's jars."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from jobs.resolve_jars import SPARK_NLP
from jobs.session import SessionConfig, spark_nlp_folder

LINES = [
    "# Contact: Jane Doerfel",
    "Special thanks go out to Håkan Lindqvist, Ngozi Okafor and J. R. Łukasz-Doe.",
    "# Log in with user jdoerfel7 and password xK93mf2q!",
    "作者: 王小明 and Иван Петров",
    "🙂 é\t# by Jürgen von Doerfel (@jdoerfel7) ड़ x",
    "The password must be at least 8 characters long",
    "x" * 250 + " thanks to Jane Doerfel",
    "ab " * 100 + "thanks to Jane Doerfel",
    "a_b-c.d's \u201cquoted\u201d \u2026 ²½ ﬁ \u00ad\u200b soft",
]

SCRIPT = """
import json, sys
from etl.context_pii.config import ContextPiiConfig
from etl.context_pii.model import load_model
from etl.context_pii.stage import TEXTS, backend
from jobs.lake import DeltaLake
from jobs.session import SessionConfig, open_session

lines = json.loads(sys.argv[1])
settings = {"spark.sql.shuffle.partitions": "1", "spark.driver.memory": "2g"}
session = open_session("tests", SessionConfig(master="local[1]", spark=settings), with_spark_nlp=True)
lake = DeltaLake(session, sys.argv[2])
texts = session.createDataFrame(list(enumerate(lines)), TEXTS)
found = {}
for name in ("spark-nlp", "onnxruntime", "auto"):
    tag = backend(lake, ContextPiiConfig(backend=name), load_model(None))
    rows = tag(texts).collect()
    found[name] = {row["line_hash"]: [list(span) for span in row["spans"]] for row in rows}
json.dump(found, sys.stdout)
"""


@pytest.mark.spark
@pytest.mark.skipif(
    not any(spark_nlp_folder(SessionConfig()).glob("*.jar")),
    reason=f"no jars of {SPARK_NLP['3.5'][0]}: `python -m jobs.resolve_jars` gets them",
)
def test_both_backends_give_the_same_spans(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, json.dumps(LINES), str(tmp_path)],
        capture_output=True, text=True, check=False, timeout=300, cwd=Path(__file__).parents[3],
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout.splitlines()[-1])  # Spark NLP says on what it runs
    assert found["auto"] == found["spark-nlp"]
    for number in map(str, range(len(LINES))):
        spark_nlp, onnx = (found[name][number] for name in ("spark-nlp", "onnxruntime"))
        assert [span[:4] for span in spark_nlp] == [span[:4] for span in onnx], LINES[int(number)]
        assert [span[4] for span in spark_nlp] == pytest.approx(
            [span[4] for span in onnx], abs=0.01
        )
    assert sum(map(len, found["onnxruntime"].values())) >= 8
