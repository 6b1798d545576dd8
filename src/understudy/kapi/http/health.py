"""`/healthz`, `/livez`, `/readyz`: whether the server lives and may be asked."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from understudy.kapi.http import requests, responses

Check = Callable[[], str]
"""Returns an empty string when all is well, else what is wrong."""

ROOTS = ("healthz", "livez", "readyz")

STARTED = (
    "autoregister-completion",
    *(
        f"poststarthook/{hook}"
        for hook in (
            "apiservice-discovery-controller", "apiservice-openapi-controller",
            "apiservice-openapiv3-controller", "apiservice-registration-controller",
            "apiservice-status-local-available-controller",
            "apiservice-status-remote-available-controller", "apiservice-wait-for-first-sync",
            "bootstrap-controller", "crd-informer-synced", "generic-apiserver-start-informers",
            "kube-apiserver-autoregistration", "peer-endpoint-reconciler-controller",
            "priority-and-fairness-config-consumer", "priority-and-fairness-config-producer",
            "priority-and-fairness-filter", "rbac/bootstrap-roles",
            "scheduling/bootstrap-system-priority-classes", "start-apiextensions-controllers",
            "start-apiextensions-informers", "start-apiserver-admission-initializer",
            "start-cluster-authentication-info-controller", "start-kube-aggregator-informers",
            "start-kube-apiserver-identity-lease-controller",
            "start-kube-apiserver-identity-lease-garbage-collector",
            "start-kubernetes-service-cidr-controller", "start-legacy-token-tracking-controller",
            "start-service-ip-repair-controllers", "start-system-namespaces-controller",
            "storage-object-count-tracker-hook", "storage-readiness",
        )
    ),
)  # fmt: skip
"""Checks of a kube-apiserver that guard parts of its start.

Tools ask for them by name. What they guard is done here before the first request is answered, so
they hold whenever they can be asked.
"""

OF_ROOT = {
    "healthz": ("etcd", "loopback-serving-certificate"),
    "livez": ("etcd", "loopback-serving-certificate"),
    "readyz": ("informer-sync", "shutdown"),
}
"""Checks that a kube-apiserver has at one root only; the store here is in this process."""


class Health:
    """Named checks; `ping` and `log` always hold, as in kube-apiserver."""

    __slots__ = ("_checks",)

    def __init__(self, checks: Mapping[str, Check] | None = None) -> None:
        self._checks: dict[str, Check] = {"ping": _well, "log": _well, **(checks or {})}

    def add(self, name: str, check: Check) -> None:
        """Add a check; from now on the server is ready only while it holds."""
        self._checks[name] = check

    def paths(self) -> list[str]:
        """Return every path that is answered here."""
        named = [f"/{root}/{name}" for root, name, _ in self.results()]
        return [*(f"/{root}" for root in ROOTS), *named]

    def results(self) -> Iterator[tuple[str, str, bool]]:
        """Yield (root, check, whether it holds) for every check."""
        for root in ROOTS:
            for name, check in self._of(root).items():
                yield root, name, not check()

    def _of(self, root: str) -> dict[str, Check]:
        return {**dict.fromkeys((*STARTED, *OF_ROOT[root]), _well), **self._checks}

    def answer(self, path: str, query: requests.Query) -> responses.Response | None:
        """Answer `/readyz`, `/readyz?verbose&exclude=log` or `/readyz/NAME`; None elsewhere."""
        root, _, name = path.strip("/").partition("/")
        if root not in ROOTS:
            return None
        if name:
            check = self._of(root).get(name)
            if check is None:
                return responses.page_not_found()
            problem = check()
            if problem:
                return responses.text_response(f"internal server error: {problem}\n", 500)
            return _text("ok")
        return self._all(root, query)

    def _all(self, root: str, query: requests.Query) -> responses.Response:
        excluded = set(query.all("exclude"))
        lines: list[str] = []
        failed: list[str] = []
        for name, check in self._of(root).items():
            if name in excluded:
                lines.append(f"[+]{name} excluded: ok")
            elif problem := check():
                lines.append(f"[-]{name} failed: {problem}")
                failed.append(name)
            else:
                lines.append(f"[+]{name} ok")
        if failed:
            lines.append(f"{root} check failed")
            return _text("\n".join(lines) + "\n", 500)
        if "verbose" in query:
            return _text("\n".join([*lines, f"{root} check passed"]) + "\n")
        return _text("ok")


def _well() -> str:
    return ""


def _text(text: str, status: int = 200) -> responses.Response:
    return responses.text_response(text, status, (("X-Content-Type-Options", "nosniff"),))
