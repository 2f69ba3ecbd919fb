"""Which blocks of a policy apply to a request (L21, L24): found without walking all of them.

A block names tools, perhaps resource types, perhaps tenants. It is filed under the one of these by
which it shares a name or pattern with the fewest other blocks; what a request finds there is then
held against the others.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Final

from authz.pdp.patterns import PatternIndex, Patterns

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from authz.lang.checked import Block, CheckedPolicySet


_NO_SECTIONS: Final = frozenset[int]()


class Blocks:
    """Finds the blocks of a policy by tool, resource type and tenant blocks."""

    def __init__(self, policy: CheckedPolicySet) -> None:
        self._blocks = policy.blocks
        self._sections = PatternIndex(_by_pattern(enumerate(policy.sections)))
        self._has_sections = bool(policy.sections)
        self._matchers: dict[int, Patterns] = {}
        self._typed = _Filed(self._blocks, typed=True)
        has_types = any(block.types is not None for block in self._blocks)
        self._untyped = _Filed(self._blocks, typed=False) if has_types else self._typed

    def sections(self, tenant: str) -> frozenset[int]:
        """Return the tenant blocks that count for a tenant (L24)."""
        return frozenset(self._sections.find(tenant)) if self._has_sections else _NO_SECTIONS

    def applying(self, sections: frozenset[int], tool: str, type_: str | None) -> tuple[int, ...]:
        """Return the blocks that apply to a tool and a resource of a type, or none where it is None (L21)."""
        return self._typed.find(self, sections, tool, type_)

    def speaking(self, sections: frozenset[int], tool: str) -> tuple[int, ...]:
        """Return the blocks that speak of a tool where some tenant blocks count, whatever the resource."""
        return self._untyped.find(self, sections, tool, None)

    def knows(self, sections: frozenset[int], tool: str) -> bool:
        """Say whether a block speaks of a tool of which none applies to the resource."""
        if self._untyped is self._typed:
            return False
        return next(self._untyped.each(self, sections, tool, None), None) is not None

    def everywhere(self, tool: str) -> tuple[int, ...]:
        """Return the blocks that speak of a tool, whatever the resource and the tenant."""
        return tuple(sorted({i for i in self._by_tool.find(tool) if not self.matches(self._blocks[i].excepted, tool)}))

    @cached_property
    def _by_tool(self) -> PatternIndex:
        return PatternIndex(_by_pattern((index, block.patterns) for index, block in enumerate(self._blocks)))

    def matches(self, patterns: tuple[str, ...], text: str) -> bool:
        """Say whether a text matches one of a block's patterns; what that takes is made once."""
        if not patterns:
            return False
        if len(patterns) == 1 and "*" not in patterns[0]:
            return patterns[0] == text
        key = id(patterns)  # the policy keeps them; to hash a thousand would take longer than to look one up
        matcher = self._matchers.get(key)
        if matcher is None:
            matcher = self._matchers[key] = Patterns(patterns)
        return matcher.match(text)


class _Filed:
    """Blocks, each filed by tool, by type or by tenant block."""

    def __init__(self, blocks: Sequence[Block], *, typed: bool) -> None:
        self._blocks = blocks
        self._typed = typed
        tools: dict[str, int] = {}
        types: dict[str, int] = {}
        sections: dict[int | None, int] = {}
        for block in blocks:
            sections[block.section] = sections.get(block.section, 0) + 1
            _count(tools, block.patterns)
            _count(types, block.types or ())
        everything = len(blocks)
        by_tool: list[tuple[int, tuple[str, ...]]] = []
        by_type: list[tuple[int, tuple[str, ...]]] = []
        self._by_section: dict[int, list[int]] = {}
        for index, block in enumerate(blocks):
            never = everything + 1
            costs = [
                _cost(tools, block.patterns, everything),
                _cost(types, block.types, everything) if typed and block.types is not None else never,
                sections[block.section] if block.section is not None else never,
            ]
            cheapest = costs.index(min(costs))
            if cheapest == 0:
                by_tool.append((index, block.patterns))
            elif cheapest == 1:
                by_type.append((index, block.types or ()))
            else:
                assert block.section is not None  # it costs most where there is none
                self._by_section.setdefault(block.section, []).append(index)
        self._by_tool, self._by_type = PatternIndex(_by_pattern(by_tool)), PatternIndex(_by_pattern(by_type))

    def find(self, within: Blocks, sections: frozenset[int], tool: str, type_: str | None) -> tuple[int, ...]:
        return tuple(sorted(set(self.each(within, sections, tool, type_))))

    def each(self, within: Blocks, sections: frozenset[int], tool: str, type_: str | None) -> Iterator[int]:
        """Yield the blocks that match; some may come again."""
        blocks, matches, typed = self._blocks, within.matches, self._typed
        for index in self._candidates(sections, tool, type_):
            block = blocks[index]
            if block.section is not None and block.section not in sections:
                continue
            if typed and block.types is not None and (type_ is None or not matches(block.types, type_)):
                continue
            if matches(block.patterns, tool) and not matches(block.excepted, tool):
                yield index

    def _candidates(self, sections: frozenset[int], tool: str, type_: str | None) -> Iterator[int]:
        yield from self._by_tool.find(tool)
        if type_ is not None:
            yield from self._by_type.find(type_)
        if not self._by_section:
            return
        for section in sections if len(sections) < len(self._by_section) else self._by_section.keys() & sections:
            yield from self._by_section.get(section, ())


def _by_pattern(named: Iterable[tuple[int, Iterable[str]]]) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for number, patterns in named:
        for pattern in patterns:
            found.setdefault(pattern, []).append(number)
    return found


def _count(found: dict[str, int], patterns: Iterable[str]) -> None:
    for pattern in patterns:
        found[pattern] = found.get(pattern, 0) + 1


def _cost(found: dict[str, int], patterns: Iterable[str], everything: int) -> int:
    """Say beside how many blocks, at worst, a text will find one by its patterns: beside all by `*`."""
    return max((found[pattern] if pattern.strip("*") else everything for pattern in patterns), default=0)
