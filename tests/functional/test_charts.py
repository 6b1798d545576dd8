"""Helm charts, rendered by a real helm, from installation to rollback."""

from pathlib import Path

import orjson
import pytest
from click import testing

from understudy.cli import main

pytestmark = pytest.mark.usefixtures("helm")


@pytest.fixture
def run(live_cluster):
    def invoke(*words, code=0):
        runner = testing.CliRunner(env={"KUBECONFIG": live_cluster.kubeconfig, "NO_COLOR": "1"})
        done = runner.invoke(main.cli, [str(word) for word in words])
        assert done.exit_code == code, done.output
        return done.output

    return invoke


@pytest.mark.timeout(180)  # eight commands, each with helm, on a machine that others use
def test_a_chart_from_installation_to_rollback(run, shop_chart: Path):
    planned = run("plan", "sale", "-f", shop_chart, "--set", "image.tag=4", code=2)
    assert "Job default/sale-migrate runs" in planned
    told = run("deliver", "sale", "-f", shop_chart, "--set", "image.tag=4", "--yes")
    for line in ("run Job default/sale-migrate", "create Sale default/sale"):
        assert line in told
    assert "Nothing to do" in run("deliver", "sale", "-f", shop_chart, "--set", "image.tag=4")

    values = shop_chart.parent / "values.yaml"
    values.write_text("greeting: Welcome\ncache: {enabled: true}\n")
    upgrade = ("-f", shop_chart, "--values", values, "--set", "image.tag=5")
    planned = run("plan", "sale", *upgrade, code=2)
    assert "data.GREETING: Hello -> Welcome" in planned
    assert "Deployment default/sale-web restarts 1 pod" in planned
    told = run("deliver", "sale", *upgrade, "--yes")
    assert "run Job default/sale-migrate" in told
    assert "create Service default/sale-cache" in told

    told = run("rollback", "sale", "--yes")
    assert "delete Service default/sale-cache" in told
    assert "run Job" not in told, "hooks of upgrading do not run when going back"
    run("delete", "sale", "--yes")


def test_charts_and_kustomizations_are_components(run, shop_chart: Path):
    folder = shop_chart.parent
    (folder / "more").mkdir()
    (folder / "more" / "kustomization.yaml").write_text("resources: [config.yaml]\n")
    config = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: more}\n"
    (folder / "more" / "config.yaml").write_text(config)
    (folder / "prod.yaml").write_text("replicas: 2\ngreeting: Hi\n")
    chart = {
        "chart": "shop",
        "release": "front",
        "values": {"greeting": "Hey"},
        "valuesFiles": ["prod.yaml"],
    }
    document = {
        "apiVersion": "core.understudy.dev/v1alpha1",
        "kind": "Application",
        "metadata": {"name": "whole"},
        "spec": {
            "components": [
                {"name": "front", "type": "helm", "properties": chart},
                {"name": "more", "type": "kustomization", "properties": {"path": "more"}},
            ]
        },
    }
    file = folder / "whole.json"
    file.write_bytes(orjson.dumps(document))
    made = {
        (one["kind"], one["name"])
        for one in orjson.loads(run("plan", "whole", "-f", file, "-o", "json", code=2))[
            "operations"
        ]
    }
    assert {("Deployment", "front-web"), ("ConfigMap", "more"), ("Sale", "front")} <= made


@pytest.mark.parametrize(
    ("component", "complaint"),
    [
        ({"type": "helm", "properties": {}}, "spec.components[0].properties.chart: is required"),
        (
            {"type": "helm", "properties": {"chart": "shop", "value": {}}},
            "spec.components[0].properties.value: no such field; the fields here are chart, "
            "release, values, valuesFiles",
        ),
        (
            {"type": "helm", "properties": {"chart": "absent"}},
            "spec.components[0].properties.chart: DIR/absent is no Helm chart",
        ),
        (
            {"type": "kustomization", "properties": {"path": "shop"}},
            "spec.components[0].properties.path: DIR/shop is no kustomization",
        ),
        (
            {"type": "helm", "properties": {"chart": "shop", "values": {"replicas": 0}}},
            "at '/replicas': minimum: got 0, want 1",
        ),
    ],
)
def test_what_is_wrong_with_a_component_is_told(run, shop_chart: Path, component, complaint):
    document = {
        "apiVersion": "core.understudy.dev/v1alpha1",
        "kind": "Application",
        "metadata": {"name": "whole"},
        "spec": {"components": [component]},
    }
    file = shop_chart.parent / "whole.json"
    file.write_bytes(orjson.dumps(document))
    told = run("plan", "whole", "-f", file, code=1)
    assert complaint.replace("DIR", str(shop_chart.parent)) in told


def test_values_without_a_chart_are_refused(run, shop_chart: Path):
    crd = shop_chart / "crds" / "sales.yaml"
    told = run("plan", "sale", "-f", crd, "--set", "a=b", code=2)
    assert "--values and --set are for charts, and no -f is one" in told
