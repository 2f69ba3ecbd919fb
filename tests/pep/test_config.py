"""The settings of a guard: what a file says, and what is refused of it (issue 5, item 5)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from authz.pep.config import GuardConfig, GuardConfigError, Limits, ObligationSettings, PdpTls, Stdio
from authz.pep.mapping import Rule, Touches
from authz.pep.reading import MAX_FILE, load_guard, read_guard
from authz.server.config import DecisionLogConfig, StoreConfig

if TYPE_CHECKING:
    from collections.abc import Callable

    from authz.model import Attributes

HERE = Path("/etc/authz")
SHORT = 'policies = "policies"\n'


def problems_of(text: str, folder: Path = HERE) -> tuple[str, ...]:
    """Return what is wrong with a configuration."""
    with pytest.raises(GuardConfigError) as caught:
        read_guard(text, folder)
    return caught.value.problems


def the_problem(text: str, folder: Path = HERE) -> str:
    """Return the one thing that is wrong with a configuration."""
    (problem,) = problems_of(text, folder)
    return problem


def test_one_line_is_enough_where_everything_else_has_a_default() -> None:
    """Issue 5: three lines that people add and trust."""
    assert read_guard(SHORT, HERE) == GuardConfig(policies=HERE / "policies")


def test_the_defaults_are_the_careful_ones() -> None:
    """Issue 5, items 2 to 4: no memory, 250 ms, whole challenges, nothing open, nobody configured."""
    config = read_guard(SHORT, HERE)
    assert (config.remember, config.deadline, config.challenge) == (0.0, 0.25, "required")
    assert (config.list_mode, config.max_body) == ("grantable", 4 * 1024 * 1024)
    assert config.open_paths == config.allowed_origins == frozenset()
    assert config.stdio is None
    assert not config.obligations.log_notices


@pytest.mark.parametrize(
    ("given", "target"),
    [
        ("unix:authz.sock", "unix:/etc/authz/authz.sock"),
        ("unix:run/authz.sock", "unix:/etc/authz/run/authz.sock"),
        ("unix:/run/authz.sock", "unix:/run/authz.sock"),
        ("unix:///run/authz.sock", "unix:///run/authz.sock"),
        ("unix:", "unix:"),
        ("127.0.0.1:8181", "127.0.0.1:8181"),
        ("dns:///authz.internal:8181", "dns:///authz.internal:8181"),
    ],
)
@pytest.mark.parametrize("key", ["pdp", "follow"])
def test_a_socket_starts_from_the_folder_of_the_file_like_every_path(key: str, given: str, target: str) -> None:
    """Issue 5, item 5: what a guard asks does not depend on where its server is started."""
    for written in (f'"{given}"', f'["{given}"]'):
        assert getattr(read_guard(f"{key} = {written}", HERE), key) == (target,)


def test_a_socket_of_a_file_named_relatively_has_an_absolute_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Issue 5, item 5: the folder may change between reading the settings and asking."""
    (tmp_path / "guard.toml").write_text('pdp = "unix:authz.sock"')
    monkeypatch.chdir(tmp_path)
    assert load_guard("guard.toml").pdp == (f"unix:{tmp_path}/authz.sock",)


