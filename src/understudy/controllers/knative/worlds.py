"""What surrounds Knative's controllers, as protocols with plain implementations.

The real control plane asks a registry for digests, an ingress controller for the state of
ingresses, and scrapes pods for their load. Here each of these is given from outside: a rehearsal
assumes that all is well, a gateway tells what it measures, a test says what it likes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from understudy.kube import objects


class Registry(Protocol):
    """Resolves tags to digests."""

    def digest(self, image: str) -> str:
        """Return `repository@sha256:...`, or nothing for an image that is used as it is written.

        Raises:
            LookupError: It cannot be had; the text follows `failed to resolve image to digest: `.
        """
        ...


class NoRegistry:
    """A registry that has every image, but for hosts that cannot exist (`*.invalid`, RFC 6761)."""

    def digest(self, image: str) -> str:
        host = image.split("/", 1)[0].split(":", 1)[0] if "/" in image else ""
        if host.endswith(".invalid"):
            raise LookupError(f'Get "https://{host}/v2/": dial tcp: lookup {host}: no such host')
        return ""


@dataclass(frozen=True, slots=True, kw_only=True)
class IngressReport:
    """What carries out ingresses says of one.

    Attributes:
        status: `True`, `False`, `Unknown`, or empty: it has said nothing yet.
        public: Host of the load balancer for public names.
        private: Host of the one for in-cluster names.
    """

    status: str = "True"
    reason: str = ""
    message: str = ""
    public: str = "gateway.knative-serving.svc.cluster.local"
    private: str = "gateway-internal.knative-serving.svc.cluster.local"


class Gateway(Protocol):
    """Carries out ingresses."""

    def report(self, ingress: objects.Object) -> IngressReport:
        """Say how an ingress is."""
        ...


class ReadyGateway:
    """A gateway that carries out everything at once."""

    def report(self, ingress: objects.Object) -> IngressReport:
        return IngressReport()


@dataclass(frozen=True, slots=True, kw_only=True)
class Demand:
    """The load on a Revision.

    Attributes:
        stable: Average over the stable window: requests at a time, or per second.
        panic: Average over the panic window.
    """

    stable: float
    panic: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What the autoscaler asks about a Revision.

    Attributes:
        metric: `concurrency` or `rps`.
        stable_s: Length of the stable window in seconds.
        panic_s: Length of the panic window.
        routed: Whether a Route leads to the Revision at all.
    """

    metric: str
    stable_s: float
    panic_s: float
    routed: bool


class Load(Protocol):
    """Tells how much is asked of Revisions."""

    def demand(self, namespace: str, revision: str, ask: Question) -> Demand | None:
        """Return the present load, None while nothing was measured."""
        ...

    def on_need(self, tell: Callable[[str, str], None]) -> None:
        """Call `tell` with namespace and Revision when a request finds no replica."""
        ...


class SteadyLoad:
    """Every Revision that is routed to is asked for something all the time, and keeps running."""

    def demand(self, namespace: str, revision: str, ask: Question) -> Demand | None:
        return Demand(stable=1.0, panic=1.0) if ask.routed else Demand(stable=0.0, panic=0.0)

    def on_need(self, tell: Callable[[str, str], None]) -> None:
        """Do nothing: no request comes."""


class NoLoad:
    """Nobody asks for anything: what may scale to zero does."""

    def demand(self, namespace: str, revision: str, ask: Question) -> Demand | None:
        return Demand(stable=0.0, panic=0.0)

    def on_need(self, tell: Callable[[str, str], None]) -> None:
        """Do nothing: no request comes."""


@dataclass(slots=True, kw_only=True)
class World:
    """What surrounds the controllers of one view."""

    registry: Registry
    gateway: Gateway
    load: Load


def steady() -> World:
    """Return a world in which everything works and nothing goes idle: for rehearsals."""
    return World(registry=NoRegistry(), gateway=ReadyGateway(), load=SteadyLoad())


def quiet() -> World:
    """Return a world without users: apps become ready, then scale to zero."""
    return World(registry=NoRegistry(), gateway=ReadyGateway(), load=NoLoad())
