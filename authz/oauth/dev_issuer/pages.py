"""What a browser shows: who to be, and what was wrong. Everything that came from outside is escaped."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

    from authz.oauth.dev_issuer.config import User

WARNING: Final = "Development issuer: anyone may sign in as anyone. Not for production."

HEADERS: Final = (
    ("Content-Type", "text/html; charset=utf-8"),
    # No script, no frame around the buttons, nothing loaded from elsewhere.
    (
        "Content-Security-Policy",
        "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'",
    ),
    ("X-Frame-Options", "DENY"),
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "same-origin"),  # `no-referrer` would make the form's Origin `null`
    ("Cache-Control", "no-store"),
)

_STYLE: Final = (
    "body{font:1rem/1.5 system-ui,sans-serif;max-width:40rem;margin:0 auto;padding:0 1rem 2rem}"
    "p.warning{background:#a40000;color:#fff;font-weight:bold;margin:0 -1rem 2rem;padding:.5rem 1rem}"
    "button{font:inherit;text-align:left;display:block;width:100%;margin:.5rem 0;padding:.5rem 1rem;cursor:pointer}"
    "small{color:#555}code{overflow-wrap:anywhere}"
)


def sign_in_page(asked: str, client: str, scopes: Iterable[str], resource: str, users: Iterable[User]) -> bytes:
    """Return the list of users to click, for one request for authorization."""
    buttons = "\n".join(_button(user) for user in users)
    wanted = " ".join(f"<code>{escape(scope)}</code>" for scope in scopes) or "no scopes"
    return _page(
        "Sign in",
        f"<h1>Who are you?</h1>\n<p><b>{escape(client)}</b> asks for {wanted} on <code>{escape(resource)}</code>.</p>\n"
        f'<form method="post" action="/authorize">\n<input type="hidden" name="request" value="{escape(asked)}">\n'
        f"{buttons}\n<p>or</p>\n"
        '<button name="refuse" value="yes">Refuse</button>\n</form>',
    )


def problem_page(problem: str, code: str) -> bytes:
    """Return what was wrong with a request that can be sent back nowhere."""
    return _page("Refused", f"<h1>Refused</h1>\n<p>{escape(problem)}</p>\n<p><code>{escape(code)}</code></p>")


def front_page(issuer: str) -> bytes:
    """Return where things are."""
    paths = ("/.well-known/oauth-authorization-server", "/.well-known/openid-configuration", "/jwks")
    links = "".join(f'<li><a href="{path}"><code>{path}</code></a></li>' for path in paths)
    return _page("Development issuer", f"<h1><code>{escape(issuer)}</code></h1>\n<ul>{links}</ul>")


def _button(user: User) -> str:
    about = [f"tenant {user.tenant}"] if user.tenant else []
    about += [f"roles {', '.join(user.roles)}"] if user.roles else []
    about += [f"scopes {' '.join(sorted(user.scopes)) or 'none'}"] if user.scopes is not None else []
    more = f"<br><small>{escape(' · '.join(about))}</small>" if about else ""
    return f'<button name="user" value="{escape(user.name)}">{escape(user.name)}{more}</button>'


def _page(title: str, body: str) -> bytes:
    return (
        f'<!doctype html>\n<html lang="en">\n<meta charset="utf-8">\n<title>{escape(title)}</title>\n'
        '<meta name="viewport" content="width=device-width">\n'
        f'<style>{_STYLE}</style>\n<p class="warning">{WARNING}</p>\n{body}\n</html>\n'
    ).encode()
