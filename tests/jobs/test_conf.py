"""Configuration: every file loads, every wrong key is named with what was expected."""

from __future__ import annotations

from pathlib import Path

import pytest

from etl.assemble import FAKE_KEY, AssembleConfig
from etl.config import digest, dump
from etl.errors import ConfigError
from jobs import conf
from jobs.report import report_path
from jobs.runner import parse
from jobs.tracking import tracking_uri

CONF = sorted(Path(__file__).parents[2].glob("conf/*.yaml"))


def write(tmp_path: Path, text: str) -> str:
    path = tmp_path / "x.yaml"
    path.write_text(text)
    return str(path)


def message(tmp_path: Path, text: str, *settings: str) -> str:
    with pytest.raises(ConfigError) as found:
        conf.load(write(tmp_path, text), list(settings))
    return str(found.value)


@pytest.mark.parametrize("path", CONF, ids=lambda path: path.name)
def test_every_file_in_conf_loads(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = conf.load(str(path), [])
    assert conf.PipelineConfig.model_validate(dump(config)) == config


def test_there_are_configurations_to_load() -> None:
    assert "demo.yaml" in {path.name for path in CONF}


def test_another_key_of_made_up_values_is_another_configuration(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    digests = set()
    for key in ("a key of these tests", "another key of these tests"):
        monkeypatch.setenv(FAKE_KEY, key)
        digests |= {digest(AssembleConfig(replace_with=way)) for way in ("tags", "fakes")}
    assert len(digests) == 3


def test_an_unknown_key_is_named_with_those_that_are_known(tmp_path: Path) -> None:
    found = message(tmp_path, "lake: x\ndecide: {rulez: {}}\n")
    assert "x.yaml: decide.rulez: unknown key: expected one of bounds, rules, split" in found


def test_a_value_out_of_bounds_is_named_with_its_bound(tmp_path: Path) -> None:
    found = message(tmp_path, "lake: x\ndecide: {rules: {max_lines: {max_lines: 0}}}\n")
    assert "decide.rules.max_lines.max_lines = 0" in found
    assert "greater than or equal to 1" in found


def test_set_overrides_one_key_and_keeps_the_rest(tmp_path: Path) -> None:
    path = write(tmp_path, "lake: x\ndecide: {rules: {long_lines: {max_line: 7}}}\n")
    config = conf.load(path, ["decide.rules.long_lines.max_average=5"])
    assert config.decide.rules.long_lines.max_line == 7
    assert config.decide.rules.long_lines.max_average == 5


@pytest.mark.parametrize(
    ("text", "settings", "expected"),
    [
        ("", [], "lake: expected a folder"),
        ("- a\n", [], "expected sections"),
        ("lake: [\n", [], "not YAML"),
        ("lake: x\n", ["decide"], "expected section.key=value"),
        ("lake: x\n", ["lake.y=1"], "lake is a value, not a section"),
        ("lake: x\n", ["decide.rules.license.enabled=maybe"], "decide.rules.license.enabled"),
    ],
)
def test_what_is_wrong_is_said(
    tmp_path: Path, text: str, settings: list[str], expected: str
) -> None:
    assert expected in message(tmp_path, text, *settings)


def test_a_missing_file_is_said() -> None:
    with pytest.raises(ConfigError, match=r"nowhere.yaml: expected a readable YAML file"):
        conf.load("nowhere.yaml", [])


def test_the_order_of_rules_changes_the_digest(tmp_path: Path) -> None:
    one = conf.load(write(tmp_path, "lake: x\ndecide: {rules: {license: {}, vendored: {}}}\n"), [])
    two = conf.load(write(tmp_path, "lake: x\ndecide: {rules: {vendored: {}, license: {}}}\n"), [])
    assert digest(one.decide) != digest(two.decide)


def test_the_demo_lies_where_others_look_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    root = Path(__file__).parents[2]
    monkeypatch.chdir(root)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    demo = parse("refresh", "", ["--conf", "conf/demo.yaml"])
    assert Path(demo.config.lake) == Path("build/demo/lake")
    assert Path(report_path(demo)) == root / "build/demo/report/index.html"
    assert tracking_uri(demo.config) == f"sqlite:///{root}/build/demo/mlflow.db"
