"""Logs, commands, attachments and connections of pods that are processes."""

from __future__ import annotations

import asyncio
import sys
from contextlib import aclosing

import pytest

from understudy.kapi import kubelets
from understudy.kube import statuses

SLEEP = ("sleep", "1000")


async def text_of(machine, name, **options) -> str:
    pieces = machine.runtime.pods.log(machine.get(name), "app", kubelets.LogOptions(**options))
    return b"".join([piece async for piece in pieces]).decode()


async def said_by(session) -> dict[str, str]:
    found = {"stdout": b"", "stderr": b""}
    async for channel, data in session.output():
        found[channel] += data
    return {channel: data.decode() for channel, data in found.items()}


async def run(machine, name, *command, stdin=None, tty=False):
    session = await machine.runtime.pods.execute(
        machine.get(name), "app", command, stdin=stdin is not None, tty=tty
    )
    try:
        if stdin is not None:
            await session.write(stdin)
            await session.close_stdin()
        said = await said_by(session)
        return await session.wait(), said
    finally:
        await session.close()


# ---------------------------------------------------------------------- logs


async def test_a_log_has_both_outputs_in_order_and_is_cut_as_asked(machine):
    script = "for i in 1 2 3; do echo out $i; echo err $i >&2; done; printf unfinished"
    machine.pod("talks", "sh", "-c", script, pod={"restartPolicy": "Never"})
    await machine.phase("talks", "Succeeded")
    whole = "out 1\nerr 1\nout 2\nerr 2\nout 3\nerr 3\nunfinished"
    assert await text_of(machine, "talks") == whole
    assert await text_of(machine, "talks", tail_lines=2) == "err 3\nunfinished"
    assert await text_of(machine, "talks", tail_lines=0) == ""
    assert await text_of(machine, "talks", tail_lines=100) == whole
    assert await text_of(machine, "talks", limit_bytes=8) == "out 1\ner"
    stamped = (await text_of(machine, "talks", timestamps=True)).splitlines()
    assert [line.partition(" ")[2] for line in stamped] == whole.splitlines()
    assert all(line.partition(" ")[0].endswith("Z") for line in stamped)
    assert await text_of(machine, "talks", since=machine.view.now()) == ""


async def test_a_followed_log_ends_with_the_container(machine, tmp_path):
    door = tmp_path / "door"
    script = f"echo before; while ! test -e {door}; do sleep 0.02; done; echo after"
    machine.pod("told", "sh", "-c", script, pod={"restartPolicy": "Never"})
    await machine.ready("told")
    pieces = machine.runtime.pods.log(machine.get("told"), "app", kubelets.LogOptions(follow=True))
    async with aclosing(pieces), asyncio.timeout(20):
        assert await anext(pieces) == b"before\n"
        door.touch()
        assert b"".join([piece async for piece in pieces]) == b"after\n"


async def test_a_followed_log_follows_into_new_files_and_old_ones_go(make_machine):
    machine = await make_machine(log_bytes_max=2_000, log_files_max=3)
    program = "for i in range(1000): print(i, flush=i % 10 == 0)"
    machine.pod("many", sys.executable, "-c", program, pod={"restartPolicy": "Never"})
    await machine.until(lambda: machine.state("many").get("containerID"), "its start")
    followed = (await text_of(machine, "many", follow=True)).split()
    await machine.phase("many", "Succeeded")
    assert followed == sorted(followed, key=int)
    assert followed[-1] == "999"
    uid = machine.get("many")["metadata"]["uid"]
    files = sorted(path.name for path in (machine.directory / "pods" / uid / "app").glob("*.log*"))
    assert files == ["0.log", "0.log.1", "0.log.2"]
    kept = (await text_of(machine, "many")).split()
    assert kept == [str(number) for number in range(1000)][-len(kept) :]
    assert 0 < len(kept) < 1000


async def test_the_log_of_the_run_before_is_kept(machine, tmp_path):
    count = tmp_path / "count"
    script = f"echo x >> {count}; wc -l < {count}; test $(wc -l < {count}) -ge 2 && sleep 1000"
    machine.pod("twice", "sh", "-c", script)
    await machine.until(lambda: machine.state("twice").get("restartCount") == 1, "the restart")
    await machine.ready("twice")
    assert (await text_of(machine, "twice", previous=True)).strip() == "1"
    log = machine.runtime.pods.log(machine.get("twice"), "app", kubelets.LogOptions(follow=True))
    async with aclosing(log), asyncio.timeout(20):
        assert (await anext(log)).strip() == b"2"


async def test_without_a_run_before_there_is_no_such_log(machine):
    machine.pod("once", *SLEEP)
    await machine.ready("once")
    with pytest.raises(statuses.BadRequestError) as caught:
        await text_of(machine, "once", previous=True)
    assert caught.value.message == 'previous terminated container "app" in pod "once" not found'


async def test_a_container_that_has_not_started_has_no_log(machine):
    machine.pod("blocked", *SLEEP, envFrom=[{"configMapRef": {"name": "absent"}}])
    await machine.until(lambda: machine.state("blocked"), "a status")
    await machine.until(
        lambda: machine.state("blocked")["state"]["waiting"]["reason"] != "ContainerCreating", "why"
    )
    with pytest.raises(statuses.BadRequestError) as caught:
        await text_of(machine, "blocked")
    assert caught.value.message == (
        'container "app" in pod "blocked" is waiting to start: CreateContainerConfigError'
    )


