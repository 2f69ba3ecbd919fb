"""Versions of policies: what is kept, what may decide, and what is not believed."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given

from authz.errors import InvalidRequestError, LoadError, NotStoredError, PolicyError, StoreCorruptError
from authz.lang.limits import Limits
from authz.model import Act
from authz.pap.history import PolicyText
from authz.pap.loader import load, load_files, load_test_files, lock_folder, read_all_files
from authz.pap.versions import (
    MAX_FILES,
    NoRollbackError,
    TestsFailedError,
    activate,
    activations_since,
    active_policy,
    digest,
    load_version,
    name_problem,
    new_version,
    number_or_active,
    put,
    rollback,
    version_files,
)
from tests.pap.versions_support import ACT, allows, file, opened, policy
from tests.strategies import Policy, policies

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from authz.stores.sqlite.store import SqliteStore


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    """Return a store with nothing in it."""
    with opened(tmp_path / "authz.db") as made:
        yield made


def acts(store: SqliteStore) -> list[dict[str, Any]]:
    """Return what the decision log says was done."""
    return [json.loads(link.text) for link in store.log.links()]


# --- What a version is ----------------------------------------------------------------------


def test_a_version_is_kept_in_canonical_text_with_its_comments() -> None:
    """Issue 3: a version is canonical text."""
    version = new_version(policy("ping"))
    assert version.files[0] == PolicyText("main.authz", '# Allows ping.\ntool "ping" {\n  allow "all" public\n}\n')
    assert [name for name, _ in version.files] == ["main.authz", "main_test.authz"]


def test_a_version_has_the_revision_that_the_directory_would_have() -> None:
    """L66: the revision is of what the policy says, not of where it is kept."""
    assert new_version(read_all_files("policies/documents")).revision == load("policies/documents").program.revision


@given(policies(depth=2))
def test_what_was_kept_reads_back_as_the_same_policy(written: Policy) -> None:
    """L66, L90: the canonical text has the revision of what was put, and is its own canonical text."""
    files = [file(one.name, str(one)) for one in written.files]
    version = new_version(files)
    again = new_version(file(name, text) for name, text in version.files)
    assert again == version
    assert load_files(files).program.revision == version.revision


def test_layout_and_order_of_files_make_no_new_version() -> None:
    """Issue 3: the digest is over the canonical text."""
    one = file("a.authz", 'tool "a" { allow public }')
    other = file("b.authz", 'tool "b" { allow public }')
    spaced = file("a.authz", '\n\ntool   "a" {\n\n allow public }\n')
    assert new_version([one, other]) == new_version([other, spaced])


def test_a_test_changes_the_digest_and_not_the_revision() -> None:
    """L66, issue 3: tests are part of a version, not of what decides."""
    without, with_test = new_version(policy("ping", passing=None)), new_version(policy("ping"))
    assert without.revision == with_test.revision == without.digest
    assert without.digest != with_test.digest


def test_names_and_texts_cannot_be_confused_in_a_digest() -> None:
    """Threats 2.4: no two different sets of files have one digest."""
    texts = [("a", "bc"), ("ab", "c"), ("a", "b"), ("a", "")]
    digests = {digest([PolicyText(*text)]) for text in texts} | {digest([PolicyText("a", "b"), PolicyText("c", "")])}
    assert len(digests) == len(texts) + 1


def test_the_results_of_its_own_tests_are_part_of_a_version(store: SqliteStore) -> None:
    """Issue 3: a failing version can be kept, and says so."""
    version = put(store.policies, policy("ping", passing=False), ACT)
    assert (version.tests_passed, version.tests_failed) == (0, 1)
    assert (version.author, version.note) == ("alice", "because")


@pytest.mark.parametrize(
    "files",
    [
        [file("a.authz", "tool {")],
        [file("a.authz", 'tool "a" { allow when resource.size == subject.nope.x }'), file("b.authz", "x")],
        [file("a.authz", 'tool "a" { allow public }'), file("a_test.authz", "test {")],
        [file("a.authz", 'tool "a" { allow public }'), file("a_test.authz", 'test "t" { as x call "a" expect allow }')],
    ],
    ids=["syntax", "meaning", "syntax of a test", "meaning of a test"],
)
def test_an_invalid_policy_or_test_is_not_kept(store: SqliteStore, files: list[Any]) -> None:
    """Issue 3: a bad policy is refused with its errors, and nothing is stored."""
    with pytest.raises(PolicyError):
        put(store.policies, files, ACT)
    assert not store.policies.versions()
    assert not acts(store)


@pytest.mark.parametrize(
    "name",
    [
        "", "a", "a.txt", ".authz", "/a.authz", "../a.authz", "a/../b.authz", "./a.authz", "a//b.authz", ".git/a.authz",
        "a.authz/b.authz", "a\\b.authz", "a\n.authz", "a\x00.authz", "\udc80.authz", "a" * 1024 + ".authz",
    ],
)  # fmt: skip
def test_a_name_that_could_leave_its_folder_is_refused(name: str) -> None:
    """Issue 3, L1: names of files are relative paths that stay where they are."""
    with pytest.raises(InvalidRequestError, match=r"files\[1\]\.name"):
        new_version([*policy("ping", passing=None), file(name, "")])


@pytest.mark.parametrize("name", ["a.authz", "teams/search.authz", "a_test.authz", "ä b.authz"])
def test_an_ordinary_name_is_taken(name: str) -> None:
    """L1."""
    assert not name_problem(name)


def test_a_file_that_stands_twice_is_refused() -> None:
    """L1: one path is one file."""
    with pytest.raises(InvalidRequestError, match="stands twice"):
        new_version([*policy("ping"), *policy("ping")])


@pytest.mark.parametrize("files", [[], [file("a_test.authz", "")]])
def test_a_version_without_a_policy_is_refused(files: list[Any]) -> None:
    """Issue 3: an empty version would deny everything, and nobody means that."""
    with pytest.raises(InvalidRequestError, match="no policy file"):
        new_version(files)


def test_the_number_of_files_is_bounded() -> None:
    """Issue 3: everything from outside is bounded."""
    with pytest.raises(InvalidRequestError, match=f"more than {MAX_FILES}"):
        new_version(file(f"{number}.authz", "") for number in range(MAX_FILES + 1))


def test_a_file_over_the_limit_is_refused() -> None:
    """L6."""
    with pytest.raises(PolicyError, match="file-too-large"):
        new_version([file("a.authz", "#" * 101)], Limits(file_bytes=100))


def test_a_policy_over_the_limit_is_refused() -> None:
    """L6: the files together are bounded as well, and so are the tests."""
    limits = Limits(policy_bytes=150)
    for name, read in (("", load_files), ("_test", load_test_files)):
        files = [file(f"{number}{name}.authz", "#" * 40) for number in range(4)]
        read(files[:3], limits)
        with pytest.raises(PolicyError, match="policy-too-large"):
            read(files, limits)


def test_a_policy_that_grows_over_a_limit_in_canonical_form_is_refused() -> None:
    """L6: what is kept can be loaded again."""
    text = 'tool "a" {\n#\n#\n#\n}'  # comments are indented by two spaces
    new_version([file("a.authz", text)])
    with pytest.raises(PolicyError, match=r"file-too-large.*canonical form"):
        new_version([file("a.authz", text)], Limits(file_bytes=len(text)))
    with pytest.raises(PolicyError, match=r"policy-too-large.*canonical form"):
        new_version([file("a.authz", text)], Limits(policy_bytes=len(text)))


@pytest.mark.parametrize(
    "act",
    [Act("", "cli"), Act("a" * 1025, "cli"), Act("a\nb", "cli"), Act("e\u0301", "cli"), Act("a", "cli", "n" * 1025)],
)
def test_an_act_without_a_proper_author_does_nothing(store: SqliteStore, act: Act) -> None:
    """Issue 3: who did it stands in the decision log, so somebody must."""
    put(store.policies, policy("ping"), ACT)
    for attempt in (
        lambda: put(store.policies, policy("pong"), act),
        lambda: activate(store.policies, 1, act),
        lambda: rollback(store.policies, None, act),
    ):
        with pytest.raises(InvalidRequestError):
            attempt()
    assert len(acts(store)) == 1


# --- From a directory -----------------------------------------------------------------------


def test_a_locked_directory_is_put_only_as_it_was_locked(tmp_path: Path) -> None:
    """L7: the manifest holds for putting as it does for serving."""
    for written in policy("ping"):
        (tmp_path / written.name).write_bytes(written.data)
    lock_folder(tmp_path)
    assert len(read_all_files(tmp_path)) == 2
    (tmp_path / "main.authz").write_text('tool "pong" { allow public }')
    with pytest.raises(PolicyError, match="manifest-mismatch"):
        read_all_files(tmp_path)


def test_one_file_is_put_with_its_twin(tmp_path: Path) -> None:
    """L80: the tests of a file are beside it."""
    for written in (*policy("ping"), file("other.authz", "")):
        (tmp_path / written.name).write_bytes(written.data)
    assert [read.name for read in read_all_files(tmp_path / "main.authz")] == ["main.authz", "main_test.authz"]


def test_a_directory_that_is_not_there_is_one_clear_line(tmp_path: Path) -> None:
    """Issue 3: bad input."""
    with pytest.raises(LoadError, match="does not exist"):
        read_all_files(tmp_path / "nowhere")


# --- Activating -----------------------------------------------------------------------------


def test_an_activated_version_decides(store: SqliteStore) -> None:
    """Issue 3: activation compiles the version."""
    version = put(store.policies, policy("ping"), ACT)
    activation, loaded = activate(store.policies, version.number, Act("bob", "admin", "go"))
    assert allows(loaded, "ping")
    assert (activation.version, activation.revision, activation.kind) == (1, version.revision, "activate")
    assert (activation.author, activation.note) == ("bob", "go")
    active = active_policy(store.policies)
    assert active is not None
    assert active[0] == activation
    assert active[1].program.revision == version.revision


def test_before_the_first_activation_nothing_decides(store: SqliteStore) -> None:
    """Issue 3: a version that was put decides nothing yet."""
    put(store.policies, policy("ping"), ACT)
    assert active_policy(store.policies) is None
    with pytest.raises(NotStoredError):
        number_or_active(store.policies, None)


def test_a_version_whose_tests_fail_does_not_decide(store: SqliteStore) -> None:
    """Issue 3: what decided before goes on."""
    put(store.policies, policy("ping"), ACT)
    before, _ = activate(store.policies, 1, ACT)
    put(store.policies, policy("pong", passing=False), ACT)
    with pytest.raises(TestsFailedError, match="version 2 fails 1 of its 1 tests: `anybody calls pong`") as failed:
        activate(store.policies, 2, ACT)
    assert [result.actual for result in failed.value.report.failures] == ['allow ALLOWED by "main:all"']
    assert store.policies.active() == before


def test_a_version_without_tests_may_decide(store: SqliteStore) -> None:
    """Issue 3: its own tests are run, where it has any."""
    put(store.policies, policy("ping", passing=None), ACT)
    assert allows(activate(store.policies, 1, ACT)[1], "ping")


def test_activating_an_older_version_is_told_as_a_rollback(store: SqliteStore) -> None:
    """Threats 3d-34: going back to an older policy is audited as what it is."""
    for tool in ("one", "two", "three"):
        put(store.policies, policy(tool), ACT)
    kinds = [activate(store.policies, number, ACT)[0].kind for number in (2, 1, 2, 3)]
    assert kinds == ["activate", "rollback", "activate", "activate"]
    told = [(act["act"], act["number"], act["previous"]) for act in acts(store)[3:]]
    assert told == [
        ("policy.activate", 2, None),
        ("policy.rollback", 1, 2),
        ("policy.activate", 2, 1),
        ("policy.activate", 3, 2),
    ]


@pytest.mark.parametrize("number", [0, -1, 2, 2**63, 10**30])
def test_a_version_that_is_not_there_cannot_be_activated(store: SqliteStore, number: int) -> None:
    """Issue 3: an unknown version is one clear line."""
    put(store.policies, policy("ping"), ACT)
    with pytest.raises(NotStoredError, match=f"there is no version {number}; the newest is 1"):
        activate(store.policies, number, ACT)


# --- Rolling back ---------------------------------------------------------------------------


def three_active(store: SqliteStore) -> None:
    """Let three versions decide, one after another."""
    for number, tool in enumerate(("one", "two", "three"), start=1):
        put(store.policies, policy(tool), ACT)
        activate(store.policies, number, ACT)


def test_a_rollback_goes_to_the_version_that_decided_before(store: SqliteStore) -> None:
    """Issue 3: rollback activates an older one."""
    three_active(store)
    activation, loaded = rollback(store.policies, None, ACT)
    assert (activation.version, activation.kind) == (2, "rollback")
    assert allows(loaded, "two")


def test_a_second_rollback_goes_further_back(store: SqliteStore) -> None:
    """Issue 3: rolling back never brings back what the first rollback took away."""
    three_active(store)
    assert [rollback(store.policies, None, ACT)[0].version for _ in range(2)] == [2, 1]
    with pytest.raises(NoRollbackError, match="no version older than 1"):
        rollback(store.policies, None, ACT)


def test_a_rollback_skips_what_never_decided(store: SqliteStore) -> None:
    """Issue 3: the version before is one that has decided."""
    for tool in ("one", "two", "three"):
        put(store.policies, policy(tool), ACT)
    activate(store.policies, 1, ACT)
    activate(store.policies, 3, ACT)
    assert rollback(store.policies, None, ACT)[0].version == 1


def test_a_rollback_may_name_its_version(store: SqliteStore) -> None:
    """Issue 3."""
    three_active(store)
    assert rollback(store.policies, 1, ACT)[0].version == 1


def test_a_rollback_to_what_is_not_older_is_refused(store: SqliteStore) -> None:
    """Issue 3: a rollback never brings a newer policy."""
    three_active(store)
    rollback(store.policies, 2, ACT)
    for number in (2, 3):
        with pytest.raises(NoRollbackError, match="not older"):
            rollback(store.policies, number, ACT)
    with pytest.raises(NotStoredError):
        rollback(store.policies, 7, ACT)


def test_without_an_active_version_there_is_nothing_to_roll_back(store: SqliteStore) -> None:
    """Issue 3."""
    put(store.policies, policy("ping"), ACT)
    with pytest.raises(NoRollbackError, match="no version is active"):
        rollback(store.policies, None, ACT)


def test_many_may_put_and_activate_at_the_same_time(tmp_path: Path) -> None:
    """Issue 3: one writer at a time, whoever it is; the same files are one version for all of them."""
    path = tmp_path / "authz.db"
    with opened(path):
        pass

    def work(number: int) -> tuple[str, int]:
        tool = f"tool{number % 4}"
        with opened(path) as store:
            version = put(store.policies, policy(tool), ACT)
            activate(store.policies, version.number, ACT)
        return tool, version.number

    with ThreadPoolExecutor(8) as pool:
        made = set(pool.map(work, range(16)))
    assert sorted(number for _, number in made) == [1, 2, 3, 4]
    assert len({tool for tool, _ in made}) == 4
    with opened(path) as store:
        assert [activation.sequence for activation in store.policies.activations()] == list(range(16, 0, -1))
        told = [act["number"] for act in acts(store) if act["act"] != "policy.put"]
        assert told == [activation.version for activation in reversed(store.policies.activations())]


# --- What is not believed -------------------------------------------------------------------

TAMPERS = {
    "text": "UPDATE policy_file SET text = replace(text, 'one', 'two') WHERE name = 'main.authz'",
    "comment": "UPDATE policy_file SET text = '# Never.' || text WHERE name = 'main.authz'",
    "test": "DELETE FROM policy_file WHERE name = 'main_test.authz'",
    "file": "INSERT INTO policy_file VALUES (1, 'more.authz', 'tool \"*\" { allow public }')",
    "name": "UPDATE policy_file SET name = '../main.authz' WHERE name = 'main.authz'",
    "digest": "UPDATE policy_version SET digest = revision",
    "revision": "UPDATE policy_version SET revision = digest",
    "no files": "DELETE FROM policy_file",
    "broken": "UPDATE policy_file SET text = 'tool {' WHERE name = 'main.authz'",
}


@pytest.mark.parametrize("tamper", TAMPERS)
def test_files_that_were_changed_in_the_store_never_decide(store: SqliteStore, tamper: str) -> None:
    """Issue 3: the digest and the revision must agree with what is read back."""
    put(store.policies, policy("one"), ACT)
    activate(store.policies, 1, ACT)
    store.database.connection.execute(TAMPERS[tamper])
    for read in (
        lambda: activate(store.policies, 1, ACT),
        lambda: active_policy(store.policies),
        lambda: load_version(store.policies, 1),
        lambda: version_files(store.policies, 1),
    ):
        with pytest.raises(StoreCorruptError, match="version 1 in the store is not what was put"):
            read()
    assert len(acts(store)) == 2


# --- Watching -------------------------------------------------------------------------------


def test_a_watcher_is_told_of_each_activation_once(store: SqliteStore) -> None:
    """Issue 3: the active version at once, then each as it comes, none left out."""
    assert activations_since(store.policies, None) == ()
    three_active(store)
    assert [activation.version for activation in activations_since(store.policies, None)] == [3]
    assert [activation.version for activation in activations_since(store.policies, 0)] == [1, 2, 3]
    assert [activation.version for activation in activations_since(store.policies, 1)] == [2, 3]
    assert [activation.version for activation in activations_since(store.policies, 2)] == [3]
    assert activations_since(store.policies, 3) == ()
