"""What becomes of containers: ends, restarts, back-off, hooks, deadlines, refusals."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

import pytest

SLEEP = ("sleep", "1000")


async def test_a_pod_that_ends_with_zero_succeeds(machine):
    machine.pod("once", "sh", "-c", "exit 0", pod={"restartPolicy": "Never"})
    await machine.phase("once", "Succeeded")
    ended = machine.state("once")["state"]["terminated"]
    assert (ended["exitCode"], ended["reason"]) == (0, "Completed")


async def test_a_pod_that_fails_tells_its_code_and_its_last_message(machine):
    script = "echo out of luck > $UNDERSTUDY_TERMINATION_LOG; exit 3"
    machine.pod("fails", "sh", "-c", script, pod={"restartPolicy": "Never"})
    await machine.phase("fails", "Failed")
    ended = machine.state("fails")["state"]["terminated"]
    assert (ended["exitCode"], ended["reason"], ended["message"]) == (3, "Error", "out of luck\n")


async def test_the_end_of_the_log_is_the_message_where_that_is_asked_for(machine):
    machine.pod(
        "logged", "sh", "-c", "echo first; echo last words >&2; exit 1",
        pod={"restartPolicy": "Never"}, terminationMessagePolicy="FallbackToLogsOnError",
    )  # fmt: skip
    await machine.phase("logged", "Failed")
    assert machine.state("logged")["state"]["terminated"]["message"] == "first\nlast words\n"


async def test_a_signal_counts_as_128_and_its_number(machine):
    machine.pod("signalled", "sh", "-c", "kill -USR1 $$$$", pod={"restartPolicy": "Never"})
    await machine.phase("signalled", "Failed")
    expected = 128 + signal.SIGUSR1
    assert machine.state("signalled")["state"]["terminated"]["exitCode"] == expected


async def test_a_job_completes(machine):
    template = {
        "restartPolicy": "Never",
        "containers": [{"name": "work", "image": "none", "command": ["sh", "-c", "exit 0"]}],
    }
    machine.create("jobs.batch", {
        "metadata": {"name": "work"},
        "spec": {"completions": 2, "template": {"spec": template}},
    })  # fmt: skip

    def complete():
        return machine.get("work", "jobs.batch").get("status", {}).get("succeeded") == 2

    await machine.until(complete, "the job's completion")


async def test_a_container_that_keeps_failing_is_started_again_ever_more_seldom(machine):
    machine.pod("crash", "sh", "-c", "exit 1")
    await machine.until(lambda: machine.state("crash").get("restartCount", 0) >= 2, "two restarts")
    await machine.until(
        lambda: (
            machine.state("crash")["state"].get("waiting", {}).get("reason") == "CrashLoopBackOff"
        ),
        "back-off",
    )
    found = machine.state("crash")
    assert found["lastState"]["terminated"]["exitCode"] == 1
    assert (
        "restarting failed container=app pod=crash_default(" in found["state"]["waiting"]["message"]
    )
    assert machine.get("crash")["status"]["phase"] == "Running"
    assert "BackOff" in machine.reasons("crash")


async def test_a_policy_of_on_failure_stops_at_success(machine, tmp_path):
    counted = tmp_path / "counted"
    script = f"echo x >> {counted}; test $(wc -l < {counted}) -ge 2"
    machine.pod("retries", "sh", "-c", script, pod={"restartPolicy": "OnFailure"})
    await machine.phase("retries", "Succeeded")
    assert machine.state("retries")["restartCount"] == 1


@pytest.mark.parametrize(
    ("container", "reason", "part"),
    [
        ({"command": []}, "CreateContainerError", "give the container a command"),
        ({"command": ["no-such-program"]}, "RunContainerError", "executable file not found in $PATH"),
        ({"workingDir": "/no/such"}, "CreateContainerError", "workingDir /no/such is neither"),
        (
            {"env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}]},
            "CreateContainerConfigError", 'secret "s" not found',
        ),
    ],
    ids=["no command", "no program", "no directory", "no secret"],
)  # fmt: skip
async def test_a_container_that_cannot_start_says_why(machine, container, reason, part):
    spec = {"command": list(SLEEP), **container}
    machine.pod("refused", *spec.pop("command"), **spec)
    await machine.until(
        lambda: (
            machine.state("refused").get("state", {}).get("waiting", {}).get("reason")
            in {reason, "CrashLoopBackOff"}
        ),
        reason,
    )
    assert any(part in text for text in machine.messages("refused", "Failed"))
    assert machine.get("refused")["status"]["phase"] in {"Pending", "Running"}


async def test_a_program_that_is_none_fails_a_pod_that_runs_once(machine):
    machine.pod("none", "no-such-program", pod={"restartPolicy": "Never"})
    await machine.phase("none", "Failed")
    ended = machine.state("none")["state"]["terminated"]
    assert (ended["exitCode"], ended["reason"]) == (128, "StartError")


async def test_what_was_missing_lets_the_pod_start_when_it_appears(machine):
    machine.pod(
        "waits", *SLEEP,
        pod={"volumes": [{"name": "v", "configMap": {"name": "late"}}]},
        envFrom=[{"secretRef": {"name": "later"}}],
        volumeMounts=[{"name": "v", "mountPath": "/etc/v"}],
    )  # fmt: skip
    await machine.until(lambda: "FailedMount" in machine.reasons("waits"), "the mount to fail")
    machine.create("configmaps", {"metadata": {"name": "late"}, "data": {"a": "b"}})
    await machine.until(
        lambda: (
            machine.state("waits").get("state", {}).get("waiting", {}).get("reason")
            == "CreateContainerConfigError"
        ),
        "the secret to be missed",
    )
    machine.create("secrets", {"metadata": {"name": "later"}, "stringData": {"A": "b"}})
    await machine.ready("waits")


async def test_init_containers_run_one_after_the_other_before_the_others(machine, tmp_path):
    said = tmp_path / "said"
    image = {"image": "none"}

    def container(name, more=""):
        return {"name": name, **image, "command": ["sh", "-c", f"echo {name} >> {said}; {more}"]}

    pod = {
        "initContainers": [container("one"), container("two")],
        "containers": [container("main", "exec sleep 1000")],
    }
    machine.create("pods", {"metadata": {"name": "steps"}, "spec": pod})
    await machine.until(lambda: machine.state("steps", "main").get("ready"), "main ready")
    assert said.read_text().split() == ["one", "two", "main"]
    conditions = {
        one["type"]: one["status"] for one in machine.get("steps")["status"]["conditions"]
    }
    assert conditions["Initialized"] == conditions["Ready"] == "True"


async def test_an_init_container_that_fails_for_good_fails_the_pod(machine):
    pod = {
        "restartPolicy": "Never",
        "initContainers": [{"name": "bad", "image": "none", "command": ["sh", "-c", "exit 7"]}],
        "containers": [{"name": "main", "image": "none", "command": list(SLEEP)}],
    }
    machine.create("pods", {"metadata": {"name": "unprepared"}, "spec": pod})
    await machine.phase("unprepared", "Failed")
    assert machine.state("unprepared", "main")["state"]["waiting"]["reason"] == "PodInitializing"


async def test_a_sidecar_runs_before_the_others_and_ends_after_them(machine, tmp_path):
    said = tmp_path / "said"
    trap = f"trap 'echo sidecar ends >> {said}; exit 0' TERM; echo sidecar >> {said}; "
    loop = "while true; do sleep 0.05; done"
    pod = {
        "restartPolicy": "Never",
        "initContainers": [
            {"name": "side", "image": "none", "restartPolicy": "Always",
             "command": ["sh", "-c", trap + loop]},
        ],
        "containers": [
            {"name": "main", "image": "none", "command": ["sh", "-c", f"echo main >> {said}"]},
        ],
    }  # fmt: skip
    machine.create("pods", {"metadata": {"name": "pair"}, "spec": pod})
    await machine.phase("pair", "Succeeded")
    assert said.read_text().splitlines() == ["sidecar", "main", "sidecar ends"]


async def test_deletion_ends_the_process_gently_and_leaves_nothing(machine, tmp_path):
    said, child = tmp_path / "said", tmp_path / "child"
    script = (
        f"setsid sh -c 'echo $$$$ > {child}; exec sleep 1000' & "
        f"trap 'echo bye >> {said}; exit 0' TERM; while true; do sleep 0.05; done"
    )
    machine.pod("polite", "sh", "-c", script)
    await machine.ready("polite")
    await machine.until(lambda: child.exists() and child.read_text().strip(), "the child")
    pid, grandchild = machine.pid("polite"), int(child.read_text())
    machine.view.delete("pods", "polite", "default")
    await machine.gone("polite")
    assert said.read_text() == "bye\n"
    assert not machine.is_alive(pid)
    if sys.platform == "linux":
        assert not machine.is_alive(grandchild)
    assert not (machine.directory / "pods").exists() or not list(
        (machine.directory / "pods").iterdir()
    )


async def test_who_does_not_listen_is_killed_when_the_grace_is_over(machine):
    pod = {"terminationGracePeriodSeconds": 1}
    machine.pod("deaf", "sh", "-c", "trap '' TERM; while true; do sleep 0.05; done", pod=pod)
    await machine.ready("deaf")
    pid = machine.pid("deaf")
    machine.view.delete("pods", "deaf", "default")
    await machine.gone("deaf")
    assert not machine.is_alive(pid)


async def test_a_pod_deleted_without_grace_ends_too(machine):
    machine.pod("forced", *SLEEP)
    await machine.ready("forced")
    pid = machine.pid("forced")
    from understudy.kapi.views import options

    machine.view.delete(
        "pods", "forced", "default", options=options.DeleteOptions(grace_period_s=0)
    )
    await machine.until(lambda: not machine.is_alive(pid), "the process to end")


async def test_hooks_run_after_the_start_and_before_the_end(machine, tmp_path):
    said = tmp_path / "said"
    lifecycle = {
        "postStart": {"exec": {"command": ["sh", "-c", f"echo start $NAME >> {said}"]}},
        "preStop": {"exec": {"command": ["sh", "-c", f"echo stop >> {said}"]}},
    }
    machine.pod("hooked", *SLEEP, lifecycle=lifecycle, env=[{"name": "NAME", "value": "me"}])
    await machine.ready("hooked")
    assert said.read_text() == "start me\n"
    machine.view.delete("pods", "hooked", "default")
    await machine.gone("hooked")
    assert said.read_text() == "start me\nstop\n"


async def test_a_container_may_end_while_its_requests_are_waited_for(make_machine):
    waiting, answered = asyncio.Event(), asyncio.Event()

    async def drained(pod) -> None:
        waiting.set()
        await answered.wait()

    machine = await make_machine(drained=drained)
    lifecycle = {"preStop": {"exec": {"command": ["true"]}}}
    machine.pod("served", *SLEEP, lifecycle=lifecycle)
    await machine.ready("served")
    pid = machine.pid("served")
    machine.view.delete("pods", "served", "default")
    await asyncio.wait_for(waiting.wait(), 20)
    os.kill(pid, signal.SIGKILL)
    await machine.gone("served")
    answered.set()
    for _ in range(10):
        await asyncio.sleep(0)


async def test_a_post_start_hook_that_fails_ends_the_container(machine):
    lifecycle = {"postStart": {"exec": {"command": ["sh", "-c", "echo not today; exit 1"]}}}
    machine.pod("unhooked", *SLEEP, lifecycle=lifecycle, pod={"restartPolicy": "Never"})
    await machine.phase("unhooked", "Failed")
    assert "not today" in machine.messages("unhooked", "FailedPostStartHook")[0]


async def test_a_pod_beyond_its_deadline_fails(machine):
    machine.pod("late", *SLEEP, pod={"restartPolicy": "Never", "activeDeadlineSeconds": 1})
    found = await machine.phase("late", "Failed")
    assert found["status"]["reason"] == "DeadlineExceeded"
    await machine.until(lambda: "terminated" in machine.state("late")["state"], "its end")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may become somebody else")
async def test_as_root_a_container_is_whom_it_asks_to_be(make_machine):
    machine = await make_machine(directory=None)
    machine.pod(
        "nobody", "sh", "-c", "test $(id -u):$(id -g) = 65534:65533 && echo x > own/file",
        pod={"restartPolicy": "Never", "volumes": [{"name": "v", "emptyDir": {}}]},
        volumeMounts=[{"name": "v", "mountPath": "/own"}],
        securityContext={"runAsUser": 65534, "runAsGroup": 65533, "runAsNonRoot": True},
    )  # fmt: skip
    machine.pod("root", *SLEEP, securityContext={"runAsNonRoot": True})
    await machine.phase("nobody", "Succeeded")
    await machine.until(lambda: "Failed" in machine.reasons("root"), "the refusal")
    assert "container has runAsNonRoot" in machine.messages("root", "Failed")[0]


async def test_a_container_stopped_while_it_starts_is_stopped(machine):
    for number in range(5):
        machine.pod(f"brief-{number}", *SLEEP)
    await machine.until(
        lambda: all(machine.get(f"brief-{number}")["spec"].get("nodeName") for number in range(5)),
        "the nodes",
    )
    for number in range(5):
        machine.view.delete("pods", f"brief-{number}", "default")
    for number in range(5):
        await machine.gone(f"brief-{number}")
    assert not [worker for worker in machine.runtime.workers() if worker.is_alive]


@pytest.mark.skipif(sys.platform != "linux", reason="memory is watched on Linux only")
async def test_a_container_beyond_its_memory_is_killed(machine):
    hungry = "import time; kept = bytearray(300 << 20); time.sleep(1000)"
    machine.pod(
        "hungry", sys.executable, "-c", hungry,
        pod={"restartPolicy": "Never"}, resources={"limits": {"memory": "100Mi"}},
    )  # fmt: skip
    await machine.phase("hungry", "Failed")
    ended = machine.state("hungry")["state"]["terminated"]
    assert (ended["exitCode"], ended["reason"]) == (137, "OOMKilled")


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel ends children on Linux only")
async def test_a_process_does_not_outlive_its_supervisor(machine):
    machine.pod("held", *SLEEP)
    await machine.ready("held")
    pid = machine.pid("held")
    status = Path(f"/proc/{pid}/status").read_text()  # noqa: ASYNC240 (it is no disk)
    parent = int(status.partition("PPid:")[2].split()[0])
    os.kill(parent, signal.SIGKILL)
    await machine.until(lambda: machine.state("held")["restartCount"] == 1, "its restart")
    assert not machine.is_alive(pid)


async def test_the_end_of_the_nursery_ends_no_process_and_keeps_none_from_starting(machine):
    machine.pod("before", *SLEEP)
    await machine.ready("before")
    machine.runtime.nursery.process.kill()
    machine.runtime.nursery.process.wait(10)
    machine.pod("after", *SLEEP)
    await machine.ready("after")
    assert machine.state("before")["restartCount"] == 0


async def test_pods_of_an_earlier_server_are_reported_lost_and_restarted_by_policy(machine):
    machine.pod("always", *SLEEP)
    machine.pod("never", *SLEEP, pod={"restartPolicy": "Never"})
    await machine.ready("always")
    await machine.ready("never")
    pids = [machine.pid(name) for name in ("always", "never")]
    await machine.stop()
    assert not any(map(machine.is_alive, pids))
    assert machine.get("always")["status"]["phase"] == "Running"

    await machine.start()
    await machine.until(lambda: machine.state("always")["restartCount"] == 1, "the restart")
    await machine.phase("never", "Failed")
    lost = machine.state("always")["lastState"]["terminated"]
    assert (lost["exitCode"], lost["reason"]) == (137, "ContainerStatusUnknown")
    assert machine.state("never")["state"]["terminated"]["reason"] == "ContainerStatusUnknown"


async def test_the_files_of_a_pod_that_was_over_before_the_restart_go_with_it(machine):
    machine.pod("done", "sh", "-c", "echo kept", pod={"restartPolicy": "Never"})
    pod = await machine.phase("done", "Succeeded")
    kept = machine.directory / "pods" / pod["metadata"]["uid"]
    await machine.stop()
    await machine.start()
    assert (kept / "app" / "0.log").exists()
    machine.view.delete("pods", "done", "default")
    await machine.until(lambda: not kept.exists(), "its files to go")


async def test_a_stateful_pod_comes_back_only_when_the_old_one_has_ended(machine, tmp_path):
    said = tmp_path / "said"
    script = (
        f"echo up >> {said}; trap 'sleep 0.2; echo down >> {said}; exit 0' TERM; "
        "while true; do sleep 0.05; done"
    )
    labels = {"app": "one"}
    container = {"name": "app", "image": "none", "command": ["sh", "-c", script]}
    machine.create("statefulsets.apps", {
        "metadata": {"name": "one"},
        "spec": {
            "replicas": 1, "serviceName": "one", "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [container]}},
        },
    })  # fmt: skip
    await machine.ready("one-0")
    uid = machine.get("one-0")["metadata"]["uid"]
    await asyncio.sleep(0)
    machine.view.delete("pods", "one-0", "default")
    await machine.until(
        lambda: (machine.get("one-0") or {"metadata": {"uid": uid}})["metadata"]["uid"] != uid,
        "the new pod",
    )
    await machine.ready("one-0")
    await machine.until(lambda: said.read_text().split() == ["up", "down", "up"], "in order")
