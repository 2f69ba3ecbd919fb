"""References that a policy follows (L12), from the text of a condition to the directory and the explanation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

from authz.cli import eval as cli
from authz.cli.exit_codes import ExitCode
from authz.directory.completion import Completer
from authz.directory.entities import Entity, Key, Kind
from authz.errors import PolicyError
from authz.json_form import decision_to_json
from authz.lang.linter import lint
from authz.lang.validator import validate
from authz.model import Act, Explanation, Fact, Outcome, Reason, Request, Resource
from authz.pdp.compiler import compile_policy
from authz.stores.sqlite.store import open_store
from authz.wire import explanation_from, response
from tests.directory.memory import MemoryDirectory
from tests.reference import reference_decide
from tests.strategies import NOW, parse_text

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from authz.model import Attributes, Value
    from authz.pdp.program import Program

DECLARED = """
subject { department: string, level?: number, boss?: ref<subject> }
resource "folder" { owner: ref<subject>, size?: number, meta?: { keeper: ref<subject> } }
resource "doc" { folder: ref<"folder">, owner?: ref<subject>, keepers?: map<ref<subject>> }
"""
FOLDER: Attributes = {"owner": "bob", "size": 3, "meta": {"keeper": "carol"}}
BOB: Attributes = {"department": "legal", "level": 2, "boss": "carol"}
CAROL: Attributes = {"department": "board", "level": "nine"}
ENTITIES: Mapping[tuple[str, str], Attributes] = {
    ("folder", "f1"): FOLDER,
    ("subject", "bob"): BOB,
    ("subject", "carol"): CAROL,
}


def compiled(condition: str, kind: str = "allow", declared: str = DECLARED) -> tuple[Program, list[Any]]:
    """Compile a policy whose one rule has this condition."""
    block = f'tool "t" on "doc" {{ {kind} when {condition} }}'
    files = [parse_text("policy.authz", f"{declared}\n{block}\n")]
    return compile_policy(validate(files)), files


def ask(**attributes: Value) -> Request:
    """Make a request whose entities are known."""
    resource = Resource("doc", "d1", "acme", {"folder": "f1", "owner": "bob", **attributes})
    subject = {"department": "legal", "boss": "bob"}
    return Request(
        tool="t",
        subject="ann",
        tenant="acme",
        resource=resource,
        subject_attributes=subject,
        now=NOW,
        entities=ENTITIES,
    )


@pytest.mark.parametrize(
    ("condition", "outcome"),
    [
        ('resource.owner.department == "legal"', Outcome.TRUE),
        ("resource.owner.department == subject.department", Outcome.TRUE),
        ('resource.folder.owner == "bob"', Outcome.TRUE),
        ('resource.folder.owner.id == "bob"', Outcome.TRUE),
        ('resource.folder.owner.boss.department == "board"', Outcome.TRUE),
        ('resource.folder.meta.keeper.department == "board"', Outcome.TRUE),
        ('resource.keepers["x"].department == "board"', Outcome.TRUE),
        ('resource.keepers[subject.id].department == "legal"', Outcome.TRUE),
        ("subject.boss.level in 1..3", Outcome.TRUE),
        ("resource.folder.size > 3", Outcome.FALSE),
        ("resource.owner.boss has department", Outcome.TRUE),
        ("resource.owner has level", Outcome.TRUE),
        ("resource.owner.boss has level", Outcome.FALSE),  # there, and of the wrong type
        ("resource.owner.boss.level == 9", Outcome.UNKNOWN),
        ("resource.owner.boss.level ?? 1 == 1", Outcome.UNKNOWN),  # of the wrong type: not missing (L37)
        ("resource.owner.boss.boss.level ?? 1 == 1", Outcome.TRUE),
        ("resource.keepers.nobody.level ?? 1 == 1", Outcome.TRUE),
        ("resource.keepers.lost.level ?? 1 == 1", Outcome.TRUE),  # no such entity
        ("resource.keepers.lost has level", Outcome.FALSE),
        ("resource.keepers.lost.level == 1", Outcome.UNKNOWN),
    ],
)
def test_a_reference_is_followed(condition: str, outcome: Outcome) -> None:
    """L12, L31, L37: whatever is behind it is typed, missing or of the wrong type like any attribute."""
    request = ask(keepers={"x": "carol", "ann": "bob", "lost": "zoe"})
    for kind in ("allow", "deny"):
        program, files = compiled(condition, kind)
        rule = program.explain(request).rules[0]
        assert rule.outcome is outcome
        decision, expected = program.decide(request), reference_decide(files, request)
        assert (decision.effect, decision.reason, decision.rules) == (expected.effect, expected.reason, expected.rules)


@pytest.mark.parametrize(
    ("condition", "code"),
    [
        ("resource.owner.departmnt == subject.id", "unknown-attribute"),
        ("resource.folder.owner.boss.departmnt == subject.id", "unknown-attribute"),
        ("resource.owner.level == subject.id", "type-mismatch"),
        ("resource.owner.department.x == subject.id", "unknown-attribute"),
        ("resource.owner.id.x == subject.id", "unknown-attribute"),
    ],
)
def test_what_is_behind_a_reference_is_checked_like_any_attribute(condition: str, code: str) -> None:
    """L13."""
    with pytest.raises(PolicyError) as raised:
        compiled(condition)
    assert [found.code for found in raised.value.diagnostics] == [code]


def test_a_let_may_name_a_reference_or_what_is_behind_it() -> None:
    """L15: it means what its text would mean."""
    lets = DECLARED + "let holder = resource.folder.owner\nlet department = holder.department\n"
    program, _ = compiled('department == "legal" and holder.boss.department == "board"', declared=lets)
    assert program.decide(ask()).allowed
    assert [(one.path, one.attributes) for one in program.references(ask())] == [
        ("resource.folder", ("owner",)),
        ("resource.folder.owner", ("boss", "department")),
        ("resource.folder.owner.boss", ("department",)),
    ]


def test_a_policy_says_which_references_it_follows_for_a_request() -> None:
    """Issue 3.3: those of the rules that have a say and of the roles that they ask for; no other is looked up."""
    text = f"""{DECLARED}
