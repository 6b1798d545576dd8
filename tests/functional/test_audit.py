"""The audit log: what a cluster's would say of the same writes."""

import base64
import json
import time

import httpx
import pytest

from understudy.kapi import server as servers, settings

MAPS = "/api/v1/namespaces/default/configmaps"


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_every_write_leaves_a_line(serving, tmp_path):
    log = tmp_path / "audit.log"
    with serving(audit_log=log, auth="token", token="t") as cluster:
        headers = {"Authorization": "Bearer t", "User-Agent": "probe/1"}
        with httpx.Client(base_url=cluster.url, headers=headers, trust_env=False) as client:
            made = client.post(MAPS, json={"metadata": {"generateName": "a-"}}).json()
            client.get(MAPS)
            kind = {"Content-Type": "application/apply-patch+yaml"}
            given = b"apiVersion: v1\nkind: ConfigMap\ndata: {a: b}"
            client.patch(f"{MAPS}/y?fieldManager=m", content=given, headers=kind)
            assert client.delete(f"{MAPS}/none").status_code == 404
            client.delete(f"{MAPS}/{made['metadata']['name']}")
        created, applied, missing, deleted = lines(log)
    assert (created["kind"], created["level"]) == ("Event", "RequestResponse")
    assert created["verb"] == "create"
    assert created["userAgent"] == "probe/1"
    assert created["user"]["username"] == "admin"
    assert created["requestObject"] == {"metadata": {"generateName": "a-"}}
    assert created["responseObject"] == made
    assert created["objectRef"] == {
        "resource": "configmaps",
        "namespace": "default",
        "name": made["metadata"]["name"],
        "apiVersion": "v1",
        "uid": made["metadata"]["uid"],
        "resourceVersion": made["metadata"]["resourceVersion"],
    }
    assert (applied["verb"], applied["requestObject"]["data"]) == ("patch", {"a": "b"})
    assert applied["requestURI"] == f"{MAPS}/y?fieldManager=m"
    assert missing["responseStatus"]["code"] == 404
    assert missing["responseStatus"]["reason"] == "NotFound"
    assert deleted["verb"] == "delete"
    assert created["requestReceivedTimestamp"] <= created["stageTimestamp"]


def test_secrets_and_tokens_are_not_in_it(serving, tmp_path):
    log = tmp_path / "audit.log"
    hidden = base64.b64encode(b"hidden").decode()
    with serving(audit_log=log) as cluster, httpx.Client(base_url=cluster.url) as client:
        body = {"metadata": {"name": "s"}, "data": {"k": hidden}}
        assert client.post("/api/v1/namespaces/default/secrets", json=body).status_code == 201
        accounts = "/api/v1/namespaces/default/serviceaccounts"
        client.post(accounts, json={"metadata": {"name": "robot"}})
        asked = client.post(f"{accounts}/robot/token", json={"spec": {}})
        assert asked.status_code == 201
    secret, _, token = lines(log)
    assert secret["level"] == token["level"] == "Metadata"
    assert secret["objectRef"]["name"] == "s"
    assert hidden not in log.read_text()
    assert asked.json()["status"]["token"] not in log.read_text()
    assert log.stat().st_mode & 0o077 == 0


async def test_a_file_that_cannot_be_written_is_named(tmp_path):
    chosen = settings.ServerSettings(port=0, audit_log=tmp_path / "none" / "audit.log")
    server = servers.Server(chosen)
    with pytest.raises(settings.SettingsError, match=r"audit-log .*none/audit.log: No such file"):
        await server.start()
    await server.stop()


def test_controllers_writes_name_their_controller(serving, tmp_path):
    log = tmp_path / "audit.log"
    spec = {
        "selector": {"matchLabels": {"app": "a"}},
        "template": {
            "metadata": {"labels": {"app": "a"}},
            "spec": {"containers": [{"name": "c", "image": "i"}]},
        },
    }
    with (
        serving(audit_log=log, controllers="all", runtime="simulated") as cluster,
        httpx.Client(base_url=cluster.url) as client,
    ):
        path = "/apis/apps/v1/namespaces/default/deployments"
        client.post(path, json={"metadata": {"name": "web"}, "spec": spec})
        ends = time.monotonic() + 20
        while not client.get(f"{path}/web").json().get("status", {}).get("readyReplicas"):
            assert time.monotonic() < ends, "never ready"
            time.sleep(0.05)
        client.delete(f"{path}/web")
        while client.get("/api/v1/namespaces/default/pods").json()["items"]:
            assert time.monotonic() < ends, "never gone"
            time.sleep(0.05)
    of_sets = [line for line in lines(log) if line["objectRef"]["resource"] == "replicasets"]
    assert of_sets[0]["verb"] == "create"
    assert of_sets[0]["userAgent"].endswith("/deployment-controller")
    assert of_sets[0]["objectRef"]["apiGroup"] == "apps"
    assert of_sets[0]["responseObject"]["metadata"]["name"] == of_sets[0]["objectRef"]["name"]
    assert {"kubelet", "scheduler"} <= {line["userAgent"].split("/")[-1] for line in lines(log)}
    collected = next(line for line in reversed(of_sets) if line["verb"] == "delete")
    assert collected["userAgent"].endswith("/generic-garbage-collector")
    uid = of_sets[0]["responseObject"]["metadata"]["uid"]
    assert collected["responseObject"]["details"]["uid"] == uid


def test_a_controllers_write_that_ends_an_object_names_it(serving, tmp_path):
    log = tmp_path / "audit.log"
    with (
        serving(audit_log=log, controllers="all", runtime="none") as cluster,
        httpx.Client(base_url=cluster.url) as client,
    ):
        owner = client.post(MAPS, json={"metadata": {"name": "owner"}}).json()["metadata"]
        body = {"propagationPolicy": "Foreground"}
        client.request("DELETE", f"{MAPS}/owner", json=body)
        ends = time.monotonic() + 20
        while client.get(f"{MAPS}/owner").status_code == 200:
            assert time.monotonic() < ends, "never gone"
            time.sleep(0.05)
    ended = next(line for line in lines(log) if line["userAgent"].endswith("-collector"))
    assert (ended["verb"], ended["objectRef"]["name"]) == ("patch", "owner")
    assert ended["responseObject"]["details"]["uid"] == owner["uid"]


def test_what_a_controller_deletes_at_once_is_named(serving, tmp_path):
    log = tmp_path / "audit.log"
    pods = "/api/v1/namespaces/default/pods"
    with (
        serving(audit_log=log, controllers="all", runtime="none") as cluster,
        httpx.Client(base_url=cluster.url) as client,
    ):
        owner = client.post(MAPS, json={"metadata": {"name": "owner"}}).json()["metadata"]
        reference = {"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": owner["uid"]}
        meta = {"name": "one", "ownerReferences": [reference]}
        spec = {"containers": [{"name": "c", "image": "i"}]}
        made = client.post(pods, json={"metadata": meta, "spec": spec}).json()["metadata"]
        client.delete(f"{MAPS}/owner")
        ends = time.monotonic() + 20
        while client.get(f"{pods}/one").status_code == 200:
            assert time.monotonic() < ends, "never gone"
            time.sleep(0.05)
    ended = next(line for line in lines(log) if line["userAgent"].endswith("-collector"))
    assert (ended["verb"], ended["objectRef"]["name"]) == ("delete", "one")
    assert ended["responseObject"]["details"]["uid"] == made["uid"]