def test_a_file_says_everything(tmp_path: Path) -> None:
    """Issue 5, item 5; S83: all settings, and paths that start from the file's folder."""
    for name in ("issuers.toml", "ca.pem", "cert.pem", "key.pem"):
        (tmp_path / name).write_text("")
    path = tmp_path / "guard.toml"
    path.write_text(
        """
        pdp = ["10.0.0.1:8181", "10.0.0.2:8181"]
        resource = "https://mcp.example/mcp"
        issuers = "issuers.toml"
        audiences = ["https://mcp.example/mcp", "mcp-client-id"]
        realm = "documents"
        authorization_servers = ["https://idp.example/realms/main"]
        scopes_supported = ["docs:read"]
        server = "documents"
        list_mode = "callable"
        challenge = "missing"
        deadline = 1
        max_body = 100_000
        open_paths = ["/health"]
        allowed_origins = ["https://app.example", "http://localhost:3000"]
        remember = 1.5

        [pdp_tls]
        ca = "ca.pem"
        cert = "cert.pem"
        key = "key.pem"
        name = "authz.example"

        [stdio]
        token_env = "MCP_TOKEN"

        [limits]
        calls = 30
        seconds = 60

        [[tools]]
        match = "read_*"
        resource = { type = "file", id = "args.path" }

        [obligations]
        redact = { with = "…" }
        approval = { timeout = 30 }
        notify = { log = true }
        """
    )
    assert load_guard(str(path)) == GuardConfig(
        pdp=("10.0.0.1:8181", "10.0.0.2:8181"),
        pdp_tls=PdpTls(tmp_path / "ca.pem", tmp_path / "cert.pem", tmp_path / "key.pem", "authz.example"),
        resource="https://mcp.example/mcp",
        issuers=tmp_path / "issuers.toml",
        audiences=frozenset({"https://mcp.example/mcp", "mcp-client-id"}),
        realm="documents",
        authorization_servers=("https://idp.example/realms/main",),
        scopes_supported=("docs:read",),
        challenge="missing",
        max_body=100_000,
        open_paths=frozenset({"/health"}),
        allowed_origins=frozenset({"https://app.example", "http://localhost:3000"}),
        server="documents",
        list_mode="callable",
        deadline=1,
        remember=1.5,
        stdio=Stdio(token_env="MCP_TOKEN"),
        limits=Limits(30, 60),
        mapping=(Rule(("read_*",), Touches("file", ("path",))),),
        obligations=ObligationSettings("…", 30, log_notices=True),
    )


def test_a_caller_and_a_log_of_this_process_may_be_named() -> None:
    """R1, S30: who calls over stdio; issue 5, item 2: decisions logged like the server's."""
    found = read_guard(
        """
        follow = "unix:/run/authz.sock"
        [stdio]
        subject = "alice"
        scopes = ["docs:read"]
        roles = ["viewer"]
        tenant = "acme"
        client = "desktop"
        attributes = { department = "legal", level = 3, tags = ["a", { b = true }] }
        [decision_log]
        store = "authz.db"
        store_key = "authz.key"
        requests = true
        attributes = ["context.ip"]
        """,
        HERE,
    )
    assert found.follow == ("unix:/run/authz.sock",)
    attributes: Attributes = {"department": "legal", "level": 3, "tags": ["a", {"b": True}]}
    assert found.stdio == Stdio("alice", "", "", ("docs:read",), ("viewer",), "acme", "desktop", attributes)
    assert found.store == StoreConfig(HERE / "authz.db", HERE / "authz.key")
    assert found.decision_log == DecisionLogConfig("required", None, ("context.ip",), requests=True)


