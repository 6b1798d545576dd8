"""`/statusz`, `/flagz`, `/metrics/slis`: what this server is, how it is set, how its checks stand.

Text for people and scrapers, at the paths where a kube-apiserver has its own.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

from understudy.kapi import settings
from understudy.kapi.http import health, responses

PATHS = ("/flagz", "/metrics/slis", "/statusz")
_WARNING = (
    "Warning: This endpoint is not meant to be machine parseable, has no formatting compatibility "
    "guarantees and is for debugging purposes only."
)


def answer(
    path: str, version: str, limits: settings.HttpLimits, checks: health.Health
) -> responses.Response | None:
    """Answer one of the paths; None elsewhere."""
    if path == "/statusz":
        return responses.text_response(_page("statusz", _status(version)))
    if path == "/flagz":
        return responses.text_response(_page("flagz", _flags(limits)))
    if path == "/metrics/slis":
        return responses.text_response("\n".join(_slis(checks)) + "\n")
    return None


def _page(name: str, lines: Iterable[str]) -> str:
    return "\n".join(["", f"understudy {name}", _WARNING, "", *lines]) + "\n"


def _status(version: str) -> Iterable[str]:
    yield f"Binary version: {version}"
    yield f"Paths: {' '.join(['/healthz', '/livez', '/metrics', '/readyz', *PATHS, '/version'])}"


def _flags(limits: settings.HttpLimits) -> Iterable[str]:
    for field in dataclasses.fields(limits):
        yield f"{field.name}={getattr(limits, field.name)}"


def _slis(checks: health.Health) -> Iterable[str]:
    name = "kubernetes_healthcheck"
    yield f"# HELP {name} [STABLE] This metric records the result of all healthchecks."
    yield f"# TYPE {name} gauge"
    for root, check, holds in checks.results():
        yield f'{name}{{name="{check}",type="{root}"}} {int(holds)}'
