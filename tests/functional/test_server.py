"""The server over real sockets: who gets in, views side by side, watches, an orderly life."""

import asyncio
import base64
import datetime as dt
import os
import signal
import ssl
import subprocess
import sys
import time
from pathlib import Path

import httpx
import orjson
import pytest
import yaml

from understudy.kapi import server as servers, settings
from understudy.kapi.persistence import folders

CONFIG_MAPS = "/api/v1/namespaces/default/configmaps"


def client(cluster, token="", **options):
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    return httpx.Client(base_url=cluster.url, headers=headers, trust_env=False, **options)


def config_map(name, **data):
    return {"metadata": {"name": name}, "data": data}


# ---------------------------------------------------------------------- settings


@pytest.mark.parametrize("runtime", ["simulated", "process"])
def test_controllers_need_no_rights_of_their_own(serving, runtime):
    chosen = {"controllers": "all", "runtime": runtime, "auth": "rbac", "token": "t"}
    with serving(**chosen) as cluster, client(cluster, "t") as admin:
        assert admin.get("/api/v1/nodes").json()["items"]


def test_a_token_of_a_secret_lets_its_account_in(serving):
    chosen = {"controllers": "all", "runtime": "none", "auth": "rbac", "token": "t"}
    with serving(**chosen) as cluster, client(cluster, "t") as admin:
        secrets = "/api/v1/namespaces/default/secrets"
        mark = {"kubernetes.io/service-account.name": "default"}
        wanted = {
            "metadata": {"name": "kept", "annotations": mark},
            "type": "kubernetes.io/service-account-token",
        }
        assert admin.post(secrets, json=wanted).status_code == 201
        ends = time.monotonic() + 10
        while not (data := admin.get(f"{secrets}/kept").json().get("data")):
            assert time.monotonic() < ends, "never filled"
            time.sleep(0.02)
        token = base64.b64decode(data["token"]).decode()
        whoami = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
        with client(cluster, token) as account:
            answer = account.post(whoami, json={}).json()
        assert answer["status"]["userInfo"]["username"] == "system:serviceaccount:default:default"


@pytest.mark.parametrize("tls", [False, True])
def test_every_namespace_is_given_a_root_certificate(serving, tls):
    with serving(controllers="all", runtime="none", tls=tls) as cluster:
        given = None
        ends = time.monotonic() + 10
        with client(cluster, cluster.server.token, verify=False) as admin:
            while given is None or given.status_code == 404:
                assert time.monotonic() < ends, "never made"
                given = admin.get(f"{CONFIG_MAPS}/kube-root-ca.crt")
        assert ssl.PEM_cert_to_DER_cert(given.json()["data"]["ca.crt"])


def test_an_open_server_stays_on_loopback():
    with pytest.raises(settings.SettingsError, match=r"'0\.0\.0\.0' can be reached .* auth to"):
        servers.Server(settings.ServerSettings(host="0.0.0.0"))
    with pytest.raises(settings.SettingsError, match="token: given, but auth is 'none'"):
        servers.Server(settings.ServerSettings(token="t"))


# ---------------------------------------------------------------------- access


def test_token_mode_wants_the_token(make_cluster):
    cluster = make_cluster(auth="token")
    with client(cluster) as stranger:
        assert stranger.get("/readyz").status_code == 200
        refused = stranger.get(CONFIG_MAPS)
        assert (refused.status_code, refused.json()["reason"]) == (401, "Unauthorized")
    with client(cluster, "wrong") as stranger:
        assert stranger.get("/readyz").status_code == 401
    with client(cluster, cluster.server.token) as known:
        assert known.get(CONFIG_MAPS).status_code == 200
    config = yaml.safe_load(Path(cluster.kubeconfig).read_text())
    assert config["users"][0]["user"]["token"] == cluster.server.token


def test_rbac_mode_gives_what_bindings_say(make_cluster):
    cluster = make_cluster(auth="rbac")
    with client(cluster, cluster.server.token) as admin:
        account = {"metadata": {"name": "robot"}}
        admin.post("/api/v1/namespaces/default/serviceaccounts", json=account)
        asked = admin.post("/api/v1/namespaces/default/serviceaccounts/robot/token", json={})
        token = asked.json()["status"]["token"]
        with client(cluster, token) as robot:
            refused = robot.get(CONFIG_MAPS)
            assert refused.status_code == 403
            assert 'default:robot" cannot list' in refused.json()["message"]
            binding = {
                "metadata": {"name": "b"},
                "roleRef": {
                    "apiGroup": "rbac.authorization.k8s.io",
                    "kind": "ClusterRole",
                    "name": "edit",
                },
                "subjects": [{"kind": "ServiceAccount", "name": "robot", "namespace": "default"}],
            }
            path = "/apis/rbac.authorization.k8s.io/v1/namespaces/default/rolebindings"
            assert admin.post(path, json=binding).status_code == 201
            assert robot.post(CONFIG_MAPS, json=config_map("a")).status_code == 201
            assert robot.get("/api/v1/nodes").status_code == 403
            assert admin.delete(f"{path}/b").status_code == 200
            assert robot.get(CONFIG_MAPS).status_code == 403
    with client(cluster) as stranger:
        assert stranger.get("/version").status_code == 200
        assert "system:anonymous" in stranger.get("/api").text


