"""A policy that is loaded again, after some of its files have changed, is what loading it afresh would make it."""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING

import pytest

from authz.errors import PolicyError
from authz.model import Request
from authz.pap.loader import ReadFile, load_files

if TYPE_CHECKING:
    from authz.pap.loader import LoadedPolicy

BASE = {
    "a.authz": 'let mine = resource.owner == subject.id\nresource "doc" { owner: string }\ntools reading = "read_*"\n',
    "b.authz": 'tool @reading on "doc" {\n  allow "own" role "reader" when mine\n}\n',
    "c.authz": 'tenant "acme" {\n  tool "export" { allow "all" anyone }\n}\n',
    "d.authz": 'tenant "globex" {\n  tool "export" { deny "never" }\n}\ntenant "acme" { tool "x" { allow anyone } }\n',
    "e.authz": 'tool "*" { allow "e" scope "s:e" }\n',
}
CHANGES = {
    "a rule": {"b.authz": 'tool @reading on "doc" {\n\n  allow "own" role "writer" when mine\n}\n'},
    "a let": {"a.authz": BASE["a.authz"].replace("==", "!=")},
    "white space before a let": {"a.authz": "\n# moved\n" + BASE["a.authz"]},
    "a group": {"a.authz": BASE["a.authz"].replace("read_*", "get_*")},
    "the type of an attribute": {"a.authz": BASE["a.authz"].replace("string", "ref<subject>")},
    "tenant blocks that move to another file": {
        "c.authz": "# none\n",
        "e.authz": BASE["e.authz"] + BASE["c.authz"],
    },
    "a tenant block more in front": {"b.authz": BASE["b.authz"] + 'tenant "new" { tool "n" { allow anyone } }\n'},
    "a derived role": {"a.authz": BASE["a.authz"] + 'role "reader" when context.x == 1\n'},
    "a comment": {"e.authz": "# a comment\n" + BASE["e.authz"]},
    "nothing": {},
}


def _files(texts: dict[str, str]) -> list[ReadFile]:
    return [ReadFile(name, name, text.encode()) for name, text in texts.items()]


def _fresh(texts: dict[str, str]) -> LoadedPolicy:
    """Load while no program is left from which anything could be taken."""
    gc.collect()
    load_files(())  # the last that was loaded, and gone at once
    gc.collect()
    return load_files(_files(texts))


@pytest.mark.parametrize("change", CHANGES)
def test_a_policy_loaded_again_is_what_it_would_be_afresh(change: str) -> None:
    """Issue 6, P8; L1, L15, L24: revision, rules, places and what they are filed under."""
    changed = BASE | CHANGES[change]
    expected = _fresh(changed)
    before = _fresh(BASE)
    after = load_files(_files(changed))
    assert before.program is not after.program
    assert after.program.revision == expected.program.revision
    assert after.checked._replace(files=(), parts=None) == expected.checked._replace(files=(), parts=None)
    assert after.program.outline() == expected.program.outline()
    for tenant in ("", "acme", "globex", "new"):
        for tool in ("export", "x", "n", "read_x"):
            request = Request(tool=tool, subject="ann", tenant=tenant, roles=["reader"], scopes=["s:e"])
            assert after.program.decide(request) == expected.program.decide(request)


def test_what_an_unchanged_file_uses_may_not_go_away() -> None:
    """Issue 6, P8; L15, L16: the files that were not touched are still held against those that were."""
    before = _fresh(BASE)
    with pytest.raises(PolicyError) as caught:
        load_files(_files(BASE | {"a.authz": 'resource "doc" { owner: string }\n'}))
    assert {finding.source.name for finding in caught.value.diagnostics} == {"b.authz"}
    assert load_files(_files(BASE)).program.revision == before.program.revision


def test_what_has_not_changed_is_not_read_again() -> None:
    """Issue 6, P8: it is the very same tree, and the very same blocks."""
    before = _fresh(BASE)
    after = load_files(_files(BASE | {"e.authz": "# gone\n"}))
    assert after.checked.blocks[0] is before.checked.blocks[0]
    assert after.checked.files[0][1] is before.checked.files[0][1]


def test_two_files_of_one_name_both_count() -> None:
    """Issue 6, P8; L51: a name that comes twice hides no rule."""
    twice = [
        ReadFile("a.authz", "a.authz", b'tool "t" { deny }\n'),
        ReadFile("a.authz", "a.authz", b'tool "t" { allow anyone }\n'),
    ]
    for files in (twice, twice, [*reversed(twice)]):
        assert not load_files(files).program.decide(Request(tool="t", subject="ann")).allowed
