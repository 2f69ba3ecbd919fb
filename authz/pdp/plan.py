"""The rules that have a say together, compiled: what one decision is made from."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Final, cast

from authz.lang import checked
from authz.pdp.codegen import Emitter, Test
from authz.pdp.nodes import nodes_of
from authz.pdp.references import Reference, references
from authz.pdp.signature import signature_of
from authz.pdp.tables import Rules

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from authz.lang.checked import Rule
    from authz.model import Decision, Request
    from authz.pdp.signature import Signature
    from authz.pdp.view import View

_WORTH_AN_INDEX: Final = 8
"""Rules in a plan that ask for roles before leaving out those of other roles beats asking each."""
_MOST_FUSED: Final = 64
"""Rules in a plan whose faces are joined into one function."""
_LONGEST_FUSED: Final = 50_000
"""Characters of that function, so that the request which makes it waits for milliseconds."""
_MOST_NARROWED: Final = 1_024
"""Sets of roles for which a plan keeps what is left of it: requests choose them."""


class CompiledRule:
    """A rule and its two faces: *certainly true* and *certainly false*, WHO and condition together."""

    __slots__ = ("_who", "false", "rule", "true", "view")
    true: Test
    false: Test

    def __init__(self, rule: Rule, view: View) -> None:
        self.rule = rule
        self.view = view
        self._who: Test | None = None

    def __getattr__(self, face: str) -> Test:
        """Make a face when it is first asked for: most never are.

        What would make it is not kept in its place: a rule that held a method of itself would be a cycle.
        """
        if face not in {"true", "false"}:
            raise AttributeError(face)
        made = _face(self.rule, self.view, true=face == "true")
        setattr(self, face, made)
        return made

    @property
    def name(self) -> str:
        return self.rule.name

    def who(self, request: Request) -> bool:
        """Say whether the rule certainly speaks of this caller, its condition aside."""
        if self._who is None:
            key = (self.rule.who, self.rule.kind == "allow")
            test = self.view.whos.get(key)
            if test is None:
                test = self.view.whos[key] = _face(self.rule._replace(condition=None), self.view, true=True)
            self._who = test
        return bool(self._who(request))


def _face(rule: Rule, view: View, *, true: bool) -> Test:
    emitter = Emitter(view)
    return cast("Test", emitter.function(emitter.face_text(rule, true=true)))


class Whole:
    """What a plan has in common with those narrowed from it: what all its rules read, ask for and allow."""

    def __init__(self, rules: Sequence[CompiledRule], view: View) -> None:
        self._rules = rules
        self._view = view

    @cached_property
    def read(self) -> frozenset[str]:
        """Return which of `scopes`, `roles` and the builtins the conditions read; those of derived roles count too."""
        conditions = [rule.rule.condition for rule in self._rules]
        conditions += [role.condition for role in self._view.derived_roles]
        nodes = (node for condition in conditions for node in nodes_of(condition))
        return frozenset(
            node.what if isinstance(node, checked.Held) else node.name
            for node in nodes
            if isinstance(node, (checked.Held, checked.Builtin))
        )

    @cached_property
    def grantable(self) -> tuple[tuple[str, frozenset[str]], ...]:
        """Return the scopes that could help (L67), sorted, each with the scopes that grant it."""
        names: set[str] = set()
        for rule in self._rules:
            who = rule.rule.who
            if isinstance(who, checked.Names) and who.what == "scope" and rule.rule.kind != "deny":
                names.update(who.names)
            if "scopes" in self.read and rule.rule.condition is not None:
                names.update(_scopes_read(rule.rule.condition))
        return tuple((name, self._view.scope_names(name)) for name in sorted(names))

    @cached_property
    def first_allows(self) -> tuple[CompiledRule | None, CompiledRule | None]:
        """Return the first allow by name, and the first that reaches across tenants."""
        allows = [rule for rule in self._rules if rule.rule.kind == "allow"]
        return next(iter(allows), None), next((rule for rule in allows if rule.rule.across), None)


class Plan:
    """All rules that have a say for one tool, resource type and tenant, sorted by kind and name.

    Where many of them ask for roles, `narrowed` leaves out those that a request's roles rule out;
    what is left is a plan too. `known_tool` tells the two ways of having no rule apart (step 1 of L61).

    No plan or rule leads back to itself: Python's collector does not look at them (`server.app`), so
    that a cycle would stay for good when its policy goes.
    """

    def __init__(
        self,
        rules: Iterable[CompiledRule],
        view: View,
        *,
        applies: bool,
        is_global: bool,
        known_tool: bool,
        whole: Whole | None = None,
    ) -> None:
        self.rules = sorted(rules, key=lambda rule: rule.name)
        self.applies = applies
        self.is_global = is_global
        self.known_tool = known_tool
        self.view = view
        self.whole = whole or Whole(self.rules, view)
        self.denies = self._of("deny")
        self.requirements = self._of("require role", "require when")
        self.scopes = self._of("require scope")
        self.allows = self._of("allow")
        self.crossing = Rules([rule for rule in self.allows if rule.rule.across])
        self.decisions: dict[object, Decision] = {}
        self.is_fused = False
        """Whether 0 from `allowing` says that the request is not allowed, unless it is foreign."""
        self.is_signed = False
        """Whether denials are told apart by `signature`."""
        self._by_role = _by_role(self.rules, view) if whole is None else {}
        self._roles = frozenset(self._by_role)
        self.narrows = bool(self._by_role)
        """Whether `narrowed` may leave something out."""
        self._of_any_role: list[CompiledRule] = []
        if self._by_role:
            indexed = frozenset[CompiledRule]().union(*self._by_role.values())
            self._of_any_role = [rule for rule in self.rules if rule not in indexed]
        self._narrowed: dict[frozenset[str], Plan] = {}

    def _of(self, *kinds: str) -> Rules:
        return Rules([rule for rule in self.rules if rule.rule.kind in kinds])

    def narrowed(self, request: Request) -> Plan:
        """Return the plan without the rules that are certainly false for the request's roles."""
        if not self.narrows:
            return self
        roles = self._roles.intersection(request.roles)
        plan = self._narrowed.get(roles)
        if plan is None:
            plan = Plan(
                {*self._of_any_role, *(rule for role in roles for rule in self._by_role[role])},
                self.view,
                applies=True,
                is_global=self.is_global,
                known_tool=True,
                whole=self.whole,
            )
            if len(self._narrowed) >= _MOST_NARROWED:
                self._narrowed.clear()
            self._narrowed[roles] = plan
        return plan

    def allowing(self, _: Request, /) -> int:
        """Return the allows that apply as bits, or 0 for "not so simple".

        The first request makes the function that does so, and is not answered by it: most tools are never called.
        """
        fused = _no_rule if len(self.rules) > _MOST_FUSED else self._fuse()
        self.is_fused = fused is not _no_rule
        self.allowing = fused  # type: ignore[method-assign]  # it is for all further requests
        return 0

    def _fuse(self) -> Callable[[Request], int]:
        """Join all faces that an ALLOW needs into one function: one bit for each allow, or 0 for "not so simple".

        Calling each rule by itself takes three times as long; this is what answers most requests.
        """
        emitter = Emitter(self.view)
        parts = [f"({emitter.face_text(rule.rule, true=False)})" for rule in self.denies]
        parts += [f"({emitter.face_text(rule.rule, true=True)})" for rule in (*self.requirements, *self.scopes)]
        bits = [
            f"({1 << index} if {emitter.face_text(rule.rule, true=True)} else 0)"
            for index, rule in enumerate(self.allows)
        ]
        parts.append(f"({' | '.join(bits) or '0'})")
        if sum(map(len, parts)) > _LONGEST_FUSED:
            return _no_rule
        return cast("Callable[[Request], int]", emitter.function(" and ".join(parts)))

    def allowed_by(self, bits: int) -> list[CompiledRule]:
        """Return the allows that `allowing` found."""
        return [rule for index, rule in enumerate(self.allows) if bits >> index & 1]

    def found(self, allows: int | tuple[CompiledRule, ...]) -> Sequence[CompiledRule]:
        """Return allows, whether given as bits or one by one."""
        return self.allowed_by(allows) if isinstance(allows, int) else allows

    @cached_property
    def signature(self) -> Signature | None:
        """Return what tells requests apart as far as this plan does, their scopes aside; None for too much."""
        return signature_of(self)

    @cached_property
    def references(self) -> tuple[Reference, ...]:
        """Return the references that the rules follow."""
        return references(self)

    @cached_property
    def telling_scopes(self) -> frozenset[str] | None:
        """Return the scopes that can make a difference; None where a condition reads all that a caller holds."""
        if self._reads_scopes:
            return None
        whos = [rule.rule.who for rule in self.rules]
        asked = {name for who in whos if isinstance(who, checked.Names) and who.what == "scope" for name in who.names}
        return frozenset[str]().union(*map(self.view.scope_names, asked))

    @property
    def _reads_scopes(self) -> bool:
        return "scopes" in self.whole.read

    @cached_property
    def reads_now(self) -> bool:
        """Say whether a condition reads the time."""
        return "now" in self.whole.read

    @cached_property
    def is_monotone(self) -> bool:
        """Say whether more scopes only ever help: nothing but allows and `require scope` asks for them."""
        denies = [rule.rule.who for rule in self.denies]
        asks = any(isinstance(who, checked.Names) and who.what == "scope" for who in denies)
        return not asks and not self._reads_scopes

    @property
    def grantable(self) -> tuple[tuple[str, frozenset[str]], ...]:
        """Return the scopes that could help (L67), sorted, each with the scopes that grant it."""
        return self.whole.grantable


def _no_rule(_: Request) -> int:
    return 0


def _by_role(rules: list[CompiledRule], view: View) -> dict[str, set[CompiledRule]]:
    """Find the allows and denies that only some carried roles can meet, by these roles; {} for a few."""
    found: dict[str, set[CompiledRule]] = {}
    count = 0
    for rule in rules:
        who = rule.rule.who
        if rule.rule.kind not in {"allow", "deny"} or not isinstance(who, checked.Names) or who.what != "role":
            continue
        tests = [view.role_tests(name) for name in (who.names if who.mode == "any" else who.names[:1])]
        if any(test.derived for test in tests):
            continue
        count += 1
        for role in frozenset[str]().union(*(test.carried for test in tests)):
            found.setdefault(role, set()).add(rule)
    return found if count >= _WORTH_AN_INDEX else {}


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