def test_all_problems_are_told_at_once() -> None:
    """Style: report every error, each naming its setting; with the near name of one that is not known."""
    problems = problems_of(
        """
        pdp = "unix:/run/authz.sock"
        policies = "policies"
        resource = "http://mcp.example/mcp"
        deadine = 1
        deadline = 60
        list_mode = "all"
        [limits]
        calls = 0
        [stdio]
        scopes = ["a"]
        """
    )
    told = "\n".join(problems)
    for part in (
        "`pdp` and `policies` exclude each other",
        "`resource` is not encrypted",
        "`deadine` is no setting: did you mean `deadline`?",
        "`deadline` must be from 0.01 to 5 seconds",
        "`list_mode` must be `grantable` or `callable`, not `all`",
        "[limits]: `calls` must be from 1 to 1e+06 calls",
        "[limits]: `seconds` is missing",
        "[stdio]: exactly one of",
    ):
        assert part in told
    assert len(problems) == 8


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "nothing says who decides"),
        ('pdp = ""', "`pdp` must not be empty"),
        ("pdp = []", "nothing says who decides"),
        (SHORT + 'follow = "unix:/run/authz.sock"', "`policies` and `follow` exclude each other"),
        (SHORT + "nosuchthing = 1", "`nosuchthing` is no setting: `docs/mcp.md` names those there are"),
        (SHORT + 'issuers = "nowhere.toml"\nresource = "https://mcp.example"', "`issuers`: `/etc/authz/nowhere.toml`"),
        (SHORT + 'audiences = ["https://mcp.example"]', "of no use without `issuers`"),
        (SHORT + 'resource = "mcp.example"', "`resource` cannot be used"),
        (SHORT + 'resource = "https://mcp.example/mcp#x"', "`resource` cannot be used"),
        (SHORT + 'resource = "https://user@mcp.example/mcp"', "`resource` cannot be used"),
        (SHORT + 'resource = "https://MCP.example/mcp/"', "canonical form (RFC 8707): `https://mcp.example/mcp`"),
        (SHORT + 'resource = "https://mcp.example:443/mcp"', "canonical form (RFC 8707): `https://mcp.example/mcp`"),
        (SHORT + 'resource = "https://mcp.example/mcp?a=b"', "canonical form (RFC 8707): `https://mcp.example/mcp`"),
        (SHORT + 'scopes_supported = ["offline_access"]', "`scopes_supported` holds `offline_access`"),
        (SHORT + 'scopes_supported = ["docs:*"]', "`scopes_supported` holds `docs:*`"),
        (SHORT + 'scopes_supported = ["a b"]', "`scopes_supported` holds `a b`"),
        (SHORT + 'open_paths = ["health"]', "`open_paths` holds `health`"),
        (SHORT + 'open_paths = ["/*"]', "`open_paths` holds `/*`"),
        (SHORT + 'allowed_origins = ["*"]', "`allowed_origins` holds `*`"),
        (SHORT + 'allowed_origins = ["null"]', "`allowed_origins` holds `null`"),
        (SHORT + 'allowed_origins = ["https://app.example/"]', "`allowed_origins` holds"),
        (SHORT + "realm = 'a\"b'", "`realm` must be plain text"),
        (SHORT + "realm = 'dökümente'", "`realm` must be plain text"),
        (SHORT + "remember = 61", "`remember` must be from 0 to 60"),
        (SHORT + "remember = nan", "`remember` must be a number"),
        (SHORT + "max_body = 1e9", "`max_body` must be a whole number"),
        (SHORT + 'challenge = "all"', "`challenge` must be `required` or `missing`"),
        (SHORT + "[limits]\ncalls = 1.5\nseconds = 60", "`calls` must be a whole number"),
        (SHORT + "[limits]\nseconds = 60", "`calls` is missing"),
        (SHORT + '[pdp_tls]\nca = "/etc/hostname"', "[pdp_tls] is of no use beside `policies`"),
        ('pdp = "h:1"\n[pdp_tls]\nname = "x"', "[pdp_tls]: `ca` is missing"),
        ('pdp = "h:1"\n[pdp_tls]\nca = "/etc/hostname"\ncert = "/etc/hostname"', "`cert` and `key` belong together"),
        ('pdp = "h:1"\n[decision_log]\nstore = "a.db"', "of no use beside `pdp`"),
        (SHORT + "[decision_log]", "need `store`"),
        (SHORT + '[decision_log]\nfile = "log.jsonl"', 'or say `mode = "best-effort"`'),
        (SHORT + '[decision_log]\nmode = "best-effort"', "give `store`, or `file`"),
        (SHORT + '[decision_log]\nstore = "a.db"\nrequests = true\npseudonyms = true', "exclude each other"),
        (SHORT + '[decision_log]\nmode = "best-effort"\nfile = "a"\nstore_key = "k"', "`store_key` is of no use"),
        (SHORT + "[stdio]", "[stdio]: exactly one of `subject`, `subject_env` and `token_env`"),
        (SHORT + '[stdio]\nsubject = "a"\nsubject_env = "A"', "[stdio]: exactly one of"),
        (SHORT + '[stdio]\ntoken_env = "A"', "`token_env` needs `issuers`"),
        (SHORT + '[stdio]\ntoken = "abc"\nsubject = "a"', "[stdio]: `token` is no setting: did you mean `token_env`?"),
        (SHORT + '[stdio]\nsubject = "a\u0301"', "[stdio]: subject: is not in Unicode normal form NFC"),
        (
            SHORT + '[stdio]\nsubject = "a"\nattributes = { since = 2026-01-01 }',
            "subject_attributes.since: is not a JSON",
        ),
        (SHORT + "[obligations.redactt]", "[obligations]: `redactt` is no setting: did you mean `redact`?"),
        (SHORT + '[obligations.notify]\nlog = "yes"', "`log` must be `true` or `false`"),
        (
            SHORT + '[[tools]]\nmatch = "a"\nresource = { type = "f", id = "path" }',
            "[[tools]] 1.resource: `id` must be",
        ),
        ("policies = ", "this is not TOML"),
        ("a = " + "[" * 5_000, "this is not TOML"),
    ],
)
def test_what_cannot_be_used_or_would_weaken_a_check_is_refused(text: str, told: str) -> None:
    """Issue 5, item 5, and S77: refuse to start, and name the setting."""
    problems = problems_of(text)
    assert any(told in problem for problem in problems), problems


