"""URLs as Go reads them: what it accepts, and its words for what it does not.

Source: Go 1.25 `net/url`. Two readings differ: a request's URI is absolute or a path and has no
fragment; any other reference may be relative.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from understudy.kube import goformats

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")
_PORT = re.compile(r"(:[0-9]*)?")
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2}).{0,2}", re.DOTALL)
_ASCII_ESCAPE = re.compile(r"%(?!25)[0-7][0-9A-Fa-f]")
_USER = re.compile(r"[A-Za-z0-9\-._:~!$&'()*+,;=%@]*")
_NOT_IN_HOST = re.compile(r"[^A-Za-z0-9\-_.~!$&'()*+,;=:\[\]<>\"%\x80-\U0010ffff]")


class URL(NamedTuple):
    """A URL in its parts, as written.

    Attributes:
        opaque: What follows a scheme, where that is no path.
        user: What stands before `@`; None where no such letter is.
        host: With its port.
    """

    scheme: str = ""
    opaque: str = ""
    user: str | None = None
    host: str = ""
    path: str = ""
    query: str = ""
    fragment: str = ""


def parse(text: str) -> URL:
    """Read a reference.

    Raises:
        ValueError: `parse "text": why`.
    """
    main, _, fragment = text.partition("#")
    try:
        found = _parse(main, request=False)
        _check_escapes(fragment)
    except ValueError as error:
        raise ValueError(f"parse {goformats.quoted(main)}: {error}") from None
    return found._replace(fragment=fragment)


def check_request_uri(text: str) -> None:
    """Refuse what is no URI of a request.

    Raises:
        ValueError: `parse "text": why`.
    """
    try:
        _parse(text, request=True)
    except ValueError as error:
        raise ValueError(f"parse {goformats.quoted(text)}: {error}") from None


def _parse(text: str, *, request: bool) -> URL:
    if any(ord(char) < 0x20 or char == "\x7f" for char in text):
        raise ValueError("net/url: invalid control character in URL")
    if not text and request:
        raise ValueError("empty url")
    if text == "*":
        return URL(path=text)
    scheme, rest = _scheme(text)
    rest, _, query = rest.partition("?")
    if not rest.startswith("/"):
        if scheme:
            return URL(scheme=scheme, opaque=rest, query=query)
        if request:
            raise ValueError("invalid URI for request")
        if ":" in rest.partition("/")[0]:
            raise ValueError("first path segment in URL cannot contain colon")
    user: str | None = None
    host = ""
    if rest.startswith("//") and (scheme or (not request and not rest.startswith("///"))):
        authority, slash, path = rest[2:].partition("/")
        user, host = _authority(authority)
        rest = slash + path
    _check_escapes(rest)
    return URL(scheme=scheme, user=user, host=host, path=rest, query=query)


def _scheme(text: str) -> tuple[str, str]:
    if text.startswith(":"):
        raise ValueError("missing protocol scheme")
    found = _SCHEME.match(text)
    if found is None:
        return "", text
    return found[0][:-1].lower(), text[found.end() :]


def _authority(authority: str) -> tuple[str | None, str]:
    user, at, host = authority.rpartition("@")
    if host.startswith("["):
        if "]" not in host:
            raise ValueError("missing ']' in host")
        port = host[host.rindex("]") + 1 :]
    else:
        port = host[host.rindex(":") :] if ":" in host else ""
    if not _PORT.fullmatch(port):
        raise ValueError(f"invalid port {goformats.quoted(port)} after host")
    _check_escapes(host)
    zoned = host.startswith("[") and "%25" in host
    if not zoned and (found := _ASCII_ESCAPE.search(host)):
        raise ValueError(f"invalid URL escape {goformats.quoted(found[0])}")
    if found := _NOT_IN_HOST.search(host):
        raise ValueError(f"invalid character {goformats.quoted(found[0])} in host name")
    if at:
        if not _USER.fullmatch(user):
            raise ValueError("net/url: invalid userinfo")
        _check_escapes(user)
    return user if at else None, host


def _check_escapes(text: str) -> None:
    if found := _BAD_ESCAPE.search(text):
        raise ValueError(f"invalid URL escape {goformats.quoted(found[0])}")
