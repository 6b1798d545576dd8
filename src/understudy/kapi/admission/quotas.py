"""ResourceQuota: refuses what would use up more than a quota allows, and counts what it lets in.

What a quota allows and has used is read from its status; a quota without one bounds nothing yet.
Usage rises here, before the object exists; a controller counts again when objects go.
Source: plugin/pkg/admission/resourcequota @1.36.
"""

from __future__ import annotations

from understudy.kapi.admission import chain, pods, usage
from understudy.kube import identities, objects, quantities

QUOTAS = identities.GroupResource("", "resourcequotas")
_UPDATES = frozenset(["pods", "services", "persistentvolumeclaims"])
Amounts = usage.Amounts


class ResourceQuota:
    """Applies a namespace's quotas to what is created in it."""

    name = "ResourceQuota"

    def handles(self, attributes: chain.Attributes) -> bool:
        resource = attributes.resource
        if not resource.namespaced or attributes.subresource not in {"", "resize"}:
            return False
        if attributes.operation == "CREATE":
            return True
        return attributes.operation == "UPDATE" and resource.storage.resource in _UPDATES

    def mutate(self, attributes: chain.Attributes) -> None:
        """Nothing to add."""

    def validate(self, attributes: chain.Attributes) -> None:
        if attributes.namespace not in pods.bounded_namespaces(attributes.reader, "resourcequotas"):
            return
        quotas = list(attributes.reader.each("resourcequotas", attributes.namespace))
        storage, obj = attributes.resource.storage, attributes.obj or {}
        is_pod = storage == pods.PODS
        if is_pod and attributes.operation == "CREATE":
            self._require(attributes, quotas, obj)
        delta = usage.used_by(storage, obj)
        if attributes.operation == "UPDATE":
            for key, amount in usage.used_by(storage, attributes.old or {}).items():
                delta[key] = delta[key] - amount if key in delta else -amount
        raised: list[objects.Object] = []
        for quota in quotas:
            if not usage.matches_scopes(quota, obj, is_pod=is_pod):
                continue
            changed = self._admit(attributes, quota, delta)
            if changed is not None:
                raised.append(changed)
        if attributes.dry_run or attributes.write_status is None:
            return
        for quota in raised:
            attributes.write_status("resourcequotas", quota)

    @staticmethod
    def _require(
        attributes: chain.Attributes, quotas: list[objects.Object], pod: objects.Object
    ) -> None:
        for quota in quotas:
            hard = (quota.get("status") or {}).get("hard") or {}
            if not usage.matches_scopes(quota, pod, is_pod=True):
                continue
            missing = usage.missing_of(pod, hard)
            if missing:
                text = "; ".join(
                    f"{key} for: {','.join(names)}" for key, names in sorted(missing.items())
                )
                raise pods.refuse(
                    attributes, f"failed quota: {objects.name_of(quota)}: must specify {text}"
                )

    @staticmethod
    def _admit(
        attributes: chain.Attributes, quota: objects.Object, delta: Amounts
    ) -> objects.Object | None:
        """Return the quota with its usage raised, None where nothing of it is used."""
        status = quota.get("status") or {}
        hard = {key: quantities.parse(text) for key, text in (status.get("hard") or {}).items()}
        zero = quantities.of(0)
        counted = {key: delta[key] for key in hard if key in delta and delta[key] != zero}
        if not counted:
            return None
        used = {key: quantities.parse(text) for key, text in (status.get("used") or {}).items()}
        unknown = sorted(key for key in counted if key not in used)
        name = objects.name_of(quota)
        if unknown:
            raise pods.refuse(
                attributes, f"status unknown for quota: {name}, resources: {','.join(unknown)}"
            )
        over = sorted(
            key
            for key, amount in counted.items()
            if amount > zero and used[key] + amount > hard[key]
        )
        if over:
            raise pods.refuse(
                attributes,
                f"exceeded quota: {name}, "
                f"requested: {usage.shown({key: counted[key] for key in over})}, "
                f"used: {usage.shown({key: used[key] for key in over})}, "
                f"limited: {usage.shown({key: hard[key] for key in over})}",
            )
        raised = {key: str(used[key] + amount) for key, amount in counted.items()}
        quota["status"] = status | {"used": (status.get("used") or {}) | raised}
        return quota
