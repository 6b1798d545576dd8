"""`/metrics`: counters of the HTTP layer in Prometheus' text format.

Counting is one dictionary increment per request; the text is made when asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_NAME = "apiserver_request_total"
Gauge = Callable[[], float]


class Metrics:
    """Counts requests by verb, resource and code; further values are read when shown."""

    __slots__ = ("_gauges", "_requests")

    def __init__(self) -> None:
        self._requests: dict[tuple[str, str, str, str, int], int] = {}
        self._gauges: dict[str, tuple[str, str, Gauge]] = {}

    def count(self, verb: str, group: str, version: str, resource: str, code: int) -> None:
        """Count one answered request on a resource."""
        key = (verb, group, version, resource, code)
        self._requests[key] = self._requests.get(key, 0) + 1

    def show(self, name: str, kind: str, help: str, value: Gauge) -> None:
        """Show a value under a name; `kind` is `gauge` or `counter`."""
        self._gauges[name] = (kind, help, value)

    def text(self) -> str:
        """Return all metrics."""
        return "\n".join(self._lines()) + "\n"

    def _lines(self) -> Iterator[str]:
        yield f"# HELP {_NAME} Answered requests by verb, group, version, resource and code."
        yield f"# TYPE {_NAME} counter"
        for (verb, group, version, resource, code), count in sorted(self._requests.items()):
            labels = (
                f'code="{code}",group="{_escape(group)}",resource="{_escape(resource)}",'
                f'verb="{verb}",version="{_escape(version)}"'
            )
            yield f"{_NAME}{{{labels}}} {count}"
        for name, (kind, about, value) in sorted(self._gauges.items()):
            yield f"# HELP {name} {about}"
            yield f"# TYPE {name} {kind}"
            yield f"{name} {value():g}"


def _escape(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
