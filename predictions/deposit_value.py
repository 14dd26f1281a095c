"""Lifetime value of a described player of whom only the deposits are known, by the model in use."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from loyalty_site.common.clock import require_utc
from predictions.models import Kind
from predictions.services import InvalidProfile, ProfileScore, Reason, Unavailable

_NO_DEPOSITS = "The value model in use does not go by deposits; train it again."


def score_deposits(profile: Mapping[str, Any], at: datetime) -> ProfileScore:
    """Score {"currency", "deposits": [{"occurred_at", "amount"}], "as_of"}; without "as_of" the instant of scoring is `at`, the present.

    `answer`: see `predictions.ml.profile_deposits.value`, amounts in the currency of the description, and "currency". Raises InvalidProfile
    naming each wrong field, and Unavailable while lifetime value is withheld or its model cannot be opened.
    """
    # pandas and the models are loaded with the first description, not with the process
    from predictions.basis import described_basis
    from predictions.ml import profile_deposits, profile_schema

    chosen = described_basis(Kind.LTV)
    version = chosen.version(Kind.LTV)
    model: Any = chosen.model(Kind.LTV)
    if not hasattr(model, "deposits"):
        raise Unavailable(Kind.LTV, _NO_DEPOSITS)
    try:
        described = profile_deposits.read(profile, require_utc(at, "at"))
    except profile_schema.InvalidProfile as error:
        raise InvalidProfile(error.errors) from error
    unit = chosen.units.get(described.currency)
    if unit is None:
        known = ", ".join(sorted(chosen.units)) or "none"
        raise InvalidProfile({"currency": f"has too few deposits here to know what a typical one is. Known: {known}."})
    found = profile_deposits.value(model.deposits, described, float(unit))
    reasons = [Reason(**driver) for driver in found.pop("drivers")]
    return ProfileScore(Kind.LTV, {**found, "currency": described.currency}, reasons, [], version.pk, version.is_synthetic)