role "peer" when resource.owner.boss.id == subject.id and subject.boss.level > 0
tool "t" on "doc" {{ allow role "peer"  deny when resource.keepers[subject.id].level > 1 }}
tool "other" on "doc" {{ allow when resource.folder.size > 1 }}
"""
    program = compile_policy(validate([parse_text("policy.authz", text)]))
    found = {one.path: (one.root, one.target, one.attributes) for one in program.references(ask())}
    assert found == {
        "resource.owner": ("resource", "subject", ("boss",)),
        "subject.boss": ("subject", "subject", ("level",)),
        "resource.keepers[subject.id]": ("resource", "subject", ("level",)),
    }
    assert [one.read(ask(keepers={"ann": "carol"})) for one in program.references(ask())] == ["carol", "bob", "bob"]
    unknown = Request(tool="nothing", subject="ann")
    assert program.references(unknown) == ()


def test_lint_speaks_of_what_is_behind_a_reference() -> None:
    """L13: an optional attribute that makes a deny fire, and an attribute that nothing declares."""
    program, _ = compiled("resource.folder.size > 1", "deny")
    assert [found.code for found in lint(program.policy)] == ["optional-in-deny"]
    program, _ = compiled("resource.folder has size and resource.folder.size > 1", "deny")
    assert "optional-in-deny" not in [found.code for found in lint(program.policy)]
    undeclared = 'resource "doc" { owner: ref<subject> }'
    program, _ = compiled("resource.owner.department == subject.id", declared=undeclared)
    assert "dynamic-attribute" in [found.code for found in lint(program.policy)]


# --- From a directory -----------------------------------------------------------------------


def person(id_: str, tenant: str, **attributes: Value) -> Entity:
    """Make a subject's entry."""
    return Entity(Key(Kind.SUBJECT, "", id_, tenant), attributes)


def resource(type_: str, id_: str, tenant: str, **attributes: Value) -> Entity:
    """Make a resource's entry."""
    return Entity(Key(Kind.RESOURCE, type_, id_, tenant), attributes)


def bare(tenant: str = "acme") -> Request:
    """Make a request that leaves everything to the directory."""
    return Request(tool="t", subject="ann", tenant=tenant, resource=Resource("doc", "d1", tenant), now=NOW)


def test_the_directory_supplies_what_references_lead_to() -> None:
    """Issue 3.3: a chain of them; in the resource's tenant, else in none; nothing else is read."""
    program, _ = compiled('resource.folder.owner.department == "legal"')
    store = MemoryDirectory([
        resource("doc", "d1", "acme", folder="f1"),
        resource("folder", "f1", "", owner="bob"),
        resource("folder", "f1", "globex", owner="eve"),
        person("bob", "acme", department="legal"),
        person("bob", "globex", department="crime"),
        person("bob", "", department="nobody"),
    ])  # fmt: skip
    completed = Completer(store).complete(bare(), program)
    assert completed.request.entities == {
        ("folder", "f1"): {"owner": "bob"},
        ("subject", "bob"): {"department": "legal"},
    }
    assert program.decide(completed.request).allowed
    assert Fact("resource.folder.owner", "bob") in completed.facts
    assert Fact("resource.folder.owner.department", "legal") in completed.facts
    assert "globex" not in {key.tenant for key in store.reads}


