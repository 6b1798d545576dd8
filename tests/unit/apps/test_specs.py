"""From spec to Knative Service: what is honoured, what is refused, and when a digest changes."""

from __future__ import annotations

import base64
import datetime as dt
import gzip
import json

import pytest
from apps_world import app

from understudy.apps import errors, names, records, settings, specs, storage
from understudy.kube import records as codec
from understudy.kube.knative import limits

C = records.Container


def rendered(given=None, config=None, **spec):
    return specs.render(given or app(**spec), config or settings.AppSettings())


def template(**spec):
    config = spec.pop("config", None)
    return rendered(config=config, **spec).service["spec"]["template"]


def notes(**spec):
    return template(**spec)["metadata"].get("annotations", {})


def problems(config=None, given=None, **spec):
    with pytest.raises(errors.AppInvalidError) as raised:
        specs.render(given or app(**spec), config or settings.AppSettings())
    return dict(raised.value.problems)


def test_a_container_payload_becomes_one_container_named_app():
    made = template(
        container=C(
            image="dev.local/x:v1",
            command=("serve",),
            args=("--fast",),
            working_dir="/srv",
            env=(records.EnvVar(key="B", value="2"), records.EnvVar(key="A", value="1")),
            ports=(records.ContainerPort(container_port=9000, name="h2c"),),
            resources=records.Resources(
                requests=(
                    records.ResourceEntry(name=records.ResourceName.CPU, value="500m"),
                    records.ResourceEntry(name=records.ResourceName.EPHEMERAL_STORAGE, value="1Gi"),
                ),
                limits=(records.ResourceEntry(name=records.ResourceName.GPU, value="1"),),
            ),
        )
    )
    (container,) = made["spec"]["containers"]
    env = container.pop("env")
    assert container == {
        "name": "app",
        "image": "dev.local/x:v1",
        "command": ["serve"],
        "args": ["--fast"],
        "workingDir": "/srv",
        "ports": [{"containerPort": 9000, "name": "h2c"}],
        "resources": {
            "requests": {"cpu": "500m", "ephemeral-storage": "1Gi"},
            "limits": {"nvidia.com/gpu": "1"},
        },
    }
    assert [one["name"] for one in env[:2]] == ["B", "A"]
    assert made["spec"]["enableServiceLinks"] is False


def test_the_environment_is_the_same_every_time_and_the_apps_own_wins():
    config = settings.AppSettings(default_env_vars={"Z": "z", "A": "default"})
    own = C(
        image="x",
        env=(
            records.EnvVar(key="A", value="own"),
            records.EnvVar(key="FLYTE_INTERNAL_EXECUTION_PROJECT", value="forged"),
        ),
    )
    env = template(container=own, config=config)["spec"]["containers"][0]["env"]
    assert env == [
        {"name": "Z", "value": "z"},
        {"name": "A", "value": "own"},
        {
            "name": "INTERNAL_APP_ENDPOINT_PATTERN",
            "value": "http://{app_fqdn}-shop-dev.default.svc.cluster.local",
        },
        {"name": "FLYTE_INTERNAL_EXECUTION_PROJECT", "value": "shop"},
        {"name": "FLYTE_INTERNAL_EXECUTION_DOMAIN", "value": "dev"},
    ]


def test_a_pod_payload_keeps_its_words_and_its_metadata():
    pod = records.K8sPod(
        metadata=records.K8sObjectMetadata(labels={"team": "a"}, annotations={"note": "b"}),
        primary_container_name="main",
        pod_spec={
            "containers": [
                {"name": "side", "image": "dev.local/side:v1"},
                {"name": "main", "image": "dev.local/main:v1", "ports": [{"containerPort": 80}]},
            ]
        },
    )
    made = template(container=None, pod=pod)
    side, main = made["spec"]["containers"]
    assert "env" not in side
    assert main["env"][-1]["name"] == "FLYTE_INTERNAL_EXECUTION_DOMAIN"
    assert made["metadata"]["labels"] == {"team": "a"}
    assert made["metadata"]["annotations"]["note"] == "b"
    assert made["spec"]["enableServiceLinks"] is False


