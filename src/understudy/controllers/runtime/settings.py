"""How pods come to run: the choices, each with its unit and why it is what it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class Runtime:
    """What stands in for kubelets and nodes."""

    kind: Literal["none", "simulated"] = "simulated"
    """`none`: pods stay as the scheduler leaves them. `simulated`: they run by rule."""

    nodes_count: int = 2
    """Simulated nodes to make, as many as the recorded control plane had. None is made where the
    view already has nodes that somebody else keeps."""

    node_prefix: str = "node-"
    """Names are the prefix and a number from 1."""

    every_node: bool = False
    """Play the kubelet of every node, not only of the simulated ones: for a rehearsal on the
    loaded state of a real cluster, whose kubelets cannot be asked."""

    leases: bool = True
    """Renew the nodes' leases, and lose nodes whose lease is not renewed. Off in rehearsals,
    where time jumps."""

    volumes: bool = True
    """Make volumes for claims whose class names a provisioner from outside Kubernetes."""

    load_balancers: bool = True
    """Give Services of type LoadBalancer an address."""

    ends_by_itself: bool = True
    """A pod whose image names no behaviour, and that need not run for ever, ends with success; off,
    it runs on, as with the recorded control plane's kubelet."""

    start_delay_s: float = 0.25
    """From binding to containers being created, and again to their start."""

    stop_delay_s: float = 0.4
    """From the request to stop to the containers' end."""

    exit_delay_s: float = 0.5
    """From start to end of a container that ends by itself."""

    slow_delay_s: float = 2.0
    """From start to ready of the image `slow`."""

    backoff_delay_s: float = 1.0
    """From a failed pull to its back-off."""
