"""Presets, settings and reasons → their sections of docs/tokens.md; the rest of the page is written by hand."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from authz.tokens.advice import ADVICE
from authz.tokens.errors import MESSAGES
from authz.tokens.presets import PRESETS
from authz.tokens.settings_text import TABLES

if TYPE_CHECKING:
    from collections.abc import Iterator


def tokens_page(page: str) -> str:
    """Return the page with its generated sections as they must be.

    Each stands between `<!-- NAME: …-->` and `<!-- end of NAME -->`, which must be there once.
    """
    for name, lines in (("reasons", _reasons()), ("presets", _presets()), ("settings", _settings())):
        text = "\n".join(lines).strip()
        before, start, rest = _cut(page, rf"<!-- {name}: [^\n]*-->\n")
        _, end, after = _cut(rest, rf"<!-- end of {name} -->\n")
        page = f"{before}{start}\n{text}\n\n{end}{after}"
    return page


def _cut(text: str, mark: str) -> tuple[str, str, str]:
    """Return what is before a mark, the mark, and what is after it."""
    found = re.search(mark, text)
    assert found is not None  # the page is the project's own
    return text[: found.start()], found[0], text[found.end() :]


def _reasons() -> Iterator[str]:
    for reason, advice in ADVICE.items():
        yield f"### {reason.value}\n"
        yield f"The client is told: {MESSAGES[reason]}.\n"
        yield f"{advice.when}\n{advice.do}\n"


def _presets() -> Iterator[str]:
    for name, preset in PRESETS.items():
        yield f"### {name}\n\n{preset.title}.\n{_lines(preset.note)}\n"
        for key, parameter in preset.parameters.items():
            default = f"; `{parameter.default}` if it is not given" if parameter.default else ""
            yield f"- `{key}`, such as `{parameter.example}`{default}"
        if preset.parameters:
            yield ""
        yield "| setting | value |\n| --- | --- |"
        yield from (f"| `{key}` | {_value(value)} |" for key, value in preset.settings.items())
        yield ""


def _settings() -> Iterator[str]:
    for title, settings in TABLES.items():
        yield f"### {title}\n\n| setting | default | meaning |\n| --- | --- | --- |"
        yield from (f"| `{one.name}` | {one.default or 'must be given'} | {one.meaning} |" for one in settings)
        yield ""


def _lines(note: str) -> str:
    """Put each sentence on a line of its own."""
    return note.replace(". ", ".\n")


def _value(value: object) -> str:
    if isinstance(value, bool):
        return "`true`" if value else "`false`"
    if isinstance(value, tuple):
        return "`[" + ", ".join(f'"{item}"' for item in value) + "]`"
    if isinstance(value, dict):
        return "`{ " + ", ".join(f'{key} = "{text}"' for key, text in value.items()) + " }`"
    return f"`{value}`"
