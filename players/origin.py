"""Whether the players here are simulated, so that nobody takes what is learned from them for the truth about real ones."""

from datetime import datetime
from typing import TYPE_CHECKING

from loyalty_site.common import audit
from loyalty_site.common.models import AuditEvent
from players.models import Player

if TYPE_CHECKING:  # web processes ask where players come from and load no pandas
    from players.simulation import SimulationConfig

SIMULATED = "players.operator_simulated"
_SUBJECT = ("players.operator", "simulated")
# Of operators that were simulated before it was recorded, or that came as files: the simulator's first player, with an address at a
# domain that nobody has (RFC 2606).
_FIRST, _DOMAIN = "P0000001", "@example.com"


def record_simulated(config: "SimulationConfig", at: datetime) -> None:
    """In the transaction that writes the simulated players. It is kept for good: real ones belong into another database."""
    after = {"players": config.players, "months": config.months, "seed": config.seed, "first_number": config.first_number}
    audit.record(SIMULATED, _SUBJECT, at=at, after=after)


def is_simulated() -> bool:
    """Whether any of the players here came from the simulator."""
    recorded = AuditEvent.objects.filter(subject_type=_SUBJECT[0], subject_id=_SUBJECT[1], action=SIMULATED)
    return recorded.exists() or Player.objects.filter(external_id=_FIRST, email__endswith=_DOMAIN).exists()
