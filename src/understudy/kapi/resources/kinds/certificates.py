"""CertificateSigningRequests, ClusterTrustBundles.

Source: pkg/apis/certificates/validation, pkg/registry/certificates @1.36. What a request may say
about who asks is the server's: username, uid, groups and extra come from the request's user.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from typing import ClassVar

from understudy.aio import clocks
from understudy.kapi.resources import strategies
from understudy.kapi.resources.kinds import rules
from understudy.kube import causes, names, objects, statuses

USAGES = (
    "any", "cert sign", "client auth", "code signing", "content commitment", "crl sign",
    "data encipherment", "decipher only", "digital signature", "email protection",
    "encipher only", "ipsec end system", "ipsec tunnel", "ipsec user", "key agreement",
    "key encipherment", "microsoft sgc", "netscape sgc", "ocsp signing", "s/mime", "server auth",
    "signing", "timestamping",
)  # fmt: skip
_EXPIRATION_S_MIN = 600
_DOMAIN_MAX, _SIGNER_MAX = 253, 253 + 1 + 253 + 63 + 1
_DECISIONS = ("Approved", "Denied")
_OWN = ("username", "uid", "groups", "extra")


class CertificateSigningRequest(rules.Kind):
    """A CertificateSigningRequest: its spec never changes, its conditions only grow."""

    metadata_checks: ClassVar[names.MetadataChecks] = names.MetadataChecks(1, 1, True)
    status_is_separate: ClassVar[bool] = True
    selectable: ClassVar[tuple[str, ...]] = ("spec.signerName",)

    def selectable_fields(self, obj: objects.Object) -> dict[str, str]:
        return {"spec.signerName": (obj.get("spec") or {}).get("signerName") or ""}

    def default(self, obj: objects.Object) -> None:
        if obj.get("spec") is None:
            obj["spec"] = {}

    def prepare_create(self, obj: objects.Object, context: strategies.WriteContext) -> None:
        super().prepare_create(obj, context)
        spec, user = obj["spec"], context.user
        for key in _OWN:
            spec.pop(key, None)
        spec["username"] = user.username
        if user.uid:
            spec["uid"] = user.uid
        if user.groups:
            spec["groups"] = list(user.groups)
        if user.extra:
            spec["extra"] = {key: list(values) for key, values in user.extra}

    def prepare_update(
        self, obj: objects.Object, old: objects.Object, context: strategies.WriteContext
    ) -> None:
        rules.restore(obj, old, "spec")
        if context.subresource not in {"status", "approval"}:
            rules.restore(obj, old, "status")
            return
        status, before = obj.setdefault("status", {}), old.get("status") or {}
        self._stamp(status, before, clocks.rfc3339(context.now))

    @staticmethod
    def _stamp(status: objects.Object, before: objects.Object, now: str) -> None:
        known = {condition.get("type"): condition for condition in before.get("conditions") or ()}
        for condition in status.get("conditions") or ():
            if not condition.get("lastUpdateTime"):
                condition["lastUpdateTime"] = now
            if not condition.get("lastTransitionTime"):
                same = known.get(condition.get("type"))
                kept = same.get("lastTransitionTime") if same else None
                condition["lastTransitionTime"] = kept or now

    def validate_name(self, name: str) -> list[str]:
        # Nothing but what a path allows: the real server checks these names nowhere else.
        return names.path_segment(name)

    def validate_create(
        self, obj: objects.Object, context: strategies.WriteContext
    ) -> list[statuses.Cause]:
        spec = obj["spec"]
        out: list[statuses.Cause] = []
        if problem := _request_problem(spec.get("request") or ""):
            out.append(causes.invalid("spec.request", spec.get("request"), problem))
        usages = spec.get("usages") or []
        if not usages:
            out.append(causes.required("spec.usages"))
        for index, usage in enumerate(usages):
            if usage not in USAGES:
                out.append(causes.unsupported(f"spec.usages[{index}]", usage, USAGES))
            if usage in usages[:index]:
                out.append(causes.duplicate(f"spec.usages[{index}]", usage))
        out += signer_name(spec.get("signerName") or "", "spec.signerName")
        seconds = spec.get("expirationSeconds")
        if seconds is not None and seconds < _EXPIRATION_S_MIN:
            text = "may not specify a duration less than 600 seconds (10 minutes)"
            out.append(causes.invalid("spec.expirationSeconds", seconds, text))
        return out

    def validate_update(
        self, obj: objects.Object, old: objects.Object, context: strategies.WriteContext
    ) -> list[statuses.Cause]:
        if context.subresource not in {"status", "approval"}:
            return []
        status, before = obj.get("status") or {}, old.get("status") or {}
        out = _conditions(status.get("conditions") or [])
        at = "status.conditions"
        for kind in (*_DECISIONS, "Failed"):
            mine, theirs = (
                [one for one in each.get("conditions") or () if one.get("type") == kind]
                for each in (status, before)
            )
            if len(mine) < len(theirs):
                verb = "remove"
            elif kind == "Failed" or context.subresource == "approval" or mine == theirs:
                continue
            else:
                verb = "add" if len(mine) > len(theirs) else "modify"
            text = f"updates may not {verb} a condition of type {causes.quoted(kind)}"
            out.append(causes.forbidden(at, text))
        return out + _certificate(status, before, context.subresource)


def _conditions(conditions: list[objects.Object]) -> list[statuses.Cause]:
    out: list[statuses.Cause] = []
    types = [one.get("type") or "" for one in conditions]
    for index, one in enumerate(conditions):
        at, kind, state = f"status.conditions[{index}]", types[index], one.get("status") or ""
        if not kind:
            out.append(causes.required(f"{at}.type"))
        known = ("True",) if kind in {*_DECISIONS, "Failed"} else ("False", "True", "Unknown")
        if not state:
            out.append(causes.required(f"{at}.status"))
        elif state not in known:
            out.append(causes.unsupported(f"{at}.status", state, known))
        others = set(_DECISIONS) - {kind}
        if kind in _DECISIONS and others & set(types[:index]):
            text = "Approved and Denied conditions are mutually exclusive"
            out.append(causes.invalid("status.conditions", kind, text))
        if kind in types[:index]:
            out.append(causes.duplicate(f"{at}.type", kind))
    return out


def _certificate(
    status: objects.Object, before: objects.Object, subresource: str
) -> list[statuses.Cause]:
    from cryptography import x509  # noqa: PLC0415 (costs start-up, and is seldom needed)

    field, value = "status.certificate", status.get("certificate")
    if (value or "") == (before.get("certificate") or ""):
        return []
    if subresource != "status":
        return [causes.forbidden(field, "updates may not set certificate content")]
    out: list[statuses.Cause] = []
    if before.get("certificate"):
        text = "updates may not modify existing certificate content"
        out.append(causes.forbidden(field, text))
    if not value:
        return out
    try:
        found = x509.load_pem_x509_certificates(base64.b64decode(value, validate=True))
    except (binascii.Error, ValueError):
        found = []
    if not found:
        text = "must contain at least one CERTIFICATE PEM block"
        out.append(causes.invalid(field, "<certificate data>", text))
    return out


def _request_problem(encoded: str) -> str:
    """Say what is wrong with a base64 PEM request, in the real server's words."""
    from cryptography import x509  # noqa: PLC0415 (costs start-up, and is seldom needed)

    begin, end = b"-----BEGIN CERTIFICATE REQUEST-----", b"-----END CERTIFICATE REQUEST-----"
    try:
        data = base64.b64decode(encoded, validate=True)
    except binascii.Error:
        data = b""
    if begin not in data or end not in data:
        return "PEM block type must be CERTIFICATE REQUEST"
    try:
        x509.load_pem_x509_csr(data)
    except ValueError as error:
        return str(error)
    return ""


