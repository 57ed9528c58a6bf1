"""Findings as SARIF 2.1.0 (OASIS), the format in which code hosts and editors take the results of checks."""

from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

from segdata.base.canonical import pretty_json
from segdata.findings import CODES, Finding

SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
NO_FILE = {"split-count", "missing-split", "duplicate-frame"}  # their place is a split, or a key in it


def sarif(findings: Sequence[Finding], tool_version: str) -> bytes:
    """One run: every code as a rule, every finding as a result, in the order given. The same bytes every time."""
    order = {code: index for index, code in enumerate(CODES)}
    driver = {"name": "segdata", "version": tool_version, "rules": [_rule(code) for code in CODES]}
    results = [_result(finding, order[finding.code]) for finding in findings]
    return pretty_json(
        {
            "$schema": SCHEMA,
            "version": "2.1.0",
            "runs": [{"tool": {"driver": driver}, "results": results}],
        }
    )


def _rule(code: str) -> dict[str, Any]:
    level, expected = CODES[code]
    return {
        "id": code,
        "shortDescription": {"text": f"{expected[0].upper()}{expected[1:]}."},
        "defaultConfiguration": {"level": level},
    }


def _result(finding: Finding, rule: int) -> dict[str, Any]:
    return {
        "ruleId": finding.code,
        "ruleIndex": rule,
        "level": finding.severity,
        "message": {"text": f"{finding.where}: {finding.found}. Expected: {finding.expected}."},
        "locations": [_location(finding)],
    }


def _location(finding: Finding) -> dict[str, Any]:
    """The file, relative to the dataset or shard folder; a shard's member ("….tar:<key>.<part>") beside it."""
    if finding.code in NO_FILE:
        return {"logicalLocations": [{"fullyQualifiedName": finding.where}]}
    shard, tar, member = finding.where.partition(".tar:")
    file = f"{shard}.tar" if tar else finding.where
    location: dict[str, Any] = {"physicalLocation": {"artifactLocation": {"uri": quote(file, errors="replace")}}}
    if tar:
        location["logicalLocations"] = [{"name": member, "fullyQualifiedName": finding.where, "kind": "member"}]
    return location
