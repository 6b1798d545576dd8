"""What field ownership costs: managedFields of creates, updates and applies, and patches.

    .venv/bin/python bench/bench_fields.py

Prints microseconds a call over a 3 KB pod: the best of several rounds, on one core.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable

from understudy.kapi.resources import builtins
from understudy.kube import apply, decoding, objects, patches, quantities

NOW = "2026-01-01T00:00:00Z"
ROUNDS = 7
CALLS = 500


def pod() -> objects.Object:
    """Return a decoded pod of about 3 KB."""
    env = [{"name": f"VARIABLE_{n}", "value": f"value of {n}"} for n in range(8)]
    containers = [
        {
            "name": name,
            "image": f"registry.example.com/team/{name}:v1.2.3",
            "args": ["--verbose", f"--name={name}"],
            "env": env,
            "ports": [{"name": "http", "containerPort": 8080, "protocol": "TCP"}],
            "resources": {
                "limits": {"cpu": "500m", "memory": "256Mi"},
                "requests": {"cpu": "250m", "memory": "128Mi"},
            },
            "livenessProbe": {
                "httpGet": {"path": "/healthz", "port": 8080, "scheme": "HTTP"},
                "periodSeconds": 10, "timeoutSeconds": 1, "failureThreshold": 3,
            },
            "volumeMounts": [{"name": "data", "mountPath": "/data"}],
            "imagePullPolicy": "IfNotPresent",
            "terminationMessagePath": "/dev/termination-log",
            "terminationMessagePolicy": "File",
        }
        for name in ("web", "sidecar")
    ]  # fmt: skip
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": "web-7c5ddbdf54-x9x4k",
            "namespace": "default",
            "labels": {"app": "web", "pod-template-hash": "7c5ddbdf54", "tier": "front"},
            "annotations": {"example.com/checksum": "0" * 64},
            "ownerReferences": [
                {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web-7c5ddbdf54",
                 "uid": "6f1d2c3b-0000-4000-8000-000000000001", "controller": True}
            ],
        },
        "spec": {
            "containers": containers,
            "volumes": [{"name": "data", "emptyDir": {}}],
            "nodeSelector": {"zone": "a"},
            "tolerations": [{"key": "k", "operator": "Exists"}],
            "dnsPolicy": "ClusterFirst", "restartPolicy": "Always",
            "schedulerName": "default-scheduler", "securityContext": {},
            "enableServiceLinks": True, "terminationGracePeriodSeconds": 30,
        },
    }  # fmt: skip


def measure(name: str, call: Callable[[], object], prepare: Callable[[], None]) -> None:
    """Print the best mean time of a call; `prepare` restores what it changes and is not timed."""
    best = float("inf")
    for _ in range(ROUNDS):
        spent = 0.0
        for _ in range(CALLS):
            prepare()
            start = time.perf_counter()
            call()
            spent += time.perf_counter() - start
        best = min(best, spent / CALLS)
    print(f"{name:34} {best * 1e6:8.1f} us")


def main() -> None:
    """Run every measurement."""
    schema = builtins.catalogue().named("pods").schema
    new = pod()
    decoding.decode(new, schema, mode="Ignore", api_version="v1", kind="Pod")
    print(f"pod of {len(json.dumps(new))} bytes")
    write = {"schema": schema, "manager": "m", "api_version": "v1", "subresource": "", "now": NOW}

    def drop() -> None:
        new["metadata"].pop("managedFields", None)

    measure("track_update, create", lambda: apply.track_update(None, new, **write), drop)

    stored = objects.copy(new)
    stored["metadata"]["uid"] = "u"
    changed = objects.copy(stored)
    changed["spec"]["containers"][0]["image"] = "other"

    def restore() -> None:
        changed["metadata"].pop("managedFields", None)

    measure(
        "track_update, one field changed",
        lambda: apply.track_update(stored, changed, **write),
        restore,
    )
    same = objects.copy(stored)
    measure(
        "track_update, nothing changed",
        lambda: apply.track_update(stored, same, **write),
        lambda: None,
    )

    config = pod()
    live = apply.apply(None, config, force=False, **write)
    live["metadata"]["uid"] = "u"
    measure("apply, create", lambda: apply.apply(None, config, force=False, **write), lambda: None)
    measure(
        "apply again, nothing changed",
        lambda: apply.apply(live, config, force=False, **write),
        lambda: None,
    )
    other = pod()
    other["spec"]["containers"][0]["env"] = other["spec"]["containers"][0]["env"][1:]
    measure(
        "apply, one item given up",
        lambda: apply.apply(live, other, force=False, **write),
        lambda: None,
    )

    patch = {"spec": {"containers": [{"name": "web", "image": "other"}]}}
    kind = patches.STRATEGIC_MERGE_PATCH
    measure(
        "strategic merge patch", lambda: patches.apply(kind, stored, patch, schema), lambda: None
    )
    operations = [{"op": "replace", "path": "/spec/containers/0/image", "value": "x"}]
    measure(
        "JSON patch",
        lambda: patches.apply(patches.JSON_PATCH, stored, operations, schema),
        lambda: None,
    )
    measure("canonical quantity", lambda: quantities.canonical("256Mi"), lambda: None)


if __name__ == "__main__":
    main()
