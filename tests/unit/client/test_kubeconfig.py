"""Kubeconfig files: merged, resolved and complained about as kubectl does."""

import base64
from pathlib import Path

import pytest
import yaml

from understudy.client import errors, kubeconfig


def write(path: Path, **sections: object) -> Path:
    path.write_text(yaml.safe_dump({"apiVersion": "v1", "kind": "Config", **sections}))
    return path


def config(path: Path, name: str, *, server: str = "https://a:6443", current: bool = True) -> Path:
    return write(
        path,
        **({"current-context": name} if current else {}),
        clusters=[{"name": name, "cluster": {"server": server}}],
        users=[{"name": name, "user": {"token": f"token-of-{name}"}}],
        contexts=[{"name": name, "context": {"cluster": name, "user": name, "namespace": "n1"}}],
    )


def test_the_current_context_is_used(tmp_path: Path) -> None:
    path = config(tmp_path / "config", "one")
    access = kubeconfig.load(kubeconfig=path, environ={})
    assert (access.server, access.token, access.namespace) == (
        "https://a:6443",
        "token-of-one",
        "n1",
    )


def test_the_token_is_not_shown_when_printed(tmp_path: Path) -> None:
    access = kubeconfig.load(kubeconfig=config(tmp_path / "config", "one"), environ={})
    assert "token-of-one" not in repr(access)


def test_of_two_files_the_first_to_say_something_wins(tmp_path: Path) -> None:
    first = config(tmp_path / "a", "one", server="https://first:1")
    second = config(tmp_path / "b", "one", server="https://second:2")
    third = config(tmp_path / "c", "two", server="https://third:3")
    environ = {"KUBECONFIG": f"{first}:{second}:{tmp_path / 'missing'}:{third}"}
    assert kubeconfig.load(environ=environ).server == "https://first:1"
    assert kubeconfig.load(environ=environ, context="two").server == "https://third:3"


def test_home_is_used_without_kubeconfig(tmp_path: Path) -> None:
    (tmp_path / ".kube").mkdir()
    config(tmp_path / ".kube" / "config", "home")
    assert kubeconfig.load(environ={"HOME": str(tmp_path)}).context == "home"


def test_relative_files_are_relative_to_their_kubeconfig(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_bytes(b"authority")
    path = write(
        tmp_path / "config",
        **{"current-context": "c"},
        clusters=[
            {"name": "c", "cluster": {"server": "https://a", "certificate-authority": "ca.pem"}}
        ],
        users=[{"name": "u", "user": {"tokenFile": "token"}}],
        contexts=[{"name": "c", "context": {"cluster": "c", "user": "u"}}],
    )
    access = kubeconfig.load(kubeconfig=path, environ={})
    assert access.ca_data == b"authority"
    assert access.token_file == str(tmp_path / "token")


def test_inline_certificates_are_decoded(tmp_path: Path) -> None:
    path = write(
        tmp_path / "config",
        **{"current-context": "c"},
        clusters=[{"name": "c", "cluster": {"server": "https://a/base/"}}],
        users=[
            {
                "name": "u",
                "user": {
                    "client-certificate-data": base64.b64encode(b"cert").decode(),
                    "client-key-data": base64.b64encode(b"key").decode(),
                },
            }
        ],
        contexts=[{"name": "c", "context": {"cluster": "c", "user": "u"}}],
    )
    access = kubeconfig.load(kubeconfig=path, environ={})
    assert (access.server, access.certificate, access.key) == ("https://a/base", b"cert", b"key")


def test_an_exec_plugin_is_read(tmp_path: Path) -> None:
    path = write(
        tmp_path / "config",
        **{"current-context": "c"},
        clusters=[{"name": "c", "cluster": {"server": "https://a"}}],
        users=[
            {
                "name": "u",
                "user": {
                    "exec": {
                        "command": "./get-token",
                        "args": ["--cluster", "c"],
                        "env": [{"name": "A", "value": "b"}],
                        "apiVersion": "client.authentication.k8s.io/v1beta1",
                    }
                },
            }
        ],
        contexts=[{"name": "c", "context": {"cluster": "c", "user": "u"}}],
    )
    plugin = kubeconfig.load(kubeconfig=path, environ={}).exec_plugin
    assert plugin == kubeconfig.ExecPlugin(
        command=str(tmp_path / "get-token"),
        arguments=("--cluster", "c"),
        environment=(("A", "b"),),
        api_version="client.authentication.k8s.io/v1beta1",
    )


def test_a_pod_uses_its_account(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("t")
    (tmp_path / "ca.crt").write_text("ca")
    (tmp_path / "namespace").write_text("apps")
    access = kubeconfig.load(
        environ={
            "HOME": str(tmp_path),
            "KUBERNETES_SERVICE_HOST": "fd00::1",
            "KUBERNETES_SERVICE_PORT": "6443",
        },
        account=tmp_path,
    )
    assert (access.server, access.namespace) == ("https://[fd00::1]:6443", "apps")
    assert access.token_file == str(tmp_path / "token")


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("a: [", "is not YAML at line"),
        ("- a", "holds no mapping"),
        ("clusters: 3", "clusters must be a list of mappings"),
        ("clusters: [{name: a, cluster: 3}]", "clusters[0] needs a name and a mapping `cluster`"),
        ("current-context: x", "has no context 'x': it has no contexts"),
        ("{}", "has no current-context: give --context, one of no contexts"),
        (
            "{current-context: x, contexts: [{name: x, context: {cluster: y}}]}",
            "context 'x' names the cluster 'y', which is not there",
        ),
        (
            "{current-context: x, contexts: [{name: x, context: {cluster: y}}],"
            " clusters: [{name: y, cluster: {server: 'a:6443'}}]}",
            "cluster 'y' has server 'a:6443', which is no http:// or https:// URL",
        ),
        (
            "{current-context: x, contexts: [{name: x, context: {cluster: y}}],"
            " clusters: [{name: y, cluster: {server: 'http://a',"
            " certificate-authority-data: '***'}}]}",
            "certificate-authority-data is not base64",
        ),
    ],
)
def test_what_is_wrong_is_said_in_one_sentence(
    tmp_path: Path, content: str, complaint: str
) -> None:
    path = tmp_path / "config"
    path.write_text(content)
    with pytest.raises(errors.KubeconfigError) as caught:
        kubeconfig.load(kubeconfig=path, environ={})
    assert complaint in str(caught.value)
    assert str(path) in str(caught.value)


def test_a_file_that_was_asked_for_must_exist(tmp_path: Path) -> None:
    with pytest.raises(errors.KubeconfigError, match=r"no such kubeconfig file: .*nowhere"):
        kubeconfig.load(kubeconfig=tmp_path / "nowhere", environ={})


def test_with_nothing_at_all_the_message_says_what_to_give(tmp_path: Path) -> None:
    with pytest.raises(errors.KubeconfigError, match="give --kubeconfig or set KUBECONFIG"):
        kubeconfig.load(environ={"HOME": str(tmp_path)}, account=tmp_path)
