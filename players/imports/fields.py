# ruff: noqa: E501 - tables of spellings read best one field a line
"""The fields of each kind of file: what they hold, which must be there, and what other systems call them. Pure data."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Field:
    """`type`: id, text, amount, count, instant, day, choice, email, country, currency, flag, ip, object."""

    name: str
    type: str
    label: str
    required: bool = False
    max_length: int = 0
    choices: dict[str, str] = field(default_factory=dict)  # accepted spelling (lower case) -> stored value
    names: tuple[str, ...] = ()  # what other systems call it
    personal: bool = False
    digits: int = 16  # most digits before the decimal sign


def _choices(**spellings: str) -> dict[str, str]:
    return {word: stored for stored, words in spellings.items() for word in (stored.lower(), *words.split())}


_PLAYER = Field(
    "player_external_id", "id", "Player id", required=True, max_length=64,
    names=("player_id", "player", "user_id", "userid", "customer_id", "client_id", "account_id", "member_id", "username", "user", "login"),
)  # fmt: skip

# of the amounts of a row: they are the player's own money or the row is set aside
_MONEY = Field(
    "currency",
    "currency",
    "Currency",
    names=(
        "currency_code",
        "ccy",
        "currency_iso",
        "iso_currency",
        "amount_currency",
        "payment_currency",
        "transaction_currency",
        "deposit_currency",
        "bet_currency",
        "stake_currency",
    ),
)

TOTALS = (
    _PLAYER,
    Field("total_deposited", "amount", "Total deposited", required=True, names=("deposits", "deposit_total", "deposit_sum", "sum_deposits", "total_deposits", "deposit_amount")),
    Field("total_wagered", "amount", "Total wagered", required=True, names=("wagered", "wagers", "turnover", "stakes", "total_stake", "total_bet", "total_bets_amount", "bet_amount", "handle")),
    Field("total_won", "amount", "Total won", required=True, names=("won", "wins", "winnings", "payouts", "total_win", "total_payout", "win_amount")),
    Field("sessions", "count", "Sessions", required=True, names=("session_count", "sessions_count", "number_of_sessions", "logins", "visits")),
    Field("playtime_hours", "amount", "Playtime (hours)", required=True, names=("playtime", "hours", "hours_played", "play_hours", "time_played_hours"), digits=10),
    Field("bets", "count", "Number of bets", names=("bet_count", "number_of_bets", "total_bets", "rounds", "spins")),
    Field("as_of", "instant", "Totals up to", names=("date", "as_at", "snapshot_date", "report_date", "until")),
    _MONEY,
)  # fmt: skip

PLAYERS = (
    Field("external_id", "id", "Player id", required=True, max_length=64, names=_PLAYER.names[:-3]),
    Field("username", "text", "User name", max_length=100, names=("user_name", "login", "nickname", "alias"), personal=True),
    Field("first_name", "text", "First name", max_length=100, names=("firstname", "given_name", "forename"), personal=True),
    Field("last_name", "text", "Last name", max_length=100, names=("lastname", "surname", "family_name"), personal=True),
    Field("email", "email", "E-mail", max_length=254, names=("e_mail", "mail", "email_address"), personal=True),
    Field("birth_date", "day", "Birth date", names=("date_of_birth", "dob", "birthdate", "birthday"), personal=True),
    Field("country", "country", "Country", names=("country_code", "residence", "country_iso")),
    Field("currency", "currency", "Currency", names=("currency_code", "ccy")),
    Field("language", "text", "Language", max_length=8, names=("lang", "locale")),
    Field("registered_at", "instant", "Registered at", names=("registration_date", "registered", "signup_date", "sign_up", "created_at", "join_date", "registration")),
    Field("acquisition_channel", "text", "Acquisition channel", max_length=60, names=("channel", "source", "affiliate", "campaign", "utm_source")),
    Field("status", "choice", "Status", names=("account_status", "state"), choices=_choices(ACTIVE="enabled open normal", SUSPENDED="blocked locked frozen", CLOSED="inactive deleted disabled")),
    Field("marketing_consent", "flag", "Marketing consent", names=("marketing", "opt_in", "newsletter", "marketing_opt_in")),
    Field("profiling_consent", "flag", "Profiling consent", names=("profiling", "profiling_opt_in")),
    Field("attributes", "object", "Other attributes"),
)  # fmt: skip

_EVENT = ("id", "transaction_id", "tx_id", "txn_id", "reference", "ref")

PAYMENTS = (
    _PLAYER,
    Field("external_id", "id", "Payment id", required=True, max_length=80, names=(*_EVENT, "payment_id", "payment_ref")),
    Field("kind", "choice", "Kind", required=True, names=("type", "payment_type", "transaction_type", "direction"),
          choices=_choices(DEPOSIT="dep deposits in credit", WITHDRAWAL="wd withdraw withdrawals cashout payout out", REFUND="refunds refunded", CHARGEBACK="cb chargebacks dispute")),
    Field("status", "choice", "Status", names=("payment_status", "state", "result"),
          choices=_choices(COMPLETED="complete success successful ok approved paid settled done", PENDING="processing open waiting", FAILED="fail error declined rejected", CANCELLED="canceled void voided")),
    Field("amount", "amount", "Amount", required=True, names=("value", "sum", "payment_amount", "gross_amount")),
    Field("method", "text", "Method", max_length=40, names=("payment_method", "provider", "psp", "gateway")),
    Field("instrument", "text", "Instrument fingerprint", max_length=64, names=("card_fingerprint", "card_hash", "account_hash", "wallet_hash", "fingerprint")),
    Field("occurred_at", "instant", "Time", required=True, names=("date", "datetime", "time", "timestamp", "created_at", "payment_date", "transaction_date", "processed_at")),
    _MONEY,
)  # fmt: skip

SESSIONS = (
    _PLAYER,
    Field("external_id", "id", "Session id", required=True, max_length=80, names=("id", "session_id", "session", "session_ref")),
    Field("started_at", "instant", "Start", required=True, names=("start", "start_time", "session_start", "login_at", "login_time", "begin")),
    Field("ended_at", "instant", "End", names=("end", "end_time", "session_end", "logout_at", "logout_time", "finish")),
    Field("ip", "ip", "IP address", names=("ip_address", "client_ip", "remote_addr"), personal=True),
    Field("device_id", "text", "Device", max_length=80, names=("device", "device_fingerprint", "fingerprint", "visitor_id")),
)  # fmt: skip

PLAYS = (
    _PLAYER,
    Field("external_id", "id", "Play id", required=True, max_length=80, names=(*_EVENT, "bet_id", "round_id", "play_id", "wager_id")),
    Field("session_ref", "text", "Session id", max_length=80, names=("session_id", "session")),
    Field("game_code", "id", "Game", required=True, max_length=80, names=("game", "game_id", "game_name", "title")),
    Field("game_category", "choice", "Game category", names=("category", "game_type", "vertical", "product"),
          choices=_choices(slots="slot", live="livecasino", table="tables", roulette="", blackjack="bj", poker="", crash="", sports="sport sportsbook", bingo="", other="misc")),
    Field("played_at", "instant", "Time", required=True, names=("date", "datetime", "time", "timestamp", "play_date", "bet_time", "placed_at", "created_at", "settled_at")),
    Field("stake", "amount", "Stake", required=True, names=("bet", "bet_amount", "wager", "wagered", "amount", "stake_amount")),
    Field("payout", "amount", "Payout", required=True, names=("win", "won", "win_amount", "payout_amount", "winnings", "returned")),
    Field("bonus_stake", "amount", "Part of the stake paid with bonus", names=("bonus_bet", "bonus_amount", "bonus_wager")),
    Field("rounds", "count", "Rounds", names=("spins", "round_count", "number_of_rounds", "bets")),
    _MONEY,
)  # fmt: skip

FIELDS: dict[str, tuple[Field, ...]] = {"TOTALS": TOTALS, "PLAYERS": PLAYERS, "PAYMENTS": PAYMENTS, "SESSIONS": SESSIONS, "PLAYS": PLAYS}


def money_field(kind: str) -> Field | None:
    """The field that says in which currency the amounts of a row are; None for kinds without amounts. (A profile's currency is its own.)"""
    return _MONEY if _MONEY in FIELDS[kind] else None


def id_field(kind: str) -> str:
    """Our field that names the player in files of this kind."""
    return "external_id" if kind == "PLAYERS" else "player_external_id"
