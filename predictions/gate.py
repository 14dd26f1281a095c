"""What must hold before a model may be trained, shown and put into use: enough data, better than the naive baseline, not worse than the
version in use.

Every check is a `Verdict`: its name, whether it passed, what was measured, against what, and why it is asked.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.db import connection

from loyalty_site.common.clock import utc_now
from loyalty_site.common.models import AuditEvent
from predictions.metric_words import metric
from predictions.models import Kind, ModelVersion
from predictions.thresholds import thresholds

if TYPE_CHECKING:
    from predictions.ml.kinds import Verdict

TRAINING_WITHHELD = "predictions.training_withheld"
KIND_SUBJECT = "predictions.kind"

# kinds that answer with the probability of something observed, and the label that says whether it happened
PROBABILITIES = {Kind.CHURN: "churned", Kind.ENGAGEMENT: "active_7d"}
# what players did for whom that happened, and the others
_OUTCOMES = {Kind.CHURN: ("left", "stayed"), Kind.ENGAGEMENT: ("were active", "were not")}
_WHY_DAYS = "With fewer there are not enough past days to look back and ahead from."
_WHY_PLAYERS = "With fewer the figures hang on a handful of players."
_WHY_CASES = "With fewer of either nobody can tell a good probability from a lucky one."
# the profile's model learns from a simulated bank and is about nobody in the database
WITHOUT_HISTORY = frozenset({Kind.PROFILE})


@dataclass(frozen=True)
class Extent:
    """How much history there is as of an instant: whole days since the first activity, and players who were known by then
    (registered, active, or in a statement)."""

    days: int
    players: int


def extent(as_of: datetime) -> Extent:
    """Counts players up to the limit only: more makes no difference, and a million need not be counted for it."""
    from predictions import features

    first_day, _ = features.data_window()
    if first_day is None:
        return Extent(0, 0)
    with connection.cursor() as cursor:
        cursor.execute(
            """SELECT count(*) FROM (
                SELECT 1 FROM players_player p WHERE p.registered_at < %(as_of)s
                    OR EXISTS (SELECT FROM players_playerday d WHERE d.player_id = p.id AND d.day < (%(as_of)s AT TIME ZONE 'UTC')::date)
                    OR EXISTS (SELECT FROM players_activitytotals t WHERE t.player_id = p.id AND t.as_of < %(as_of)s)
                LIMIT %(enough)s
            ) AS known""",
            {"as_of": as_of, "enough": thresholds().min_players},
        )
        players = int(cursor.fetchone()[0])
    return Extent(max((as_of.date() - first_day).days, 0), players)


def data_verdicts(kind: str, have: Extent) -> list["Verdict"]:
    """Whether there is enough history for the kind; thresholds PREDICTION_MIN_DAYS and PREDICTION_MIN_PLAYERS."""
    if kind in WITHOUT_HISTORY:
        return []
    limits = thresholds()
    return [
        _at_least("history", have.days, limits.min_days, f"{have.days} days of history", "import older activity or wait", _WHY_DAYS),
        _at_least(
            "players", have.players, limits.min_players, _players(have.players, limits.min_players), "import more players", _WHY_PLAYERS
        ),
    ]


def case_verdicts(kind: str, cases: int, others: int) -> list["Verdict"]:
    """Whether enough was observed of what a probability is about, and of its opposite, on the evaluation cut-off."""
    if kind not in PROBABILITIES:
        return []
    least, needed = min(cases, others), thresholds().min_positives
    did, did_not = _OUTCOMES[Kind(kind)]
    what = f"{cases} players {did} after the evaluation cut-off and {others} {did_not}"
    return [_at_least("observed cases", least, needed, what, "wait for more", _WHY_CASES, of=" of either")]


def origin_verdicts(kind: str, is_synthetic: bool) -> list["Verdict"]:
    """A model of a simulated operator says nothing about real players."""
    from predictions.ml.kinds import Verdict

    if kind in WITHOUT_HISTORY:
        return []
    wrong = bool(is_synthetic and settings.IS_PRODUCTION)
    if is_synthetic:
        reason = "Trained on simulated players, which say nothing about real ones: not for production."
    else:
        reason = "Trained on this operator's own players."
    return [Verdict("origin", not wrong, float(is_synthetic), 0.0 if settings.IS_PRODUCTION else 1.0, reason)]


def baseline_verdicts(kind: str, metrics: Mapping[str, float], baseline: Mapping[str, float]) -> list["Verdict"]:
    """For probabilities: ranks better than the naive baseline and errs less, both on the evaluation cut-off, and both again among the
    players who were active before it, where the trainer could measure them."""
    from predictions.ml.kinds import Verdict

    if kind not in PROBABILITIES:
        return []
    found = []
    for suffix, among in (("", ""), ("_active", " among active players")):
        for figure, label, higher in (("auc", "AUC", True), ("brier", "Brier score", False)):
            name = figure + suffix
            if suffix and name not in metrics:  # the trainer's own verdict says how many cases are missing
                continue
            value, limit = float(metrics[name]), float(baseline[name])
            passed = value > limit if higher else value < limit
            wanted = "higher" if higher else "lower"
            reason = f"{label}{among} {value:.4f} against {limit:.4f} of the naive baseline; it must be {wanted}."
            found.append(Verdict(name, passed, value, limit, reason))
    return found


def passed(verdicts: Iterable["Verdict"]) -> bool:
    return all(verdict.passed for verdict in verdicts)


def failures(verdicts: Iterable["Verdict"]) -> str:
    """The reasons of what did not pass, in one text; "" when everything did."""
    return " ".join(f"{metric(verdict.name).label}: {verdict.reason}" for verdict in verdicts if not verdict.passed)


def recorded(version: ModelVersion) -> list["Verdict"]:
    """The verdicts of a version's training."""
    from predictions.ml.kinds import Verdict

    return [Verdict(**one) for one in version.gate]


