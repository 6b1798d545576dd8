"""Score this server against the recorded answers of a real one.

    python tools/conformance.py --only 'watch/*' -v

Starts `understudy serve` on a free port as the reference was run (a token, RBAC, no controllers,
no runtime), replays tests/conformance/golden against it and stops it again. `--shrink` takes the
scenarios that pass now off tests/conformance/not-passing.txt; nothing ever adds one.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
GOLDEN = ROOT / "tests" / "conformance" / "golden"
NOT_PASSING = ROOT / "tests" / "conformance" / "not-passing.txt"
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
            if process.stdout is not None:
                process.stdout.close()
            errors.seek(0)
            if noise := errors.read().decode():
                sys.stderr.write(noise)


def areas() -> list[str]:
    """Return the names of the suite's areas."""
    found = [path.stem.split("-", 1)[1] for path in (GOLDEN / "cases").glob("*.json")]
    return sorted(set(found))


def reports() -> dict[str, dict[str, Any]]:
    """Replay everything, every area on a server of its own; returns each scenario's report."""
    with concurrent.futures.ThreadPoolExecutor(max(2, (os.cpu_count() or 2) // 2)) as pool:
        entries = [entry for area in pool.map(_report, areas()) for entry in area]
    return {entry["scenario"]: entry for entry in entries}


def _report(area: str) -> list[dict[str, Any]]:
    with tempfile.TemporaryDirectory() as folder, running_server() as url:
        path = Path(folder) / "report.json"
        done = subprocess.run(
            [
                sys.executable, str(GOLDEN / "replay.py"), "--token", TOKEN, "--server", url,
                "--only", f"{area}/*", "--json", str(path), str(GOLDEN / "cases"),
            ],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        if not path.exists():
            raise RuntimeError(f"replaying {area} failed:\n{done.stdout}{done.stderr}")
        found: list[dict[str, Any]] = json.loads(path.read_text())
        return found


def not_passing() -> list[str]:
    """Return the scenarios that are known not to pass yet."""
    lines = NOT_PASSING.read_text().splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def shrink() -> int:
    """Take what passes now off the list."""
    listed = not_passing()
    found = reports()
    kept = [name for name in listed if name in found and not found[name]["passed"]]
    comments = [line for line in NOT_PASSING.read_text().splitlines() if line.startswith("#")]
    NOT_PASSING.write_text("\n".join([*comments, *sorted(kept)]) + "\n")
    passed = sum(entry["passed"] for entry in found.values())
    print(f"{passed} of {len(found)} scenarios pass; {len(listed) - len(kept)} left the list")
    unlisted = [n for n, entry in found.items() if not entry["passed"] and n not in listed]
    for name in sorted(unlisted):
        print(f"does not pass and is not listed: {name}")
    return 1 if unlisted else 0


def main() -> int:
    """Replay and return the suite's exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--only", default="*", help="glob over area/scenario")
    parser.add_argument("--json", help="write every difference here as data")
    parser.add_argument("--server", help="score this server instead of starting one")
    parser.add_argument("--diff-lines", default="12")
    parser.add_argument("-v", "--verbose", action="store_true")
    parser.add_argument("--shrink", action="store_true", help="update not-passing.txt")
    options = parser.parse_args()
    if options.shrink:
        return shrink()
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