# ---------------------------------------------------------------------- commands


async def test_a_command_has_the_containers_environment_and_streams_of_its_own(machine):
    machine.pod("host", *SLEEP, env=[{"name": "NAME", "value": "me"}])
    await machine.ready("host")
    code, said = await run(machine, "host", "sh", "-c", "cat; echo $NAME; echo no >&2; exit 5",
                           stdin=b"given\n")  # fmt: skip
    assert (code, said) == (5, {"stdout": "given\nme\n", "stderr": "no\n"})


async def test_a_command_in_a_terminal_sees_one(machine):
    machine.pod("host", *SLEEP)
    await machine.ready("host")
    session = await machine.runtime.pods.execute(
        machine.get("host"), "app", ["sh", "-c", "tty -s && read line && stty size && echo $line"],
        stdin=True, tty=True,
    )  # fmt: skip
    await session.resize(132, 43)
    await session.write(b"typed\n")
    said = await said_by(session)
    assert await session.wait() == 0
    await session.close()
    assert "43 132" in said["stdout"]
    assert said["stdout"].rstrip().endswith("typed")


async def test_much_output_to_a_slow_reader_is_complete(machine):
    machine.pod("host", *SLEEP)
    await machine.ready("host")
    program = "import sys; sys.stdout.write('x' * 5_000_000)"
    code, said = await run(machine, "host", sys.executable, "-c", program)
    assert (code, len(said["stdout"])) == (0, 5_000_000)


async def test_a_command_is_ended_with_its_session_and_its_children_too(machine, tmp_path):
    written = tmp_path / "pid"
    machine.pod("host", *SLEEP)
    await machine.ready("host")
    session = await machine.runtime.pods.execute(
        machine.get("host"), "app", ["sh", "-c", f"sleep 1000 & echo $! > {written}; wait"],
        stdin=False, tty=False,
    )  # fmt: skip
    await machine.until(lambda: written.exists() and written.read_text().strip(), "the child")
    await session.close()
    assert not machine.is_alive(int(written.read_text()))
    await session.close()


async def test_a_command_that_is_none_says_so(machine):
    machine.pod("host", *SLEEP)
    await machine.ready("host")
    with pytest.raises(statuses.InternalError, match="executable file not found in"):
        await run(machine, "host", "no-such-program")
    with pytest.raises(statuses.BadRequestError, match="container not found"):
        await machine.runtime.pods.execute(
            machine.get("host"), "other", ["true"], stdin=False, tty=False
        )


async def test_a_command_whose_client_goes_while_it_starts_is_ended(make_machine):
    machine = await make_machine(sessions_max=1)
    machine.pod("host", *SLEEP)
    await machine.ready("host")
    starting = machine.runtime.pods.execute(
        machine.get("host"), "app", ["sleep", "1000"], stdin=True, tty=False
    )
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0):
            await starting
    assert (await run(machine, "host", "true"))[0] == 0


async def test_commands_beyond_the_bound_are_refused(make_machine):
    machine = await make_machine(sessions_max=1)
    machine.pod("host", *SLEEP)
    await machine.ready("host")
    session = await machine.runtime.pods.execute(
        machine.get("host"), "app", ["sleep", "1000"], stdin=False, tty=False
    )
    with pytest.raises(statuses.TooManyRequestsError):
        await run(machine, "host", "true")
    await session.close()
    assert (await run(machine, "host", "true"))[0] == 0


async def test_attaching_shows_what_comes_and_passes_on_what_is_typed(machine):
    machine.pod("loop", "sh", "-c", "while read line; do echo got $line; done", stdin=True)
    await machine.ready("loop")
    session = await machine.runtime.pods.attach(machine.get("loop"), "app", stdin=True, tty=False)
    async with asyncio.timeout(20):
        output = session.output()
        await session.write(b"one\n")
        assert await anext(output) == ("stdout", b"got one\n")
        await output.aclose()
    await session.close()
    assert machine.state("loop")["restartCount"] == 0


async def test_attaching_to_a_terminal_shows_its_prompt(machine):
    machine.pod("shell", "sh", "-c", "printf 'ready> '; read line; echo $line; sleep 1000",
                stdin=True, tty=True)  # fmt: skip
    await machine.ready("shell")
    pod = machine.get("shell")
    async with asyncio.timeout(20):
        while await text_of(machine, "shell") != "ready> ":  # noqa: ASYNC110
            await asyncio.sleep(0.02)
        session = await machine.runtime.pods.attach(pod, "app", stdin=True, tty=True)
        await session.write(b"hello\n")
        output = session.output()
        seen = b""
        while b"hello\r\nhello\r\n" not in seen:
            seen += (await anext(output))[1]
        await output.aclose()
    await session.close()


async def test_only_declared_ports_can_be_reached(machine):
    machine.pod(
        "web", sys.executable, "-m", "http.server", "--bind", "127.0.0.1", "$(PORT)",
        ports=[{"containerPort": 8000}],
        readinessProbe={"tcpSocket": {"port": 8000}, "periodSeconds": 1},
    )  # fmt: skip
    pod = await machine.ready("web")
    reader, writer = await machine.runtime.pods.dial(pod, 8000)
    writer.write(b"GET / HTTP/1.0\r\n\r\n")
    assert (await reader.read()).startswith(b"HTTP/1.0 200")
    writer.close()
    await writer.wait_closed()
    with pytest.raises(OSError, match="declares no port 22"):
        await machine.runtime.pods.dial(pod, 22)
