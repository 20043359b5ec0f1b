"""The networks that an address belongs to, by which round trips are learned: its prefix, and its ASN where known."""

from __future__ import annotations

import ipaddress

_IPV4_BITS, _IPV6_BITS = 24, 48
"""What a provider routes as one: a /24 is the smallest that BGP carries, a /48 the smallest of IPv6."""


def networks_of(address: str, asn: int | None = None) -> tuple[str, ...]:
    """The narrowest first, such as ("81.2.69.0/24", "AS20712").

    None for addresses that others use too (private, loopback) or that are none: what is learned there is of nobody.
    """
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return ()
    if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped:
        parsed = parsed.ipv4_mapped
    if not parsed.is_global or parsed.is_multicast:
        return ()
    bits = _IPV4_BITS if parsed.version == 4 else _IPV6_BITS
    prefix = str(ipaddress.ip_network(f"{parsed}/{bits}", strict=False))
    return (prefix,) if asn is None else (prefix, f"AS{asn}")
