"""Digests of bytes that are promised, kept in pins.json; the tests called test_pins.py compare them.

A promise is for ever, or until a format's revision is raised. After such a change all are pinned anew by COMMAND.
"""

from __future__ import annotations

import json
import os
import platform
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

FILE = Path(__file__).with_name("pins.json")
COMMAND = "REPIN=1 python -m pytest tests/segdata/test_pins.py tests/segmodels/test_pins.py"


def digest(*parts: bytes | str) -> str:
    """16 hexadecimal digits over the parts and their lengths."""
    found = sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        found.update(len(data).to_bytes(8, "little") + data)
    return found.hexdigest()[:16]


def libraries(*names: str) -> dict[str, str]:
    """What a run would note of these in run.json, and the kind of processor: where they differ, bytes may differ."""
    torch = pytest.importorskip("torch", reason="segmodels tells what these bytes depend on, and needs torch")

    from segmodels.runs.environment import describe_device, settings, versions

    maker = describe_device(torch.device("cpu"))["name"].split()[0]
    known = {**versions(), **settings(), "processor": f"{platform.machine()} {maker}"}
    return {name: known[name] for name in names}


def check(name: str, found: str, advice: str, here: dict[str, str] | None = None) -> None:
    """Fail where `found` is not what is pinned; skip where `here`, what the bytes depend on, is not as it was then."""
    pins: dict[str, Any] = json.loads(FILE.read_bytes())
    row = {"digest": found, "with": here} if here else found
    if os.environ.get("REPIN"):
        FILE.write_text(json.dumps(pins | {name: row}, sort_keys=True, indent=1) + "\n")
        pytest.skip("pinned anew")
    pinned = pins.get(name)
    if here and pinned and pinned["with"] != here:
        pytest.skip(f"pinned with {pinned['with']}, here is {here}")
    assert row == pinned, f"{name}: these bytes are promised and have changed. {advice}. Then pin anew: {COMMAND}"
