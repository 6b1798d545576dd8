"""IP addresses and networks as Kubernetes reads them: sloppily in old fields, strictly in new ones.

Go's old parser tolerated leading zeros in IPv4 and IPv4-mapped IPv6; since 1.36 both are refused
in new values.
"""

from __future__ import annotations

import functools
import ipaddress

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_BAD_IP = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"
_BAD_CIDR = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"


@functools.lru_cache(maxsize=4096)
def parse_ip(text: str) -> IPAddress | None:
    """Return the address, or None; leading zeros are tolerated in IPv4, zones never."""
    if "%" in text:
        return None
    if ":" not in text:
        parts = text.split(".")
        if len(parts) != 4 or not all(p.isascii() and p.isdigit() and len(p) <= 3 for p in parts):
            return None
        text = ".".join(str(int(part)) for part in parts)
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None


def parse_cidr(text: str) -> Network | None:
    """Return the network of a CIDR notation, host bits dropped, or None."""
    address, slash, bits = text.partition("/")
    parsed = parse_ip(address)
    if not slash or parsed is None or not bits.isascii() or not bits.isdigit():
        return None
    try:
        return ipaddress.ip_network(f"{parsed}/{int(bits)}", strict=False)
    except ValueError:
        return None


def shown(address: IPAddress) -> str:
    """Return an address as Go prints it: IPv4-mapped IPv6 as IPv4."""
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return str(mapped or address)


def legacy_ip(text: str) -> list[str]:
    """Complain about an address in a field older than strict parsing."""
    parsed = parse_ip(text)
    if parsed is None:
        return [_BAD_IP]
    if isinstance(parsed, ipaddress.IPv6Address):
        mapped = parsed.ipv4_mapped is not None
        return ["must not be an IPv4-mapped IPv6 address"] if mapped else []
    return ["must not have leading 0s"] if str(parsed) != text else []


def canonical_ip(text: str) -> list[str]:
    """Complain about an address that is not in the one canonical form."""
    if complaints := legacy_ip(text):
        return complaints
    parsed = parse_ip(text)
    canonical = shown(parsed) if parsed else ""
    return [] if canonical == text else [f'must be in canonical form ("{canonical}")']


def legacy_cidr(text: str) -> list[str]:
    """Complain about a network in a field older than strict parsing."""
    parsed = parse_cidr(text)
    if parsed is None:
        return [_BAD_CIDR]
    address, _, bits = text.partition("/")
    complaints = legacy_ip(address)
    if (complaints and "0s" in complaints[0]) or (len(bits) > 1 and bits[0] == "0"):
        return ["must not have leading 0s in IP or prefix length"]
    if complaints:
        return ["must not have an IPv4-mapped IPv6 address"]
    if parse_ip(address) != parsed.network_address:
        return ["must not have bits set beyond the prefix length"]
    return []


def canonical_cidr(text: str) -> list[str]:
    """Complain about a network that is not in the one canonical form."""
    if complaints := legacy_cidr(text):
        return complaints
    canonical = str(parse_cidr(text))
    return [] if canonical == text else [f'must be in canonical form ("{canonical}")']


def ip_warnings(field: str, text: str) -> list[str]:
    """Warn about an address in a form that may become invalid."""
    parsed = parse_ip(text)
    if parsed is None:
        return []
    if legacy_ip(text):
        return [f'{field}: non-standard IP address "{text}" is invalid: use "{shown(parsed)}"']
    if parsed.version == 6 and str(parsed) != text:
        canonical = f'RFC 5952 canonical format ("{parsed}")'
        return [f'{field}: IPv6 address "{text}" should be in {canonical}']
    return []


def cidr_warnings(field: str, text: str) -> list[str]:
    """Warn about a network in a form that may become invalid."""
    parsed = parse_cidr(text)
    if parsed is None:
        return []
    out: list[str] = []
    address = parse_ip(text.partition("/")[0])
    if address is not None and address != parsed.network_address:
        single = f"{shown(address)}/{parsed.max_prefixlen}"
        out.append(
            f'{field}: CIDR value "{text}" is ambiguous in this context'
            f' (should be "{parsed}" or "{single}"?)'
        )
    if legacy_ip(text.partition("/")[0]):
        out.append(f'{field}: non-standard CIDR value "{text}" is invalid: use "{parsed}"')
    if not out and parsed.version == 6 and str(parsed) != text:
        canonical = f'RFC 5952 canonical format ("{parsed}")'
        out.append(f'{field}: IPv6 CIDR value "{text}" should be in {canonical}')
    return out
