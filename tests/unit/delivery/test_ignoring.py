"""Fields that others may change: neither drift nor put back."""

from __future__ import annotations

import pytest
from tests.unit.delivery import conftest as world

from understudy.delivery import errors, ignoring
from understudy.kapi.views import options as view_options

SCALER = view_options.WriteOptions(field_manager="scaler")
REPLICAS = ignoring.parse(["Deployment/web:/spec/replicas"])


@pytest.mark.parametrize(
    "text", ["", "/", "spec.replicas", "Deployment", "Deployment:", "/kind", "/apiVersion"]
)
def test_what_is_no_rule_is_refused(text: str) -> None:
    with pytest.raises(errors.ManifestError, match="is no rule; write /spec/replicas"):
        ignoring.parse([text])


def test_a_slash_in_a_key_is_escaped() -> None:
    (rule,) = ignoring.parse(["/metadata/annotations/example.com~1note~0x"])
    assert rule.steps == ("metadata", "annotations", "example.com/note~x")


async def test_what_a_scaler_set_stays(still: world.Cluster) -> None:
    await still.deliver(world.deployment("web", replicas=2), wait=False)
    patch = {"spec": {"replicas": 5}}
    still.view.patch("deployments.apps", "web", patch, "default", options=SCALER)
    face = still.deliveries()
    assert (await face.drift(world.OWNER, world.options(wait=False))).has_changes
    calm = world.options(wait=False, ignored=REPLICAS)
    assert not (await face.drift(world.OWNER, calm)).has_changes
    assert not (await face.correct(world.OWNER, calm)).changed
    image = {"spec": {"template": {"spec": {"containers": [{"name": "web", "image": "evil:1"}]}}}}
    still.view.patch(
        "deployments.apps", "web", image, "default", options=SCALER,
        patch_type=view_options.STRATEGIC_MERGE_PATCH,
    )  # fmt: skip
    assert (await face.correct(world.OWNER, calm)).changed
    web = still.find("deployments.apps", "web")
    assert web is not None
    assert web["spec"]["replicas"] == 5
    assert web["spec"]["template"]["spec"]["containers"][0]["image"] == "web:1"
    assert (await face.correct(world.OWNER, world.options(wait=False))).changed
    web = still.find("deployments.apps", "web")
    assert web is not None
    assert web["spec"]["replicas"] == 2
    assert len(await face.history(world.OWNER)) == 1
