"""A body of another kind is refused by what the server knows of that kind."""

import pytest

from understudy.kapi.resources import builtins, recognition

CATALOGUE = builtins.catalogue()
SCHEME = '"k8s.io/kubernetes/pkg/api/legacyscheme/scheme.go:30"'


@pytest.mark.parametrize(
    ("ref", "api_version", "kind", "message"),
    [
        (
            "configmaps",
            "v1",
            "Secret",
            'Secret in version "v1" cannot be handled as a ConfigMap: '
            "converting (v1.Secret) to (core.ConfigMap): unknown conversion",
        ),
        (
            "deployments.apps",
            "v1",
            "Pod",
            'Pod in version "v1" cannot be handled as a Deployment: '
            "converting (v1.Pod) to (apps.Deployment): unknown conversion",
        ),
        (
            "roles.rbac.authorization.k8s.io",
            "rbac.authorization.k8s.io/v1",
            "ClusterRole",
            'ClusterRole in version "v1" cannot be handled as a Role: '
            "converting (v1.ClusterRole) to (rbac.Role): unknown conversion",
        ),
        (
            "configmaps",
            "v2",
            "ConfigMap",
            'ConfigMap in version "v2" cannot be handled as a ConfigMap: '
            f'no kind "ConfigMap" is registered for version "v2" in scheme {SCHEME}',
        ),
        (
            "configmaps",
            "v1",
            "Nope",
            'Nope in version "v1" cannot be handled as a ConfigMap: '
            f'no kind "Nope" is registered for version "v1" in scheme {SCHEME}',
        ),
        (
            "deployments.apps",
            "extensions/v1beta1",
            "Deployment",
            "the API version in the data (extensions/v1beta1) does not match the expected API "
            "version (apps/v1)",
        ),
        (
            "horizontalpodautoscalers.autoscaling",
            "autoscaling/v1",
            "HorizontalPodAutoscaler",
            "the API version in the data (autoscaling/v1) does not match the expected API version "
            "(autoscaling/v2)",
        ),
        (
            "events",
            "events.k8s.io/v1",
            "Event",
            "the API version in the data (events.k8s.io/v1) does not match the expected API "
            "version (v1)",
        ),
    ],
)
def test_the_refusal_says_why(ref, api_version, kind, message):
    refusal = recognition.mismatch(CATALOGUE.named(ref), api_version, kind)
    assert refusal.message == message


def test_a_subresource_may_expect_a_kind_of_its_own():
    refusal = recognition.mismatch(
        CATALOGUE.named("deployments.apps"), "autoscaling/v1", "Scaler", expected="Scale"
    )
    assert refusal.message == (
        'Scaler in version "v1" cannot be handled as a Scale: no kind "Scaler" is registered for '
        f'version "autoscaling/v1" in scheme {SCHEME}'
    )
