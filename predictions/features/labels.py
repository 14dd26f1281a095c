"""What happened after a cut-off. The day of the cut-off is the first day of every window; features end where it begins."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

import pandas as pd

from predictions.ml.features import LABELS

from .copying import read_columns
from .frames import unit_parameters
from .scope import Scope, cut_of, ids_scope, instants, known_sql, range_scope
from .sql import cost_cte, currency_sql
from .units import currency_units

ACTIVE_DAYS = 7
VALUE_DAYS = (90, 365)
_NUMBERS = ("real_days", "deposit_days", "spend", "active_7", "active_after", "ngr_90", "ngr_365", "closed", "excluded", "unit")


def labels(
    lower_id: int, upper_id: int, as_of: datetime, horizon_days: int, until: datetime, *, units: Mapping[str, float] | None = None
) -> pd.DataFrame:
    """Outcomes of the players that `frame` has for the same range and `as_of`; `until` is the end of the data.

    Days count whole, from the day of `as_of` on and before the day of `until`. Columns LABELS, index as in `frame`:

    - churned: 1 without a real-money bet (stake beyond its bonus part) and without a deposit in the horizon, else 0
    - active_7d: 1 with a session, a round or a deposit in 7 days
    - ngr_90d, ngr_365d: net gaming revenue (stake - payout - bonus money turned real) in currency units
    - deposit_days_horizon, spend_horizon: days with deposited money in the horizon, and how much (currency units)
    - is_eligible (bool): the horizon is over at `until`, no exclusion overlaps it, the account was not closed in it, and the
      currency has a unit. An account is closed at its last activity, as far as anybody can tell: closed ones count only at
      cut-offs whose horizon they outlived.

    A window that is not over at `until` gives NaN. `units` saves looking the units up again: pass what `frame` was given. Raises
    ValueError for a horizon below one day.
    """
    return _labels(range_scope(lower_id, upper_id), as_of, horizon_days, until, units)


def labels_for(
    player_ids: Sequence[int], as_of: datetime, horizon_days: int, until: datetime, *, units: Mapping[str, float] | None = None
) -> pd.DataFrame:
    """The same for the players that `frame_for` has."""
    return _labels(ids_scope(player_ids), as_of, horizon_days, until, units)


def _sql(scope: Scope) -> str:
    # active_after looks beyond the horizon, at all days there are: it only tells that an account was still open then
    cost = cost_cte(
        scope,
        "cost",
        ", ".join(
            f"coalesce(sum(c.amount) FILTER (WHERE c.moment < %(cut)s + interval '{days} days'), 0) AS cost_{days}" for days in VALUE_DAYS
        ),
        "%(cut)s",
        "%(cut)s + interval '365 days'",
    )
    results = ", ".join(
        f"coalesce(sum(d.stake - d.payout) FILTER (WHERE d.day < %(today)s::date + {days}), 0) AS result_{days}" for days in VALUE_DAYS
    )
    return f"""
    WITH {known_sql(scope)}, days AS (
        SELECT d.player_id,
            count(*) FILTER (WHERE d.day < %(horizon)s AND (d.stake > d.bonus_stake OR d.deposit_count > 0)) AS real_days,
            count(*) FILTER (WHERE d.day < %(horizon)s AND d.deposits > 0) AS deposit_days,
            coalesce(sum(d.deposits) FILTER (WHERE d.day < %(horizon)s), 0) AS spend,
            count(*) FILTER (WHERE d.day < %(today)s::date + {ACTIVE_DAYS}
                AND (d.deposit_count > 0 OR d.rounds > 0 OR d.sessions > 0)) AS active_7,
            count(*) FILTER (WHERE d.day >= %(horizon)s) AS active_after,
            {results}
        FROM players_playerday d WHERE {scope.on("d.player_id")} AND d.day >= %(today)s::date AND d.day < %(end)s GROUP BY d.player_id
    ), {cost}, away AS (
        SELECT DISTINCT e.player_id FROM players_exclusion e
        WHERE {scope.on("e.player_id")} AND e.starts_at < %(horizon_at)s AND (e.ends_at IS NULL OR e.ends_at > %(cut)s)
    )
    SELECT k.player_id, {currency_sql("k.currency")}, coalesce(real_days, 0)::float8, coalesce(deposit_days, 0)::float8,
        coalesce(spend, 0)::float8, coalesce(active_7, 0)::float8, coalesce(active_after, 0)::float8,
        {", ".join(f"(coalesce(result_{n}, 0) - coalesce(cost_{n}, 0))::float8" for n in VALUE_DAYS)},
        (p.status = 'CLOSED')::int::float8, (away.player_id IS NOT NULL)::int::float8, coalesce(u.unit, 'NaN'::float8)
    FROM known k JOIN players_player p ON p.id = k.player_id LEFT JOIN days USING (player_id) LEFT JOIN cost USING (player_id)
        LEFT JOIN away USING (player_id)
        LEFT JOIN unnest(%(currencies)s::text[], %(units)s::float8[]) AS u(currency, unit) ON u.currency = k.currency
    ORDER BY k.player_id"""


def _labels(scope: Scope, as_of: datetime, horizon_days: int, until: datetime, units: Mapping[str, float] | None = None) -> pd.DataFrame:
    if horizon_days < 1:
        raise ValueError(f"the horizon is {horizon_days} days; use at least 1")
    cut, end = cut_of(as_of), cut_of(until)
    horizon = cut + timedelta(days=horizon_days)
    parameters = {
        **scope.parameters,
        **instants(cut),
        **unit_parameters(currency_units(as_of) if units is None else units),
        "horizon": horizon.date(),
        "horizon_at": horizon,
        "end": end.date(),
    }
    ids, _, values = read_columns(_sql(scope), parameters, _NUMBERS)
    raw = pd.DataFrame(values, index=pd.Index(ids, name="player_id"), columns=list(_NUMBERS))

    def known(column: pd.Series, days: int) -> pd.Series:
        """NaN while the window of so many days is not over."""
        return column if cut + timedelta(days=days) <= end else column * float("nan")

    in_time = horizon <= end
    closed = (raw["closed"] > 0) & (raw["active_after"] == 0)
    found = {
        "churned": known((raw["real_days"] == 0).astype(float), horizon_days),
        "active_7d": known((raw["active_7"] > 0).astype(float), ACTIVE_DAYS),
        **{f"ngr_{days}d": known(raw[f"ngr_{days}"] / raw["unit"], days) for days in VALUE_DAYS},
        "deposit_days_horizon": known(raw["deposit_days"], horizon_days),
        "spend_horizon": known(raw["spend"] / raw["unit"], horizon_days),
        "is_eligible": in_time & ~closed & (raw["excluded"] == 0) & raw["unit"].notna(),
    }
    return pd.DataFrame(found, columns=list(LABELS))
