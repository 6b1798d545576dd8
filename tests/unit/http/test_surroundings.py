"""Health, metrics, kubeconfigs and certificates."""

import datetime as dt
import ssl

import pytest
import yaml

from understudy.kapi.http import certificates, health, kubeconfigs, metrics, requests

NOW = dt.datetime.now(dt.UTC)


def query(text=""):
    return requests.parse_query(text.encode())


def test_health_fails_with_any_check_and_says_which():
    checks = health.Health()
    assert checks.answer("/readyz", query()).body == b"ok"
    problem = ["slow"]
    checks.add("disk", lambda: problem[0])
    failed = checks.answer("/readyz", query())
    assert failed.status == 500
    assert b"[-]disk failed: slow\n" in failed.body
    assert failed.body.endswith(b"readyz check failed\n")
    assert checks.answer("/readyz/disk", query()).status == 500
    assert checks.answer("/readyz", query("exclude=disk")).status == 200
    problem[0] = ""
    assert b"[+]disk ok\n" in checks.answer("/livez", query("verbose")).body


def test_health_knows_its_own_paths_only():
    checks = health.Health()
    assert checks.answer("/readyz/nope", query()).status == 404
    assert checks.answer("/elsewhere", query()) is None


def test_metrics_are_prometheus_text():
    counted = metrics.Metrics()
    counted.count("get", "", "v1", "pods", 200)
    counted.count("get", "", "v1", "pods", 200)
    counted.count("get", "", "v1", 'a"b', 404)
    counted.show("x_total", "counter", "About x.", lambda: 2.0)
    lines = counted.text().splitlines()
    assert (
        'apiserver_request_total{code="200",group="",resource="pods",verb="get",version="v1"} 2'
        in lines
    )
    assert 'resource="a\\"b"' in counted.text()
    assert lines[-3:] == ["# HELP x_total About x.", "# TYPE x_total counter", "x_total 2"]


def test_kubeconfigs_are_private_and_whole(tmp_path):
    path = tmp_path / "deep" / "config"
    kubeconfigs.write(path, kubeconfigs.kubeconfig("https://x", "base", token="t", ca=b"pem"))
    assert path.stat().st_mode & 0o777 == 0o600
    assert [entry.name for entry in path.parent.iterdir()] == ["config"]
    read = yaml.safe_load(path.read_text())
    assert read["current-context"] == "understudy-base"
    assert read["users"][0]["user"] == {"token": "t"}
    assert read["clusters"][0]["cluster"]["certificate-authority-data"] == "cGVt"


def test_an_authority_is_kept_and_signs_both_sides(tmp_path):
    first = certificates.Authority(tmp_path, NOW)
    assert (tmp_path / "ca.key").stat().st_mode & 0o777 == 0o600
    second = certificates.Authority(tmp_path, NOW)
    assert first.pem == second.pem
    context = second.context(["localhost", "127.0.0.1", "::1"], NOW)
    assert context.verify_mode == ssl.CERT_OPTIONAL
    certificate, key = second.client("jane", ["devs"], NOW)
    (tmp_path / "client").write_bytes(certificate + key)
    client = ssl.create_default_context(cafile=str(tmp_path / "ca.crt"))
    client.load_cert_chain(tmp_path / "client")


def test_a_key_of_another_sort_is_refused(tmp_path):
    certificates.Authority(tmp_path, NOW)
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ed25519

    key = ed25519.Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    (tmp_path / "ca.key").write_bytes(key)
    with pytest.raises(ValueError, match="no elliptic curve key: remove it"):
        certificates.Authority(tmp_path, NOW)
