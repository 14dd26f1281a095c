"""Nothing is given to players whom the operator must protect."""

from datetime import datetime

from players.models import Exclusion
from players.selectors import protection_columns

from .errors import WalletError


def refuse_under_protection(player_id: int, at: datetime, refusal: type[WalletError]) -> None:
    """What no reward may pass, no correction passes either. Raises `refusal` under an exclusion, a cool-off or a harm flag."""
    protection = protection_columns([player_id], at)
    kind = str(protection.exclusion_kind[0])
    if kind or protection.harm_flag[0]:
        why = f"exclusion ({Exclusion.Kind(kind).label.lower()})" if kind else "harm flag"
        raise refusal(
            f"nothing may be given to this player now: {why} in force. Taking away is possible; a wrong entry is taken back by reversing it"
        )
