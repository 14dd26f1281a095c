"""The jobs of the fraud app. "fraud.links" runs for all players before "fraud.signals", which looks across ranges."""

from typing import Any

from fraud.services import refresh_links, scan
from loyalty_site.common.jobs import Job, Scope, id_ranges, register


def link_range(scope: Scope) -> dict[str, Any]:
    return {"rows": refresh_links(scope.lower_id, scope.upper_id, scope.as_of)}


def scan_range(scope: Scope) -> dict[str, Any]:
    return scan(scope.lower_id, scope.upper_id, scope.as_of)


_players = id_ranges("players_player", chunk_size=5000)

register(Job("fraud.links", "Shared devices, instruments and networks", link_range, _players))
register(Job("fraud.signals", "Abuse signals and scores", scan_range, _players))
