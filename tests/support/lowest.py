"""Constraints for pip: every runtime dependency at its lower bound in pyproject.toml, for `make test-lowest`."""

import re
import tomllib
from pathlib import Path

PROJECT = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def lowest() -> list[str]:
    """`name==version` of segdata's dependencies, those of its remote sets among them."""
    lines = PROJECT["dependencies"] + PROJECT["optional-dependencies"]["remote"]
    return [
        f"{name}=={version}" for name, version in re.findall(r"^([\w-]+)>=([\w.]+)", "\n".join(lines), re.MULTILINE)
    ]


if __name__ == "__main__":
    print("\n".join(lowest()))
