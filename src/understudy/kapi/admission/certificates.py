"""Who may ask for, approve and sign certificates of whom.

Source: plugin/pkg/admission/certificates/{approval,signing,subjectrestriction} @1.36.
"""

from __future__ import annotations

import base64

from understudy.kapi.admission import bindings, chain
from understudy.kube import identities, objects, statuses
from understudy.kube.cel import authorizing

REQUESTS = identities.GroupResource("certificates.k8s.io", "certificatesigningrequests")
API_CLIENTS = "kubernetes.io/kube-apiserver-client"
MASTERS = "system:masters"
_VERBS = {"approval": "approve", "status": "sign"}


class CertificateApproval:
    """Lets only those approve and sign who may do so in the signer's name.

    That is two plugins in Kubernetes, CertificateApproval and CertificateSigning; no request
    concerns both.
    """

    name = "CertificateApproval"
    storages = frozenset({REQUESTS})

    def __init__(self, authorize: bindings.Authorize = bindings.allow_all) -> None:
        self._authorize = authorize

    def handles(self, attributes: chain.Attributes) -> bool:
        return (
            attributes.resource.storage == REQUESTS
            and attributes.operation == "UPDATE"
            and attributes.subresource in _VERBS
            and not attributes.user.is_internal
        )

    def mutate(self, attributes: chain.Attributes) -> None:
        """Nothing to change."""

    def validate(self, attributes: chain.Attributes) -> None:
        verb = _VERBS[attributes.subresource]
        old, new = attributes.old or {}, attributes.obj or {}
        if verb == "sign" and _signed(old) == _signed(new):
            return
        signer = str(objects.lookup(old, ("spec", "signerName")) or "")
        if not self._may(attributes, verb, signer):
            why = f'user not permitted to {verb} requests with signerName "{signer}"'
            raise statuses.forbidden(REQUESTS, attributes.name, why)

    def _may(self, attributes: chain.Attributes, verb: str, signer: str) -> bool:
        return any(
            self._authorize(
                attributes.reader,
                attributes.user,
                authorizing.Question(
                    verb=verb, group="certificates.k8s.io", resource="signers", name=name
                ),
            ).allowed
            for name in (signer, f"{signer.partition('/')[0]}/*")
        )


def _signed(request: objects.Object) -> tuple[objects.Json, objects.Json]:
    status = request.get("status") or {}
    return status.get("certificate"), status.get("conditions")


class CertificateSubjectRestriction:
    """Gives nobody a certificate as one of those who may do everything."""

    name = "CertificateSubjectRestriction"
    storages = frozenset({REQUESTS})

    def handles(self, attributes: chain.Attributes) -> bool:
        return (
            attributes.resource.storage == REQUESTS
            and attributes.operation == "CREATE"
            and objects.lookup(attributes.obj or {}, ("spec", "signerName")) == API_CLIENTS
        )

    def mutate(self, attributes: chain.Attributes) -> None:
        """Nothing to change."""

    def validate(self, attributes: chain.Attributes) -> None:
        from cryptography import x509  # noqa: PLC0415 (costs start-up, and is seldom needed)

        encoded = objects.lookup(attributes.obj or {}, ("spec", "request")) or ""
        # The kind's own validation has read it already.
        request = x509.load_pem_x509_csr(base64.b64decode(encoded))
        groups = request.subject.get_attributes_for_oid(x509.NameOID.ORGANIZATION_NAME)
        if any(group.value == MASTERS for group in groups):
            why = f"use of {API_CLIENTS} signer with {MASTERS} group is not allowed"
            raise statuses.forbidden(REQUESTS, attributes.name, why)