def test_http_without_tls_is_for_this_machine_only() -> None:
    """S55."""
    for resource in ("http://127.0.0.1:8000/mcp", "http://localhost:8000/mcp", "http://[::1]:8000/mcp"):
        assert read_guard(SHORT + f'resource = "{resource}"', HERE).resource == resource
    assert "not encrypted" in the_problem(SHORT + 'resource = "http://mcp.example/mcp"')


def test_issuers_need_to_know_for_whom_a_token_is(tmp_path: Path) -> None:
    """R6: without `resource` and `audiences`, tokens for other servers would do."""
    (tmp_path / "issuers.toml").write_text("")
    assert "`resource` is missing" in the_problem(SHORT + 'issuers = "issuers.toml"', tmp_path)


def test_a_token_leaves_nothing_to_be_said_beside_it(tmp_path: Path) -> None:
    """S79: an identity is the token's, or the operator's, never a mixture."""
    (tmp_path / "issuers.toml").write_text("")
    text = SHORT + 'issuers = "issuers.toml"\nresource = "https://a.example"\n[stdio]\ntoken_env = "T"\nroles = ["x"]'
    assert "beside `token_env` nothing is said" in the_problem(text, tmp_path)


def test_settings_made_by_a_program_are_checked_as_well() -> None:
    """Issue 5, item 5: refuse to start, wherever the settings come from."""
    wrong: list[Callable[[], GuardConfig]] = [
        GuardConfig,
        lambda: GuardConfig(policies=HERE, deadline=0),
        lambda: GuardConfig(policies=HERE, deadline=float("nan")),
        lambda: GuardConfig(policies=HERE, remember=3_600),
        lambda: GuardConfig(policies=HERE, limits=Limits(0, 60)),
        lambda: GuardConfig(policies=HERE, list_mode="all"),  # type: ignore[arg-type]  # the point
        lambda: GuardConfig(policies=HERE, challenge="none"),  # type: ignore[arg-type]  # the point
        lambda: GuardConfig(policies=HERE, stdio=Stdio()),
        lambda: GuardConfig(policies=HERE, obligations=ObligationSettings(approval_timeout=0)),
    ]
    for make in wrong:
        with pytest.raises(GuardConfigError):
            make()


def test_a_file_that_cannot_be_read_is_told_by_its_path(tmp_path: Path) -> None:
    """Style: what is wrong, and where."""
    path = tmp_path / "guard.toml"
    with pytest.raises(GuardConfigError, match="cannot be read: no such file"):
        load_guard(path)
    path.write_bytes(b'policies = "\xff"')
    with pytest.raises(GuardConfigError, match="not valid UTF-8 at byte 13"):
        load_guard(path)
    path.write_bytes(b"#" * (MAX_FILE + 1))
    with pytest.raises(GuardConfigError, match="larger than"):
        load_guard(path)
    path.write_text("nosuch = 1")
    with pytest.raises(GuardConfigError) as caught:
        load_guard(path)
    assert all(problem.startswith(f"{path}: ") for problem in caught.value.problems)
