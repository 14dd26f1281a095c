"""What single predictions rest on: the run that is shown, so that a page explains the figures it shows, or the present day's models.

At the instant of the run that readers see, everything is the run's own: its model versions, its units of currency, its data. At any
other instant it is the models in use on what is known now.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from loyalty_site.common.clock import require_utc, utc_now
from predictions import eligibility, features, registry, selectors
from predictions.artifacts import ArtifactError
from predictions.instants import features_instant
from predictions.ml.kinds import Model
from predictions.models import ModelVersion, ScoringRun
from predictions.scoring import Champions, champions
from predictions.services import InvalidProfile, Unavailable


@dataclass(frozen=True)
class Basis:
    """`as_of`: the instant asked for; `features_as_of`: what the data reach of it; `units`: as `features.currency_units` gives them."""

    as_of: datetime
    features_as_of: datetime
    units: Mapping[str, float]
    chosen: Champions

    def version(self, kind: str) -> ModelVersion:
        """Raises Unavailable when the kind is withheld."""
        if kind not in self.chosen.versions:
            raise Unavailable(kind, self.chosen.withheld[kind])
        return self.chosen.versions[kind]

    def model(self, kind: str) -> Model:
        self.version(kind)
        return self.chosen.models[kind]


def basis(as_of: datetime, kinds: Sequence[str] | None = None) -> Basis:
    """Of `as_of` with `kinds` (default: all that are kept for players): the run's own when it is the instant of the run that is shown.

    Raises InvalidProfile for a kind that is not scored for players.
    """
    as_of = require_utc(as_of, "as_of")
    wanted = tuple(str(kind) for kind in (kinds if kinds is not None else selectors.SCORES))
    if unknown := [kind for kind in wanted if kind not in selectors.SCORES]:
        raise InvalidProfile({"kinds": f"{', '.join(unknown)} cannot be scored here; use {', '.join(selectors.SCORES)}."})
    run = selectors.current_run()
    if run is not None and run.as_of == as_of:
        return _of_run(run, wanted)
    at = features_instant(as_of, features.data_window()[1])
    return Basis(as_of, at, features.currency_units(at), champions(as_of, wanted, _scored_by(run)))


def shown_basis(*kinds: str) -> Basis:
    """Of what is shown; before the first run, of now."""
    run = selectors.current_run()
    return basis(utc_now() if run is None else run.as_of, kinds)


def described_basis(kind: str, *others: str) -> Basis:
    """For somebody who is not in the database: the models in use. Raises Unavailable without one of `kind`.

    A unit of currency is that of the run that is shown: medians of a year of payments are not computed while somebody waits for an answer.
    """
    run, as_of = selectors.current_run(), utc_now()
    if run is not None and run.versions:
        at, units = run.features_as_of, run.units
    else:
        at = features_instant(as_of, features.data_window()[1])
        units = features.currency_units(at)
    found = Basis(as_of, at, units, champions(as_of, (kind, *others), _scored_by(run)))
    found.version(kind)
    return found


def require_score(kind: str, player_id: int, as_of: datetime) -> None:
    """Raises Unavailable for a player of whom the kind says nothing (`predictions.eligibility`).

    A score that is shown is explained, whatever has become of the player since; but not of who has taken the consent back.
    """
    if kind not in eligibility.WITHOUT_CONSENT and eligibility.unconsented([player_id], utc_now()):
        raise Unavailable(kind, eligibility.NOT_CONSENTED)
    if (reason := eligibility.withheld_of(kind, player_id, as_of)) is None:
        return
    run = selectors.current_run()
    if run is None or run.as_of != as_of or not selectors.scores(kind, run).filter(player_id=player_id).exists():
        raise Unavailable(kind, reason)


def _scored_by(run: ScoringRun | None) -> tuple[str, ...]:
    """Kinds of the published run: there is history enough for them."""
    return tuple(run.versions) if run is not None else ()


def _of_run(run: ScoringRun, kinds: Sequence[str]) -> Basis:
    stored = ModelVersion.objects.in_bulk([run.versions[kind] for kind in kinds if kind in run.versions])
    versions: dict[str, ModelVersion] = {}
    models: dict[str, Model] = {}
    withheld: dict[str, str] = {}
    for kind in kinds:
        version = stored.get(run.versions.get(kind, 0))
        if version is None:
            withheld[kind] = selectors.withheld_reason(kind, run) or "The version that the scores shown come from is no longer there."
            continue
        try:
            models[kind] = registry.load(version)
            versions[kind] = version
        except ArtifactError as error:
            withheld[kind] = f"The model cannot be opened: {error} The scores shown come from {version}."
    return Basis(run.as_of, run.features_as_of, run.units if versions else {}, Champions(versions, models, withheld))
