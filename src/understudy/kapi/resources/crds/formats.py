"""String formats that custom resource validation knows (`format: date-time` ...).

Formats are compared without dashes, unknown ones are ignored. Sources: `validation/formats.go` of
k8s.io/apiextensions-apiserver 0.36 for the list, `strfmt` of k8s.io/kube-openapi for what each
accepts.
"""

from __future__ import annotations

import base64
import binascii
import datetime as dt
import email.utils
import functools
import ipaddress
import re
from collections.abc import Callable

from understudy.kube import regexps, urls

_TIME = re.compile(r"([0-9]{2}):([0-9]{2}):([0-9]{2})(.[0-9]+)?(z|([+-][0-9]{2}:[0-9]{2}))")
_GO_DURATION = re.compile(r"[-+]?(0|((\d+(\.\d*)?|\.\d+)(ns|us|µs|μs|ms|s|m|h))+)")
_LOOSE_DURATION = re.compile(r"((\d+)\s*([A-Za-zµ]+))")
_UNITS = (
    "ns", "nano", "us", "µs", "micro", "ms", "milli", "s", "sec", "m", "min", "h", "hr", "hour",
    "d", "day", "w", "wk", "week",
)  # fmt: skip
_UNIT_PREFIXES = ("nano", "micro", "milli", "sec", "min", "hour", "day", "week")
_MAC = re.compile(
    r"([0-9a-fA-F]{2}([:-][0-9a-fA-F]{2}){5}|[0-9a-fA-F]{2}([:-][0-9a-fA-F]{2}){7}"
    r"|[0-9a-fA-F]{2}([:-][0-9a-fA-F]{2}){19}|[0-9a-fA-F]{4}(\.[0-9a-fA-F]{4}){2}"
    r"|[0-9a-fA-F]{4}(\.[0-9a-fA-F]{4}){3}|[0-9a-fA-F]{4}(\.[0-9a-fA-F]{4}){9})"
)
_CARD = re.compile(
    r"(?:4[0-9]{12}(?:[0-9]{3})?|5[1-5][0-9]{14}|6(?:011|5[0-9][0-9])[0-9]{12}|3[47][0-9]{13}"
    r"|3(?:0[0-5]|[68][0-9])[0-9]{11}|(?:2131|1800|35\d{3})\d{11})"
)
_BYTE = r"(25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
_RGB = re.compile(rf"rgb\(\s*{_BYTE}\s*,\s*{_BYTE}\s*,\s*{_BYTE}\s*\)")
_HOSTNAME = (
    r"^([a-zA-Z0-9\p{S}\p{L}]((-?[a-zA-Z0-9\p{S}\p{L}]{0,62})?)"
    r"|([a-zA-Z0-9\p{S}\p{L}](([a-zA-Z0-9-\p{S}\p{L}]{0,61}[a-zA-Z0-9\p{S}\p{L}])?)(\.)){1,}"
    r"([a-zA-Z\p{L}]){2,63})$"
)
_SHORT_NAME = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"


@functools.cache
def _hostnames() -> Callable[[str], bool]:
    # Its classes of letters and symbols take 75 ms to compile: not at start-up.
    return regexps.searcher(_HOSTNAME)


def is_date(text: str) -> bool:
    """Accept `2006-01-02`."""
    try:
        dt.datetime.strptime(text, "%Y-%m-%d")  # noqa: DTZ007 (only the syntax counts)
    except ValueError:
        return False
    return len(text) == 10


def is_date_time(text: str) -> bool:
    """Accept RFC 3339 times; a leap second is refused, as Kubernetes does."""
    date, t, time = text.lower().partition("t")
    if not t or not is_date(date):
        return False
    found = _TIME.fullmatch(time.partition("t")[0])
    return found is not None and found[1] <= "23" and found[2] <= "59" and found[3] <= "59"


def is_duration(text: str) -> bool:
    """Accept Go's durations (`1h30m`) and looser ones (`3 days`)."""
    if _GO_DURATION.fullmatch(text):
        return True
    for _, _, unit in _LOOSE_DURATION.findall(text):
        lowered = unit.lower()
        if lowered in _UNITS or lowered.startswith(_UNIT_PREFIXES):
            return True
    return False


def _is_uri(text: str) -> bool:
    try:
        urls.check_request_uri(text)
    except ValueError:
        return False
    return True


def _is_email(text: str) -> bool:
    _, address = email.utils.parseaddr(text)
    local, at, domain = address.rpartition("@")
    return bool(at and local and domain) and " " not in address and ".." not in address


