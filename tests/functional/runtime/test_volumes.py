"""What processes find of their volumes and environment."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

SLEEP = ("sleep", "1000")


def shell(script: str, *rest: str):
    return ["sh", "-c", f"cd $UNDERSTUDY_ROOT && {script}", *rest]


async def test_files_of_every_source_are_where_the_environment_says(machine):
    machine.create("configmaps", {
        "metadata": {"name": "settings"},
        "data": {"a.txt": "from config", "b.txt": "unused"}, "binaryData": {"c.bin": "AAE="},
    })  # fmt: skip
    machine.create("secrets", {"metadata": {"name": "keys"}, "stringData": {"key": "secret"}})
    volumes = [
        {"name": "config", "configMap": {"name": "settings"}},
        {"name": "picked", "configMap": {"name": "settings", "items": [
            {"key": "a.txt", "path": "deep/er.txt", "mode": 0o600}]}},
        {"name": "my-keys", "secret": {"secretName": "keys"}},
        {"name": "about", "downwardAPI": {"items": [
            {"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}}]}},
        {"name": "all", "projected": {"sources": [
            {"secret": {"name": "keys"}}, {"configMap": {"name": "settings"}},
            {"downwardAPI": {"items": [{"path": "cpu", "resourceFieldRef": {
                "containerName": "app", "resource": "limits.cpu", "divisor": "1m"}}]}}]}},
        {"name": "none", "configMap": {"name": "absent", "optional": True}},
        {"name": "scratch", "emptyDir": {}},
    ]  # fmt: skip
    mounts = [{"name": one["name"], "mountPath": f"/mnt/{one['name']}"} for one in volumes]
    mounts.append({"name": "config", "mountPath": "/etc/one.txt", "subPath": "a.txt"})
    script = (
        "cat mnt/config/a.txt mnt/picked/deep/er.txt mnt/my-keys/key mnt/about/labels mnt/all/key "
        "mnt/all/cpu etc/one.txt && ls mnt/none && wc -c < $UNDERSTUDY_MOUNT_CONFIG/c.bin "
        "&& echo x > $UNDERSTUDY_MOUNT_SCRATCH/x && cat $(UNDERSTUDY_ROOT)/mnt/my-keys/key"
    )
    machine.create("pods", {
        "metadata": {"name": "files", "labels": {"tier": "web"}},
        "spec": {
            "restartPolicy": "Never", "volumes": volumes,
            "containers": [{
                "name": "app", "image": "none", "volumeMounts": mounts,
                "command": shell(f"{{ {script}; }} > $UNDERSTUDY_TERMINATION_LOG 2>&1"),
                "resources": {"limits": {"cpu": "250m"}},
            }],
        },
    })  # fmt: skip
    await machine.until(lambda: "terminated" in machine.state("files").get("state", {}), "the end")
    ended = machine.state("files")["state"]["terminated"]
    said = 'from configfrom configsecrettier="web"secret250from config2\nsecret'
    assert (ended["exitCode"], ended["message"]) == (0, said)


async def test_the_environment_is_the_pods_own(machine):
    machine.create("configmaps", {"metadata": {"name": "more"}, "data": {"ONE": "1", "TWO": "2"}})
    machine.create("secrets", {"metadata": {"name": "keys"}, "stringData": {"key": "s3"}})
    env = [
        {"name": "TWO", "value": "two of $(ONE)"},
        {"name": "KEY", "valueFrom": {"secretKeyRef": {"name": "keys", "key": "key"}}},
        {"name": "WHO", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
        {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
        {"name": "CORES", "valueFrom": {"resourceFieldRef": {"resource": "requests.cpu"}}},
        {"name": "NONE", "valueFrom": {"configMapKeyRef": {
            "name": "more", "key": "x", "optional": True}}},
        {"name": "PORT", "value": "8080"},
        {"name": "UNDERSTUDY_ROOT", "value": "not yours"},
    ]  # fmt: skip
    program = "import json, os; print(json.dumps(dict(os.environ)))"
    machine.pod(
        "env", "python3", "-c", f"{program}", pod={"restartPolicy": "Never"},
        env=env, envFrom=[{"configMapRef": {"name": "more"}, "prefix": "X_"},
                          {"configMapRef": {"name": "more"}}],
        ports=[{"containerPort": 8080}, {"containerPort": 9090}],
        resources={"requests": {"cpu": "1500m"}}, terminationMessagePolicy="FallbackToLogsOnError",
    )  # fmt: skip
    await machine.phase("env", "Succeeded")
    pod = machine.get("env")
    path = machine.directory / "pods" / pod["metadata"]["uid"] / "app" / "0.log"
    found = json.loads(path.read_text().split(" F ", 1)[1])
    mapping = json.loads(pod["metadata"]["annotations"]["understudy.dev/ports"])
    assert {key: found.get(key) for key in (
        "ONE", "X_ONE", "TWO", "KEY", "WHO", "IP", "CORES", "NONE", "HOSTNAME",
    )} == {
        "ONE": "1", "X_ONE": "1", "TWO": "two of 1", "KEY": "s3", "WHO": "env", "IP": "127.0.0.1",
        "CORES": "2", "NONE": None, "HOSTNAME": "env",
    }  # fmt: skip
    assert found["PORT"] == str(mapping["8080"])
    assert found["UNDERSTUDY_PORT_9090"] == str(mapping["9090"])
    assert found["UNDERSTUDY_ROOT"] != "not yours"
    assert "UNDERSTUDY_TOKEN" not in found


async def test_a_changed_config_map_changes_the_files(machine):
    made = machine.create("configmaps", {"metadata": {"name": "live"}, "data": {"a": "1"}})
    machine.pod(
        "reader", *SLEEP,
        pod={"volumes": [{"name": "v", "configMap": {"name": "live"}}]},
        volumeMounts=[{"name": "v", "mountPath": "/v"}],
    )  # fmt: skip
    pod = await machine.ready("reader")
    volume = machine.directory / "pods" / pod["metadata"]["uid"] / "volumes" / "v"
    assert {path.name for path in volume.iterdir() if not path.name.startswith("..")} == {"a"}
    machine.view.update("configmaps", {**made, "data": {"b": "2"}}, "default")
    await machine.until((volume / "b").exists, "the new file")
    assert (volume / "b").read_text() == "2"
    assert not (volume / "a").exists()


async def test_a_claim_keeps_its_files_from_pod_to_pod(machine):
    machine.create("persistentvolumeclaims", {
        "metadata": {"name": "data"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
    })  # fmt: skip
    volumes = [{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}]
    mounts = [{"name": "data", "mountPath": "/data"}]

    async def run(name, script):
        machine.pod(
            name, *shell(script), pod={"restartPolicy": "Never", "volumes": volumes},
            volumeMounts=mounts,
        )  # fmt: skip
        await machine.phase(name, "Succeeded")
        machine.view.delete("pods", name, "default")
        await machine.gone(name)

    await run("writer", "echo kept > data/file")
    await run("reader", "grep -q kept data/file")
    volume = machine.get("data", "persistentvolumeclaims")["spec"]["volumeName"]
    assert (machine.directory / "volumes" / volume / "file").read_text() == "kept\n"
    machine.view.delete("persistentvolumeclaims", "data", "default")
    await machine.until(lambda: not (machine.directory / "volumes" / volume).exists(), "removal")


async def test_volumes_are_at_their_very_paths_where_the_system_allows_it(machine):
    if not machine.runtime.pods.can_mount:
        pytest.skip("this system gives processes no mounts of their own")
    machine.create("configmaps", {"metadata": {"name": "c"}, "data": {"key": "value\n"}})
    script = (
        "cat /etc/understudy-test/key /understudy-test/deep/key /etc/understudy-test.txt"
        " && echo mine > /understudy-test/data/file && pwd && ls /etc/hostname /bin/sh > /dev/null"
        " && ! touch /understudy-test/deep/new 2> /dev/null"
    )
    volumes = [{"name": "c", "configMap": {"name": "c"}}, {"name": "d", "emptyDir": {}}]
    mounts = [
        {"name": "c", "mountPath": "/etc/understudy-test"},
        {"name": "c", "mountPath": "/understudy-test/deep", "readOnly": True},
        {"name": "c", "mountPath": "/etc/understudy-test.txt", "subPath": "key"},
        {"name": "d", "mountPath": "/understudy-test/data"},
    ]
    machine.pod(
        "paths", "sh", "-c", script, pod={"restartPolicy": "Never", "volumes": volumes},
        volumeMounts=mounts, workingDir="/understudy-test/data",
        terminationMessagePolicy="FallbackToLogsOnError",
    )  # fmt: skip
    pod = await machine.phase("paths", "Succeeded")
    kept = machine.directory / "pods" / pod["metadata"]["uid"]
    said = [line.split(" F ")[1] for line in (kept / "app" / "0.log").read_text().splitlines()]
    assert said == ["value", "value", "value", "/understudy-test/data"]
    assert (kept / "volumes" / "d" / "file").read_text() == "mine\n"
    assert not Path("/understudy-test").exists()  # noqa: ASYNC240
    assert not Path("/etc/understudy-test").exists()  # noqa: ASYNC240


async def test_a_command_sees_the_volumes_of_its_container(machine):
    if not machine.runtime.pods.can_mount:
        pytest.skip("this system gives processes no mounts of their own")
    machine.pod(
        "held", *SLEEP, pod={"volumes": [{"name": "d", "emptyDir": {}}]},
        volumeMounts=[{"name": "d", "mountPath": "/understudy-test"}],
        readinessProbe={"exec": {"command": ["test", "-d", "/understudy-test"]}},
    )  # fmt: skip
    await machine.ready("held")


async def test_a_working_directory_in_a_volume_is_found_there(machine):
    machine.pod(
        "works", "sh", "-c", "echo x > here",
        pod={"restartPolicy": "Never", "volumes": [{"name": "work", "emptyDir": {}}]},
        volumeMounts=[{"name": "work", "mountPath": "/app/data"}], workingDir="/app/data",
    )  # fmt: skip
    pod = await machine.phase("works", "Succeeded")
    volume = machine.directory / "pods" / pod["metadata"]["uid"] / "volumes" / "work"
    assert (volume / "here").exists()


async def test_volumes_that_cannot_be_had_say_so(machine):
    for name, volume, part in (
        ("path", {"hostPath": {"path": "/no/such"}}, "does not exist on this machine"),
        ("nfs", {"nfs": {"server": "a", "path": "/b"}}, "nfs is not among the volumes"),
    ):
        machine.pod(
            name, *SLEEP, pod={"volumes": [{"name": "v", **volume}]},
            volumeMounts=[{"name": "v", "mountPath": "/v"}],
        )  # fmt: skip
        await machine.until(lambda: "FailedMount" in machine.reasons(name), "the refusal")  # noqa: B023
        assert part in machine.messages(name, "FailedMount")[0]
