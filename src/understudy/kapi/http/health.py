"""`/healthz`, `/livez`, `/readyz`: whether the server lives and may be asked."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from understudy.kapi.http import requests, responses

Check = Callable[[], str]
"""Returns an empty string when all is well, else what is wrong."""

ROOTS = ("healthz", "livez", "readyz")


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
        names = [f"/{name}" for name in sorted(self._checks)]
        return [f"/{root}{name}" for root in ROOTS for name in ("", *names)]

    def answer(self, path: str, query: requests.Query) -> responses.Response | None:
        """Answer `/readyz`, `/readyz?verbose&exclude=log` or `/readyz/NAME`; None elsewhere."""
        root, _, name = path.strip("/").partition("/")
        if root not in ROOTS:
            return None
        if name:
            check = self._checks.get(name)
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
        for name, check in self._checks.items():
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