def shortfall(kind: str, as_of: datetime) -> str:
    """Why nothing may be trained or shown for the kind with the data as of `as_of`; "" when there is enough."""
    if kind in WITHOUT_HISTORY:
        return ""
    return " ".join(verdict.reason for verdict in data_verdicts(kind, extent(as_of)) if not verdict.passed)


def why_no_model(kind: str) -> str:
    """Why no version of the kind is in use, and what to do. For readers who got none."""
    if missing := shortfall(kind, utc_now()):
        return f"Not enough data: {missing}"
    latest = ModelVersion.objects.filter(kind=kind).order_by("-number").first()
    withheld = AuditEvent.objects.filter(subject_type=KIND_SUBJECT, subject_id=str(kind), action=TRAINING_WITHHELD).order_by("-id").first()
    if withheld is not None and (latest is None or withheld.occurred_at > latest.trained_at):
        return f"Not enough data: {withheld.reason}"
    if latest is None:
        return "No model has been trained yet. Train one on the page Models, or wait for the weekly training."
    if latest.status == ModelVersion.Status.REFUSED:
        return f"{latest} was refused by the gate. {_reasons(latest.gate)}"
    return f"{latest} is trained and waits to be put into use: somebody asks for its promotion, and another person decides."


def _reasons(verdicts: Sequence[Mapping[str, Any]]) -> str:
    return " ".join(f"{metric(one['name']).label}: {one['reason']}" for one in verdicts if not one["passed"])


def _players(count: int, limit: int) -> str:
    """Players are counted up to the limit only."""
    return f"{count} players or more" if count == limit else f"{count} players"


def _at_least(name: str, value: int, limit: int, what: str, remedy: str, why: str, *, of: str = "") -> "Verdict":
    """`what` there is, in words, how many are needed (`of` what, where `what` leaves it open) and `why`; what to do only when too few."""
    from predictions.ml.kinds import Verdict

    enough = value >= limit
    return Verdict(name, enough, float(value), float(limit), f"{what}; {limit}{of} are needed{'' if enough else f': {remedy}'}. {why}")
