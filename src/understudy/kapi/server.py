"""The embedded server: one base view, sandboxes by name, an HTTP listener in front of them.

server = Server(settings.ServerSettings(port=0))
await server.start()            # listening; kubeconfigs are written
server.url                      # http://127.0.0.1:40123
await server.stop()
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import secrets
import shutil
import ssl
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from understudy.aio import clocks, ids as idents
from understudy.kapi import kubelets, settings as config, views as view_room
from understudy.kapi.admission import chains
from understudy.kapi.bootstrap import populating
from understudy.kapi.http import (  # fmt: skip
    audits,
    auth,
    calling,
    escalation,
    exchanges,
    health,
    kubeconfigs,
    listeners,
    metrics,
    rbac,
    routes,
    tokens,
    views_api,
)
from understudy.kapi.persistence import folders
from understudy.kapi.resources import catalogue as catalogues
from understudy.kapi.views import registries
from understudy.kube import objects

if TYPE_CHECKING:
    from understudy.kapi.http import certificates

log = logging.getLogger(__name__)


class Server:
    """Serves views over HTTP. Where the settings name a data directory, making one opens it.

    Raises:
        SettingsError: The settings contradict each other.
        FolderError: The data directory cannot be used.

    Attributes:
        views: The base view and its sandboxes.
        token: The administrator's bearer token; empty without authentication.
        health: Checks behind `/readyz`; controllers and runtimes add their own.
        metrics: Values behind `/metrics`.
        handler: Answers requests; may be replaced before the start by one around `api` (recording,
            faults).
        audit: Where writes are noted, from the start on, if the settings name a file.
    """

    def __init__(
        self,
        settings: config.ServerSettings | None = None,
        *,
        clock: clocks.Clock | None = None,
        ids: idents.IdSource | None = None,
        base: view_room.View | None = None,
        catalogue: catalogues.Catalogue | None = None,
    ) -> None:
        self.settings = settings or config.ServerSettings()
        check(self.settings)
        self._clock = clock or clocks.SystemClock()

        self._authorizer = self._chosen_authorizer()
        chain = chains.default_chain(authorize=auth.for_policies(self._authorizer))
        if isinstance(self._authorizer, rbac.RbacAuthorizer):
            chain.plugins = (escalation.Permissions(self._authorizer), *chain.plugins)

        def fresh() -> view_room.View:
            return base or view_room.new_view(
                clock=self._clock, ids=ids, catalogue=catalogue, chain=chain
            )

        self._folder: folders.Folder | None = None
        if self.settings.data_dir is not None:
            self._folder = folders.Folder(self.settings.data_dir)
            self.views = self._folder.open(fresh, self.settings.sandboxes_max)
        else:
            self.views = registries.Views(fresh(), self.settings.sandboxes_max)
        self.views.changed.append(self._view_changed)
        self._caller = calling.Caller(self.settings.service_addresses)
        for view in self.views.all():
            view.caller = self._caller
        self.health = health.Health()
        self.metrics = metrics.Metrics()
        self.token = self.settings.token
        if not self.token and self.settings.auth != "none":
            self.token = secrets.token_urlsafe(32)
        self._state_dir: Path | None = None
        self._own_state_dir = False
        self._server: asyncio.Server | None = None
        self._listener: listeners.Listener | None = None
        self._port = 0
        self._ca: bytes = b""
        key = self.settings.data_dir / "service-account.key" if self.settings.data_dir else None
        self._issuer = tokens.TokenIssuer(self.settings.service_account_issuer, key)
        self.api = self._api()
        self.handler: exchanges.Handler = self.api
        self.audit: audits.AuditLog | None = None
        self._audit_file: BinaryIO | None = None

    def _api(self) -> routes.Api:
        settings = self.settings
        authenticator = auth.Authenticator(
            settings.auth,
            {self.token: auth.ADMIN} if self.token else {},
            self._issuer,
            self._clock.now,
        )
        return routes.Api(
            limits=settings.limits,
            base_view=self.base.name,
            registry=self,
            authenticator=authenticator,
            authorizer=self._authorizer,
            sandboxes=views_api.ViewsApi(
                self.views, url_of=self.url_of, kubeconfig_of=self.kubeconfig_of
            ),
            health_checks=self.health,
            counters=self.metrics,
        )

    def _chosen_authorizer(self) -> auth.Authorizer:
        if self.settings.auth == "token":
            return auth.KnownUsers()
        return rbac.RbacAuthorizer() if self.settings.auth == "rbac" else auth.AllowAll()

    @property
    def base(self) -> view_room.View:
        """The base view."""
        return self.views.base

    def view(self, name: str) -> view_room.View | None:
        """Return the view of a path prefix; the empty one means the base."""
        return self.views.find(name) if name else self.views.base

    @property
    def messages(self) -> list[str]:
        """What opening the data directory had to say."""
        return self._folder.messages if self._folder is not None else []

    @property
    def runtime(self) -> kubelets.PodRuntime | None:
        """What runs the pods of the base view, for logs, commands and ports; None: nothing does.

        Set by whoever starts one.
        """
        return self.api.pods.runtime

    @runtime.setter
    def runtime(self, runtime: kubelets.PodRuntime | None) -> None:
        self.api.pods.runtime = runtime

    # -- where it is

    @property
    def port(self) -> int:
        """The port listened on; 0 before the start."""
        return self._port

    @property
    def url(self) -> str:
        """Where the base view is reached, e.g. `http://127.0.0.1:8001`."""
        scheme = "https" if self.settings.tls else "http"
        host = self.settings.host
        shown = f"[{host}]" if ":" in host else host
        if host in ("0.0.0.0", "::"):  # noqa: S104 (compared, not bound)
            shown = "127.0.0.1"
        return f"{scheme}://{shown}:{self._port}"

    @property
    def root_ca(self) -> str:
        """PEM of the CA that vouches for the server; every cluster has one, with TLS or without."""
        return self._authority().pem.decode()

    def sign_token(self, account: objects.Object, secret: objects.Object) -> str:
        """Return a token of a ServiceAccount that lives and dies with a Secret."""
        return self._issuer.sign_for_secret(account, secret)

    def url_of(self, name: str) -> str:
        """Return where a view is reached; sandboxes have their name as path."""
        return self.url if name == self.base.name else f"{self.url}/{name}"

    def kubeconfig_of(self, name: str) -> Path:
        """Return the path of a view's kubeconfig."""
        if name == self.base.name and self.settings.kubeconfig is not None:
            return self.settings.kubeconfig.absolute()
        assert self._state_dir is not None, "start() has made the directory"
        return self._state_dir / f"{name}.kubeconfig"

    @property
    def kubeconfig(self) -> Path:
        """The base view's kubeconfig."""
        return self.kubeconfig_of(self.base.name)

    # -- life

    async def start(self) -> None:
        """Listen, and write the kubeconfigs. Once this returns, requests are answered.

        Raises:
            OSError: The address cannot be bound. SettingsError: The audit log cannot be written.
        """
        self._prepare_directories()
        handler = self.handler
        if self.audit is not None:
            handler = self.audit.around(handler, self.api.user_name)
        listener = listeners.Listener(handler, self.settings.limits, self._clock)
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            listener.connect,
            self.settings.host,
            self.settings.port,
            ssl=self._tls(),
            backlog=1024,
        )
        self._port = int(self._server.sockets[0].getsockname()[1])
        self._listener = listener
        # No request can get in between: this coroutine does not wait from here on.
        populating.populate(self.base, port=self._port)
        listener.start()
        self._show_metrics(listener)
        for view in self.views.all():
            self._write_kubeconfig(view.name)

    async def stop(self) -> None:
        """Stop listening, end watches in order, let answers under way finish; idempotent."""
        server, self._server = self._server, None
        if server is None:
            return
        server.close()
        if self._listener is not None:
            await self._listener.close()
        await self.api.close()
        await self._caller.close()
        await server.wait_closed()
        for view in self.views.all():
            view.close()
        if self._folder is not None:
            self._folder.close()
        if self._audit_file is not None:
            self._audit_file.close()
        if self._own_state_dir and self._state_dir is not None:
            shutil.rmtree(self._state_dir, ignore_errors=True)

    def _prepare_directories(self) -> None:
        settings = self.settings
        if settings.data_dir is not None:
            settings.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        if settings.state_dir is not None:
            settings.state_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._state_dir = settings.state_dir.absolute()
        else:
            self._state_dir = Path(tempfile.mkdtemp(prefix="understudy-"))
            self._own_state_dir = True
        if settings.audit_log is not None:
            self._audit_file = _appending(settings.audit_log)
            self.audit = audits.AuditLog(
                self._audit_file.write,
                self._clock,
                base_view=settings.base_view,
                depth_max=settings.limits.json_depth_max,
            )

    def _tls(self) -> ssl.SSLContext | None:
        if not self.settings.tls:
            return None
        authority = self._authority()
        self._ca = authority.pem
        hosts = ["localhost", "127.0.0.1", "::1", "kubernetes.default.svc"]
        if self.settings.host not in hosts:
            hosts.append(self.settings.host)
        return authority.context(hosts, self._clock.now())

    def _authority(self) -> certificates.Authority:
        from understudy.kapi.http import certificates  # noqa: PLC0415 (loads cryptography)

        directory = self.settings.data_dir or self._state_dir
        assert directory is not None, "the directories are prepared"
        return certificates.Authority(directory, self._clock.now())

    def _show_metrics(self, listener: listeners.Listener) -> None:
        show = self.metrics.show
        show(
            "apiserver_longrunning_requests",
            "gauge",
            "Open watches.",
            lambda: float(self.api.open_watches),
        )
        show(
            "understudy_connections",
            "gauge",
            "Open connections.",
            lambda: float(len(listener.connections)),
        )
        show(
            "understudy_slow_watches_total",
            "counter",
            "Watches ended because their client read too slowly.",
            lambda: float(listener.slow_watches),
        )
        show(
            "understudy_revision",
            "gauge",
            "The newest resourceVersion.",
            lambda: float(self.base.revision),
        )
        show(
            "understudy_tunnels",
            "gauge",
            "Open logs, commands, attachments, forwarded ports and proxied requests.",
            lambda: float(self.api.pods.open),
        )
        show("understudy_views", "gauge", "Views.", lambda: float(len(self.views.all())))

    # -- kubeconfigs

    def _view_changed(self, what: str, view: view_room.View) -> None:
        if self._state_dir is None:
            return
        if what == "created":
            self._write_kubeconfig(view.name)
        elif what == "deleted":
            self.kubeconfig_of(view.name).unlink(missing_ok=True)

    def _write_kubeconfig(self, name: str) -> None:
        kubeconfigs.write(
            self.kubeconfig_of(name),
            kubeconfigs.kubeconfig(self.url_of(name), name, token=self.token, ca=self._ca),
        )


