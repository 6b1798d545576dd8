"""Names of revisions and trackers: KubeVela's three functions, and the names used here.

KubeVela joins a revision and a namespace with `-`, which is not injective: (`a-v1`, `b-v1-c`) and
(`a-v1-b-v1`, `c`) are both `a-v1-b-v1-c`. Its functions are kept for whoever has such names; the
records of this project are named by `record_name`, which cannot collide, and never parsed.
Source: kubevela v1.1 `pkg/controller/core.oam.dev/v1alpha2/application/dispatch/name.go`.
"""

from __future__ import annotations

from understudy.kube import names

APPLICATION_NAME_MAX = 50
"""Leaves room for `-v1234567-values` within the 63 characters of a label value."""


def tracker_name(revision: str, namespace: str) -> str:
    """Return KubeVela's name of a revision's tracker: `app-v1`, `default` -> `app-v1-default`."""
    return f"{revision}-{namespace}"


def revision_name_of(tracker: str, namespace: str) -> str:
    """Return the revision in KubeVela's tracker name; unchanged if it is of another namespace."""
    return tracker.removesuffix(f"-{namespace}")


def app_name_of(tracker: str, namespace: str) -> str:
    """Return the application in KubeVela's tracker name, empty where there is none.

    The last word of the revision is dropped whatever it is: `app`, `default` -> `""`.
    """
    return revision_name_of(tracker, namespace).rpartition("-")[0]


def revision_name(application: str, number: int) -> str:
    """Return a revision's name: `app`, 3 -> `app-v3`."""
    return f"{application}-v{number}"


def revision_number(name: str, separator: str = "-") -> int:
    """Return the number in a revision's name: `myapp-v1-v2` -> 2.

    Raises:
        ValueError: It does not end in the separator, `v` and a number.
    """
    head, found, last = name.rpartition(separator)
    number = last.removeprefix("v")
    if not found or number == last or not (number.isascii() and number.isdigit()):
        raise ValueError(f"bad revision name {name!r}: it does not end in {separator}v<number>")
    del head
    return int(number)


def record_name(application: str, namespace: str) -> str:
    """Return the name of an application's tracker: `shop`, `default` -> `shop.default`.

    Injective, because neither an application's name nor a namespace (both DNS labels) has a dot.
    """
    return f"{application}.{namespace}"


def complaints_about(application: str) -> list[str]:
    """Say why a text cannot be an application's name; nothing if it can."""
    if len(application) > APPLICATION_NAME_MAX:
        return [f"must be no more than {APPLICATION_NAME_MAX} characters"]
    return names.dns_label(application)