@pytest.mark.parametrize(
    ("spec", "field", "text"),
    [
        ({"container": None}, "spec", "no payload"),
        ({"container": None, "pod": records.K8sPod()}, "spec.pod.podSpec", "no pod spec"),
        (
            {"container": None, "pod": records.K8sPod(pod_spec={"containers": "x"})},
            "spec.pod.podSpec.containers", "list of containers",
        ),
        ({"pod": records.K8sPod(pod_spec={"containers": []})}, "spec", "not both"),
    ],
)  # fmt: skip
def test_a_payload_that_cannot_work_is_refused(spec, field, text):
    assert text in problems(**spec)[field]


def pod(**fields):
    return {
        "container": None,
        "pod": records.K8sPod(pod_spec={"containers": [{"image": "dev.local/x:v1"}], **fields}),
    }


def ports(*numbers, name=""):
    return {
        "container": C(
            image="x",
            ports=tuple(records.ContainerPort(container_port=n, name=name) for n in numbers),
        )
    }


def scaling(low=0, high=0, **more):
    return {
        "autoscaling": records.AutoscalingConfig(
            replicas=records.Replicas(min=low, max=high), **more
        )
    }


def mounted(source):
    return {
        "container": None,
        "pod": records.K8sPod(
            pod_spec={
                "containers": [{"image": "x", "volumeMounts": [{"name": "v", "mountPath": "/v"}]}],
                "volumes": [{"name": "v", **source}],
            }
        ),
    }


REFUSED = [
    ("a second port", ports(80, 81)),
    ("a reserved port", ports(8012)),
    ("the queue's admin port", ports(8022)),
    ("a port name that says nothing to Knative", ports(80, name="http")),
    ("PORT in the environment", {"container": C(image="x", env=(records.EnvVar(key="PORT"),))}),
    ("K_SERVICE in the environment",
     {"container": C(image="x", env=(records.EnvVar(key="K_SERVICE"),))}),
    ("no image", {"container": C(image="")}),
    ("restartPolicy", pod(restartPolicy="Always")),
    ("a node selector without its flag", pod(nodeSelector={"a": "b"})),
    ("a node's name", pod(nodeName="n")),
    ("an unknown field", pod(colour="red")),
    ("a claim without its flag",
     mounted({"persistentVolumeClaim": {"claimName": "c"}})),
    ("more at least than at most", scaling(3, 2)),
    ("a window that is too short",
     scaling(scaledown_period=dt.timedelta(seconds=5))),
    ("a window that is too long", scaling(scaledown_period=dt.timedelta(hours=2))),
    ("a request that takes longer than the cluster allows",
     {"timeouts": records.TimeoutConfig(request_timeout=dt.timedelta(seconds=601))}),
    ("both metrics",
     scaling(scaling_metric=records.ScalingMetric(
         request_rate=records.RequestRate(target_value=1),
         concurrency=records.Concurrency(target_value=1)))),
    ("a role that nothing here can take on",
     {"security_context": records.SecurityContext(run_as=records.Identity(iam_role="r"))}),
]  # fmt: skip


@pytest.mark.parametrize(("what", "spec"), REFUSED, ids=[one[0] for one in REFUSED])
def test_what_would_be_refused_or_dropped_is_refused_here(what, spec):
    assert problems(**spec)


@pytest.mark.parametrize("name", ["9lives", "under_score", "-a", "a-", "", "a" * 64, "ü"])
def test_a_name_that_knative_refuses_is_refused_here(name):
    assert any(field.startswith("metadata.id") or "name" in field
               for field in problems(given=app(name)))  # fmt: skip


