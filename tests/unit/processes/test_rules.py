"""Back-off, verdicts of probes, and what a pod's status says of its containers."""

import pytest

from understudy.controllers.runtime.processes import (
    backoffs,
    containers,
    probes,
    settings,
    statuses,
)

CHOSEN = settings.Processes()


def test_the_delay_doubles_up_to_its_maximum_and_the_first_restart_is_immediate():
    backoff = backoffs.Backoff(CHOSEN)
    now, delays = 1000.0, []
    for _ in range(8):
        delays.append(backoff.left_s(now, now))
        backoff.restarted(now)
        now += 1
    assert delays == [0, 10, 20, 40, 80, 160, 300, 300]


def test_time_since_the_end_counts_towards_the_delay():
    backoff = backoffs.Backoff(CHOSEN)
    backoff.restarted(100.0)
    assert backoff.left_s(101.0, 105.0) == 6.0
    assert backoff.left_s(101.0, 200.0) == 0.0


def test_who_ran_for_long_begins_anew():
    backoff = backoffs.Backoff(CHOSEN)
    for ended in (10.0, 20.0, 30.0):
        backoff.restarted(ended)
    assert backoff.left_s(30.0 + 601, 30.0 + 601) == 0.0
    backoff.restarted(30.0 + 601)
    assert backoff.delay_s == 10.0


def tally(kind, **fields):
    return probes.Tally(probes.probe_of({f"{kind}Probe": {"exec": {}, **fields}}, kind))


@pytest.mark.parametrize(
    ("kind", "fields", "answers", "verdicts"),
    [
        ("readiness", {}, "1001000", [True, True, True, True, True, True, False]),
        ("readiness", {"successThreshold": 2}, "11", [False, True]),
        ("readiness", {"successThreshold": 2}, "1011", [False, False, False, True]),
        ("liveness", {}, "00", [True, True]),
        ("liveness", {"failureThreshold": 1}, "0", [False]),
        ("startup", {"failureThreshold": 2}, "00", [None, False]),
        ("startup", {}, "001", [None, None, True]),
    ],
)
def test_a_verdict_needs_enough_equal_answers_in_a_row(kind, fields, answers, verdicts):
    found = tally(kind, **fields)
    assert [found.add(answer == "1") for answer in answers] == verdicts


def test_a_probe_has_kubernetes_defaults():
    found = probes.probe_of({"livenessProbe": {"tcpSocket": {"port": 1}}}, "liveness")
    assert (found.delay_s, found.period_s, found.timeout_s) == (0, 10, 1)
    assert (found.successes, found.failures, found.grace_s) == (1, 3, None)
    assert probes.probe_of({}, "readiness") is None


FACTS = statuses.Facts(
    stamp="2026-01-01T00:00:00Z", host="127.0.0.1", address="127.0.0.1", has_address=True,
    started_at="2026-01-01T00:00:00Z",
)  # fmt: skip


class Alive:
    """A process as far as a status looks at it."""

    pid = 42
    ended = None


def pod(policy="Always", *, inits=(), mains=("app",)):
    return {
        "metadata": {"name": "p"},
        "spec": {
            "restartPolicy": policy,
            "initContainers": [{"name": name} for name in inits],
            "containers": [{"name": name} for name in mains],
        },
    }


def with_states(made, **states):
    """Give containers states: `run`, or the exit code with which they ended."""
    found = containers.of(made, CHOSEN)
    for one in found:
        state = states.get(one.name)
        if state is None:
            continue
        one.run, one.waiting = 0, {}
        if state == "run":
            one.process, one.started_at = Alive(), FACTS.stamp
            one.is_started = one.is_ready = True
        else:
            one.ended = {"exitCode": state, "reason": "Error" if state else "Completed"}
    return found


@pytest.mark.parametrize(
    ("policy", "states", "phase"),
    [
        ("Always", {}, "Pending"),
        ("Always", {"app": "run"}, "Pending"),
        ("Always", {"app": "run", "more": "run"}, "Running"),
        ("Always", {"app": 0, "more": "run"}, "Running"),
        ("Always", {"app": 1, "more": 1}, "Running"),
        ("Never", {"app": 0, "more": 0}, "Succeeded"),
        ("Never", {"app": 0, "more": 1}, "Failed"),
        ("Never", {"app": 0, "more": "run"}, "Running"),
        ("OnFailure", {"app": 0, "more": 1}, "Running"),
        ("OnFailure", {"app": 0, "more": 0}, "Succeeded"),
    ],
)
def test_the_phase_follows_from_the_containers(policy, states, phase):
    made = pod(policy, mains=("app", "more"))
    assert statuses.phase_of(made, with_states(made, **states), FACTS) == phase


def test_an_init_container_that_failed_for_good_fails_the_pod():
    made = pod("Never", inits=("one",))
    assert statuses.phase_of(made, with_states(made, one=1), FACTS) == "Failed"
    made = pod("Always", inits=("one",))
    assert statuses.phase_of(made, with_states(made, one=1), FACTS) == "Pending"


def test_conditions_say_what_is_missing():
    made = pod(inits=("one",), mains=("app",))
    status = statuses.status_of(made, with_states(made), FACTS)
    found = {one["type"]: one for one in status["conditions"]}
    assert found["Initialized"]["message"] == "containers with incomplete status: [one]"
    assert found["Ready"]["reason"] == "ContainersNotReady"
    assert found["ContainersReady"]["message"] == "containers with unready status: [app]"


def test_a_readiness_gate_keeps_a_pod_from_being_ready():
    made = pod()
    made["spec"]["readinessGates"] = [{"conditionType": "example.com/up"}]
    status = statuses.status_of(made, with_states(made, app="run"), FACTS)
    found = {one["type"]: one for one in status["conditions"]}
    assert found["ContainersReady"]["status"] == "True"
    assert (found["Ready"]["status"], found["Ready"]["reason"]) == (
        "False",
        "ReadinessGatesNotReady",
    )
