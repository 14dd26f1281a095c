"""What one unit of a currency is: the median completed deposit in it. It makes players of all currencies comparable."""

import math
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.core.cache import cache
from django.db import connection

from .scope import cut_of, instants

FEWEST_DEPOSITS = 30
_REMEMBER_SECONDS = 3600
_GROWTH = math.log(1.05)


def currency_units(as_of: datetime) -> Mapping[str, float]:
    """Currency -> median of its completed deposits of the 365 days before the day of `as_of`.

    A currency with fewer than FEWEST_DEPOSITS of them is left out: a unit made of a handful of deposits would say more about these than
    about the currency, so its players get no monetary feature and no prediction. Remembered for an hour, or until the payments grow by
    a twentieth. What tells of a scoring run uses the units of that run instead (`ScoringRun.units`).
    """
    cut = cut_of(as_of)
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_database(), last_value FROM players_payment_id_seq")
        database, payments = cursor.fetchone()
        # Only days that are over count, so what can change within the hour are payments that come late or are corrected. A few among a
        # year of them leave a median where it is, and the next run takes up what they do; an import of many moves the step, and is seen
        # at once. Counting every payment would mean to read a year of them for each prediction.
        step = int(math.log(payments) / _GROWTH)
        key = f"predictions.currency_units:{database}:{cut:%Y-%m-%d}:{step}"
        found: dict[str, float] | None = cache.get(key)
        if found is None:
            found = _medians(cursor, cut)
            cache.set(key, found, _REMEMBER_SECONDS)
    return found


def _medians(cursor: Any, cut: datetime) -> dict[str, float]:
    cursor.execute(
        """
        SELECT p.currency, percentile_cont(0.5) WITHIN GROUP (ORDER BY e.amount::float8)
        FROM players_payment e JOIN players_player p ON p.id = e.player_id
        WHERE e.kind = 'DEPOSIT' AND e.status = 'COMPLETED' AND e.amount > 0
            AND e.occurred_at >= %(from_365)s AND e.occurred_at < %(cut)s
        GROUP BY p.currency HAVING count(*) >= %(fewest)s ORDER BY p.currency
        """,
        {**instants(cut), "fewest": FEWEST_DEPOSITS},
    )
    return {currency: float(median) for currency, median in cursor.fetchall()}