def test_a_claim_is_accepted_where_its_flag_is_on():
    features = limits.Limits().features | {
        "kubernetes.podspec-persistent-volume-claim",
        "kubernetes.podspec-persistent-volume-write",
    }
    config = settings.AppSettings(limits=limits.Limits(features=features))
    made = template(config=config, **mounted({"persistentVolumeClaim": {"claimName": "c"}}))
    assert made["spec"]["volumes"][0]["persistentVolumeClaim"] == {"claimName": "c"}


ACCEPTED = [
    ("no bound above", scaling(3, 0)),
    ("an extended resource", {"container": C(image="x", resources=records.Resources(
        limits=(records.ResourceEntry(name=records.ResourceName.GPU, value="2"),)))}),
    ("memory as a volume", mounted({"emptyDir": {"medium": "Memory"}})),
    ("ten minutes", {"timeouts": records.TimeoutConfig(request_timeout=dt.timedelta(minutes=10))}),
]  # fmt: skip


@pytest.mark.parametrize(("what", "spec"), ACCEPTED, ids=[one[0] for one in ACCEPTED])
def test_what_knative_accepts_is_accepted(what, spec):
    assert rendered(**spec).service


@pytest.mark.parametrize(
    ("given", "text"),
    [
        (dt.timedelta(seconds=90), "1m30s"),
        (dt.timedelta(seconds=300), "5m0s"),
        (dt.timedelta(seconds=3600), "1h0m0s"),
        (dt.timedelta(seconds=6.0), "6s"),
    ],
)
def test_durations_are_written_as_go_does(given, text):
    assert notes(**scaling(scaledown_period=given))["autoscaling.knative.dev/window"] == text


def test_scaling_becomes_annotations():
    given = scaling(1, 5, scaling_metric=records.ScalingMetric(
        request_rate=records.RequestRate(target_value=20)))  # fmt: skip
    assert notes(**given) == {
        "autoscaling.knative.dev/min-scale": "1",
        "autoscaling.knative.dev/max-scale": "5",
        "autoscaling.knative.dev/metric": "rps",
        "autoscaling.knative.dev/target": "20",
    }
    assert notes() == {}


def test_a_long_request_may_also_take_long_to_its_first_byte():
    allowed = settings.AppSettings(limits=limits.Limits(max_revision_timeout_s=3600))  # fmt: skip
    made = template(
        config=allowed,
        timeouts=records.TimeoutConfig(request_timeout=dt.timedelta(seconds=3600)),
    )["spec"]
    assert made["timeoutSeconds"] == 3600
    assert made["responseStartTimeoutSeconds"] == 3600


SECRETS = (records.Secret(key="my_key"), records.Secret(group="g", key="k"))


def test_secrets_are_asked_for_as_flytes_webhook_reads_them():
    made = template(security_context=records.SecurityContext(secrets=SECRETS))
    assert made["metadata"]["labels"] == {
        "organization": "flyte",
        "project": "shop",
        "domain": "dev",
        "inject-flyte-secrets": "true",
    }
    assert made["metadata"]["annotations"]["flyte.secrets/s0"] == "nnsxsoraejwxsx2lmv3secq"
    assert "flyte.secrets/s1" in made["metadata"]["annotations"]
    assert "labels" not in template()["metadata"]


@pytest.mark.parametrize(
    ("app_account", "default", "expected"),
    [("own", "preset", "own"), ("", "preset", "preset"), ("", "", None), ("own", "", "own")],
)
def test_the_account_of_the_app_comes_before_the_default(app_account, default, expected):
    context = records.SecurityContext(run_as=records.Identity(k8s_service_account=app_account))
    made = template(
        security_context=context, config=settings.AppSettings(default_service_account=default)
    )
    assert made["spec"].get("serviceAccountName") == expected


