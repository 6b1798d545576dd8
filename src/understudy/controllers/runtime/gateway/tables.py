"""What the view says of hosts and pods, followed inside each commit.

A host leads to Revisions by the rules of Ingresses: those of Routes name Revisions, those of
DomainMappings name another host. Nothing here is ever older than the view, so the moment a pod is
told to stop is the moment from which it gets no request.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from understudy.controllers.knative import conditions, meta
from understudy.controllers.runtime import ports
from understudy.controllers.runtime.gateway import backends
from understudy.controllers.workloads import pods
from understudy.kapi.store import entries, logs
from understudy.kapi.views import view as views
from understudy.kube import objects
from understudy.kube.knative import keys

_PUBLIC = "ExternalIP"
_DEFAULT_TIMEOUT_S = 300.0
_USER_PORT = "user-port"
_STARTING = ("ContainerCreating", "PodInitializing")


@dataclass(slots=True, kw_only=True)
class Split:
    """One share of a host's traffic.

    Attributes:
        name: The Revision.
        headers: Added to each request.
        credit: How far it is behind or ahead of its share.
    """

    namespace: str
    name: str
    percent: int
    headers: dict[str, str] = field(default_factory=dict)
    credit: int = 0


@dataclass(slots=True, kw_only=True)
class Rule:
    """Where a host leads.

    Attributes:
        rewrite: The host that the app is to see, and by which it is found; empty for its own.
    """

    splits: list[Split]
    rewrite: str = ""

    def pick(self) -> Split | None:
        """Return the share that is furthest behind: of any hundred requests each gets its percent.

        Source: the smooth weighted round robin of nginx.
        """
        if len(self.splits) <= 1:
            return self.splits[0] if self.splits else None
        for split in self.splits:
            split.credit += split.percent
        chosen = max(self.splits, key=_credit)
        chosen.credit -= sum(split.percent for split in self.splits)
        return chosen


def _credit(split: Split) -> int:
    return split.credit


class Hosts:
    """Rules by host; of two Ingresses that claim a host, the one that came first has it."""

    __slots__ = ("_claims", "_held")

    def __init__(self) -> None:
        self._claims: dict[str, dict[str, Rule]] = {}
        self._held: dict[str, dict[str, Rule]] = {}

    def find(self, host: str) -> Rule | None:
        """Return the rule of a host, None if it leads nowhere."""
        claims = self._claims.get(host)
        return next(iter(claims.values())) if claims else None

    def put(self, ingress: str, rules: dict[str, Rule]) -> None:
        """Take the rules of an Ingress by host, in place of those it had."""
        for host in self._held.pop(ingress, {}).keys() - rules.keys():
            del self._claims[host][ingress]
            if not self._claims[host]:
                del self._claims[host]
        for host, rule in rules.items():
            self._claims.setdefault(host, {})[ingress] = rule
        if rules:
            self._held[ingress] = rules


class Table:
    """Hosts and Revisions of a view."""

    def __init__(self, *, line_max: int, ingress_class: str) -> None:
        self.public = Hosts()
        self.local = Hosts()
        self._backends: dict[tuple[str, str], backends.Backend] = {}
        self._retired: list[backends.Backend] = []
        self._line_max = line_max
        self._class = ingress_class
        self._unsubscribe: list[Callable[[], None]] = []
        self._tell: Callable[[str, str], None] = _nobody

    def follow(self, view: views.View) -> None:
        """Take what is in a view, and follow it from now on."""
        handlers = (
            (keys.REVISIONS, self._revision),
            ("pods", self._pod),
            (meta.INGRESSES, self._ingress),
        )
        for ref, handle in handlers:
            for entry in view.entries(view.resolve(ref)):
                handle(entry, gone=False)
            self._unsubscribe.append(view.subscribe(ref, _follower(handle)))

    def close(self) -> None:
        """Stop following; every request in line ends."""
        while self._unsubscribe:
            self._unsubscribe.pop()()
        for backend in self._backends.values():
            backend.retire()
        self._backends.clear()

    def backend(self, namespace: str, revision: str) -> backends.Backend | None:
        """Return what stands for a Revision, None if there is no such Revision."""
        return self._backends.get((namespace, revision))

    async def drained(self, namespace: str, revision: str, pod: str) -> None:
        """Give a pod no further request, and wait until it has answered those it has."""
        key = (namespace, revision)
        present = self._backends.get(key)
        for backend in (*self._retired, *((present,) if present is not None else ())):
            if (backend.namespace, backend.name) == key:
                await backend.drained(pod)

    @property
    def waiting(self) -> int:
        """How many requests wait for a replica."""
        return sum(backend.waiting for backend in self._backends.values())

    def on_need(self, tell: Callable[[str, str], None]) -> None:
        """Call `tell` with namespace and Revision when a request finds no pod."""
        self._tell = tell

    # ------------------------------------------------------------------ what changes

    def _revision(self, entry: entries.Entry, *, gone: bool) -> None:
        key = (entry.namespace, entry.name)
        known = self._backends.get(key)
        if known is not None and (gone or known.facts.uid != entry.uid):
            del self._backends[key]
            known.retire()
            self._retired = [one for one in (*self._retired, known) if one.is_leaving]
            known = None
        if gone:
            return
        facts = _facts(entry.load())
        if known is not None:
            known.learn(facts)
            return
        self._backends[key] = backends.Backend(
            *key, facts, line_max=self._line_max, tell=self._asked
        )

    def _asked(self, namespace: str, revision: str) -> None:
        self._tell(namespace, revision)

    def _pod(self, entry: entries.Entry, *, gone: bool) -> None:
        revision = entry.labels.get(keys.REVISION)
        backend = self._backends.get((entry.namespace, revision)) if revision else None
        if backend is None or backend.facts.uid != entry.labels.get(keys.REVISION_UID):
            return
        pod = None if gone else entry.load()
        address = _address(pod) if pod is not None else None
        if address is not None:
            backend.put(entry.name, address)
        else:
            backend.drop(entry.name, _trouble(pod) if pod is not None else "")

    def _ingress(self, entry: entries.Entry, *, gone: bool) -> None:
        ingress = {} if gone else entry.load()
        if objects.annotations_of(ingress).get(keys.INGRESS_CLASS) != self._class:
            ingress = {}
        public: dict[str, Rule] = {}
        local: dict[str, Rule] = {}
        for given in objects.lookup(ingress, ("spec", "rules")) or ():
            rule = _rule(given)
            kind = public if given.get("visibility") in (None, "", _PUBLIC) else local
            kind.update({str(host).lower(): rule for host in given.get("hosts") or ()})
        self.public.put(entry.key, public)
        self.local.put(entry.key, local)


class _Handle(Protocol):
    def __call__(self, entry: entries.Entry, *, gone: bool) -> None: ...


def _follower(handle: _Handle) -> Callable[[logs.Event], None]:
    def follow(event: logs.Event) -> None:
        handle(event.entry, gone=event.type == "DELETED")

    return follow


def _rule(given: objects.Object) -> Rule:
    """Return a rule; of several paths the first that asks for no header."""
    for path in objects.lookup(given, ("http", "paths")) or ():
        if not path.get("headers"):
            splits = [
                Split(
                    namespace=str(one.get("serviceNamespace")),
                    name=str(one.get("serviceName")),
                    percent=int(one.get("percent") or 0),
                    headers=dict(one.get("appendHeaders") or {}),
                )
                for one in path.get("splits") or ()
            ]
            return Rule(splits=splits, rewrite=str(path.get("rewriteHost") or "").lower())
    return Rule(splits=[])


def _facts(revision: objects.Object) -> backends.Facts:
    spec = revision.get("spec") or {}
    ready = conditions.find(revision.get("status"), conditions.READY) or {}
    trouble = ""
    if ready.get("status") == "False":
        trouble = str(ready.get("message") or ready.get("reason") or "")
    return backends.Facts(
        uid=objects.uid_of(revision),
        service=objects.labels_of(revision).get(keys.SERVICE) or objects.name_of(revision),
        concurrency_max=int(spec.get("containerConcurrency") or 0),
        timeout_s=float(spec.get("timeoutSeconds") or _DEFAULT_TIMEOUT_S),
        start_timeout_s=float(spec.get("responseStartTimeoutSeconds") or 0),
        idle_timeout_s=float(spec.get("idleTimeoutSeconds") or 0),
        is_http2=meta.protocol_of(revision) == "h2c",
        trouble=trouble,
    )


def _address(pod: objects.Object) -> tuple[str, int] | None:
    """Return where a pod takes requests, None while it must not get any."""
    if not pods.is_active(pod) or not pods.is_ready(pod):
        return None
    local = ports.local_port(pod, _USER_PORT)
    if local is not None:
        return ports.LOOPBACK, local
    host = str((pod.get("status") or {}).get("podIP") or "")
    for container in ports.containers_of(pod):
        for port in container.get("ports") or ():
            if port.get("name") == _USER_PORT and host:
                return host, int(port["containerPort"])
    return None


def _trouble(pod: objects.Object) -> str:
    """Return why a pod's containers do not run, e.g. `CrashLoopBackOff: back-off 10s ...`."""
    if not pods.is_active(pod):
        return ""
    for status in (pod.get("status") or {}).get("containerStatuses") or ():
        waiting = objects.lookup(status, ("state", "waiting")) or {}
        reason = str(waiting.get("reason") or "")
        if reason and reason not in _STARTING:
            return f"{reason}: {waiting.get('message') or ''}".rstrip(": ")
    return ""


def _nobody(namespace: str, revision: str) -> None:
    """Tell nobody."""