def test_tls_with_tokens_and_client_certificates(make_cluster, tmp_path):
    from understudy.kapi.http import certificates

    cluster = make_cluster(auth="rbac", tls=True, data_dir=tmp_path)
    context = ssl.create_default_context(cafile=str(tmp_path / "ca.crt"))
    context.set_alpn_protocols(["h2", "http/1.1"])
    assert cluster.url.startswith("https://127.0.0.1:")
    with client(cluster, cluster.server.token, verify=context) as admin:
        assert admin.get("/api").json()["versions"] == ["v1"]
    now = dt.datetime.now(dt.UTC)
    certificate, key = certificates.Authority(tmp_path, now).client("jane", ["devs"], now)
    (tmp_path / "jane.pem").write_bytes(certificate + key)
    context.load_cert_chain(tmp_path / "jane.pem")
    with client(cluster, verify=context) as jane:
        body = {"kind": "SelfSubjectReview", "apiVersion": "authentication.k8s.io/v1"}
        answer = jane.post("/apis/authentication.k8s.io/v1/selfsubjectreviews", json=body)
        assert answer.json()["status"]["userInfo"]["username"] == "jane"
        assert answer.status_code == 201
    config = yaml.safe_load(Path(cluster.kubeconfig).read_text())
    assert config["clusters"][0]["cluster"]["certificate-authority-data"]


# ---------------------------------------------------------------------- views


def test_sandboxes_are_made_compared_promoted_and_deleted(make_cluster):
    cluster = make_cluster()
    with client(cluster) as base:
        base.post(CONFIG_MAPS, json=config_map("a", k="1"))
        made = base.post("/views", json={"name": "trial", "of": "base", "follow": True})
        assert made.status_code == 201
        shown = made.json()
        assert shown["url"] == f"{cluster.url}/trial"
        assert Path(shown["kubeconfig"]).stat().st_mode & 0o777 == 0o600
        assert base.get("/views/trial").json()["changes"] == 0
        with httpx.Client(base_url=shown["url"], trust_env=False) as trial:
            trial.patch(
                f"{CONFIG_MAPS}/a",
                content=b'{"data":{"k":"2"}}',
                headers={"Content-Type": "application/merge-patch+json"},
            )
            assert trial.get(f"{CONFIG_MAPS}/a").json()["data"] == {"k": "2"}
        assert base.get(f"{CONFIG_MAPS}/a").json()["data"] == {"k": "1"}
        assert base.get(f"/base{CONFIG_MAPS}/a").json()["data"] == {"k": "1"}
        changes = base.get("/views/trial/diff").json()["changes"]
        assert [(c["operation"], c["name"]) for c in changes] == [("change", "a")] or len(
            changes
        ) == 1
        assert base.post("/views/trial/promote").status_code == 200
        assert base.get(f"{CONFIG_MAPS}/a").json()["data"] == {"k": "2"}
        assert {view["name"] for view in base.get("/views").json()["views"]} == {"base", "trial"}
        assert base.delete("/views/trial").status_code == 200
        assert base.get(f"/trial{CONFIG_MAPS}").status_code == 404
        assert not Path(shown["kubeconfig"]).exists()


def test_views_refuse_what_makes_no_sense(make_cluster):
    cluster = make_cluster(sandboxes_max=1)
    with client(cluster) as base:
        for body, status in [
            (b"{", 400),
            (b"[]", 400),
            (b"{}", 400),
            (b'{"name":"api"}', 422),
            (b'{"name":"A b"}', 422),
            (b'{"name":"x","of":"nope"}', 404),
            (b'{"name":"x","follow":3}', 400),
        ]:
            answer = base.post("/views", content=body)
            assert answer.status_code == status, body
            assert answer.json()["kind"] == "Status"
        assert base.post("/views", json={"name": "one"}).status_code == 201
        assert base.post("/views", json={"name": "one"}).status_code == 409
        assert base.post("/views", json={"name": "two"}).status_code == 403
        assert base.delete("/views/base").status_code == 400
        assert base.put("/views").status_code == 405
        assert base.get("/views/one/promote").status_code == 405
        assert base.get("/views/one/nope").status_code == 404
        # A sandbox's own permissions say nothing about other views.
        assert base.get("/one/views").status_code == 404


