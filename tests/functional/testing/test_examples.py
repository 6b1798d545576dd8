"""The example projects for people who write tests, as such people run them: copied elsewhere."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import understudy

SOURCE = str(Path(understudy.__file__).parents[1])
EXAMPLES = Path(__file__).resolve().parents[3] / "examples" / "testing"
PROJECTS = {"operator": 6, "script": 6, "tool": 3}
LIBRARIES = {"operator": "kopf", "script": "kubernetes", "tool": "lightkube"}


def run(directory, *options):
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *options],
        cwd=directory, capture_output=True, text=True, check=False, timeout=100,
        env={"PATH": "/usr/bin:/bin", "HOME": str(directory), "PYTHONPATH": SOURCE},
    )  # fmt: skip


@pytest.mark.parametrize("workers", [0, 2], ids=["alone", "with-xdist"])
@pytest.mark.parametrize("project", sorted(PROJECTS))
def test_an_example_passes_in_a_directory_of_its_own(project, workers, tmp_path):
    pytest.importorskip(LIBRARIES[project], reason="install the extra `clients` to run this")
    directory = tmp_path / project
    shutil.copytree(EXAMPLES / project, directory)
    done = run(directory, "-n", str(workers)) if workers else run(directory)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{PROJECTS[project]} passed" in done.stdout


def test_every_example_is_in_the_table():
    shown = set(re.findall(r"^\| `(\w+)`", (EXAMPLES / "README.md").read_text(), re.MULTILINE))
    assert shown == set(PROJECTS) == {p.name for p in EXAMPLES.iterdir() if p.is_dir()}
