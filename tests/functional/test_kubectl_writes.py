"""kubectl's own typed commands work: they send protobuf, read OpenAPI and aggregated discovery."""

import asyncio
import os
import shutil

import orjson
import pytest

from understudy.kapi import server, settings

pytestmark = [
    pytest.mark.kubectl,
    pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not installed"),
]

CRD = """
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: widgets.stable.example.com}
spec:
  group: stable.example.com
  scope: Namespaced
  names: {plural: widgets, singular: widget, kind: Widget, shortNames: [wd]}
  versions:
  - name: v1
    served: true
    storage: true
    schema:
      openAPIV3Schema:
        type: object
        properties:
          spec:
            type: object
            properties:
              size: {type: integer, description: How large it is.}
"""


@pytest.fixture
async def kubectl(tmp_path):
    """Yield a function that runs kubectl against a fresh server and returns code and output."""
    kubeconfig = tmp_path / "kubeconfig"
    running = server.Server(settings.ServerSettings(port=0, kubeconfig=kubeconfig))
    await running.start()

    async def run(*arguments, stdin=""):
        environment = {**os.environ, "KUBECONFIG": str(kubeconfig), "HOME": str(tmp_path)}
        process = await asyncio.create_subprocess_exec(
            "kubectl",
            *arguments,
            env=environment,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await process.communicate(stdin.encode())
        return process.returncode, out.decode(), err.decode()

    yield run
    await running.stop()


@pytest.mark.parametrize(
    ("command", "shown", "expected"),
    [
        (
            "create configmap c --from-literal=a=b",
            "get configmap c -o json",
            {"data": {"a": "b"}},
        ),
        (
            "create secret generic s --from-literal=x=y",
            "get secret s -o json",
            {"data": {"x": "eQ=="}, "type": "Opaque"},
        ),
        (
            "create role r --verb=get,list --resource=pods",
            "get role r -o json",
            {"rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list"]}]},
        ),
        (
            "create quota q --hard=pods=3,requests.cpu=1500m",
            "get quota q -o json",
            {"spec": {"hard": {"pods": "3", "requests.cpu": "1500m"}}},
        ),
        (
            "create priorityclass p --value=10",
            "get priorityclass p -o json",
            {"value": 10},
        ),
        (
            "create clusterrolebinding b --clusterrole=view --user=jane",
            "get clusterrolebinding b -o json",
            {
                "subjects": [
                    {"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "jane"}
                ]
            },
        ),
        (
            "create service clusterip web --tcp=80:http",
            "get service web -o json",
            {},
        ),
        (
            "create ingress i --rule=a.example.com/x*=web:80",
            "get ingress i -o json",
            {},
        ),
    ],
    ids=lambda value: value.split()[1] if isinstance(value, str) else None,
)
async def test_a_typed_command_creates_what_it_says(kubectl, command, shown, expected):
    code, _, err = await kubectl(*command.split())
    assert code == 0, err
    code, out, err = await kubectl(*shown.split())
    assert code == 0, err
    found = orjson.loads(out)
    assert {key: found[key] for key in expected} == expected


async def test_workloads_are_created_and_scaled(kubectl):
    for command in (
        "create deployment d --image=nginx --replicas=2 --port=80",
        "autoscale deployment d --max=3 --cpu-percent=80",
        "create job j --image=busybox -- echo hi",
        "create cronjob cj --image=busybox --schedule=*/5 * * * * -- date",
    ):
        arguments = command.split(" ")
        if arguments[1] == "cronjob":
            arguments = [*arguments[:4], "--schedule=*/5 * * * *", "--", "date"]
        code, _, err = await kubectl(*arguments)
        assert code == 0, err
    _, out, _ = await kubectl("get", "deploy", "d", "-o", "json")
    container = orjson.loads(out)["spec"]["template"]["spec"]["containers"][0]
    assert container["ports"] == [{"containerPort": 80, "protocol": "TCP"}]
    _, out, _ = await kubectl("get", "hpa", "d", "-o", "json")
    assert orjson.loads(out)["spec"]["metrics"][0]["resource"]["target"] == {
        "averageUtilization": 80,
        "type": "Utilization",
    }
    _, out, _ = await kubectl("get", "job", "j", "-o", "json")
    assert orjson.loads(out)["spec"]["template"]["spec"]["containers"][0]["command"] == [
        "echo",
        "hi",
    ]


async def test_reviews_and_answers_about_oneself_work(kubectl):
    code, out, _ = await kubectl("auth", "can-i", "create", "pods")
    assert (code, out.strip()) == (0, "yes")
    code, out, _ = await kubectl("auth", "whoami", "-o", "json")
    assert code == 0
    assert orjson.loads(out)["status"]["userInfo"]["username"]


async def test_explain_knows_built_in_fields(kubectl):
    code, out, err = await kubectl("explain", "deployment.spec.strategy.rollingUpdate")
    assert code == 0, err
    assert "maxSurge\t<IntOrString>" in out


async def test_a_custom_kind_is_discovered_explained_and_applied_at_once(kubectl):
    code, _, err = await kubectl("apply", "-f", "-", stdin=CRD)
    assert code == 0, err
    code, out, err = await kubectl("explain", "widget.spec.size")
    assert code == 0, err
    assert "How large it is." in out
    widget = "apiVersion: stable.example.com/v1\nkind: Widget\nmetadata: {name: w}\nspec: {size: 3}"
    code, _, err = await kubectl("apply", "-f", "-", stdin=widget)
    assert code == 0, err
    code, out, _ = await kubectl("get", "wd", "w", "-o", "jsonpath={.spec.size}")
    assert (code, out) == (0, "3")


async def test_a_field_that_is_misspelt_is_refused_by_name(kubectl):
    pod = "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec: {containers: [{name: c, imag: x}]}"
    code, _, err = await kubectl("apply", "-f", "-", stdin=pod)
    assert code != 0
    assert 'unknown field "spec.containers[0].imag"' in err