def test_an_accelerator_and_shared_memory_are_honoured():
    gpu = limits.Limits(features=limits.Limits().features | {"kubernetes.podspec-nodeselector"})
    made = template(
        config=settings.AppSettings(limits=gpu),
        extended_resources=records.ExtendedResources(
            gpu_accelerator=records.GpuAccelerator(device="nvidia-tesla-t4"),
            shared_memory=records.SharedMemory(size_limit="1Gi"),
        ),
    )["spec"]
    assert made["nodeSelector"] == {"k8s.amazonaws.com/accelerator": "nvidia-tesla-t4"}
    (volume,) = made["volumes"]
    assert volume["emptyDir"] == {"medium": "Memory", "sizeLimit": "1Gi"}
    assert made["containers"][0]["volumeMounts"][0]["mountPath"] == "/dev/shm"


def test_the_digests_tell_functional_from_cosmetic_changes():
    plain = rendered()
    assert rendered() == plain
    nice = rendered(profile=records.Profile(name="Nice"))
    assert nice.spec_sha != plain.spec_sha
    assert nice.deployment_id == plain.deployment_id
    other = rendered(config=settings.AppSettings(default_env_vars={"A": "1"}))
    assert other.spec_sha == plain.spec_sha
    assert other.deployment_id != plain.deployment_id
    private = rendered(ingress=records.IngressConfig(private=True))
    assert private.deployment_id != plain.deployment_id


def test_the_order_of_keys_in_a_pod_spec_changes_nothing():
    one = records.K8sPod(pod_spec={"containers": [{"image": "x", "name": "a"}]})
    other = records.K8sPod(pod_spec={"containers": [{"name": "a", "image": "x"}]})
    assert (
        rendered(container=None, pod=one).spec_sha == rendered(container=None, pod=other).spec_sha
    )


def test_a_parked_template_asks_for_nothing_knative_refuses():
    made = rendered().service
    made["spec"]["template"] = specs.park(made["spec"]["template"])
    assert specs.is_parked(made["spec"]["template"])
    assert not specs.is_parked(rendered().service["spec"]["template"])
    assert specs._refusals(made, settings.AppSettings()) == []


def test_a_spec_is_kept_in_an_annotation_and_read_back():
    spec = app(profile=records.Profile(name="x")).spec
    assert storage.decode(storage.encode(spec)) == spec
    large = app(container=C(image="x", args=("y" * 100_000,))).spec
    text = storage.encode(large)
    assert len(text) < 5_000
    assert storage.decode(text) == large


@pytest.mark.parametrize("text", [None, "", "!!!", "AAAA", base64.b64encode(b"[1]").decode()])
def test_what_is_no_spec_reads_as_none(text):
    assert storage.decode(text) is None


def test_a_few_bytes_that_stand_for_gigabytes_are_not_unpacked():
    bomb = base64.b64encode(gzip.compress(b"{" + b" " * (64 << 20))).decode()
    assert storage.decode(bomb) is None


def test_a_spec_that_no_annotation_can_hold_is_refused():
    import random

    noise = base64.b64encode(random.Random(1).randbytes(300_000)).decode()
    assert "move data out" in problems(container=C(image="x", args=(noise,)))["spec"]


def test_records_travel_as_json_and_come_back_equal():
    given = app(
        **scaling(1, 2, scaledown_period=dt.timedelta(seconds=90)),
        ingress=records.IngressConfig(private=True, cname="www.shop.example"),
        security_context=records.SecurityContext(secrets=SECRETS),
        timeouts=records.TimeoutConfig(request_timeout=dt.timedelta(seconds=1.5)),
        inputs=(records.Input(name="i", string_value="v"),),
    )
    text = json.dumps(codec.to_json(given))
    assert codec.from_json(records.App, json.loads(text)) == given


def test_a_spec_with_a_word_nobody_knows_is_refused():
    with pytest.raises(codec.RecordError, match="colour"):
        codec.from_json(records.Spec, {"colour": "red"})


def test_the_pattern_of_endpoints_follows_the_template():
    config = settings.AppSettings(
        namespace="apps", namespaced_name_suffix_template="{{ domain }}-{{ project }}"
    )
    pattern = names.endpoint_pattern(app().id, config)
    assert pattern == "http://{app_fqdn}-dev-shop.apps.svc.cluster.local"
