"""Delete pods that failed long ago: `python sweep.py --older-than-h 24 [--namespace NAME]`."""

import argparse
import datetime as dt
import sys

from kubernetes import client, config


def failed_before(core: client.CoreV1Api, namespace: str, limit: dt.datetime) -> list[client.V1Pod]:
    """Return the failed pods that started before a moment, page by page."""
    found, token = [], None
    while True:
        page = core.list_namespaced_pod(
            namespace, field_selector="status.phase=Failed", limit=100, _continue=token
        )
        found += [
            pod for pod in page.items if pod.status.start_time and pod.status.start_time < limit
        ]
        token = page.metadata._continue
        if not token:
            return found


def main(arguments: list[str] | None = None) -> int:
    """Sweep; returns the exit code."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--older-than-h", type=float, default=24)
    parser.add_argument("--namespace", default="default")
    asked = parser.parse_args(arguments)
    api = config.new_client_from_config()
    core = client.CoreV1Api(api)
    limit = dt.datetime.now(dt.UTC) - dt.timedelta(hours=asked.older_than_h)
    try:
        for pod in failed_before(core, asked.namespace, limit):
            name, uid = pod.metadata.name, pod.metadata.uid
            # Not one that took the name meanwhile.
            core.delete_namespaced_pod(
                name, asked.namespace, body={"preconditions": {"uid": uid}, "gracePeriodSeconds": 0}
            )
            print(f"deleted {name}")
    except client.ApiException as error:
        print(f"the API refused: {error.status} {error.reason}", file=sys.stderr)
        return 1
    finally:
        api.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
