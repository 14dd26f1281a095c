"""Every setting of the feed reaches the containers and stands in the example environment and in the documents."""

import re
from typing import Any

import pytest
from ruamel.yaml import YAML

from loyalty_site.launcher.environment import ROOT

SETTINGS = sorted(set(re.findall(r'env\.\w+\(\s*"(LOYALTY_FEED_\w+)"', (ROOT / "loyalty_site/settings.py").read_text())))


def test_settings__of_the_feed__are_found() -> None:
    assert len(SETTINGS) == 10


@pytest.mark.parametrize("name", SETTINGS)
def test_setting__of_the_feed__reaches_the_containers_and_is_documented(name: str) -> None:
    environment: dict[str, Any] = YAML(typ="safe").load((ROOT / "docker-compose.yml").read_text())["x-app"]["environment"]
    passed = re.fullmatch(rf"\$\{{{name}:-(.*)\}}", str(environment.get(name)))
    assert passed is not None, f"docker-compose.yml does not pass {name}"
    example = (ROOT / ".env.example").read_text()
    assert f"\n# {name}={passed[1]}" in example
    assert f"`{name}`" in (ROOT / "docs/feeds.md").read_text()
