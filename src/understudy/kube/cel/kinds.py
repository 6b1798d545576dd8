"""Functions on Kubernetes' own types: quantities, addresses, URLs, versions, named formats.

Overload id -> function.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable

from understudy.kube import causes, names, quantities
from understudy.kube.cel import errors, functions, networks, standard, times, values, versions

_UUID = re.compile(r"(?i)[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}")


class Format:
    """A named format with a function that complains about strings not of it."""

    __slots__ = ("complain", "name")
    cel_type = "kubernetes.NamedFormat"

    def __init__(self, name: str, complain: Callable[[str], list[str]]) -> None:
        self.name = name
        self.complain = complain

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Format) and self.name == other.name

    def __hash__(self) -> int:
        return hash(self.name)


def _prefix(check: Callable[[str], list[str]]) -> Callable[[str], list[str]]:
    """Check a name that will be continued: a trailing dash is no fault yet."""
    return lambda text: check(f"{text[:-1]}a" if len(text) > 1 and text.endswith("-") else text)


def _uri(text: str) -> list[str]:
    try:
        networks.parse_url(text)
    except errors.EvaluationError as error:
        return [str(error).removeprefix("URL parse error during conversion from string: ")]
    return []


def _uuid(text: str) -> list[str]:
    return [] if _UUID.fullmatch(text) else ["does not match the UUID format"]


def _byte(text: str) -> list[str]:
    try:
        base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return ["invalid base64"]
    return [] if text else ["invalid base64"]


def _date(text: str) -> list[str]:
    return [] if times.parse_date(text) is not None else ["invalid date"]


def _datetime(text: str) -> list[str]:
    return [] if times.parse_timestamp(text.upper()) is not None else ["invalid datetime"]


_CHECKS: dict[str, Callable[[str], list[str]]] = {
    "dns1123Label": names.dns_label,
    "dns1123Subdomain": names.dns_subdomain,
    "dns1035Label": names.dns1035_label,
    "qualifiedName": names.qualified_name,
    "dns1123LabelPrefix": _prefix(names.dns_label),
    "dns1123SubdomainPrefix": _prefix(names.dns_subdomain),
    "dns1035LabelPrefix": _prefix(names.dns1035_label),
    "labelValue": names.label_value,
    "uri": _uri,
    "uuid": _uuid,
    "byte": _byte,
    "date": _date,
    "datetime": _datetime,
}
FORMATS = {name: Format(name, _CHECKS[name]) for name in functions.FORMAT_NAMES}


def _named(name: str) -> values.Optional:
    found = FORMATS.get(name)
    return values.Optional(found) if found is not None else values.NONE


def _validate(format: Format, text: str) -> values.Optional:
    complaints = format.complain(text)
    return values.Optional(list(complaints)) if complaints else values.NONE


# ---------------------------------------------------------------------- quantities


def _quantity(text: str) -> quantities.Quantity:
    try:
        return quantities.parse(text)
    except quantities.QuantityError as error:
        raise standard.fail(str(error)) from None


def _is_quantity(text: str) -> bool:
    try:
        quantities.parse(text)
    except quantities.QuantityError:
        return False
    return True


def _is_integer(quantity: quantities.Quantity) -> bool:
    whole = quantity.value
    return quantities.of(whole).compare(quantity) == 0 and abs(whole) <= values.INT_MAX


def _integer(quantity: quantities.Quantity) -> int:
    if not _is_integer(quantity):
        raise standard.fail("cannot convert value to integer")
    return quantity.value


def _float(quantity: quantities.Quantity) -> float:
    return float(quantity.mantissa) * 10.0**quantity.exponent


# ---------------------------------------------------------------------- networks


def _is_ip(text: str) -> bool:
    try:
        networks.parse_ip(text)
    except errors.EvaluationError:
        return False
    return True


def _is_cidr(text: str) -> bool:
    try:
        networks.parse_cidr(text)
    except errors.EvaluationError:
        return False
    return True


def _is_url(text: str) -> bool:
    try:
        networks.parse_url(text)
    except errors.EvaluationError:
        return False
    return True


def _is_global_unicast(ip: networks.IP) -> bool:
    address = ip.address
    return not (
        address.is_unspecified
        or address.is_loopback
        or address.is_multicast
        or address.is_link_local
        or str(address) == "255.255.255.255"
    )


def _link_local_multicast(ip: networks.IP) -> bool:
    if ip.address.version == 4:
        return ip.address.packed[:3] == b"\xe0\x00\x00"
    return ip.address.packed[0] == 0xFF and ip.address.packed[1] & 0x0F == 0x02


def _link_local_unicast(ip: networks.IP) -> bool:
    if ip.address.version == 4:
        return ip.address.packed[:2] == b"\xa9\xfe"
    return ip.address.packed[0] == 0xFE and ip.address.packed[1] & 0xC0 == 0x80


def _masked(cidr: networks.CIDR) -> networks.CIDR:
    return networks.parse_cidr(str(cidr.network.network))


# ---------------------------------------------------------------------- versions


def _semver(text: str, normalize: bool = False) -> versions.Semver:
    found = versions.parse(text, normalize=normalize)
    if found is None:
        raise standard.fail(f"No Major.Minor.Patch elements found: {causes.quoted(text)}")
    return found


def _order(left: versions.Semver, right: versions.Semver) -> int:
    return (left > right) - (left < right)


FUNCTIONS: dict[str, standard.Function] = {
    "format-named": _named,
    "format-validate": _validate,
    **{f"format.{name}": (lambda found=found: found) for name, found in FORMATS.items()},
    "string_to_quantity": _quantity,
    "is_quantity_string": _is_quantity,
    "quantity_sign": lambda q: q.sign,
    "quantity_is_greater_than": lambda a, b: a.compare(b) > 0,
    "quantity_is_less_than": lambda a, b: a.compare(b) < 0,
    "quantity_compare_to": lambda a, b: a.compare(b),
    "quantity_get_float": _float,
    "quantity_get_int": _integer,
    "quantity_is_integer": _is_integer,
    "quantity_add": lambda a, b: a + b,
    "quantity_add_int": lambda a, b: a + quantities.of(b),
    "quantity_sub": lambda a, b: a - b,
    "quantity_sub_int": lambda a, b: a - quantities.of(b),
    "string_to_ip": networks.parse_ip,
    "is_ip": _is_ip,
    "ip_family": lambda ip: ip.address.version,
    "ip_is_canonical": lambda text: str(networks.parse_ip(text)) == text,
    "ip_is_unspecified": lambda ip: ip.address.is_unspecified,
    "ip_is_loopback": lambda ip: ip.address.is_loopback,
    "ip_is_link_local_multicast": _link_local_multicast,
    "ip_is_link_local_unicast": _link_local_unicast,
    "ip_is_global_unicast": _is_global_unicast,
    "ip_to_string": str,
    "string_to_cidr": networks.parse_cidr,
    "is_cidr": _is_cidr,
    "cidr_contains_ip_string": lambda cidr, text: cidr.contains_ip(networks.parse_ip(text)),
    "cidr_contains_ip_ip": lambda cidr, ip: cidr.contains_ip(ip),
    "cidr_contains_cidr_string": lambda cidr, text: cidr.contains_cidr(networks.parse_cidr(text)),
    "cidr_contains_cidr": lambda cidr, other: cidr.contains_cidr(other),
    "cidr_ip": lambda cidr: networks.IP(cidr.network.ip),
    "cidr_prefix_length": lambda cidr: cidr.network.network.prefixlen,
    "cidr_masked": _masked,
    "cidr_to_string": str,
    "string_to_url": networks.parse_url,
    "is_url_string": _is_url,
    "url_get_scheme": lambda url: url.scheme,
    "url_get_host": lambda url: url.host,
    "url_get_hostname": lambda url: url.hostname,
    "url_get_port": lambda url: url.port,
    "url_get_escaped_path": lambda url: url.escaped_path,
    "url_get_query": lambda url: url.query,
    "string_to_semver": _semver,
    "string_bool_to_semver": _semver,
    "is_semver_string": lambda text: versions.parse(text) is not None,
    "is_semver_string_bool": lambda text, loose: versions.parse(text, normalize=loose) is not None,
    "semver_is_greater_than": lambda a, b: a > b,
    "semver_is_less_than": lambda a, b: a < b,
    "semver_compare_to": _order,
    "semver_major": lambda v: v.major,
    "semver_minor": lambda v: v.minor,
    "semver_patch": lambda v: v.patch,
}
