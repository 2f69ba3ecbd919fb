"""The registry of codes → docs/errors.md."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from authz.lang.codes import CODES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from authz.lang.codes import Code

_INTRO: Final = """\
# Diagnostics

What `authz-eval validate`, `lint` and `test` can find in policy text, and what to do about it.

```text
error[unknown-attribute]: resource `document` has no attribute `ownr`
 --> documents.authz:4:23
  |
4 |   allow when resource.ownr == subject.id
  |                       ^^^^
  = help: did you mean `owner`?
```

- The word in brackets is the code: it has a section below, and stays the same when messages are reworded.
- The message says what is wrong, with your own text in backticks.
- The arrow shows where: file, line and column, counted from 1, and the text underlined.
  A second place that belongs to it, such as a first declaration, follows with `:::`.
- The help says what to do next.

An error keeps the policy from loading: nothing of it is used, and a running server keeps the policy it has.
A warning keeps nothing from loading.
All findings in all files are shown at once, sorted by file and place.
With `--format json` each one is an object with the same parts.

What `lint --tools` finds depends on the server too.
Its examples are about one with three tools:

- `read_file` takes a `path` and perhaps a number `tail`, and only reads.
- `list_directory` takes a `path` and perhaps a `sortBy` that is `name` or `size`, and only reads.
- `delete_file` takes a `path`; the server gives no hint of what it does.
"""


def markdown() -> str:
    """Return the page: how to read a diagnostic, a table of contents, and a section for each code."""
    contents = "\n".join(f"- [{code}](#{code}): {_sentence(entry.title)}" for code, entry in CODES.items())
    sections = "\n".join("\n".join(_section(entry)) for entry in CODES.values())
    return f"{_INTRO}\n## Codes\n\n{contents}\n\n{sections}"


def _section(entry: Code) -> Iterator[str]:
    yield f"### {entry.code}\n"
    yield f"{entry.title}.\n"
    for word, snippet in (("Avoid", entry.avoid), ("Prefer", entry.prefer)):
        yield f"{word}:\n\n```authz\n{_visible(snippet)}```\n"
    yield f"Why: {entry.why}\n"


def _sentence(title: str) -> str:
    return title[:1].lower() + title[1:]


def _visible(snippet: str) -> str:
    """Name the characters that the page must not hold itself."""
    return "".join(c if c.isprintable() or c == "\n" else f"<U+{ord(c):04X}>" for c in snippet)
