"""The thresholds that players' figures depend on, read from the settings that staff edit. The only reader of them in this app.

Read through `get_values_for_keys`, never `config.NAME`: that writes the default on its first read, and the row lock of that write
would make every other session wait for a long import to commit.
"""

from decimal import Decimal

from constance.utils import get_values_for_keys

from players.segmentation import SegmentThresholds


def default_house_edge() -> Decimal:
    """House edge of play whose game has none."""
    return Decimal(get_values_for_keys(["PROFIT_DEFAULT_HOUSE_EDGE"])["PROFIT_DEFAULT_HOUSE_EDGE"])


def base_currency() -> str:
    """Currency of players that arrive without one."""
    return str(get_values_for_keys(["BASE_CURRENCY"])["BASE_CURRENCY"])


def segment_thresholds() -> SegmentThresholds:
    """Raises ValueError, naming the threshold, when the settings contradict each other."""
    values = get_values_for_keys(
        ["SEGMENT_NEW_BELOW_WAGERED", "SEGMENT_VIP_FROM_WAGERED", "SEGMENT_VIP_FROM_SESSIONS", "SEGMENT_BREAKEVEN_BAND"]
    )
    return SegmentThresholds(
        new_below_wagered=Decimal(values["SEGMENT_NEW_BELOW_WAGERED"]),
        vip_from_wagered=Decimal(values["SEGMENT_VIP_FROM_WAGERED"]),
        vip_from_sessions=int(values["SEGMENT_VIP_FROM_SESSIONS"]),
        breakeven_band=Decimal(values["SEGMENT_BREAKEVEN_BAND"]),
    )
