"""Evidence of signals in words that staff can read and check."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from fraud.models import AccountLink, SignalKind
from loyalty_site.common.admin.display import amount
from loyalty_site.common.money import from_minor
from wallet.models import WalletFlag


@dataclass(frozen=True)
class Described:
    """`summary` is one sentence; `facts` are (label, value); `rows` a table under `headers` (may be empty)."""

    summary: str
    facts: list[tuple[str, str]]
    headers: tuple[str, ...] = ()
    rows: list[tuple[str, ...]] = field(default_factory=list)


def describe(kind: str, evidence: dict[str, Any], currency: str = "") -> Described:
    """Amounts are in the player's `currency`. Evidence of an unknown kind is listed as it is."""
    return _DESCRIBERS.get(kind, _plain)(evidence, currency)


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %".replace(".0 %", " %")


def _count(number: int, one: str, many: str = "") -> str:
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def _money(text: str, currency: str) -> str:
    return f"{float(text):,.2f} {currency}".strip()


def _bonus_only(evidence: dict[str, Any], currency: str) -> Described:
    deposits = evidence["deposit_count"]
    return Described(
        f"{_percent(evidence['bonus_share_of_stake'])} of the stake was bonus money, "
        f"on {_count(evidence['bonus_days'], 'day')}; {_count(deposits, 'deposit') if deposits else 'never a deposit'}.",
        [
            ("Staked", _money(evidence["stake"], currency)),
            ("Of it bonus money", _money(evidence["bonus_stake"], currency)),
            ("Deposits, all time", f"{_money(evidence['net_deposits'], currency)} in {_count(deposits, 'deposit')}"),
            ("Days of bonus play", str(evidence["bonus_days"])),
            ("Bonuses granted by us", str(evidence["grants"])),
            ("Looked back", _count(evidence["window_days"], "day")),
        ],
    )


def _immediate_withdrawal(evidence: dict[str, Any], currency: str) -> Described:
    first = evidence["strongest"][0]
    return Described(
        f"{_count(evidence['events'], 'withdrawal')} soon after money came in and before it was played once; "
        f"the clearest {_hours(first['hours'])} after a {first['after']}, {_percent(first['turnover'])} of it staked.",
        [("Withdrawals of this kind", str(evidence["events"])), ("Looked back", _count(evidence["window_days"], "day"))],
        ("Withdrawal", "After a", "Time between", "Came in", "Withdrawn", "Staked between", "Rounds"),
        [
            (
                f"#{one['withdrawal_id']}",
                one["after"],
                _hours(one["hours"]),
                _money(one["credited"], currency),
                _money(one["withdrawn"], currency),
                _percent(one["turnover"]),
                f"{one['rounds']:,}",
            )
            for one in evidence["strongest"]
        ],
    )


def _hours(hours: float) -> str:
    return f"{hours * 60:.0f} min" if hours < 1 else f"{hours:.1f} h"


def _bet_manipulation(evidence: dict[str, Any], currency: str) -> Described:
    first = evidence["strongest"][0]
    return Described(
        f"After {first['rounds_while_wagering']:,} rounds at {_money(first['bet_while_wagering'], currency)} with bonus money "
        f"the bet jumped {first['jump']:g} times, to {_money(first['bet'], currency)}.",
        [("Episodes", str(evidence["episodes"])), ("Looked back", _count(evidence["window_days"], "day"))],
        ("Play", "Jump", "Bet", "Bet while wagering", "Rounds before", "Paid with"),
        [
            (
                f"#{one['play_id']}",
                f"× {one['jump']:g}",
                _money(one["bet"], currency),
                _money(one["bet_while_wagering"], currency),
                f"{one['rounds_while_wagering']:,}",
                "bonus money" if one["still_wagering"] else "own money",
            )
            for one in evidence["strongest"]
        ],
    )


def _multi_account(evidence: dict[str, Any], currency: str) -> Described:
    shares = {AccountLink.Kind(kind).label.lower(): share for kind, share in evidence["share_of_use"].items()}
    shared = ", ".join(f"{name} ({_percent(share)} of this player's use)" for name, share in shares.items())
    return Described(
        f"One of {_count(evidence['cluster_size'], 'account')} that share: {shared}.",
        [
            ("Accounts in the cluster", str(evidence["cluster_size"])),
            *((f"Shared {name} use", _percent(share)) for name, share in shares.items()),
            ("Looked back", _count(evidence["window_days"], "day")),
        ],
        ("What is shared", "Fingerprint", "Players", "Share of this player's use"),
        [(AccountLink.Kind(one["kind"]).label, one["token"], str(one["players"]), _percent(one["share"])) for one in evidence["shared"]],
    )


def _win_rate(evidence: dict[str, Any], currency: str) -> Described:
    return Described(
        f"Returned {_percent(evidence['observed_return'])} over {evidence['rounds']:,} rounds where the games pay "
        f"{_percent(evidence['expected_return'])}: z = {evidence['z']}, an honest player does so once in {1 / evidence['p']:,.0f}.",
        [
            ("Staked", _money(evidence["stake"], currency)),
            ("Paid out", _money(evidence["payout"], currency)),
            ("Rounds", f"{evidence['rounds']:,} in {evidence['records']:,} records"),
            ("Deviations above expectation (z)", str(evidence["z"])),
            ("Tail probability", f"{evidence['p']:.2g}"),
            ("Largest win, left out", _money(evidence["largest_surplus_left_out"], currency)),
            ("Looked back", _count(evidence["window_days"], "day")),
        ],
    )


def describe_flag(flag: WalletFlag) -> str:
    """A flag of the wallet as one sentence. Its detail holds minor units as texts; what is not there is not said."""
    detail = flag.detail
    currency = flag.grant.currency if flag.grant else str(detail.get("currency", ""))

    def money(name: str) -> str:
        if name not in detail:
            return "an amount"
        return amount(from_minor(int(detail[name]), currency), currency) if currency else f"{int(detail[name]):,} minor units"

    points = detail.get("owed", "Points")
    cause = f"bet {detail['activity_id']}" if flag.kind == WalletFlag.Kind.OVER_MAX_BET and "activity_id" in detail else flag.source_ref
    return {
        WalletFlag.Kind.OVER_MAX_BET: f"Staked {money('stake')} where the bonus allows {money('max_bet')} a bet ({cause}).",
        WalletFlag.Kind.BONUS_DEBT: f"{money('amount')} of a bonus were to be taken back and were not there any more ({cause}).",
        WalletFlag.Kind.CASH_DEBT: f"A rolled back win left the cash {money('amount')} below zero ({cause}).",
        WalletFlag.Kind.POINTS_DEBT: f"{points} were reversed after they had been spent; the next earnings pay them ({cause}).",
    }[WalletFlag.Kind(flag.kind)]


def _plain(evidence: dict[str, Any], currency: str) -> Described:
    return Described("", [(name.replace("_", " ").capitalize(), str(value)) for name, value in evidence.items()])


_DESCRIBERS: dict[str, Callable[[dict[str, Any], str], Described]] = {
    SignalKind.BONUS_ONLY: _bonus_only,
    SignalKind.IMMEDIATE_WITHDRAWAL: _immediate_withdrawal,
    SignalKind.BET_MANIPULATION: _bet_manipulation,
    SignalKind.MULTI_ACCOUNT: _multi_account,
    SignalKind.WIN_RATE: _win_rate,
}
