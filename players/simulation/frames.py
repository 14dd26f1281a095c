"""Frames of the simulated operator, in the column layout in which activity enters the product."""

import json

import numpy as np
import pandas as pd

from . import catalogue, identity
from .cashier import Books
from .config import MARKETS, PLAYER_TYPES, SimulationConfig
from .population import Population
from .protection import SELF_EXCLUSION, Consent, Exclusions, Limits
from .visits import Visits

# fmt: off
LAYOUT = {
    "players": ("external_id", "username", "first_name", "last_name", "email", "birth_date", "country", "currency", "language",
                "registered_at", "acquisition_channel", "status", "marketing_consent", "profiling_consent", "attributes"),
    "payments": ("player_external_id", "external_id", "kind", "status", "amount", "method", "instrument", "occurred_at"),
    "sessions": ("player_external_id", "external_id", "started_at", "ended_at", "ip", "device_id"),
    "plays": ("player_external_id", "external_id", "session_ref", "game_code", "game_category", "played_at", "stake", "payout",
              "bonus_stake", "rounds"),
    "totals": ("player_external_id", "as_of", "total_deposited", "total_wagered", "total_won", "sessions", "playtime_hours", "bets"),
}
# fmt: on
MONEY = frozenset({"amount", "stake", "payout", "bonus_stake", "total_deposited", "total_wagered", "total_won"})
_PAYMENT_KINDS = np.array(["DEPOSIT", "WITHDRAWAL"])
_PAYMENT_STATUSES = np.array(["COMPLETED", "FAILED", "CANCELLED"])
_CHARGEBACK_SHARE = 0.0015
_PENDING_SECONDS = 8 * 3600


def player_ids(config: SimulationConfig, people: Population) -> np.ndarray:
    return np.char.add(config.id_prefix, np.char.zfill(people.number.astype("U9"), 7))


def players(rng: np.random.Generator, config: SimulationConfig, people: Population, ids: np.ndarray, consent: Consent) -> pd.DataFrame:
    details = identity.personal_details(rng, config, people)
    gone = people.leaves < config.days - 30
    closed = gone & (rng.random(len(people)) < 0.03)
    suspended = ~closed & (rng.random(len(people)) < 0.004)
    platform = np.where(rng.random(len(people)) < 0.66, "mobile", "desktop")
    verified = np.where(rng.random(len(people)) < 0.8, "verified", "pending")
    attributes = {pair: json.dumps({"kyc_status": pair[0], "platform": pair[1]}) for pair in _pairs()}
    market = {name: np.array([getattr(one, name) for one in MARKETS])[people.market] for name in ("country", "currency", "language")}
    frame = pd.DataFrame(
        {
            "external_id": ids,
            **details,
            **market,
            "registered_at": _instants(((config.first_day + people.arrival) * 86400).astype(np.int64)),
            "status": np.where(closed, "CLOSED", np.where(suspended, "SUSPENDED", "ACTIVE")),
            "marketing_consent": consent.marketing,
            "profiling_consent": consent.profiling,
            "attributes": [attributes[pair] for pair in zip(verified.tolist(), platform.tolist(), strict=True)],
        }
    )
    return frame.loc[:, list(LAYOUT["players"])]


def _pairs() -> list[tuple[str, str]]:
    return [(kyc, platform) for kyc in ("verified", "pending") for platform in ("mobile", "desktop")]


def sessions(rng: np.random.Generator, config: SimulationConfig, people: Population, ids: np.ndarray, visits: Visits) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "player_external_id": ids[visits.player],
            "external_id": np.char.mod("s%d", _visit_numbers(visits)),
            "started_at": _instants(visits.start),
            "ended_at": _instants(visits.end),
            "ip": identity.address_of_visits(rng, people, visits.player),
            "device_id": identity.device_of_visits(rng, config, people, visits.player),
        },
        columns=list(LAYOUT["sessions"]),
    )


