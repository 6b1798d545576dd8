"""The operator against a real Kubernetes API: one fork of its state for each test."""

from pathlib import Path

import pytest
from kopf.testing import KopfRunner

HERE = Path(__file__).parent


@pytest.fixture(scope="session", autouse=True)
def definition(understudy_server):
    """What every test begins with is made once, in the base."""
    understudy_server.base.create_from(HERE / "crd.yaml")


@pytest.fixture
def operator(kubeconfig):
    with KopfRunner(
        ["run", "--all-namespaces", "--standalone", str(HERE / "backups.py")]
    ) as runner:
        yield runner
    assert runner.exit_code == 0, runner.output


def backup(schedule="0 3 * * *"):
    return {
        "apiVersion": "example.com/v1",
        "kind": "Backup",
        "metadata": {"name": "photos"},
        "spec": {"claim": "photos", "schedule": schedule},
    }


def cron_job(view):
    return view.get("cronjobs.batch", "photos", "default")


def state_is(wanted):
    def condition(view):
        found = view.get("backups.example.com", "photos", "default")
        return found if found.get("status", {}).get("state") == wanted else None

    return condition


def test_a_backup_gets_a_cron_job(operator, understudy_view):
    understudy_view.create("backups.example.com", backup(), "default")
    made = understudy_view.wait_for(cron_job)
    assert made["spec"]["schedule"] == "0 3 * * *"
    # Defaults are the API's own.
    assert made["spec"]["successfulJobsHistoryLimit"] == 3


def test_a_new_schedule_is_carried_over(operator, understudy_view):
    understudy_view.create("backups.example.com", backup(), "default")
    understudy_view.wait_for(state_is("Scheduled"))
    change = {"spec": {"schedule": "0 4 * * *"}}
    understudy_view.patch("backups.example.com", "photos", change, "default")
    understudy_view.wait_for(lambda view: cron_job(view)["spec"]["schedule"] == "0 4 * * *")


def test_a_schedule_that_means_nothing_is_reported(operator, understudy_view):
    understudy_view.create("backups.example.com", backup("at dawn"), "default")
    understudy_view.wait_for(state_is("Invalid"))
    assert not list(understudy_view.each("cronjobs.batch"))


def test_a_backup_takes_its_cron_job_along(operator, understudy_view):
    understudy_view.create("backups.example.com", backup(), "default")
    understudy_view.wait_for(state_is("Scheduled"))
    understudy_view.delete("backups.example.com", "photos", "default")
    understudy_view.wait_for(lambda view: view.find("cronjobs.batch", "default", "photos") is None)


def test_an_answer_that_is_lost_makes_no_second_cron_job(
    operator, understudy_server, understudy_view
):
    understudy_server.faults.on("create", "cronjobs.batch", times=1).drop_after_commit()
    understudy_view.create("backups.example.com", backup(), "default")
    understudy_view.wait_for(state_is("Scheduled"))
    assert len(list(understudy_view.each("cronjobs.batch"))) == 1


def test_a_watch_that_breaks_is_taken_up_again(operator, understudy_server, understudy_view):
    understudy_server.faults.on("watch", "backups.example.com", times=2).expire()
    understudy_view.create("backups.example.com", backup(), "default")
    understudy_view.wait_for(state_is("Scheduled"))
