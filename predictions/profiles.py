"""Scores of one player or of a described person, computed now. See `predictions.services`, which is the door.

All of it goes through `predictions.assess`, as the nightly run does, so that a page and the night cannot disagree.
"""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

import numpy as np
import pandas as pd

from loyalty_site.common.clock import utc_now
from players.models import Player
from predictions import eligibility, features, registry, scoring, selectors, wording
from predictions.assess import Known, assess
from predictions.basis import Basis, basis, described_basis, require_score, shown_basis
from predictions.dependent import with_consequences
from predictions.ml import explain, profile_schema
from predictions.ml.features import BY_NAME, FEATURE_NAMES
from predictions.ml.kinds import Explanation
from predictions.models import Kind, ModelVersion
from predictions.reasons import with_quartiles
from predictions.services import Explained, InvalidProfile, MoneyUnit, ProfileScore, Reason, Scored, Unavailable, WhatIf
from predictions.thresholds import thresholds

NOBODY = 0  # index of a described person in a frame
_OF_A_PLAYER = "Whether somebody abuses offers is told by what the detectors saw of a real player; a described person has no such record."
_FROM_PROFILE = (Kind.CHURN, Kind.LTV, Kind.SEGMENTATION, Kind.ENGAGEMENT)


def score_player(player_id: int, as_of: datetime, kinds: Sequence[str] | None) -> Scored:
    chosen = basis(as_of, kinds)
    return _scored(_frame_of(player_id, chosen), player_id, chosen)


def _frame_of(player_id: int, chosen: Basis) -> pd.DataFrame:
    frame = features.frame_for([player_id], chosen.features_as_of, units=chosen.units)
    if frame.empty:
        player = Player.objects.get(pk=player_id)
        raise Unavailable(
            "player", f"Player {player.external_id} was not registered and did nothing before {chosen.features_as_of:%Y-%m-%d %H:%M} UTC."
        )
    return frame


def _scored(frame: pd.DataFrame, player_id: int | None, chosen: Basis) -> Scored:
    """Scores of the only row of `frame`."""
    known = _nothing_known(frame) if player_id is None else scoring.known_of(frame, player_id, player_id + 1, chosen.as_of)
    models = chosen.chosen.models
    scores = assess(frame, models, known, thresholds())
    withheld = dict(chosen.chosen.withheld) | {kind: _why_none(kind, frame, known) for kind in models if kind not in scores}
    unit = float(frame["currency_unit"].iloc[0])
    return Scored(
        player_id=player_id,
        as_of=chosen.as_of,
        currency=str(frame["currency"].iloc[0]),
        scores={kind: one.row(0) for kind, one in scores.items()},
        withheld=withheld,
        versions={kind: version.pk for kind, version in chosen.chosen.versions.items() if kind in scores},
        features=_values(frame),
        currency_unit=None if math.isnan(unit) else unit,
    )


def _why_none(kind: str, frame: pd.DataFrame, known: Known) -> str:
    """Why a model has nothing to say of the only row."""
    facts = known.facts.iloc[0]
    if reason := eligibility.why_withheld(kind, is_free=bool(facts["is_free"]), has_consented=bool(facts["has_consented"])):
        return reason
    if frame["currency_unit"].notna().iloc[0]:
        return "Neither the player's registration nor any day of activity is known."
    return f"There are too few deposits in {frame['currency'].iloc[0]} to know what a typical one is."


def _values(frame: pd.DataFrame) -> dict[str, float | None]:
    row = frame[list(FEATURE_NAMES)].to_numpy(float)[0]
    return {name: None if math.isnan(value) else float(value) for name, value in zip(FEATURE_NAMES, row, strict=True)}


def _nothing_known(frame: pd.DataFrame) -> Known:
    deposited = np.nan_to_num(frame["deposits_total"].to_numpy(float) * frame["currency_unit"].to_numpy(float))
    facts = {"detectors": 0.0, "deposited": np.rint(deposited * 10_000).astype(np.int64), "is_free": True, "has_consented": True}
    facts |= {"fraud_type": "", "severity": 0.0}
    return Known(pd.DataFrame(facts, index=frame.index))


# -- explanations -----------------------------------------------------------------------------------------------------


def explain_player(kind: str, player_id: int) -> Explained:
    if kind not in selectors.SCORES:
        raise Unavailable(kind, "Scores of this kind are not kept for players.")
    chosen = shown_basis(kind)
    version, model = chosen.version(kind), chosen.model(kind)
    frame = _frame_of(player_id, chosen)
    require_score(kind, player_id, chosen.as_of)
    return _explained(kind, player_id, chosen.as_of, version, model.explain(frame), frame)