def test_secrets_are_masked_in_comparisons(make_cluster):
    cluster = make_cluster()
    secrets = "/api/v1/namespaces/default/secrets"
    with client(cluster) as base:
        base.post("/views", json={"name": "trial"})
        base.post(f"/trial{secrets}", json={"metadata": {"name": "s"}, "data": {"k": "c2VjcmV0"}})
        shown = base.get("/views/trial/diff").text
        assert "c2VjcmV0" not in shown
        assert '"k":"***"' in shown


# ---------------------------------------------------------------------- watches


def lines_of(response):
    for line in response.iter_lines():
        event = orjson.loads(line)
        yield event["type"], event["object"]


def test_a_watch_sees_its_own_view_only(make_cluster):
    cluster = make_cluster()
    with client(cluster) as base:
        base.post("/views", json={"name": "trial", "follow": False})
        path = f"/trial{CONFIG_MAPS}?watch=1&timeoutSeconds=10"
        with base.stream("GET", path) as stream, client(cluster) as other:
            other.post(CONFIG_MAPS, json=config_map("of-base"))
            other.post(f"/trial{CONFIG_MAPS}", json=config_map("of-trial"))
            assert next(lines_of(stream))[1]["metadata"]["name"] == "of-trial"


def test_a_watch_goes_on_where_a_list_ended(make_cluster):
    cluster = make_cluster()
    with client(cluster) as one, client(cluster) as other:
        one.post(CONFIG_MAPS, json=config_map("before"))
        version = one.get(CONFIG_MAPS).json()["metadata"]["resourceVersion"]
        other.post(CONFIG_MAPS, json=config_map("between"))
        path = f"{CONFIG_MAPS}?watch=1&resourceVersion={version}&timeoutSeconds=1"
        with one.stream("GET", path) as stream:
            assert [(t, o["metadata"]["name"]) for t, o in lines_of(stream)] == [
                ("ADDED", "between")
            ]


def test_a_reset_sandbox_ends_its_watches(make_cluster):
    cluster = make_cluster()
    with client(cluster) as base, client(cluster) as other:
        base.post("/views", json={"name": "trial"})
        started = time.monotonic()
        with base.stream("GET", f"/trial{CONFIG_MAPS}?watch=1&timeoutSeconds=30") as stream:
            assert other.post("/views/trial/reset").status_code == 200
            list(lines_of(stream))
        assert time.monotonic() - started < 10


def test_a_large_state_reaches_a_watcher_whole(make_cluster):
    limits = settings.HttpLimits(watch_buffer_bytes_max=1 << 20)
    cluster = make_cluster(limits=limits)
    view = cluster.server.base

    def fill():
        for n in range(600):
            view.create("configmaps", config_map(f"a{n:03}", x="x" * 10_000), "default")

    cluster.on_loop(fill)
    with client(cluster, timeout=20) as one:
        path = f"{CONFIG_MAPS}?watch=1&timeoutSeconds=3"
        with one.stream("GET", path) as stream:
            seen = 0
            for _ in lines_of(stream):
                seen += 1
                if seen == 50:
                    time.sleep(0.5)
        assert seen == 600
    assert cluster.server.metrics.text().count("understudy_slow_watches_total 0") == 1


def test_too_many_watches_are_refused(make_cluster):
    cluster = make_cluster(limits=settings.HttpLimits(watches_max=1))
    with client(cluster) as one, client(cluster) as other:
        with one.stream("GET", f"{CONFIG_MAPS}?watch=1&timeoutSeconds=5"):
            refused = other.get(f"{CONFIG_MAPS}?watch=1")
            assert refused.status_code == 429
            assert refused.headers["retry-after"]
        for _ in range(100):
            with other.stream("GET", f"{CONFIG_MAPS}?watch=1&timeoutSeconds=1") as found:
                if found.status_code == 200:
                    return
            time.sleep(0.02)
        raise AssertionError("the first watch did not make room")


# ---------------------------------------------------------------------- limits and forms


