"""The main job, end to end: rehearse and deliver `examples/shop` to an embedded cluster.

Then `examples/hello`, a web app that really runs, on a cluster whose pods are processes. Every
line shown is what the commands really printed. `KEEP=1` leaves both clusters running.
"""

from __future__ import annotations

import http.client
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from urllib.parse import urlsplit

HERE = Path(__file__).resolve().parent
COMMAND = [sys.executable, "-m", "understudy"]
CHANGED, BLOCKED = 2, 3
KEEP = bool(os.environ.get("KEEP"))


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


class Cluster:
    """An understudy server in the background, on free ports; commands go to the newest one."""

    def __init__(self, folder: Path, *words: str, last_line: str) -> None:
        """Start it with a command's words; it is ready once it prints the last line."""
        self.kubeconfig = folder / f"{words[0]}.kubeconfig"
        print(f"$ understudy {' '.join(words)}", flush=True)
        self.process = subprocess.Popen(
            [*COMMAND, *words, "--kubeconfig", str(self.kubeconfig)],
            cwd=HERE.parent,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=KEEP,
        )
        assert self.process.stdout is not None
        for line in self.process.stdout:
            print(line.rstrip(), flush=True)
            if last_line in line:
                break
        if self.process.poll() is not None:
            raise DemoError(f"understudy {words[0]} ended with exit code {self.process.returncode}")
        os.environ["KUBECONFIG"] = str(self.kubeconfig)

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(10)


def ask(url: str) -> None:
    """Ask for a page: with curl, to which every name under localhost is this machine."""
    if shutil.which("curl"):
        print(f"$ curl {url}", flush=True)
        command = ["curl", "--silent", "--show-error", "--fail", "--max-time", "10", url]
        done = subprocess.run(command, text=True, capture_output=True, check=False)
        if done.returncode:
            raise DemoError(f"curl {url}: {done.stderr}")
        print(done.stdout.rstrip(), flush=True)
        return
    place = urlsplit(url)
    connection = http.client.HTTPConnection("127.0.0.1", place.port or 80, timeout=10)
    connection.request("GET", place.path or "/", headers={"Host": place.netloc})
    print(f"GET {url}\n{connection.getresponse().read().decode().rstrip()}", flush=True)
    connection.close()


def story() -> None:
    """Tell the first: an application's life."""
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


def app_story() -> None:
    """Tell the second: an app that runs."""
    say("Deploy a web app as a Knative Service")
    printed = run("app", "deploy", "examples/hello")
    url = printed.split()[-1]
    say("Ask it, through the gateway")
    ask(f"{url}/you")
    run("app", "logs", "hello")
    run("app", "list")


def main() -> int:
    """Run the demo; 0 only if everything happened as told."""
    started = time.monotonic()
    folder = Path(tempfile.mkdtemp(prefix="understudy-demo-"))
    clusters: list[Cluster] = []
    try:
        say("Start an embedded Kubernetes API")
        clusters.append(Cluster(folder, "serve", "--port", "0", last_line="kubeconfig"))
        story()
        say("Start a cluster whose pods are processes of this machine")
        ports = ("--port", "0", "--gateway-port", "0")
        clusters.append(Cluster(folder, "up", *ports, last_line="apps at"))
        app_story()
    except DemoError as error:
        print(f"\nthe demo failed: {error}", file=sys.stderr)
        for cluster in clusters:
            cluster.stop()
        return 1
    say(f"Done in {time.monotonic() - started:.1f} s")
    if KEEP:
        for cluster in clusters:
            print(f"Process {cluster.process.pid} goes on (end it with kill). Try:")
            print(f"  export KUBECONFIG={cluster.kubeconfig}")
            print("  kubectl get deployments,services,configmaps --all-namespaces")
        return 0
    return max(cluster.stop() for cluster in clusters)


if __name__ == "__main__":
    sys.exit(main())
