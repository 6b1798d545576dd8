"""The main job, end to end: rehearse and deliver `examples/shop` to an embedded cluster.

Every line shown is what the commands really printed. `KEEP=1` leaves the server running.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
COMMAND = [sys.executable, "-m", "understudy"]
CHANGED, BLOCKED = 2, 3


class DemoError(Exception):
    """A command ended otherwise than the story says it must."""


def say(text: str) -> None:
    """Print a heading."""
    print(f"\n\033[1m== {text}\033[0m" if sys.stdout.isatty() else f"\n== {text}", flush=True)


def run(*words: str, expected: int = 0, shown: bool = True) -> str:
    """Run an understudy command, show it and what it prints, and check its exit code."""
    print(f"$ understudy {' '.join(words)}", flush=True)
    done = subprocess.run(
        [*COMMAND, *words], cwd=HERE.parent, text=True, capture_output=True, check=False
    )
    if shown:
        print(done.stdout.rstrip(), flush=True)
    if done.returncode != expected:
        raise DemoError(
            f"understudy {' '.join(words)}: exit code {done.returncode}, expected {expected}\n"
            f"{done.stderr}"
        )
    if expected not in {0, CHANGED} and done.stderr:
        print(done.stderr.rstrip(), flush=True)
    return done.stdout


def serve(folder: Path) -> subprocess.Popen[str]:
    """Start the embedded API on a free port and wait until it listens."""
    kubeconfig = folder / "kubeconfig"
    print("$ understudy serve --port 0", flush=True)
    server = subprocess.Popen(
        [*COMMAND, "serve", "--port", "0", "--kubeconfig", str(kubeconfig)],
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=bool(os.environ.get("KEEP")),
    )
    assert server.stdout is not None
    for line in server.stdout:
        print(line.rstrip(), flush=True)
        if kubeconfig.exists() and "kubeconfig" in line.lower():
            break
    if server.poll() is not None:
        raise DemoError(f"understudy serve ended with exit code {server.returncode}")
    os.environ["KUBECONFIG"] = str(kubeconfig)
    return server


def story() -> None:
    """Tell it."""
    shop = "examples/shop"
    say("Rehearse the first version: nothing is touched yet")
    run("plan", "shop", "-f", f"{shop}/v1", expected=CHANGED)
    say("Deliver it")
    run("deliver", "shop", "-f", f"{shop}/v1", "--yes")
    say("Rehearse a second version with a mistake in it: the plan says so, and nothing is touched")
    run("plan", "shop", "-f", f"{shop}/v2-refused", expected=BLOCKED)
    run("plan", "shop", "-f", f"{shop}/v1")
    say("Rehearse the corrected one: one object changed, one added, one removed")
    run("plan", "shop", "-f", f"{shop}/v2", expected=CHANGED)
    say("Deliver it")
    run("deliver", "shop", "-f", f"{shop}/v2", "--yes")
    say("What the application holds now, and what it held before")
    run("status", "shop")
    run("history", "shop")
    say("Roll back")
    run("rollback", "shop", "--yes")
    run("status", "shop")
    say("Deploy a web app as a Knative Service")
    run("app", "deploy", "examples/hello")
    run("app", "list")


def main() -> int:
    """Run the demo; 0 only if everything happened as told."""
    started = time.monotonic()
    keep = bool(os.environ.get("KEEP"))
    folder = Path(tempfile.mkdtemp(prefix="understudy-demo-"))
    say("Start an embedded Kubernetes API")
    server = serve(folder)
    try:
        story()
    except DemoError as error:
        print(f"\nthe demo failed: {error}", file=sys.stderr)
        server.send_signal(signal.SIGTERM)
        server.wait(10)
        return 1
    say(f"Done in {time.monotonic() - started:.1f} s")
    if keep:
        print(f"The server goes on (process {server.pid}; end it with: kill {server.pid}). Try:")
        print(f"  export KUBECONFIG={folder / 'kubeconfig'}")
        print("  kubectl get deployments,services,configmaps --all-namespaces")
        return 0
    server.send_signal(signal.SIGTERM)
    return 0 if server.wait(10) == 0 else 1


if __name__ == "__main__":
    sys.exit(main())