def test_without_the_entity_nothing_is_allowed() -> None:
    """L51: what another tenant holds under the name does not count."""
    program, _ = compiled('resource.owner.department == "legal"')
    store = MemoryDirectory([resource("doc", "d1", "acme", owner="bob"), person("bob", "globex", department="legal")])
    completed = Completer(store).complete(bare(), program)
    assert completed.request.entities == {}
    assert program.decide(completed.request).reason is Reason.INDETERMINATE


def test_one_name_in_two_tenants_is_nobody() -> None:
    """Threats 4 (I2): where resource and caller are of two tenants, `bob` of one is not `bob` of the other."""
    text = (
        f'{DECLARED}\ntool "t" {{ allow across tenants when resource.owner.department == subject.boss.department }}\n'
    )
    program = compile_policy(validate([parse_text("policy.authz", text)]))
    entries = [
        resource("doc", "d1", "globex", owner="bob"),
        person("ann", "acme", boss="bob"),
        person("bob", "acme", department="legal"),
    ]
    request = Request(tool="t", subject="ann", tenant="acme", resource=Resource("doc", "d1", "globex"), now=NOW)
    for more in ([], [person("bob", "globex", department="legal")]):
        completed = Completer(MemoryDirectory([*entries, *more])).complete(request, program)
        assert completed.request.entities == {}
        assert not program.decide(completed.request).allowed
    shared = [entries[0], entries[1], person("bob", "", department="legal")]
    completed = Completer(MemoryDirectory(shared)).complete(request, program)
    assert program.decide(completed.request).allowed  # one and the same entry


# --- What people see ------------------------------------------------------------------------


def test_facts_are_the_same_over_the_wire_and_in_json() -> None:
    """Issue 3.3: what a decision read stands in its explanation."""
    program, _ = compiled('resource.owner.department == "legal"')
    facts = (Fact("resource.attributes.owner", "bob", contradicted=True, given="ann"), Fact("roles", ("viewer",)))
    explanation = program.explain(ask(), facts)
    sent = explanation_from(response(explanation.decision, explanation=explanation))
    assert isinstance(sent, Explanation)
    assert sent.facts == (facts[0], Fact("roles", ["viewer"]))
    form = decision_to_json(explanation.decision, explanation=explanation)["explanation"]
    assert isinstance(form, dict)
    assert form["facts"] == [
        {"path": "resource.attributes.owner", "value": "bob", "contradicted": True, "given": "ann"},
        {"path": "roles", "value": ["viewer"]},
    ]


def test_a_dry_run_completes_from_a_store(tmp_path: Path) -> None:
    """Issue 3.3: `check` and `explain` with `--store`; the store is only read."""
    policy, path = tmp_path / "policy.authz", tmp_path / "authz.db"
    policy.write_text(f'{DECLARED}\ntool "t" on "doc" {{ allow when resource.owner.department == "legal" }}\n')
    store = open_store(path, create=True)
    store.directory.write(
        [resource("doc", "d1", "acme", owner="bob"), person("bob", "acme", department="legal")], Act("ann", "cli")
    )
    store.close()
    (tmp_path / "authz.db.key").unlink()  # who only asks needs no key
    flags = [str(policy), "--subject", "ann", "--tenant", "acme", "--tool", "t", "--resource", "doc:d1"]
    run = CliRunner()
    assert run.invoke(cli.main, ["check", *flags], standalone_mode=False).return_value == ExitCode.DENIED
    stored = ["--store", str(path)]
    assert run.invoke(cli.main, ["check", *flags, *stored], standalone_mode=False).return_value == ExitCode.OK
    explained = run.invoke(cli.main, ["explain", *flags, *stored, "--attr", "owner=ann"], standalone_mode=False)
    assert explained.return_value == ExitCode.OK
    assert 'resource.attributes.owner is "bob", not "ann" as the request says' in explained.stdout
    assert 'resource.owner.department is "legal"' in explained.stdout
    missing = run.invoke(cli.main, ["check", *flags, "--store", str(tmp_path / "no.db")], standalone_mode=False)
    assert missing.return_value == ExitCode.FAILED
    assert "does not exist" in missing.stderr


def test_a_server_and_a_store_together_are_refused() -> None:
    """Issue 3.3: a server completes from its own store."""
    arguments = ["check", "--server", "127.0.0.1:1", "--store", "x.db", "--subject", "a", "--tool", "t"]
    result = CliRunner().invoke(cli.main, arguments)
    assert result.exit_code == ExitCode.USAGE
    assert "`--server` and `--store` cannot be given together" in result.stderr
