"""What points owed to players will cost: by the month in which they were earned, less what will never be used (breakage).

Everything is reckoned from entries and the stored pairs of lots and entries up to an instant, so a past instant gives the same figures
again. Two things are as they stand now: the ends of lots (inactivity moves them on), and a policy that was never changed on record.
"""

from dataclasses import dataclass
from datetime import date, datetime
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from django.db import connection

from loyalty_site.common.clock import require_utc
from loyalty_site.common.money import exponent, from_minor
from wallet.errors import InvalidPosting
from wallet.models import EARNING_HOUSES, PointsPolicy

UNITS = ("RP", "LP", "TICKET")
# A cohort speaks for itself once this share of what was credited in its month has come to its end; before, the policy's share is used.
MATURED_FROM = Decimal("0.5")
OWN, PRIOR = "own", "prior"
_SIX_PLACES = Decimal("0.000001")

BUCKETS = (
    ("ended", "Ended, not swept yet"),
    ("30", "Next 30 days"),
    ("60", "31 to 60 days"),
    ("90", "61 to 90 days"),
    ("later", "Later"),
    ("never", "Never"),
)

# One row a month of earning and bucket of ends. `given` is what made the lots, the other columns what entries did to them since.
_COHORTS = """
WITH lot AS (
    SELECT l.id, l.qty, l.expires_at, date_trunc('month', l.earned_at AT TIME ZONE %(zone)s)::date AS month,
        l.house = ANY(%(earning)s) AND l.restores_id IS NULL AS is_earned,
        l.house = 'redemption' AND l.restores_id IS NOT NULL AS is_returned
    FROM wallet_lot l
    JOIN wallet_account a ON a.id = l.account_id AND a.unit = %(unit)s
    JOIN wallet_entry credit ON credit.id = l.entry_id AND credit.occurred_at <= %(at)s
), used AS (
    SELECT u.lot_id, sum(u.amount) AS net,
        sum(u.amount) FILTER (WHERE e.house = 'redemption' AND (e.reversal_of_id IS NULL OR u.amount > 0)) AS spent,
        sum(u.amount) FILTER (WHERE e.house = 'expiry') AS expired,
        sum(u.amount) FILTER (WHERE e.house = ANY(%(earning)s)) AS reversed
    FROM wallet_lotuse u
    JOIN wallet_entry e ON e.id = u.entry_id AND e.occurred_at <= %(at)s
    JOIN lot ON lot.id = u.lot_id
    GROUP BY u.lot_id
)
SELECT month, CASE WHEN expires_at IS NULL THEN 'never' WHEN expires_at <= %(at)s THEN 'ended'
        WHEN expires_at <= %(at)s + interval '30 days' THEN '30' WHEN expires_at <= %(at)s + interval '60 days' THEN '60'
        WHEN expires_at <= %(at)s + interval '90 days' THEN '90' ELSE 'later' END AS bucket,
    coalesce(sum(qty) FILTER (WHERE is_earned), 0), coalesce(sum(qty) FILTER (WHERE NOT is_earned AND NOT is_returned), 0),
    coalesce(sum(used.spent), 0) + coalesce(sum(qty) FILTER (WHERE is_returned), 0),
    coalesce(sum(used.expired), 0), coalesce(sum(used.reversed), 0),
    sum(qty), sum(qty) + coalesce(sum(used.net), 0)
FROM lot LEFT JOIN used ON used.lot_id = lot.id
GROUP BY 1, 2 ORDER BY 1, 2
"""

_ON_ACCOUNTS = """
SELECT coalesce(sum(e.amount), 0) FROM wallet_entry e JOIN wallet_account a ON a.id = e.account_id
WHERE a.unit = %(unit)s AND e.occurred_at <= %(at)s
"""

_MONEY = """
SELECT currency, count(*) FILTER (WHERE held > 0), sum(held) FROM (
    SELECT a.currency, sum(e.amount) AS held FROM wallet_entry e JOIN wallet_account a ON a.id = e.account_id
    WHERE a.unit = 'BONUS' AND e.occurred_at <= %(at)s GROUP BY a.id, a.currency
) account GROUP BY currency HAVING sum(held) <> 0 ORDER BY currency
"""


@dataclass(frozen=True, slots=True)
class Cohort:
    """Points credited in one month, in units. earned + other + spent + expired + reversed = remaining.

    `other` is what was bought, adjusted by staff, reinstated, lent or paid back as debt. `breakage` is the share of what remains that is
    expected never to be used; `source` says where it is from: the cohort's `own` history or the policy's `prior`. `matured` is the share
    of the credits whose end has come.
    """

    month: date
    earned: Decimal
    other: Decimal
    spent: Decimal
    expired: Decimal
    reversed: Decimal
    remaining: Decimal
    matured: Decimal
    breakage: Decimal
    source: str
    liability: Decimal


@dataclass(frozen=True, slots=True)
class Bucket:
    """What remains by when it ends, in units, and its part of the liability."""

    code: str
    label: str
    remaining: Decimal
    liability: Decimal


@dataclass(frozen=True, slots=True)
class MoneyLiability:
    """Bonus money that players hold, at face value."""

    currency: str
    holders: int
    amount: Decimal


