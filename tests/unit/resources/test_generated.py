"""The artefacts in the package are what the tools make of the pinned inputs, byte for byte."""

import gzip
import importlib.metadata
import pathlib
import subprocess
import sys

import orjson
import pytest

ROOT = pathlib.Path(__file__).parents[3]
DATA = ROOT / "src/understudy/kapi/resources/data"
PINNED = {"kubernetes-validate": "1.36.0", "lightkube-models": "1.36.3.8"}


def installed(name):
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


@pytest.mark.skipif(
    any(installed(name) != version for name, version in PINNED.items()),
    reason="the pinned inputs are not installed",
)
def test_the_catalogue_is_reproduced_byte_for_byte(tmp_path):
    tool = ROOT / "tools/gen_schema.py"
    subprocess.run([sys.executable, tool, "--output", tmp_path], check=True, capture_output=True)
    made = (tmp_path / "schemas-1.36.json.gz").read_bytes()
    assert made == (DATA / "schemas-1.36.json.gz").read_bytes()


def test_the_artefacts_are_small_and_hold_no_prose():
    for file in DATA.glob("*.gz"):
        assert file.stat().st_size < 40_000
        assert b'"description":"' not in gzip.decompress(file.read_bytes())


def test_field_numbers_are_unique_within_every_message():
    types = orjson.loads(gzip.decompress((DATA / "types-1.36.json.gz").read_bytes()))
    for name, rows in types["structs"].items():
        numbers = [row[2] for row in rows if row[2]]
        assert len(numbers) == len(set(numbers)), name
