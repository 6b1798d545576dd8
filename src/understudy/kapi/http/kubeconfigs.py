"""Kubeconfig files: how clients find a view and what they show it."""

from __future__ import annotations

import base64
import os
from pathlib import Path

import yaml

from understudy.kube import objects


def kubeconfig(url: str, name: str, *, token: str = "", ca: bytes = b"") -> objects.Object:
    """Return a kubeconfig with one cluster, one user and one context, all named alike.

    The user always has a token: some clients ask for credentials on the terminal otherwise.
    """
    cluster: objects.Object = {"server": url}
    if ca:
        cluster["certificate-authority-data"] = base64.b64encode(ca).decode()
    context = f"understudy-{name}"
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": context, "cluster": cluster}],
        "users": [{"name": context, "user": {"token": token or "none"}}],
        "contexts": [
            {
                "name": context,
                "context": {"cluster": context, "user": context, "namespace": "default"},
            }
        ],
        "current-context": context,
    }


def write(path: Path, content: objects.Object) -> None:
    """Write a kubeconfig readable by its owner alone; whoever opens it finds it whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        yaml.safe_dump(content, file, sort_keys=False)
    temporary.replace(path)
