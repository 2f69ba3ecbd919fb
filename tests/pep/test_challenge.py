"""What a `WWW-Authenticate` header says, as clients read it (RFC 6750, RFC 9110, RFC 9728)."""

from __future__ import annotations

import re

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mcp.client.auth.utils import (
    extract_field_from_www_auth,
    extract_resource_metadata_from_www_auth,
    extract_scope_from_www_auth,
)

from authz.model import Decision, Effect, Reason
from authz.pep.http.challenge import MAX_SCOPES, Challenges, limited, writable
from authz.pep.identity import ANONYMOUS
from authz.pep.messages import Message
from authz.pep.verdict import Outcome, Verdict
from tests.pep.gate_world import METADATA

CHALLENGES = Challenges("documents", METADATA)
_PARAMETER = r'[a-z_]+="[\x20\x21\x23-\x5b\x5d-\x7e]*"'
CHALLENGE = re.compile(f"Bearer {_PARAMETER}(?:, {_PARAMETER})*")
"""Stricter than RFC 9110, section 11.2: quoted-strings without anything that would need a backslash."""


def short(message: str, required: tuple[str, ...], missing: tuple[str, ...] = ("s",)) -> Verdict:
    """Return a denial for want of scopes."""
    decision = Decision(Effect.DENY, Reason.INSUFFICIENT_SCOPE, message, (), "r1", (), required, missing)
    return Verdict(Message("tools/call"), ANONYMOUS, Outcome.DENIED, message, "id", decision)


@given(st.text(), st.lists(st.text(min_size=1), max_size=4))
def test_whatever_the_texts_are_the_challenge_is_well_formed(message: str, scopes: list[str]) -> None:
    """RFC 9110, section 11.2; RFC 6750, section 3: no text and no scope gets out of its quotes."""
    answer = CHALLENGES.step_up(short(message, tuple(scopes)), 1)
    if answer is None:
        return
    value = dict(answer.headers)[b"www-authenticate"].decode("ascii")
    assert CHALLENGE.fullmatch(value)
    assert value.count('scope="') == 1
    told = value.split('scope="')[1].split('"')[0].split(" ")
    assert told == list(dict.fromkeys(scope for scope in scopes if scope != "offline_access"))


@given(st.lists(st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E, exclude_characters='"\\')), max_size=5))
def test_every_scope_that_oauth_can_spell_is_told(scopes: list[str]) -> None:
    """RFC 6749, section 3.3."""
    named = [scope for scope in scopes if scope not in {"", "offline_access"}]
    assert writable(named) == tuple(dict.fromkeys(named))


def test_the_sdks_client_reads_what_was_written() -> None:
    """R9, C8: even a text that speaks of scopes does not lead it astray."""
    verdict = short('needs scope=admin and error="none"', ("files:read", "files:write"))
    answer = CHALLENGES.step_up(verdict, 1)
    assert answer is not None
    response = httpx2.Response(answer.status, headers=answer.headers)
    assert extract_scope_from_www_auth(response) == "files:read files:write"
    assert extract_resource_metadata_from_www_auth(response) == METADATA
    assert extract_field_from_www_auth(response, "error") == "insufficient_scope"


@pytest.mark.parametrize("outcome", [Outcome.ALLOWED, Outcome.PASSED, Outcome.INVALID, Outcome.UNAVAILABLE])
def test_only_a_denial_is_challenged(outcome: Outcome) -> None:
    """Issue 5, item 4: whatever the decision beside it says."""
    decision = short("", ("s",)).decision
    verdict = Verdict(Message("tools/call"), ANONYMOUS, outcome, "", "id", decision, retry_after=0.0)
    assert CHALLENGES.step_up(verdict, 1) is None
    wait = Verdict(Message("tools/call"), ANONYMOUS, outcome, "", "id", decision, retry_after=5.0)
    assert (limited(wait, 1) is None) == wait.allowed


@pytest.mark.parametrize("reason", [reason for reason in Reason if reason is not Reason.INSUFFICIENT_SCOPE])
def test_only_missing_scopes_are_challenged(reason: Reason) -> None:
    """L67: of a denial for another reason no scope is told, whatever the decision point fills in."""
    decision = Decision(Effect.DENY, reason, "no", (), "r1", (), ("s",), ("s",))
    verdict = Verdict(Message("tools/call"), ANONYMOUS, Outcome.DENIED, "no", "id", decision)
    assert CHALLENGES.step_up(verdict, 1) is None


def test_a_challenge_stays_small_enough_for_every_client() -> None:
    """Many take no more than 8 KiB of headers: a longer list is not cut, but not sent."""
    assert writable(["s" * (MAX_SCOPES - 1)]) is not None
    assert writable(["s" * MAX_SCOPES]) is None


@pytest.mark.parametrize(("wait", "told"), [(0.001, b"1"), (1.0, b"1"), (1.2, b"2"), (3600.0, b"3600")])
def test_the_wait_is_told_in_whole_seconds(wait: float, told: bytes) -> None:
    """RFC 9110, section 10.2.3; never 0, which would be at once."""
    verdict = Verdict(Message("tools/call"), ANONYMOUS, Outcome.DENIED, "wait", "id", retry_after=wait)
    answer = limited(verdict, 1)
    assert answer is not None
    assert (answer.status, dict(answer.headers)[b"retry-after"]) == (429, told)


@pytest.mark.parametrize(("realm", "url"), [("", METADATA), ('"', METADATA), ("a\n", METADATA), ("documents", 'x"')])
def test_what_cannot_be_quoted_is_refused_at_once(realm: str, url: str) -> None:
    """Issue 5, item 4: checked when it is made, not when somebody is refused."""
    with pytest.raises(ValueError, match="printable ASCII"):
        Challenges(realm, url)
