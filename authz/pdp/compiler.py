"""Checked policy → program: the index from a tool to its rules, and rules as functions.

What a request needs is put together when it is first asked for and kept: a `Plan` for each set of
blocks that apply together, looked up by tool, resource type and tenant.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Final, cast

from authz.lang import checked
from authz.lang.values import glob
from authz.pdp.codegen import Emitter, Test
from authz.pdp.program import Program
from authz.pdp.view import View

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from authz.lang.checked import Block, CheckedPolicySet, Rule
    from authz.model import Decision, Request

_WORTH_AN_INDEX: Final = 8
"""Rules of one kind in a plan before looking them up by role beats asking each."""
_MOST_FUSED: Final = 64
"""Rules in a plan whose faces are joined into one function."""
_LONGEST_FUSED: Final = 50_000
"""Characters of that function, so that the request which makes it waits for milliseconds."""


def compile_policy(policy: CheckedPolicySet) -> Program:
    """Compile a checked policy. Takes linear time; conditions become code when they are first needed."""
    return Program(policy, Planner(policy))


class CompiledRule:
    """A rule and its two faces: *certainly true* and *certainly false*, WHO and condition together."""

    __slots__ = ("_who", "false", "rule", "true", "view")

    def __init__(self, rule: Rule, view: View) -> None:
        self.rule = rule
        self.view = view
        self.true: Test = self._make_true  # a face is made when it is first asked for: most never are
        self.false: Test = self._make_false
        self._who: Test | None = None

    def _make_true(self, request: Request) -> bool:
        self.true = _face(self.rule, self.view, true=True)
        return self.true(request)

    def _make_false(self, request: Request) -> bool:
        self.false = _face(self.rule, self.view, true=False)
        return self.false(request)

    @property
    def name(self) -> str:
        return self.rule.name

    def who(self, request: Request) -> bool:
        """Say whether the rule certainly speaks of this caller, its condition aside."""
        if self._who is None:
            self._who = _face(self.rule._replace(condition=None), self.view, true=True)
        return bool(self._who(request))


def _face(rule: Rule, view: View, *, true: bool) -> Test:
    emitter = Emitter(view)
    return cast("Test", emitter.function(_face_text(rule, emitter, true=true)))


def _face_text(rule: Rule, emitter: Emitter, *, true: bool) -> str:
    parts = []
    if (rule.kind == "allow" and rule.who != "public") or rule.who == "anyone":
        parts.append("q.subject" if true else "not q.subject")
    if isinstance(rule.who, checked.Names):
        parts.append(emitter.who_true(rule.who) if true else emitter.who_false(rule.who))
    if rule.condition is not None:
        parts.append(emitter.true(rule.condition) if true else emitter.false(rule.condition))
    return (" and " if true else " or ").join(parts) or str(true)


class Rules:
    """The rules of one kind in a plan. Those that only some carried roles can meet are found by role."""

    __slots__ = ("_always", "_by_role", "all")

    def __init__(self, rules: Iterable[CompiledRule], view: View) -> None:
        self.all = sorted(rules, key=lambda rule: rule.name)
        self._always = self.all
        self._by_role: dict[str, list[CompiledRule]] = {}
        if len(self.all) >= _WORTH_AN_INDEX:
            self._always = [rule for rule in self.all if not self._file(rule, view)]

    def _file(self, rule: CompiledRule, view: View) -> bool:
        who = rule.rule.who
        if not isinstance(who, checked.Names) or who.what != "role":
            return False
        tests = [view.role_tests(name) for name in (who.names if who.mode == "any" else who.names[:1])]
        if any(test.derived for test in tests):
            return False
        for role in frozenset[str]().union(*(test.carried for test in tests)):
            self._by_role.setdefault(role, []).append(rule)
        return True

    def of(self, request: Request) -> Sequence[CompiledRule]:
        """Return the rules that may be true of a request; all others are certainly false."""
        if not self._by_role:
            return self._always
        found = list(self._always)
        for role in dict.fromkeys(request.roles):
            found += self._by_role.get(role, ())
        return found if len(request.roles) < 2 else list(dict.fromkeys(found))


class Plan:
    """All rules that have a say for one tool, resource type and tenant, sorted by kind.

    `reason` tells the two ways of having none apart (step 1 of L61): the tool may be unknown.
    """

    def __init__(self, blocks: Sequence[Block], view: View, *, is_global: bool, known_tool: bool) -> None:
        compiled = [CompiledRule(rule, view) for block in blocks for rule in block.rules]
        self.applies = bool(blocks)
        self.is_global = is_global
        self.known_tool = known_tool
        self.view = view
        self.denies = Rules((rule for rule in compiled if rule.rule.kind == "deny"), view)
        self.requirements = [rule for rule in compiled if rule.rule.kind in {"require role", "require when"}]
        self.scopes = [rule for rule in compiled if rule.rule.kind == "require scope"]
        self.allows = Rules((rule for rule in compiled if rule.rule.kind == "allow"), view)
        self.decisions: dict[object, Decision] = {}
        self.allowing: Callable[[Request], int] = self._warm

    def _warm(self, _: Request) -> int:
        """Make the function of `allowing` after the first request: most tools are never called."""
        rules = [*self.denies.all, *self.requirements, *self.scopes, *self.allows.all]
        self.allowing = _no_rule if len(rules) > _MOST_FUSED else self._fuse()
        return 0

    def _fuse(self) -> Callable[[Request], int]:
        """Join all faces that an ALLOW needs into one function: one bit for each allow, or 0 for "not so simple".

        Calling each rule by itself takes three times as long; this is what answers most requests.
        """
        emitter = Emitter(self.view)
        parts = [f"({_face_text(rule.rule, emitter, true=False)})" for rule in self.denies.all]
        parts += [f"({_face_text(rule.rule, emitter, true=True)})" for rule in (*self.requirements, *self.scopes)]
        bits = [
            f"({1 << index} if {_face_text(rule.rule, emitter, true=True)} else 0)"
            for index, rule in enumerate(self.allows.all)
        ]
        parts.append(f"({' | '.join(bits) or '0'})")
        if sum(map(len, parts)) > _LONGEST_FUSED:
            return _no_rule
        return cast("Callable[[Request], int]", emitter.function(" and ".join(parts)))

    def allowed_by(self, bits: int) -> list[CompiledRule]:
        """Return the allows that `allowing` found."""
        return [rule for index, rule in enumerate(self.allows.all) if bits >> index & 1]

    @cached_property
    def grantable(self) -> tuple[tuple[str, frozenset[str]], ...]:
        """Return the scopes that could help (L67), sorted, each with the scopes that grant it."""
        names: set[str] = set()
        for rule in (*self.denies.all, *self.requirements, *self.scopes, *self.allows.all):
            who = rule.rule.who
            if isinstance(who, checked.Names) and who.what == "scope" and rule.rule.kind != "deny":
                names.update(who.names)
            if rule.rule.condition is not None:
                names.update(_scopes_read(rule.rule.condition))
        return tuple((name, self.view.scope_names(name)) for name in sorted(names))


def _no_rule(_: Request) -> int:
    return 0


def _scopes_read(condition: checked.Core) -> set[str]:
    """Return the strings of a condition that reads `scopes`."""
    strings: set[str] = set()
    reads = False
    waiting: list[object] = [condition]
    while waiting:
        node = waiting.pop()
        if isinstance(node, checked.Held):
            reads = reads or node.what == "scopes"
        elif isinstance(node, checked.Const):
            values = node.value if isinstance(node.value, frozenset) else (node.value,)
            strings.update(value for value in values if isinstance(value, str))
        elif isinstance(node, tuple) and not isinstance(node, checked.Place):
            waiting.extend(node)
    return strings if reads else set()


class Planner:
    """Finds the blocks that apply, and makes the plan of each set of them once."""

    def __init__(self, policy: CheckedPolicySet) -> None:
        self._policy = policy
        self._by_name: dict[str, list[int]] = {}
        self._by_prefix: dict[str, list[int]] = {}
        self._by_glob: list[tuple[list[str], int]] = []
        for index, block in enumerate(policy.blocks):
            for pattern in block.patterns:
                self._file(pattern, index)
        self._prefix_lengths = sorted({len(prefix) for prefix in self._by_prefix})
        self._views: dict[frozenset[int], View] = {}
        self._plans: dict[object, Plan] = {}
        self.has_sections = bool(policy.sections)

    def _file(self, pattern: str, index: int) -> None:
        if "*" not in pattern:
            self._by_name.setdefault(pattern, []).append(index)
        elif pattern.index("*") == len(pattern) - 1:
            self._by_prefix.setdefault(pattern[:-1], []).append(index)
        else:
            self._by_glob.append((pattern.split("*"), index))

    def plan(self, tool: str, type_: str | None, tenant: str) -> Plan:
        """Return the plan of a request's tool, resource type (None without a resource) and tenant."""
        policy = self._policy
        view = self.view(tenant)
        matching = [
            index
            for index in self._matching(tool)
            if policy.blocks[index].section is None or policy.blocks[index].section in view.sections
        ]
        applying = tuple(index for index in matching if _meets(policy.blocks[index], type_))
        key = (applying, view.sections, type_ in policy.global_types, bool(matching))
        plan = self._plans.get(key)
        if plan is None:
            blocks = [policy.blocks[index] for index in applying]
            plan = Plan(blocks, view, is_global=type_ in policy.global_types, known_tool=bool(matching))
            self._plans[key] = plan
        return plan

    def view(self, tenant: str) -> View:
        """Return what a tenant sees."""
        sections = frozenset(
            index
            for index, patterns in enumerate(self._policy.sections)
            if any(glob(pattern.split("*"), tenant) for pattern in patterns)
        )
        if sections not in self._views:
            self._views[sections] = View(self._policy, sections)
        return self._views[sections]

    def _matching(self, tool: str) -> list[int]:
        found = set(self._by_name.get(tool, ()))
        for length in self._prefix_lengths:
            if length > len(tool):
                break
            found.update(self._by_prefix.get(tool[:length], ()))
        found.update(index for pieces, index in self._by_glob if glob(pieces, tool))
        blocks = self._policy.blocks
        return [i for i in sorted(found) if not any(glob(p.split("*"), tool) for p in blocks[i].excepted)]


def _meets(block: Block, type_: str | None) -> bool:
    return block.types is None or (type_ is not None and any(glob(p.split("*"), type_) for p in block.types))
