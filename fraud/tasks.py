"""The jobs of the fraud app. "fraud.links" runs for all players before "fraud.signals", which looks across ranges."""

from typing import Any

from fraud.services import refresh_links, scan, take_up_flags
from loyalty_site.common.jobs import Job, Scope, id_ranges, register


def link_range(scope: Scope) -> dict[str, Any]:
    return {"rows": refresh_links(scope.lower_id, scope.upper_id, scope.as_of)}


def scan_range(scope: Scope) -> dict[str, Any]:
    return scan(scope.lower_id, scope.upper_id, scope.as_of)


def take_up_range(scope: Scope) -> dict[str, Any]:
    return take_up_flags(scope.lower_id, scope.upper_id, scope.as_of)


_WITH_NEW_FLAGS = (
    "(SELECT DISTINCT player_id AS id FROM wallet_walletflag AS flag "
    "WHERE NOT EXISTS (SELECT FROM fraud_flagevidence AS taken WHERE taken.flag_id = flag.id)) AS players_with_new_flags"
)
_players = id_ranges("players_player", chunk_size=5000)

register(Job("fraud.links", "Shared devices, instruments and networks", link_range, _players))
register(Job("fraud.signals", "Abuse signals and scores", scan_range, _players))
register(Job("fraud.wallet_flags", "Take up flags of the wallet", take_up_range, id_ranges(_WITH_NEW_FLAGS, chunk_size=5000)))
