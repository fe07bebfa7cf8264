"""A wrong source is told with what was expected, what was found and what to do."""

from __future__ import annotations

import os

import pytest
from pydantic import ValidationError

from etl.errors import ConfigError
from etl.sources import READERS, reader_for
from etl.sources.config import Limits, SourceConfig, parse_source


def test_a_source_of_the_command_line_is_kind_and_path():
    source = parse_source("site-packages:/opt/a:b")
    assert (source.kind, source.path) == ("site-packages", "/opt/a:b")


@pytest.mark.parametrize("text", ["", "tree", "tree:", "svn:/x", "/x", ":x"])
def test_another_form_is_refused_with_the_kinds(text):
    with pytest.raises(
        ConfigError, match="expected KIND:PATH with KIND one of tree, site-packages"
    ):
        parse_source(text)


@pytest.mark.parametrize("path", ["s3://bucket/x", "abfss://c@a/x", "dbfs:/x", "file:///x"])
def test_an_address_is_left_as_it_is(path):
    assert SourceConfig(kind="parquet", path=path).location == path


def test_a_path_is_made_absolute(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert SourceConfig(kind="tree", path="a:b/c").location == str(tmp_path / "a:b" / "c")


@pytest.mark.parametrize("kind", READERS)
def test_a_missing_source_is_a_configuration_error(kind, tmp_path):
    source = SourceConfig(kind=kind, path=str(tmp_path / "gone"))
    with pytest.raises(ConfigError, match=r"expected a folder.* found nothing: check the path"):
        list(reader_for(kind).list_units(source))


@pytest.mark.parametrize("kind", READERS)
def test_an_unreadable_source_is_a_configuration_error(kind, tmp_path, monkeypatch):
    def refuse(path):
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr(os, "scandir", refuse)
    source = SourceConfig(kind=kind, path=str(tmp_path))
    with pytest.raises(ConfigError, match="this user may read, found: Permission denied"):
        list(reader_for(kind).list_units(source))


@pytest.mark.parametrize("kind", ["tree", "site-packages", "git"])
def test_a_file_is_no_folder(kind, tmp_path):
    (tmp_path / "file").write_text("x")
    source = SourceConfig(kind=kind, path=str(tmp_path / "file"))
    with pytest.raises(ConfigError, match="found a file: give the folder"):
        list(reader_for(kind).list_units(source))


@pytest.mark.parametrize("kind", READERS)
def test_an_empty_source_is_an_error_row(kind, tmp_path):
    source = SourceConfig(kind=kind, path=str(tmp_path))
    (error,) = reader_for(kind).list_units(source)
    assert (error.kind, error.member, error.source) == ("empty_source", "", str(tmp_path))


def test_an_unknown_key_is_refused():
    with pytest.raises(ValidationError, match="pth"):
        SourceConfig.model_validate({"kind": "tree", "path": "x", "pth": "y"})


@pytest.mark.parametrize("name", Limits.model_fields)
def test_no_limit_is_zero(name):
    with pytest.raises(ValidationError, match=name):
        Limits.model_validate({name: 0})