def plays(config: SimulationConfig, ids: np.ndarray, visits: Visits, books: Books) -> pd.DataFrame:
    columns = books.columns("plays")
    if not columns:
        return pd.DataFrame({name: [] for name in LAYOUT["plays"]})
    order = np.lexsort((columns["slot"], columns["visit"]))
    columns = {name: values[order] for name, values in columns.items()}
    session = np.char.mod("s%d", _visit_numbers(visits))[columns["visit"]]
    return pd.DataFrame(
        {
            "player_external_id": ids[columns["player"]],
            "external_id": np.char.add(session, np.char.mod("g%d", columns["slot"] + 1)),
            "session_ref": session,
            "game_code": catalogue.column("code")[columns["game"]],
            "game_category": catalogue.column("category")[columns["game"]],
            "played_at": _instants(columns["at"]),
            "stake": columns["stake"],
            "payout": columns["payout"],
            "bonus_stake": columns["bonus_stake"],
            "rounds": columns["rounds"],
        },
        columns=list(LAYOUT["plays"]),
    )


def payments(rng: np.random.Generator, config: SimulationConfig, people: Population, ids: np.ndarray, books: Books) -> pd.DataFrame:
    """Deposits with failed attempts, withdrawals (the last hours' are pending), and a few chargebacks of deposits."""
    columns = books.columns("payments")
    if not columns:
        return pd.DataFrame({name: [] for name in LAYOUT["payments"]})
    order = np.lexsort((columns["at"], columns["player"]))
    columns = {name: values[order] for name, values in columns.items()}
    method, instrument = identity.instruments_of_payments(rng, config, people, columns["player"])
    kind, status = _PAYMENT_KINDS[columns["kind"]], _PAYMENT_STATUSES[columns["status"]].copy()
    recent = (kind == "WITHDRAWAL") & (status == "COMPLETED") & (columns["at"] > config.end_second - _PENDING_SECONDS)
    status[recent] = "PENDING"
    frame = pd.DataFrame(
        {
            "player_external_id": ids[columns["player"]],
            "external_id": columns["reference"],
            "kind": kind,
            "status": status,
            "amount": columns["amount"],
            "method": method,
            "instrument": instrument,
            "occurred_at": _instants(columns["at"]),
        },
        columns=list(LAYOUT["payments"]),
    )
    back_at = columns["at"] + rng.integers(10, 60, len(frame)) * 86400
    charged = (kind == "DEPOSIT") & (status == "COMPLETED") & (rng.random(len(frame)) < _CHARGEBACK_SHARE)
    charged &= (back_at < config.end_second) & (method == "card")
    back = frame[charged].assign(kind="CHARGEBACK", occurred_at=_instants(back_at[charged]).array)
    back["external_id"] = back["external_id"] + "-cb"
    joined = pd.concat([frame, back], ignore_index=True)
    return joined.sort_values(["player_external_id", "occurred_at", "external_id"], kind="stable", ignore_index=True)


def totals(
    config: SimulationConfig, ids: np.ndarray, payments_: pd.DataFrame, sessions_: pd.DataFrame, plays_: pd.DataFrame
) -> pd.DataFrame:
    """The aggregate statement of every player at `as_of` (players without activity have zeros)."""
    deposits = payments_[(payments_["kind"] == "DEPOSIT") & (payments_["status"] == "COMPLETED")]
    by_play = plays_.groupby("player_external_id")[["stake", "payout", "rounds"]].sum()
    spent = (sessions_["ended_at"] - sessions_["started_at"]).dt.total_seconds()
    seconds = spent.groupby(sessions_["player_external_id"]).sum()
    count = sessions_.groupby("player_external_id").size()
    frame = pd.DataFrame({"player_external_id": ids})

    def column(series: pd.Series) -> np.ndarray:
        return series.reindex(ids).fillna(0).to_numpy().astype(np.int64)

    frame["as_of"] = _instants(np.full(len(ids), config.end_second))
    frame["total_deposited"] = column(deposits.groupby("player_external_id")["amount"].sum())
    frame["total_wagered"], frame["total_won"] = column(by_play["stake"]), column(by_play["payout"])
    frame["sessions"] = column(count)
    frame["playtime_hours"] = np.round(column(seconds) / 3600, 4)
    frame["bets"] = column(by_play["rounds"])
    return frame.loc[:, list(LAYOUT["totals"])]


