"""`connect`: a client for the cluster that kubectl would talk to."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from understudy.aio import clocks
from understudy.client import http, kubeconfig as kubeconfigs


def connect(
    *,
    kubeconfig: str | Path | None = None,
    context: str | None = None,
    environ: Mapping[str, str] | None = None,
    settings: http.HttpSettings | None = None,
    clock: clocks.Clock | None = None,
) -> http.HttpClient:
    """Return a client for the cluster kubectl would talk to; nothing is sent yet.

    `kubeconfig` and `context` are kubectl's options of that name; without them KUBECONFIG,
    `~/.kube/config` or the pod's account (all found through `environ`) say where.

    Raises:
        KubeconfigError: Nothing to use, or something in it is wrong.
    """
    access = kubeconfigs.load(kubeconfig=kubeconfig, context=context, environ=environ)
    return http.HttpClient(access, settings=settings, clock=clock)