def _appending(path: Path) -> BinaryIO:
    try:
        path.touch(mode=0o600)
        return path.open("ab", buffering=0)
    except OSError as error:
        raise config.SettingsError(
            f"audit-log {path}: {error.strerror}: name a file that can be written"
        ) from error


def check(settings: config.ServerSettings) -> None:
    """Refuse settings that would serve everything to everybody.

    Raises:
        SettingsError: Naming the setting, its value and the remedy.
    """
    if settings.auth == "none" and not is_loopback(settings.host):
        raise config.SettingsError(
            f"host: {settings.host!r} can be reached from other machines, but auth is 'none': "
            "bind a loopback address such as 127.0.0.1, or set auth to 'token' or 'rbac'"
        )
    if settings.token and settings.auth == "none":
        raise config.SettingsError(
            "token: given, but auth is 'none', so it would not be asked for: set auth to 'token' "
            "or 'rbac'"
        )
    for service, address in settings.service_addresses.items():
        host, _, port = address.rpartition(":")
        if service.count("/") != 1 or not host or not port.isdigit():
            raise config.SettingsError(
                f"service-address: '{service}={address}' does not say where a service is: give "
                "namespace/name=host:port, such as shop/hook=127.0.0.1:8443"
            )
    if any(char.isspace() for char in settings.token):
        raise config.SettingsError("token: must not contain white space")


def is_loopback(host: str) -> bool:
    """Say whether an address only accepts connections from this machine."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