def _is_hostname(text: str) -> bool:
    size = len(text.encode())
    return (
        _hostnames()(text) and size <= 255 and all(len(p.encode()) <= 63 for p in text.split("."))
    )


def _parses_as_ip(text: str) -> bool:
    """Accept an address as older Go did: leading zeros are decimal."""
    sloppy = re.sub(r"(^|\.|:)0+(?=\d+(\.|$))", r"\1", text) if "." in text else text
    try:
        ipaddress.ip_address(sloppy)
    except ValueError:
        return False
    return "%" not in text


def _is_cidr(text: str) -> bool:
    address, slash, bits = text.partition("/")
    limit = 128 if ":" in address else 32
    return bool(slash) and _parses_as_ip(address) and bits.isdigit() and int(bits) <= limit


def _is_base64(text: str) -> bool:
    try:
        base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return False
    return bool(text)


def _is_isbn10(text: str) -> bool:
    digits = re.sub(r"[\s-]", "", text)
    if not re.fullmatch(r"(?:[0-9]{9}X|[0-9]{10})", digits):
        return False
    values = [10 if char == "X" else int(char) for char in digits]
    return sum((i + 1) * value for i, value in enumerate(values)) % 11 == 0


def _is_isbn13(text: str) -> bool:
    digits = re.sub(r"[\s-]", "", text)
    if not re.fullmatch(r"[0-9]{13}", digits):
        return False
    return sum(int(char) * (3 if i % 2 else 1) for i, char in enumerate(digits)) % 10 == 0


def _is_credit_card(text: str) -> bool:
    digits = re.sub(r"[^0-9]+", "", text)
    if not _CARD.fullmatch(digits):
        return False
    total = 0
    for place, char in enumerate(reversed(digits)):
        value = int(char) * (2 if place % 2 else 1)
        total += value - 9 if value > 9 else value
    return total % 10 == 0


def _matcher(pattern: str) -> Callable[[str], bool]:
    match = re.compile(pattern).fullmatch
    return lambda text: match(text) is not None


def _uuid(third: str, fourth: str) -> Callable[[str], bool]:
    return _matcher(f"(?i)[0-9a-f]{{8}}-?[0-9a-f]{{4}}-?{third}-?{fourth}-?[0-9a-f]{{12}}")


_ANY4, _VARIANT = "[0-9a-f]{4}", "[89ab][0-9a-f]{3}"
_SHORT = _matcher(_SHORT_NAME)
_LONG = _matcher(_SHORT_NAME + r"(\." + _SHORT_NAME + ")*")
CHECKS: dict[str, Callable[[str], bool]] = {
    "bsonobjectid": _matcher("[0-9a-fA-F]{24}"),
    "uri": _is_uri,
    "email": _is_email,
    "hostname": _is_hostname,
    "ipv4": lambda text: "." in text and _parses_as_ip(text),
    "ipv6": lambda text: ":" in text and _parses_as_ip(text),
    "cidr": _is_cidr,
    "mac": _matcher(_MAC.pattern),
    "uuid": _uuid(_ANY4, _ANY4),
    "uuid3": _uuid("3[0-9a-f]{3}", _ANY4),
    "uuid4": _uuid("4[0-9a-f]{3}", _VARIANT),
    "uuid5": _uuid("5[0-9a-f]{3}", _VARIANT),
    "isbn": lambda text: _is_isbn10(text) or _is_isbn13(text),
    "isbn10": _is_isbn10,
    "isbn13": _is_isbn13,
    "creditcard": _is_credit_card,
    "ssn": _matcher(r"\d{3}[- ]\d{2}[- ]\d{4}"),
    "hexcolor": _matcher("#?([0-9a-fA-F]{3}|[0-9a-fA-F]{6})"),
    "rgbcolor": _matcher(_RGB.pattern),
    "byte": _is_base64,
    "password": lambda _: True,
    "date": is_date,
    "duration": is_duration,
    "datetime": is_date_time,
    "k8sshortname": lambda text: len(text) <= 63 and _SHORT(text),
    "k8slongname": lambda text: len(text) <= 253 and _LONG(text),
}
"""Format without dashes -> whether a string is of it."""


def normalized(format: str) -> str:
    """Return the name under which a format is looked up: `date-time` -> `datetime`."""
    return format.replace("-", "")


def supported(format: str, types: tuple[str, ...]) -> str:
    """Return the format as said where it means something for the types, else an empty string."""
    if not format:
        return ""
    said = types[0] if len(types) == 1 else ""
    if said in {"", "string"}:
        return format if normalized(format) in CHECKS else ""
    if said == "integer":
        return format if format in {"int32", "int64"} else ""
    if said == "number":
        return format if format in {"float", "double"} else ""
    return ""
