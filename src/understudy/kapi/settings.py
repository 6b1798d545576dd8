"""Settings of the embedded server: one frozen record, read once in `cli`, passed down."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

AuthMode = Literal["none", "token", "rbac"]


class SettingsError(ValueError):
    """A setting has a value it may not have; the message names it and the remedy."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpLimits:
    """What one peer may cost. Every queue, buffer and wait of the HTTP layer has its bound here."""

    body_bytes_max: int = 3 * 1024 * 1024
    """Largest request body, in bytes; kube-apiserver's own limit. Beyond it: 413."""

    header_bytes_max: int = 64 * 1024
    """Request line and headers together, in bytes. Beyond it: 431 and the connection ends.
    ServiceAccount tokens are 1-2 KB and client certificates are not sent in headers, so 64 KB is
    generous."""

    json_depth_max: int = 128
    """Deepest nesting of a request body. Real objects stay below 30 (CRD schemas reach 60); the
    bound keeps recursive code far from Python's own limit. Beyond it: 400."""

    pipelined_requests_max: int = 64
    """Requests of one connection that may wait behind an unfinished answer; then reading stops
    until the answer is out."""

    connections_max: int = 10_000
    """Open connections. A further one is closed at once; the listening socket stays open."""

    watches_max: int = 5_000
    """Open watches of the whole server. Beyond it: 429 with Retry-After."""

    watch_buffer_bytes_max: int = 16 * 1024 * 1024
    """Unsent bytes of one watch. A peer that reads more slowly than changes come is cut off when
    it has this much waiting; it may watch again from the last version it has seen."""

    write_high_water_bytes: int = 256 * 1024
    """Unsent bytes of one connection above which no further request of it is answered."""

    idle_timeout_s: float = 300.0
    """How long a connection without a request in progress is kept."""

    request_timeout_s: float = 30.0
    """How long a request may take to arrive completely, from its first byte."""

    write_stall_timeout_s: float = 30.0
    """How long a peer may take no byte of an answer before it is cut off."""

    tunnels_max: int = 1_000
    """Open logs that are followed, commands, attachments and forwarded ports of the whole server,
    each with tasks and buffers of its own. Beyond it: 429 with Retry-After."""

    tunnel_buffer_bytes_max: int = 256 * 1024
    """Bytes of one tunnel that wait for a process or a port to take them; then no more are read
    from the peer until half of them are taken."""

    tunnel_streams_max: int = 256
    """Open streams of one tunnel (a port that is forwarded needs two for each connection)."""

    tunnel_silence_s: float = 30.0
    """Time without a byte from a tunnel's peer after which it is asked whether it is there."""

    tunnel_setup_s: float = 30.0
    """How long a client may take to open the streams that it asked for, as in the kubelet."""

    tunnel_linger_s: float = 5.0
    """How long the peer of a tunnel that has ended may take to read the end and close."""

    watch_timeout_min_s: int = 1800
    """Lower bound of a watch's life where the client sets none; the life is drawn between this
    and twice this, as kube-apiserver does, so that clients do not come back all at once."""

    bookmark_interval_s: float = 30.0
    """Time between bookmarks on watches that allow them. Below a minute, because some clients
    give a silent watch up after 70 s."""

    gzip_bytes_min: int = 128 * 1024
    """Answers from this size on are compressed for clients that accept gzip, as in
    kube-apiserver; smaller ones cost more time than they save."""

    route_cache_max: int = 8192
    """Parsed request targets and query strings kept; the cache is dropped when full."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSettings:
    """How one embedded server runs."""

    host: str = "127.0.0.1"
    """Address to listen on. With `auth="none"` only loopback addresses are accepted."""

    port: int = 8001
    """TCP port; 0 lets the system choose."""

    auth: AuthMode = "none"
    """`none`: everybody is an administrator. `token`: whoever shows a known token or certificate
    may do everything. `rbac`: the view's Roles and bindings decide, as in a cluster."""

    token: str = ""
    """Administrator's bearer token. Empty with `auth` other than `none`: one is generated."""

    tls: bool = False
    """Serve HTTPS with a certificate of a CA made at start (kept in `data_dir` where given)."""

    kubeconfig: Path | None = None
    """Where the base view's kubeconfig is written (0600); None: under `state_dir`."""

    state_dir: Path | None = None
    """Directory of kubeconfigs; None: a private temporary directory, removed at stop."""

    data_dir: Path | None = None
    """Directory of the write-ahead log, the CA and the token signing key; None: in memory."""

    audit_log: Path | None = None
    """File to which a line is added for every write, as in a cluster's audit log; None: none."""

    base_view: str = "base"
    """Name of the base view in paths: `/base/api/v1/...` is the same as `/api/v1/...`."""

    service_account_issuer: str = "https://k"
    """`iss` of ServiceAccount tokens, and their default audience; that of the reference server
    whose answers are recorded in tests/conformance."""

    service_addresses: Mapping[str, str] = field(default_factory=dict)
    """Where the services of webhooks are: `namespace/name` -> `host:port`, e.g. a webhook under
    development on this machine. Others are looked for among their endpoints."""

    sandboxes_max: int = 1_000
    """Sandboxes that may exist at once. Beyond it `POST /views` answers 429."""

    limits: HttpLimits = field(default_factory=HttpLimits)
    """Bounds of the HTTP layer."""
