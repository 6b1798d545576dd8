"""An operator: each Backup gets a CronJob that copies its volume. Run it: `kopf run backups.py`."""

import kopf
import urllib3
from kubernetes import client, config


@kopf.on.startup()
def connect(settings: kopf.OperatorSettings, **_) -> None:
    """Find the cluster as kubectl does; keep Kubernetes' own word on what an object looks like."""
    config.load_config()
    settings.persistence.finalizer = "example.com/backups"
    settings.networking.error_backoffs = [0.1, 0.2, 0.5]
    settings.execution.max_workers = 4


@kopf.on.create("backups")
@kopf.on.update("backups", field="spec")
def keep_cron_job(spec, name, namespace, patch, **_) -> None:
    """Make the CronJob, or bring it up to date."""
    wanted = {
        "metadata": {"name": name},
        "spec": {
            "schedule": spec["schedule"],
            "concurrencyPolicy": "Forbid",
            "jobTemplate": {"spec": {"template": {"spec": pod(spec["claim"])}}},
        },
    }
    kopf.adopt(wanted)
    batch = client.BatchV1Api()
    try:
        try:
            batch.create_namespaced_cron_job(namespace, wanted)
        except client.ApiException as error:
            if error.status != 409:
                raise
            batch.patch_namespaced_cron_job(name, namespace, wanted)
    except client.ApiException as error:
        if error.status == 422:
            patch.status["state"] = "Invalid"
            raise kopf.PermanentError(f"the schedule {spec['schedule']!r} is refused") from error
        raise kopf.TemporaryError(f"the API says {error.status}", delay=0.2) from error
    except urllib3.exceptions.HTTPError as error:
        raise kopf.TemporaryError("the connection was lost", delay=0.2) from error
    patch.status["state"] = "Scheduled"


def pod(claim: str) -> dict:
    """Return the pod that copies a volume."""
    return {
        "restartPolicy": "OnFailure",
        "containers": [
            {
                "name": "copy",
                "image": "registry.example.com/copy:1",
                "args": ["/data"],
                "volumeMounts": [{"name": "data", "mountPath": "/data", "readOnly": True}],
            }
        ],
        "volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": claim}}],
    }


@kopf.on.delete("backups")
def say_goodbye(name, **_) -> None:
    """Nothing to do: the CronJob belongs to the Backup and goes with it."""
