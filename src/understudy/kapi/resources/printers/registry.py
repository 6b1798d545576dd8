"""Finds how a kind prints."""

from __future__ import annotations

import dataclasses
import datetime as dt

from understudy.kapi.resources import catalogue
from understudy.kapi.resources.printers import cells, cluster, workloads
from understudy.kube import objects

_PRINTERS = {**workloads.PRINTERS, **cluster.PRINTERS}


def printer_for(resource: catalogue.Resource) -> cells.Printer:
    """Return the printer of a resource: its strategy's own, else what its kind prints."""
    strategy = resource.strategy
    if strategy.columns:
        return cells.Printer(tuple(strategy.columns), strategy.row)
    found = find(resource.group, resource.kind)
    convert = resource.to_storage
    if convert is None or resource.group != resource.storage.group:
        return found

    def row(obj: objects.Object, now: dt.datetime) -> list[objects.Json]:
        return found.row(convert(obj), now)

    return dataclasses.replace(found, row=row)


def find(group: str, kind: str) -> cells.Printer:
    """Return the printer of a built-in kind; without one, name and creation time."""
    return _PRINTERS.get((group, kind), cells.DEFAULT)