@dataclass(frozen=True, slots=True)
class LiabilityReport:
    """The liability of one unit at an instant. Money is in `currency`, rounded half up to its minor unit for each cohort; the total is the
    sum of the cohorts. `on_accounts` is the sum of all entries: equal to `remaining`, or the books are broken."""

    unit: str
    at: datetime
    currency: str
    cost_per_point: Decimal
    prior: Decimal
    cohorts: tuple[Cohort, ...]
    buckets: tuple[Bucket, ...]
    remaining: Decimal
    on_accounts: Decimal
    face_value: Decimal
    liability: Decimal
    money: tuple[MoneyLiability, ...]

    @property
    def is_balanced(self) -> bool:
        return self.remaining == self.on_accounts


def liability_report(at: datetime, unit: str) -> LiabilityReport:
    """The liability of LP, RP or TICKET as of `at` (entries up to and including it), and bonus money beside it.

    Raises InvalidPosting for another unit, or one without a points policy.
    """
    at = require_utc(at, "at")
    policy = policy_at(unit, at)
    parameters: dict[str, Any] = {"unit": unit, "at": at, "zone": policy.zone, "earning": [str(house) for house in EARNING_HOUSES]}
    with connection.cursor() as cursor:
        cursor.execute(_COHORTS, parameters)
        rows = cursor.fetchall()
        cursor.execute(_ON_ACCOUNTS, parameters)
        on_accounts = int(cursor.fetchone()[0])
        cursor.execute(_MONEY, parameters)
        money = tuple(MoneyLiability(code, holders, from_minor(int(held), code)) for code, holders, held in cursor.fetchall())
    months = sorted({row[0] for row in rows})
    cohorts = {month: _cohort(month, [row for row in rows if row[0] == month], unit, policy) for month in months}
    face = sum((cohort.remaining for cohort in cohorts.values()), Decimal(0)) * policy.cost_per_point
    return LiabilityReport(
        unit=unit,
        at=at,
        currency=policy.cost_currency,
        cost_per_point=policy.cost_per_point,
        prior=policy.breakage,
        cohorts=tuple(cohorts.values()),
        buckets=tuple(_bucket(code, label, rows, cohorts, unit, policy) for code, label in BUCKETS),
        remaining=sum((cohort.remaining for cohort in cohorts.values()), from_minor(0, unit)),
        on_accounts=from_minor(on_accounts, unit),
        face_value=_money(face, policy.cost_currency),
        liability=sum((cohort.liability for cohort in cohorts.values()), from_minor(0, policy.cost_currency)),
        money=money,
    )


def policy_at(unit: str, at: datetime) -> PointsPolicy:
    """The policy of a unit as it stood at `at`; the present one when its history does not reach back so far. Raises InvalidPosting."""
    if unit not in UNITS:
        raise InvalidPosting(f"unit {unit!r} has no points; use one of {', '.join(UNITS)}")
    then = PointsPolicy.history.filter(unit=unit, history_date__lte=at).order_by("-history_date", "-history_id").first()
    if then is not None:
        return then.instance
    now = PointsPolicy.objects.filter(unit=unit).first()
    if now is None:
        raise InvalidPosting(f"there is no points policy for {unit}; run `migrate`, which makes the missing ones")
    return now


def breakage_of(credited: int, matured: int, expired: int, prior: Decimal) -> tuple[Decimal, str]:
    """The share of a cohort that is expected never to be used, and where it is from.

    Of `credited` minor units `matured` have come to their end and `expired` of these ran out unused. With at least `MATURED_FROM` of the
    cohort matured, its own share speaks; before, the policy's.
    """
    if credited <= 0 or matured < MATURED_FROM * credited:
        return prior, PRIOR
    share = (Decimal(expired) / Decimal(matured)).quantize(_SIX_PLACES, ROUND_HALF_UP)
    return min(max(share, Decimal(0)), Decimal(1)), OWN


def _cohort(month: date, rows: list[tuple[Any, ...]], unit: str, policy: PointsPolicy) -> Cohort:
    earned, given, spent, expired, reversed_, credited, remaining = (sum(int(row[index]) for row in rows) for index in range(2, 9))
    ended = [row for row in rows if row[1] == "ended"]
    matured, ran_out = sum(int(row[7]) for row in ended), -sum(int(row[5]) for row in ended)
    breakage, source = breakage_of(credited, matured, ran_out, policy.breakage)
    units = from_minor(remaining, unit)
    return Cohort(
        month=month,
        earned=from_minor(earned, unit),
        other=from_minor(remaining - earned - spent - expired - reversed_, unit),
        spent=from_minor(spent, unit),
        expired=from_minor(expired, unit),
        reversed=from_minor(reversed_, unit),
        remaining=units,
        matured=(Decimal(matured) / Decimal(credited)).quantize(_SIX_PLACES, ROUND_HALF_UP) if credited else Decimal(0),
        breakage=breakage,
        source=source,
        liability=_money(units * policy.cost_per_point * (1 - breakage), policy.cost_currency),
    )


def _bucket(code: str, label: str, rows: list[tuple[Any, ...]], cohorts: dict[date, Cohort], unit: str, policy: PointsPolicy) -> Bucket:
    held = [(cohorts[row[0]], from_minor(int(row[8]), unit)) for row in rows if row[1] == code]
    cost = sum((units * policy.cost_per_point * (1 - cohort.breakage) for cohort, units in held), Decimal(0))
    return Bucket(code, label, sum((units for _, units in held), from_minor(0, unit)), _money(cost, policy.cost_currency))


def _money(exact: Decimal, currency: str) -> Decimal:
    return exact.quantize(Decimal(1).scaleb(-exponent(currency)), ROUND_HALF_UP)
