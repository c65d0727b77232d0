"""The file of oldest versions says what pyproject.toml allows, so that CI tests what a user may have."""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def test_oldest_versions_are_the_lower_bounds() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    wanted = {}
    for requirement in project["dependencies"] + [r for extra in extras if extra != "test" for r in extras[extra]]:
        if not requirement.startswith("whenwhere["):
            name, bound = re.fullmatch(r"([\w-]+)(?:\[\w+\])?[>=]=([\d.]+)(?:,<[\d.]+)?(?:;.*)?", requirement).groups()  # type: ignore[union-attr]
            wanted[name] = bound
    lines = (ROOT / "constraints" / "oldest.txt").read_text().splitlines()
    oldest = dict(line.split("==") for line in lines if not line.startswith("#"))
    assert oldest.keys() == wanted.keys()
    for name, bound in wanted.items():
        assert (oldest[name] + ".").startswith(bound + "."), f"{name}: {oldest[name]} is not the oldest of >={bound}"