def _explained(
    kind: str, player_id: int | None, as_of: datetime, version: ModelVersion, explanation: Explanation, frame: pd.DataFrame
) -> Explained:
    unit = _money_unit(frame)
    is_money = kind == Kind.LTV and unit.amount is not None
    factor = unit.amount if is_money and unit.amount is not None else 1.0
    parts, base = explanation.contributions[0] * factor, float(explanation.base[0]) * factor
    if not (np.isfinite(parts).all() and math.isfinite(base)):
        raise ValueError(f"the explanation of {kind} by version {version.pk} is not finite")
    return Explained(
        kind=kind,
        player_id=player_id,
        as_of=as_of,
        version_id=version.pk,
        scale=explanation.scale,
        base=base,
        raw=base + float(parts.sum()),
        reasons=_all_reasons(kind, version, explanation, frame),
        importance=explain.importance(explanation),
        currency=unit.currency if is_money else "",
    )


def _all_reasons(
    kind: str,
    version: ModelVersion,
    explanation: Explanation,
    frame: pd.DataFrame,
    top: int | None = None,
    emptied: Collection[str] = (),
) -> list[Reason]:
    """Largest first; `top` None: every feature of the model, those that contribute nothing at the end. `emptied`: figures of a player that
    somebody took away to see what then."""
    names = explanation.features
    (found,) = explain.reasons(explanation, frame, top=len(names) if top is None else top)
    if top is None:
        listed = {one["feature"] for one in found}
        values = frame[list(names)].to_numpy(float)[0]
        found += [
            {"feature": name, "value": float(value) if math.isfinite(value) else None, "contribution": 0.0}
            for name, value in zip(names, values, strict=True)
            if name not in listed
        ]
    return wording.in_words(
        kind, with_quartiles(found, version), _money_unit(frame), not_told=FEATURE_NAMES if frame.index[0] == NOBODY else emptied
    )


def _money_unit(frame: pd.DataFrame) -> MoneyUnit:
    """Of the only row of `frame`; without a currency there is only the typical deposit to count in."""
    currency, amount = str(frame["currency"].iloc[0]), float(frame["currency_unit"].iloc[0])
    return MoneyUnit(currency, None if math.isnan(amount) or not currency else amount)


# -- described people -------------------------------------------------------------------------------------------------


def score_profile(kind: str, profile: Mapping[str, Any]) -> ProfileScore:
    if kind == Kind.PROFILE:
        return _bank_profile(profile)
    if kind not in _FROM_PROFILE:
        raise Unavailable(kind, _OF_A_PLAYER)
    currency, given = _read_profile(profile)
    # the churn-adjusted value needs the probability of churn
    chosen = described_basis(kind, *((str(Kind.CHURN),) if kind == Kind.LTV else ()))
    frame = _described(given, currency, chosen)
    version = chosen.version(kind)
    scored = _scored(frame, None, chosen)
    explanation = chosen.model(kind).explain(frame)
    return ProfileScore(
        kind=kind,
        answer=scored.scores[kind],
        reasons=_all_reasons(kind, version, explanation, frame, top=5),
        missing=[name for name in version.features if scored.features.get(name) is None],
        version_id=version.pk,
        is_synthetic=version.is_synthetic,
    )


def _bank_profile(profile: Mapping[str, Any]) -> ProfileScore:
    """The described customer of reference 002; the model itself checks the fields."""
    try:
        version, model = registry.load_champion(Kind.PROFILE)
    except registry.NoModel as error:
        raise Unavailable(Kind.PROFILE, error.reason) from error
    described: Any = model
    try:
        found = dict(described.predict_profile(profile, now=utc_now()))
    except profile_schema.InvalidProfile as error:
        raise InvalidProfile(error.errors) from error
    reasons = [Reason(**driver) for driver in found.pop("drivers")]
    return ProfileScore(Kind.PROFILE, found, reasons, found.pop("missing"), version.pk, version.is_synthetic)


def _read_profile(profile: Mapping[str, Any]) -> tuple[str, dict[str, float | None]]:
    rest = dict(profile)
    currency = rest.pop("currency", "") or ""
    return str(currency), _numbers(rest)


def _numbers(given: Mapping[str, Any]) -> dict[str, float | None]:
    """Feature to finite number or None. Raises InvalidProfile with a message for each field that is wrong."""
    errors: dict[str, str] = {}
    read: dict[str, float | None] = {}
    for name, value in given.items():
        if name not in BY_NAME:
            errors[name] = "This is not a feature; the catalogue of features lists their names."
        elif value is None:
            read[name] = None
        else:
            try:
                if isinstance(value, bool):
                    raise TypeError
                number = float(value)
            except (TypeError, ValueError, OverflowError):
                errors[name] = f"{value!r} is no number."
                continue
            if problem := _problem(name, number):
                errors[name] = problem
            read[name] = number
    if errors:
        raise InvalidProfile(errors)
    return read


