"""Settings of the gateway: each with its unit and why it is what it is."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewaySettings:
    """Where the gateway listens, and what one app or peer may cost."""

    host: str = "127.0.0.1"
    """Address to listen on; loopback, as apps are open to whoever reaches the gateway."""

    port: int = 8080
    """TCP port; 0 lets the system choose."""

    held_max: int = 1_000
    """Requests of one Revision that may wait for a replica. Beyond it: 503 with Retry-After."""

    hold_s: float = 120.0
    """Longest wait for a replica, in seconds; then 504. The Revision's own timeout may end it
    earlier. Twice what a slow image of an app needs to start."""

    requests_max: int = 10_000
    """Requests in progress over all apps, waiting ones included. Beyond it: 503."""

    connect_timeout_s: float = 5.0
    """How long a pod may take to accept a connection."""

    attempts_max: int = 10
    """How often a request that no pod has seen is given to another one; then 502."""

    eject_s: float = 0.3
    """How long a pod that refused a connection gets no request; by then it is known to be gone, or
    it has started again."""

    idle_s: float = 75.0
    """How long a client's connection without a request is kept."""

    pod_idle_s: float = 4.0
    """How long a connection to a pod is kept for the next request. Below the five seconds after
    which common servers close theirs, so that a request seldom meets a closing connection."""

    whole_bytes_max: int = 64 * 1024
    """Answers up to this size are passed on in one piece, larger ones as they come."""

    header_bytes_max: int = 64 * 1024
    """Longest line or header, in bytes, from clients and from apps."""

    message_bytes_max: int = 16 * 1024 * 1024
    """Longest message over a WebSocket; a longer one ends it with code 1009."""

    stop_s: float = 5.0
    """How long requests in progress may take to end when the gateway stops."""
