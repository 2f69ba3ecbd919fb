"""What the URL of a configured endpoint must be: encrypted, except on this very machine."""

from __future__ import annotations

import ipaddress

from authz.tokens.errors import HttpError
from authz.tokens.urls import read_url


def endpoint_problem(url: str, *, loopback_http: bool) -> str:
    """Say what is wrong with the URL of an endpoint, "" being nothing.

    Tokens, secrets and keys travel there: it must be `https`; `http` is for loopback, where
    `loopback_http` says so.
    """
    try:
        found = read_url(url)
    except HttpError as error:
        return f"cannot be used: {error}"
    if found.scheme == "https":
        return ""
    if not is_loopback(found.host):
        return "is not encrypted: use `https`"
    if not loopback_http:
        return "is not encrypted: use `https`, or say `insecure_loopback = true` for development on this machine"
    return ""


def is_loopback(host: str) -> bool:
    """Say whether a host is this very machine, by its name or address alone."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
