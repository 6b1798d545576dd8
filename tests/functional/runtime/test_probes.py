"""Probes of real processes."""

from __future__ import annotations

import sys

SERVER = """
import http.server, os, pathlib, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        good = not pathlib.Path(sys.argv[1]).exists()
        self.send_response(200 if good else 503)
        self.send_header("X-Seen", self.headers.get("X-Asked", ""))
        self.end_headers()
    def log_message(self, *_): pass
http.server.HTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
"""


def server(machine, name, switch, **container):
    machine.pod(
        name, sys.executable, "-c", SERVER, str(switch),
        ports=[{"containerPort": 8080, "name": "web"}], **container,
    )  # fmt: skip


async def test_a_readiness_probe_follows_the_app_up_and_down(machine, tmp_path):
    switch = tmp_path / "bad"
    probe = {"httpGet": {"path": "/ok", "port": "web"}, "periodSeconds": 1, "failureThreshold": 1}
    server(machine, "web", switch, readinessProbe=probe)
    await machine.ready("web")
    switch.touch()
    await machine.until(lambda: not machine.state("web")["ready"], "not ready")
    assert "HTTP probe failed with statuscode: 503" in machine.messages("web", "Unhealthy")[-1]
    switch.unlink()
    await machine.ready("web")
    assert machine.state("web")["restartCount"] == 0


async def test_a_failed_liveness_probe_restarts_the_container(machine, tmp_path):
    switch = tmp_path / "bad"
    probe = {"httpGet": {"port": 8080}, "periodSeconds": 1, "failureThreshold": 1,
             "initialDelaySeconds": 1}  # fmt: skip
    server(machine, "web", switch, livenessProbe=probe)
    await machine.ready("web")
    switch.touch()
    await machine.until(lambda: machine.state("web")["restartCount"] >= 1, "restarted")
    switch.unlink()
    texts = machine.messages("web", "Killing")
    assert "Container app failed liveness probe, will be restarted" in texts


async def test_nothing_else_is_asked_before_the_startup_probe_has_passed(machine, tmp_path):
    door, asked = tmp_path / "door", tmp_path / "asked"
    machine.pod(
        "slow", "sleep", "1000",
        startupProbe={"exec": {"command": ["test", "-e", str(door)]}, "periodSeconds": 1,
                      "failureThreshold": 20},
        readinessProbe={"exec": {"command": ["touch", str(asked)]}, "periodSeconds": 1},
    )  # fmt: skip
    await machine.until(lambda: "Unhealthy" in machine.reasons("slow"), "a failure")
    assert machine.state("slow")["started"] is False
    assert not asked.exists()
    door.touch()
    await machine.ready("slow")
    assert machine.state("slow")["started"] is True
    assert asked.exists()


async def test_a_startup_probe_that_never_passes_ends_the_container(machine):
    machine.pod(
        "never", "sleep", "1000", pod={"restartPolicy": "Never"},
        startupProbe={"tcpSocket": {"port": 1}, "periodSeconds": 1, "failureThreshold": 1},
    )  # fmt: skip
    await machine.phase("never", "Failed")
    assert "connect: connection refused" in machine.messages("never", "Unhealthy")[0]


async def test_an_exec_probe_that_takes_too_long_has_failed(machine):
    machine.pod(
        "stuck", "sleep", "1000",
        readinessProbe={"exec": {"command": ["sleep", "1000"]}, "timeoutSeconds": 1},
    )  # fmt: skip
    await machine.until(lambda: "Unhealthy" in machine.reasons("stuck"), "a failure")
    assert (
        'command timed out: "sleep 1000" timed out after 1s'
        in (machine.messages("stuck", "Unhealthy")[0])
    )


async def test_a_grpc_probe_is_refused_clearly(machine):
    machine.pod("rpc", "sleep", "1000", readinessProbe={"grpc": {"port": 1}, "periodSeconds": 1})
    await machine.until(lambda: "Unhealthy" in machine.reasons("rpc"), "a failure")
    assert "grpc is not among the actions" in machine.messages("rpc", "Unhealthy")[0]