def test_large_and_deep_bodies_are_refused(make_cluster):
    cluster = make_cluster(limits=settings.HttpLimits(body_bytes_max=10_000))
    with client(cluster) as one:
        assert one.post(CONFIG_MAPS, content=b"x" * 20_000).status_code == 413
    with client(cluster) as one:
        deep = b'{"data":' + b"[" * 4_000 + b"]" * 4_000 + b"}"
        answer = one.post(CONFIG_MAPS, content=deep)
        assert answer.status_code == 400


def test_large_answers_are_compressed_on_request(make_cluster):
    cluster = make_cluster()
    with client(cluster) as one:
        for n in range(3):
            one.post(CONFIG_MAPS, json=config_map(f"a{n}", x="x" * 100_000))
        answer = one.get(CONFIG_MAPS, headers={"Accept-Encoding": "gzip"})
        assert answer.headers["content-encoding"] == "gzip"
        assert len(answer.json()["items"]) >= 3
        plain = one.get(CONFIG_MAPS, headers={"Accept-Encoding": "identity"})
        assert "content-encoding" not in plain.headers


def test_metrics_count_requests(make_cluster):
    cluster = make_cluster()
    with client(cluster) as one:
        one.get(CONFIG_MAPS)
        text = one.get("/metrics").text
        assert 'apiserver_request_total{code="200",group="",resource="configmaps"' in text
        assert "understudy_views 1" in text


# ---------------------------------------------------------------------- life


def test_a_data_directory_keeps_state_and_credentials(make_cluster, tmp_path):
    from tests.functional.conftest import running

    with running(data_dir=tmp_path, auth="rbac", token="t") as cluster, client(cluster, "t") as one:
        assert one.post(CONFIG_MAPS, json=config_map("kept", a="1")).status_code == 201
        one.post("/views", json={"name": "trial"})
        one.post(f"/trial{CONFIG_MAPS}", json=config_map("there"))
        one.post("/api/v1/namespaces/default/serviceaccounts", json={"metadata": {"name": "r"}})
        asked = one.post("/api/v1/namespaces/default/serviceaccounts/r/token", json={})
        token = asked.json()["status"]["token"]
        with pytest.raises(folders.FolderError, match="used by another process"):
            servers.Server(settings.ServerSettings(data_dir=tmp_path))
    with running(data_dir=tmp_path, auth="rbac", token="t") as cluster, client(cluster, "t") as one:
        assert one.get(f"{CONFIG_MAPS}/kept").json()["data"] == {"a": "1"}
        assert one.get(f"/trial{CONFIG_MAPS}/there").status_code == 200
        body = {"spec": {"token": token}}
        review = one.post("/apis/authentication.k8s.io/v1/tokenreviews", json=body).json()
        assert review["status"]["user"]["username"] == "system:serviceaccount:default:r"


async def test_a_server_stops_with_watches_open():
    found = servers.Server(settings.ServerSettings(port=0))
    await found.start()
    folder = found.kubeconfig.parent
    reader, writer = await asyncio.open_connection("127.0.0.1", found.port)
    writer.write(f"GET {CONFIG_MAPS}?watch=1 HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    await reader.readuntil(b"\r\n\r\n")
    await asyncio.wait_for(found.stop(), 5)
    rest = await reader.read()
    assert rest.endswith(b"0\r\n\r\n")
    writer.close()
    await writer.wait_closed()
    assert not folder.exists()
    await found.stop()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_serve_command_announces_itself_and_stops_cleanly(tmp_path, number):
    kubeconfig = tmp_path / "config"
    process = subprocess.Popen(
        [sys.executable, "-m", "understudy", "serve", "--port", "0", "--kubeconfig", kubeconfig],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ,
    )
    try:
        announced = process.stdout.readline().split()
        assert announced[:2] == ["listening", "on"]
        assert process.stdout.readline().strip() == str(kubeconfig)
        assert kubeconfig.stat().st_mode & 0o777 == 0o600
        assert httpx.get(f"{announced[2]}/readyz", trust_env=False).text == "ok"
        process.send_signal(number)
        out, err = process.communicate(timeout=10)
        assert (process.returncode, out, err) == (0, "", "")
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--host", "0.0.0.0"], "can be reached from other machines"),
        (["--token", "t", "--auth", "none"], "token: given, but auth is 'none'"),
        (["--host", "192.0.2.1", "--auth", "token"], "cannot listen on 192.0.2.1:"),
        (["--controllers", "nope"], "nope"),
    ],
)
def test_the_serve_command_says_what_is_wrong(arguments, complaint):
    done = subprocess.run(
        [sys.executable, "-m", "understudy", "serve", "--port", "0", *arguments],
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert done.returncode == 1
    assert complaint in done.stderr
    assert "Traceback" not in done.stderr
