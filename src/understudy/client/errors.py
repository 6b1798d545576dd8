"""What can go wrong before an API server has answered.

    TransportError                 the server was not reached, or did not answer as one
    +-- ConnectionFailedError      no connection: refused, unknown host, proxy
    +-- CertificateError           the TLS handshake failed or the certificate is not trusted
    +-- RequestTimeoutError        no answer in time
    +-- StreamBrokenError          the connection ended in the middle of an answer
    +-- NotKubernetesError         something answered that does not speak Kubernetes' protocol
    KubeconfigError                the kubeconfig (or in-cluster account) cannot be used
    +-- CredentialsError           an exec plugin or token file gave no credentials

A server's refusals are `kube.statuses.ApiError`. Nothing else leaves this room.
"""

from __future__ import annotations


class TransportError(Exception):
    """The server was not reached, or did not answer as an API server does.

    Attributes:
        server: The base URL that was asked.
        sent: Whether the request may have reached the server (then its effect is unknown).
    """

    def __init__(self, message: str, *, server: str = "", sent: bool = True) -> None:
        super().__init__(message)
        self.server = server
        self.sent = sent


class ConnectionFailedError(TransportError):
    """No connection could be made; nothing was sent."""

    def __init__(self, message: str, *, server: str = "") -> None:
        super().__init__(message, server=server, sent=False)


class CertificateError(TransportError):
    """The TLS handshake failed; nothing was sent."""

    def __init__(self, message: str, *, server: str = "") -> None:
        super().__init__(message, server=server, sent=False)


class RequestTimeoutError(TransportError):
    """The server did not answer in time; what was asked may have been done."""


class StreamBrokenError(TransportError):
    """The connection ended in the middle of an answer or a watch."""


class NotKubernetesError(TransportError):
    """Something answered that does not speak Kubernetes' protocol."""


class KubeconfigError(Exception):
    """The kubeconfig, or the account of this pod, cannot be used; the message says what to do."""


class CredentialsError(KubeconfigError):
    """An exec plugin or a token file gave no credentials."""
