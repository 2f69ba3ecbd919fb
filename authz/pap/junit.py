"""Test results as JUnit XML, the form that build servers read."""

from __future__ import annotations

import re
from itertools import groupby
from typing import TYPE_CHECKING, Final
from xml.etree import ElementTree as ET

from authz.pap.report import failure_text

if TYPE_CHECKING:
    from authz.pap.testing import TestReport, TestResult

_FORBIDDEN: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What XML 1.0 cannot hold, not even escaped (section 2.2)."""


def to_junit(report: TestReport) -> str:
    """Return one `testsuite` for each file, each test a `testcase`, each difference a `failure`."""
    root = ET.Element("testsuites", _totals("authz", report.results))
    for file, results in groupby(report.results, key=lambda result: result.file):
        tests = tuple(results)
        suite = ET.SubElement(root, "testsuite", _totals(file, tests))
        for result in tests:
            _add_case(suite, result)
    ET.indent(root)
    return ET.tostring(root, encoding="unicode") + "\n"


def _totals(name: str, results: tuple[TestResult, ...]) -> dict[str, str]:
    return {
        "name": _clean(name),
        "tests": str(len(results)),
        "failures": str(sum(not result.passed for result in results)),
        "errors": "0",
        "skipped": "0",
        "time": f"{sum(result.duration for result in results):.6f}",
    }


def _add_case(suite: ET.Element, result: TestResult) -> None:
    case = ET.SubElement(
        suite,
        "testcase",
        {
            "name": _clean(result.name),
            "classname": _clean(result.file),
            "file": _clean(result.file),
            "line": str(result.line),
            "time": f"{result.duration:.6f}",
        },
    )
    if not result.passed:
        message = f"expected {result.expected}, got {result.actual}"
        failure = ET.SubElement(case, "failure", {"type": "expectation", "message": _clean(message)})
        failure.text = _clean(failure_text(result))


def _clean(text: str) -> str:
    return _FORBIDDEN.sub("\ufffd", text)