def signer_name(value: str, field: str) -> list[statuses.Cause]:
    """Check `example.com/signer-name`."""
    if not value:
        return [causes.required(field)]
    domain, slash, path = value.partition("/")
    form = "must be a fully qualified domain and path of the form 'example.com/signer-name'"
    if not slash or "/" in path:
        return [causes.invalid(field, value, form)]
    out = [causes.too_long(field, _DOMAIN_MAX)] if names.size(domain) > _DOMAIN_MAX else []
    out += _segment(domain, field, names.dns_label)
    if "." not in domain:
        text = "should be a domain with at least two segments separated by dots"
        out.append(causes.invalid(field, domain, text))
    out += _segment(path, field, names.dns_subdomain)
    if names.size(value) > _SIGNER_MAX:
        out.append(causes.too_long(field, _SIGNER_MAX))
    return out


def _segment(segment: str, field: str, check: Callable[[str], list[str]]) -> list[statuses.Cause]:
    """Complain about the first of a segment's labels that is not valid."""
    for label in segment.split("."):
        if complaints := check(label):
            texts = [f"validating label {causes.quoted(label)}: {text}" for text in complaints]
            return causes.complaints(field, segment, texts)
    return []


class ClusterTrustBundle(rules.Kind):
    """A ClusterTrustBundle."""

    unconditional_update: ClassVar[bool] = False
    selectable: ClassVar[tuple[str, ...]] = ("spec.signerName",)

    def selectable_fields(self, obj: objects.Object) -> dict[str, str]:
        return {"spec.signerName": (obj.get("spec") or {}).get("signerName") or ""}

    def validate_create(
        self, obj: objects.Object, context: strategies.WriteContext
    ) -> list[statuses.Cause]:
        from cryptography import x509  # noqa: PLC0415 (costs start-up, and is seldom needed)

        spec = obj.get("spec") or {}
        out: list[statuses.Cause] = []
        signer = spec.get("signerName") or ""
        if signer:
            out += signer_name(signer, "spec.signerName")
            prefix = signer.replace("/", ":") + ":"
            if not objects.name_of(obj).startswith(prefix):
                text = (
                    f"ClusterTrustBundle for signerName {signer} must be named with prefix {prefix}"
                )
                out.append(causes.invalid("metadata.name", objects.name_of(obj), text))
        bundle = (spec.get("trustBundle") or "").encode()
        try:
            found = x509.load_pem_x509_certificates(bundle)
        except ValueError:
            found = []
        if not found:
            out.append(
                causes.invalid(
                    "spec.trustBundle",
                    "<value omitted>",
                    "at least one trust anchor must be provided",
                )
            )
        return out

    def validate_update(
        self, obj: objects.Object, old: objects.Object, context: strategies.WriteContext
    ) -> list[statuses.Cause]:
        signers = [(one.get("spec") or {}).get("signerName") for one in (obj, old)]
        return self.validate_create(obj, context) + rules.immutable(
            signers[0], signers[1], "spec.signerName"
        )

    def validate_name(self, name: str) -> list[str]:
        tail = name.rpartition(":")[2]
        return names.dns_subdomain(tail)
