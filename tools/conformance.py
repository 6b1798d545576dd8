"""Score this server against the recorded answers of a real one.

    python tools/conformance.py --only 'watch/*' -v

Starts `understudy serve` on a free port as the reference was run (a token, RBAC, no controllers,
no runtime), replays tests/conformance/golden against it and stops it again.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
GOLDEN = ROOT / "tests" / "conformance" / "golden"
TOKEN = "conformance-token"


@contextmanager
def running_server(arguments: tuple[str, ...] = ()) -> Iterator[str]:
    """Run a server for the duration of a block; yields its URL."""
    command = [
        sys.executable, "-m", "understudy", "serve", "--port", "0", "--auth", "rbac",
        "--token", TOKEN, "--controllers", "none", "--runtime", "none", *arguments,
    ]  # fmt: skip
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src")}
    with tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=errors, text=True, env=environment
        )
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            if not line.startswith("listening on "):
                process.wait(10)
                errors.seek(0)
                raise SystemExit(f"the server did not start:\n{errors.read().decode()}")
            yield line.removeprefix("listening on ").strip()
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            errors.seek(0)
            if noise := errors.read().decode():
                sys.stderr.write(noise)


def main() -> int:
    """Replay and return the suite's exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--only", default="*", help="glob over area/scenario")
    parser.add_argument("--json", help="write every difference here as data")
    parser.add_argument("--server", help="score this server instead of starting one")
    parser.add_argument("--diff-lines", default="12")
    parser.add_argument("-v", "--verbose", action="store_true")
    options = parser.parse_args()
    replay = [
        sys.executable, str(GOLDEN / "replay.py"), "--token", TOKEN, "--only", options.only,
        "--diff-lines", options.diff_lines, str(GOLDEN / "cases"),
    ]  # fmt: skip
    if options.json:
        replay += ["--json", options.json]
    if options.verbose:
        replay.append("-v")
    if options.server:
        return subprocess.call([*replay, "--server", options.server])
    with running_server() as url:
        return subprocess.call([*replay, "--server", url])


if __name__ == "__main__":
    raise SystemExit(main())