def _problem(name: str, number: float) -> str:
    feature = BY_NAME[name]
    if not math.isfinite(number):
        return "The number must be finite."
    if number < 0 and not name.startswith("ngr_"):
        return "The number must not be negative."
    if feature.unit == "share" and number > 1:
        return "A share lies between 0 and 1."
    if feature.unit == "count" and number != math.floor(number):
        return "A count is a whole number."
    return ""


def _unit(currency: str, chosen: Basis) -> float:
    """The typical deposit of a currency; 1 without a currency. Raises InvalidProfile when it has too few deposits."""
    if not currency:
        return 1.0
    unit = chosen.units.get(currency)
    if unit is None:
        raise InvalidProfile({"currency": f"There are too few deposits in {currency} to know what a typical one is; leave it out."})
    return float(unit)


def _in_units(given: Mapping[str, float | None], unit: float) -> dict[str, float | None]:
    return {name: value / unit if value is not None and BY_NAME[name].is_money else value for name, value in given.items()}


def _described(given: Mapping[str, float | None], currency: str, chosen: Basis) -> pd.DataFrame:
    """The frame of a described person: what was given, amounts in `currency`, and what follows from it."""
    unit = _unit(currency, chosen)
    values = with_consequences({}, _in_units(given, unit))
    row = {name: [np.nan if values.get(name) is None else float(values[name] or 0.0)] for name in FEATURE_NAMES}
    frame = pd.DataFrame(row, index=pd.Index([NOBODY], name="player_id", dtype="int64"), dtype=float)
    return frame.assign(currency=currency, currency_unit=unit)


# -- what if ----------------------------------------------------------------------------------------------------------


def what_if(player_id: int | None, changes: Mapping[str, Any], as_of: datetime, kinds: Sequence[str] | None) -> WhatIf:
    chosen = basis(as_of, kinds)
    if player_id is None:
        return _what_if_nobody(changes, chosen)
    frame = _frame_of(player_id, chosen)
    given = _numbers(changes)
    before = _scored(frame, player_id, chosen)
    unit = float(frame["currency_unit"].iloc[0])
    if math.isnan(unit) and any(BY_NAME[name].is_money for name in given):
        raise InvalidProfile({name: "The player's currency has too few deposits to compare amounts." for name in given})
    values = with_consequences(before.features, _in_units(given, unit))
    if values == before.features:
        same = _reasons(frame, before, chosen)
        return WhatIf(before, before, same, same, {})
    changed = frame.copy()
    for name, value in values.items():
        if value != before.features.get(name):
            changed[name] = np.nan if value is None else value
    after = _scored(changed, player_id, chosen)
    moved = {name: (before.features[name], value) for name, value in values.items() if value != before.features.get(name)}
    emptied = [name for name, (_, value) in moved.items() if value is None]
    return WhatIf(before, after, _reasons(frame, before, chosen), _reasons(changed, after, chosen, emptied), moved)


def _what_if_nobody(changes: Mapping[str, Any], chosen: Basis) -> WhatIf:
    currency, given = _read_profile(changes)
    if Kind.FRAUD in chosen.chosen.versions:
        found = chosen.chosen
        versions = {kind: version for kind, version in found.versions.items() if kind != Kind.FRAUD}
        models = {kind: model for kind, model in found.models.items() if kind != Kind.FRAUD}
        chosen = replace(chosen, chosen=scoring.Champions(versions, models, {**found.withheld, str(Kind.FRAUD): _OF_A_PLAYER}))
    frame = _described(given, currency, chosen)
    after = _scored(frame, None, chosen)
    moved: dict[str, tuple[float | None, float | None]] = {
        name: (None, value) for name, value in after.features.items() if value is not None
    }
    return WhatIf(None, after, {}, _reasons(frame, after, chosen), moved)


def _reasons(frame: pd.DataFrame, scored: Scored, chosen: Basis, emptied: Collection[str] = (), top: int = 5) -> dict[str, list[Reason]]:
    return {
        kind: _all_reasons(kind, chosen.version(kind), chosen.model(kind).explain(frame), frame, top, emptied) for kind in scored.scores
    }


def counterfactual(player_id: int, target: float | None) -> Any:
    from predictions.ml import counterfactual as search

    limits = thresholds()
    chosen = shown_basis(Kind.CHURN)
    model = chosen.model(Kind.CHURN)
    frame = _frame_of(player_id, chosen)
    require_score(Kind.CHURN, player_id, chosen.as_of)
    return search.suggest(model, frame[list(FEATURE_NAMES)], limits.risk_medium_from if target is None else target)
