"""Field paths as Kubernetes prints them: `spec.items[0].labels[app]`."""

from __future__ import annotations

ROOT = "<nil>"
"""What an error about no field at all carries as its field."""


def child(path: str, name: str) -> str:
    """Append a field: `spec` + `a` -> `spec.a`."""
    return f"{path}.{name}" if path else name


def key(path: str, name: str) -> str:
    """Append a map key: `spec.m` + `k` -> `spec.m[k]`."""
    return f"{path}[{name}]"


def index(path: str, position: int) -> str:
    """Append an index: `spec.l` + 1 -> `spec.l[1]`."""
    return f"{path}[{position}]"
