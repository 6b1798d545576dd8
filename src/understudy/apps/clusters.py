"""What a cluster's Knative allows, asked of the cluster itself.

Local checks are only as good as the limits they go by: an operator may have raised the longest
request or switched features on.
"""

from __future__ import annotations

from understudy.client import errors as transport, protocol
from understudy.kube import objects, statuses as api
from understudy.kube.knative import limits

SYSTEM_NAMESPACE = "knative-serving"


async def read_limits(client: protocol.Client, namespace: str = SYSTEM_NAMESPACE) -> limits.Limits:
    """Return the limits that the cluster's ConfigMaps set; what cannot be read is Knative's own.

    Raises:
        TransportError: The cluster cannot be reached.
    """
    found: list[objects.Object] = []
    for name in ("config-defaults", "config-autoscaler", "config-features"):
        try:
            config = await client.get("configmaps", name, namespace=namespace)
        except transport.TransportError:
            raise
        except api.ApiError:
            config = {}
        found.append(config.get("data") or {})
    try:
        return limits.from_config_maps(*found)
    except ValueError:
        return limits.Limits()  # the control plane does not take it either, and goes on as before