def protections(config: SimulationConfig, people: Population, ids: np.ndarray, consent: Consent) -> pd.DataFrame:
    """player_external_id, marketing_consent, profiling_consent, consent_at, harm_flag, harm_flag_at, harm_note."""
    return pd.DataFrame(
        {
            "player_external_id": ids,
            "marketing_consent": consent.marketing,
            "profiling_consent": consent.profiling,
            "consent_at": _instants(((config.first_day + people.arrival) * 86400).astype(np.int64)),
            "harm_flag": consent.harm,
            "harm_flag_at": _instants(consent.harm_second).where(consent.harm),
            "harm_note": np.where(consent.harm, "Repeated deposits in one session and rising stakes", ""),
        }
    )


def exclusions(config: SimulationConfig, ids: np.ndarray, drawn: Exclusions) -> pd.DataFrame:
    """player_external_id, kind, starts_at, ends_at (NaT: indefinite)."""
    some = drawn.kind != 0
    since = ((config.first_day + drawn.since[some]) * 86400).astype(np.int64)
    until = drawn.until[some]
    ends = ((config.first_day + np.where(np.isinf(until), 0, until)) * 86400).astype(np.int64)
    return pd.DataFrame(
        {
            "player_external_id": ids[some],
            "kind": np.where(drawn.kind[some] == SELF_EXCLUSION, "SELF_EXCLUSION", "COOL_OFF"),
            "starts_at": _instants(since),
            "ends_at": _instants(ends).where(~np.isinf(until)),
        }
    )


def deposit_limits(ids: np.ndarray, limits: Limits) -> pd.DataFrame:
    """player_external_id, period, amount (minor units), starts_at."""
    some = limits.amount > 0
    return pd.DataFrame(
        {
            "player_external_id": ids[some],
            "period": np.array(["DAY", "WEEK", "MONTH"])[limits.period[some]],
            "amount": limits.amount[some],
            "starts_at": _instants(limits.starts[some]),
        }
    )


def truth(config: SimulationConfig, people: Population, ids: np.ndarray, visits: Visits, books: Books) -> pd.DataFrame:
    """What no feature may see: type, leaving, true response to bonuses, abuse and ring, and the closing balances of the books."""
    return pd.DataFrame(
        {
            "player_external_id": ids,
            "player_type": np.array([one.name for one in PLAYER_TYPES])[people.kind],
            "abuser_kind": people.abuser,
            "ring": people.ring,
            "household": people.household,
            "left": people.leaves < config.days,
            "left_on": np.floor(config.first_day + np.minimum(people.leaves, config.days)).astype(np.int64).astype("datetime64[D]"),
            "sessions_per_week": np.round(people.sessions_per_day * 7, 4),
            # days since the first simulated day; the end of the lifetime may lie beyond the end of history
            "arrival_days": np.round(people.arrival, 6),
            "lifetime_ends_days": np.round(people.leaves, 6),
            "streaky": people.trait("streaky").astype(bool),
            "bonus_uplift": np.round(people.uplift, 4),
            "offer_weeks": visits.offer_weeks,
            "at_risk": people.at_risk,
            "bonus_granted": books.granted,
            "bonus_forfeited": books.forfeited,
            "closing_cash": books.cash,
            "closing_bonus": books.bonus,
        }
    )


def _visit_numbers(visits: Visits) -> np.ndarray:
    return np.arange(len(visits.player)) - visits.first[visits.player] + 1


def _instants(seconds: np.ndarray) -> pd.Series:
    return pd.Series(seconds.astype("datetime64[s]")).dt.tz_localize("UTC")
