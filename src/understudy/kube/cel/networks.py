"""IP addresses, networks and URLs as values, with Go's texts."""

from __future__ import annotations

import ipaddress
import re
import urllib.parse

from understudy.kube import causes, urls
from understudy.kube.cel import errors

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Interface | ipaddress.IPv6Interface


class IP:
    """An address, neither zoned nor IPv4 in IPv6."""

    __slots__ = ("address",)
    cel_type = "net.IP"

    def __init__(self, address: Address) -> None:
        self.address = address

    def __eq__(self, other: object) -> bool:
        return isinstance(other, IP) and self.address == other.address

    def __hash__(self) -> int:
        return hash(self.address)

    def __str__(self) -> str:
        return str(self.address)


class CIDR:
    """A prefix, host bits kept: `192.168.0.1/24`."""

    __slots__ = ("network",)
    cel_type = "net.CIDR"

    def __init__(self, network: Network) -> None:
        self.network = network

    def __eq__(self, other: object) -> bool:
        return isinstance(other, CIDR) and self.network == other.network

    def __hash__(self) -> int:
        return hash(self.network)

    def __str__(self) -> str:
        return str(self.network)

    def contains_ip(self, other: IP) -> bool:
        """Say whether an address lies in the network."""
        return other.address in self.network.network

    def contains_cidr(self, other: CIDR) -> bool:
        """Say whether a whole network lies in this one."""
        mine, theirs = self.network.network, other.network.network
        if mine.version != theirs.version or mine.prefixlen > theirs.prefixlen:
            return False
        return theirs.network_address in mine


def parse_ip(text: str) -> IP:
    """Read an address.

    Raises:
        EvaluationError: It is none, has a zone, or is IPv4 in IPv6.
    """
    quoted = causes.quoted(text)
    if "%" in text:
        raise errors.EvaluationError(f"IP address {quoted} with zone value is not allowed")
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        raise errors.EvaluationError(
            f"IP Address {quoted} parse error during conversion from string: "
            f"ParseAddr({quoted}): {_why(text)}"
        ) from None
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        raise errors.EvaluationError(f"IPv4-mapped IPv6 address {quoted} is not allowed")
    return IP(address)


def _why(text: str) -> str:
    if "." in text and ":" not in text:
        for part in text.split("."):
            if not part.isdigit():
                return "unexpected character" if part else "IPv4 field must have at least one digit"
            if int(part) > 255:
                return "IPv4 field has value >255"
        return "IPv4 address too short" if text.count(".") < 3 else "IPv4 address too long"
    return "unable to parse IP" if ":" not in text else "unexpected character"


def parse_cidr(text: str) -> CIDR:
    """Read a network.

    Raises:
        EvaluationError: It is none.
    """
    address, slash, bits = text.partition("/")
    problem = "no '/'" if not slash else "bad bits after slash: " + causes.quoted(bits)
    if not slash or not bits.isdigit() or (len(bits) > 1 and bits.startswith("0")):
        raise _bad_cidr(text, problem)
    try:
        network = ipaddress.ip_interface(text)
    except ValueError:
        try:
            ipaddress.ip_address(address)
        except ValueError:
            raise _bad_cidr(text, f"ParseAddr({causes.quoted(address)}): {_why(address)}") from None
        raise _bad_cidr(text, "prefix length out of range") from None
    if isinstance(network, ipaddress.IPv6Interface) and network.ip.ipv4_mapped is not None:
        raise errors.EvaluationError(
            f"IPv4-mapped IPv6 address {causes.quoted(text)} is not allowed"
        )
    return CIDR(network)


def _bad_cidr(text: str, why: str) -> errors.EvaluationError:
    return errors.EvaluationError(
        "network address parse error during conversion from string: "
        f"network address parse error during conversion from string: "
        f"netip.ParsePrefix({causes.quoted(text)}): {why}"
    )


class URL:
    """A parsed absolute URL or path."""

    __slots__ = ("parts",)
    cel_type = "kubernetes.URL"

    def __init__(self, parts: urls.URL) -> None:
        self.parts = parts

    def __eq__(self, other: object) -> bool:
        return isinstance(other, URL) and self.parts == other.parts

    def __hash__(self) -> int:
        return hash(self.parts)

    @property
    def scheme(self) -> str:
        """Scheme in small letters, empty for a path."""
        return self.parts.scheme

    @property
    def host(self) -> str:
        """Host with port, as written."""
        return self.parts.host

    @property
    def hostname(self) -> str:
        """Host without port and brackets."""
        host = re.sub(r":\d*$", "", self.host)
        return host.removeprefix("[").removesuffix("]") if host.startswith("[") else host

    @property
    def port(self) -> str:
        """Port, empty where none is written."""
        found = re.search(r":(\d*)$", self.host)
        return found[1] if found else ""

    @property
    def escaped_path(self) -> str:
        """Path with its escapes."""
        return urllib.parse.quote(self.parts.path, safe="/%:@!$&'()*+,;=~-._")

    @property
    def query(self) -> dict[str, list[str]]:
        """Values of each parameter."""
        return urllib.parse.parse_qs(self.parts.query, keep_blank_values=True)


def parse_url(text: str) -> URL:
    """Read a URL as Go's `url.ParseRequestURI` and `url.Parse` both accept it.

    Raises:
        EvaluationError: It is none.
    """
    try:
        urls.check_request_uri(text)
        return URL(urls.parse(text))
    except ValueError as error:
        text = f"URL parse error during conversion from string: {error}"
        raise errors.EvaluationError(text) from None
