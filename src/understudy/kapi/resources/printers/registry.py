"""Finds how a kind prints."""

from __future__ import annotations

from understudy.kapi.resources import catalogue
from understudy.kapi.resources.printers import cells, cluster, workloads

_PRINTERS = {**workloads.PRINTERS, **cluster.PRINTERS}


def printer_for(resource: catalogue.Resource) -> cells.Printer:
    """Return the printer of a resource: its strategy's own, else what its kind prints."""
    strategy = resource.strategy
    if strategy.columns:
        return cells.Printer(tuple(strategy.columns), strategy.row)
    return find(resource.group, resource.kind)


def find(group: str, kind: str) -> cells.Printer:
    """Return the printer of a built-in kind; without one, name and creation time."""
    return _PRINTERS.get((group, kind), cells.DEFAULT)
