"""A plain Python account of the metrics, written from docs/metrics.md and not from the SQL."""

from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal, localcontext
from typing import Any

D = Decimal
ZERO = D(0)


def rounded(value: Decimal, places: int) -> Decimal:
    return value.quantize(D(1).scaleb(-places), rounding=ROUND_HALF_UP)


def day_figures(payments: list, sessions: list, plays: list, edges: dict[str, Decimal | None], default_edge: Decimal) -> dict:
    """{day: figures} of one player. Events are dicts keyed like the stage columns."""
    days: dict[Any, dict[str, Any]] = {}

    def row(moment: datetime) -> dict[str, Any]:
        names = "deposits deposit_count failed_deposit_count withdrawals withdrawal_count refunds stake payout bonus_stake theo rounds"
        empty = dict.fromkeys(f"{names} max_stake sessions playtime_seconds".split(), ZERO) | {"games": set()}
        return days.setdefault(moment.astimezone(UTC).date(), empty)

    for event in payments:
        figures = row(event["occurred_at"])
        if event["status"] == "FAILED" and event["kind"] == "DEPOSIT":
            figures["failed_deposit_count"] += 1
        if event["status"] != "COMPLETED":
            continue
        if event["kind"] == "DEPOSIT":
            figures["deposits"] += event["amount"]
            figures["deposit_count"] += 1
        elif event["kind"] == "WITHDRAWAL":
            figures["withdrawals"] += event["amount"]
            figures["withdrawal_count"] += 1
        else:
            figures["refunds"] += event["amount"]
    for event in sessions:
        figures = row(event["started_at"])
        figures["sessions"] += 1
        if event["ended_at"] is not None:
            figures["playtime_seconds"] += (event["ended_at"] - event["started_at"]) // timedelta(seconds=1)
    for event in plays:
        figures = row(event["played_at"])
        edge = edges.get(event["game_code"])
        figures["stake"] += event["stake"]
        figures["payout"] += event["payout"]
        figures["bonus_stake"] += event["bonus_stake"]
        figures["rounds"] += event["rounds"]
        figures["theo"] += event["stake"] * (default_edge if edge is None else edge)
        figures["max_stake"] = max(figures["max_stake"], rounded(event["stake"] / event["rounds"], 4))
        figures["games"].add(event["game_code"])
    for figures in days.values():
        figures["games"] = len(figures["games"])
    counts = ("deposit_count", "failed_deposit_count", "withdrawal_count", "refunds", "rounds", "sessions")
    return {day: figures for day, figures in days.items() if any(figures[name] for name in counts)}


def metrics(
    payments: list, sessions: list, plays: list, statements: list, edges: dict, default_edge: Decimal, as_of: datetime
) -> dict[str, Any]:
    """All figures of one player as of an instant."""
    days = day_figures(
        [event for event in payments if event["occurred_at"] <= as_of],
        [event for event in sessions if event["started_at"] <= as_of],
        [event for event in plays if event["played_at"] <= as_of],
        edges,
        default_edge,
    )
    statement = max((one for one in statements if one["as_of"] <= as_of), key=lambda one: one["as_of"], default=None)
    today = as_of.astimezone(UTC).date()
    covered = statement["as_of"].astimezone(UTC).date() if statement else None
    later = {day: figures for day, figures in days.items() if covered is None or day > covered}
    base = statement or {}

    def total(name: str, chosen: dict = days) -> Decimal:
        return sum((figures[name] for figures in chosen.values()), ZERO)

    def window(length: int) -> dict:
        return {day: figures for day, figures in days.items() if day > today - timedelta(days=length)}

    wagered = base.get("total_wagered", ZERO) + total("stake", later)
    won = base.get("total_won", ZERO) + total("payout", later)
    played = base.get("sessions", 0) + total("sessions", later)
    says_bets = statement is None or base["bets"] is not None
    bets = (base.get("bets") or 0) + total("rounds", later) if says_bets else total("rounds")
    bet_stake = wagered if says_bets else total("stake")
    hours = base.get("playtime_hours", ZERO) + total("playtime_seconds", later) / 3600
    active = [day for day, figures in days.items() if figures["deposit_count"] or figures["rounds"] or figures["sessions"]]
    found = {
        "total_deposited": base.get("total_deposited", ZERO) + total("deposits", later),
        "total_withdrawn": total("withdrawals"),
        "total_refunded": total("refunds"),
        "total_wagered": wagered,
        "total_won": won,
        "net_pnl": won - wagered,
        "net_loss": max(wagered - won, ZERO),
        "house_edge_contribution": base.get("total_wagered", ZERO) * default_edge + total("theo", later),
        "bonus_wagered": total("bonus_stake"),
        "deposit_count": total("deposit_count"),
        "withdrawal_count": total("withdrawal_count"),
        "sessions": played,
        "playtime_hours": rounded(hours, 4),
        "avg_session_duration": rounded(hours * 60 / played, 4) if played else ZERO,
        "total_bets": bets,
        "avg_bet_size": rounded(bet_stake / bets, 4) if bets else ZERO,
        "active_days": len(active),
        "first_activity_on": min(active, default=None),
        "last_activity_on": max(active, default=None),
        "last_deposit_on": max((day for day, figures in days.items() if figures["deposit_count"]), default=None),
        "last_play_on": max((day for day, figures in days.items() if figures["rounds"]), default=None),
        "win_loss_ratio": min(rounded(won / wagered, 6), LARGEST) if wagered else ZERO,
        "volatility_score": volatility([(f["payout"] - f["stake"], f["stake"]) for f in days.values() if f["stake"] > 0]),
    }
    yesterday = {day: figures for day, figures in days.items() if day == today - timedelta(days=1)}
    for suffix, chosen in (("7d", window(7)), ("30d", window(30)), ("1d", yesterday)):
        found[f"wagered_{suffix}"] = total("stake", chosen)
        found[f"net_loss_{suffix}"] = max(total("stake", chosen) - total("payout", chosen), ZERO)
        if suffix != "1d":
            found[f"deposited_{suffix}"] = total("deposits", chosen)
            found[f"sessions_{suffix}"] = total("sessions", chosen)
    return found


LARGEST = Decimal(99_999_999)  # what the columns of ratios can hold


def volatility(days: list[tuple[Decimal, Decimal]]) -> Decimal:
    """Sample standard deviation of the daily result over the mean daily stake; 0 below two days."""
    if len(days) < 2:
        return ZERO
    with localcontext(prec=60):
        results = [result for result, _ in days]
        mean = sum(results, ZERO) / len(results)
        variance = sum(((result - mean) ** 2 for result in results), ZERO) / (len(results) - 1)
        stake = sum((stake for _, stake in days), ZERO) / len(days)
        return min(rounded(variance.sqrt() / stake, 6), LARGEST)
