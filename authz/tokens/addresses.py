"""Decide which IP addresses requests may go to: public ones, and those that configuration opens."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network
from typing import TYPE_CHECKING, Final

from authz.tokens.errors import TokenConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

# Written out, because `is_global` differs from one Python to the next. Sources: the IANA registries of
# special-purpose addresses for IPv4 and IPv6 (RFC 6890 and its successors).
_SPECIAL: Final = tuple(
    ip_network(text)
    for text in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",  # between a provider and its customers
        "127.0.0.0/8",
        "169.254.0.0/16",  # link-local, and the metadata services of clouds
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.88.99.0/24",  # relays of 6to4
        "192.168.0.0/16",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",
        "240.0.0.0/4",
        "2001::/23",  # Teredo among others
        "2001:db8::/32",
        "2002::/16",  # 6to4: any IPv4 address in disguise
        "3fff::/20",
    )
)
_GLOBAL_6: Final = IPv6Network("2000::/3")
"""All of public IPv6; IPv4-mapped, NAT64, unique local, link-local and multicast addresses lie outside."""
_OPENABLE: Final = tuple(
    ip_network(text) for text in ("10.0.0.0/8", "100.64.0.0/10", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7")
)
"""Private networks that configuration may open. Link-local is not among them: metadata services live there."""


def is_public(address: Address) -> bool:
    """Whether the address belongs to a host on the public Internet, reached as what it says it is."""
    if isinstance(address, IPv6Address) and address not in _GLOBAL_6:
        return False
    return not any(address in network for network in _SPECIAL)


def private_networks(texts: Iterable[str]) -> tuple[Network, ...]:
    """Read the private networks that requests may go to as well, such as `10.20.0.0/16`.

    Raises `TokenConfigError` for what is no network, or does not lie within the private ranges.
    """
    return tuple(_private(text) for text in texts)


def _private(text: str) -> Network:
    try:
        network = ip_network(text)
    except ValueError:
        raise TokenConfigError(f"`{text}` is not a network such as `10.20.0.0/16`") from None
    if any(_within(network, wide) for wide in _OPENABLE):
        return network
    raise TokenConfigError(f"`{text}` is not within a private network (RFC 1918, RFC 6598, RFC 4193)")


def _within(network: Network, wide: Network) -> bool:
    if isinstance(network, IPv4Network):
        return isinstance(wide, IPv4Network) and network.subnet_of(wide)
    return isinstance(wide, IPv6Network) and network.subnet_of(wide)
