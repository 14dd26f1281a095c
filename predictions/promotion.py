"""Putting a version into use: one person asks, another decides, and a worse model is refused whoever asks.

The decision measures the version and the one in use again on the same players (`predictions.measure`). Measuring takes a while and holds no
lock; what was compared is checked again under the lock, so that of two decisions at once the second has to measure anew.
"""

import logging
from collections.abc import Callable
from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING, Any

from django.contrib.auth import get_user_model
from django.contrib.auth.models import User
from django.db import transaction

from loyalty_site.common import audit
from loyalty_site.common.clock import require_utc
from predictions import gate, registry
from predictions.artifacts import ArtifactError
from predictions.models import ModelVersion, PromotionRequest
from predictions.training import PANEL

if TYPE_CHECKING:
    from predictions.ml.kinds import Verdict

logger = logging.getLogger(__name__)

REQUEST_PERMISSION = "predictions.request_promotion"
DECIDE_PERMISSION = "predictions.decide_promotion"
_LONGEST_TEXT = 500

_Status = ModelVersion.Status


class PromotionRefused(ValueError):
    """The version may not be put into use as things stand; nothing has changed. `verdicts`: what was measured, when it got that far."""

    def __init__(self, message: str, verdicts: "list[Verdict] | None" = None) -> None:
        super().__init__(message)
        self.verdicts = verdicts or []


# -- asking and deciding ----------------------------------------------------------------------------------------------


def request(version: ModelVersion, by: User, reason: str, at: datetime) -> PromotionRequest:
    """Ask that `version` be put into use. A version that was in use before may be asked for again.

    Raises PromotionRefused: no permission, no reason, refused at its training, in use already, asked for already, nobody to decide.
    """
    at = require_utc(at)
    if not by.has_perm(REQUEST_PERMISSION):
        raise PromotionRefused("you may not ask for promotions; ask for the permission 'Can ask for a model's promotion'")
    reason = _text(reason, "why this version should be put into use")
    with transaction.atomic():
        registry.lock_kind(version.kind)
        version = _version(version.pk)
        require_promotable(version)
        if version.promotion_requests.filter(status=PromotionRequest.Status.PENDING).exists():
            raise PromotionRefused(f"the promotion of {version} has been asked for already and waits for a decision")
        if not _somebody_else_may_decide(by):
            raise PromotionRefused(
                "nobody else may decide on promotions; give another person the permission 'Can decide on a model's promotion' first"
            )
        asked = PromotionRequest.objects.create(version=version, reason=reason, requested_by=by, requested_at=at)
        audit.record("predictions.promotion_requested", asked, at=at, actor=by, after=registry.facts(version), reason=reason)
    return asked


def decide(request: PromotionRequest, by: User, approve: bool, note: str, at: datetime) -> PromotionRequest:
    """Approve or refuse a waiting request. The decider is never the one who asked, whatever their rights.

    Approving measures first (seconds to minutes; pages use `promotion_jobs`) and raises PromotionRefused when the gate does not pass: the
    request keeps waiting. Refusing needs a note. Raises PromotionRefused also for: no permission, the same person, decided already,
    another version put into use meanwhile.
    """
    if approve:
        return measure_and_approve(request, by, note, at)[0]
    require_decider(request, by)
    return _refuse(request, by, _text(note, "why the promotion is refused"), require_utc(at))


def measure_and_approve(
    request: PromotionRequest, by: User, note: str, at: datetime, confirm: Callable[[], None] = lambda: None
) -> "tuple[PromotionRequest, list[Verdict]]":
    """`decide` for an approval, with the verdicts that it rests on. `confirm()` is called after measuring, in the transaction that decides;
    what it raises keeps the request waiting."""
    at = require_utc(at)
    require_decider(request, by)
    version = _version(request.version_id)
    require_promotable(version)
    measured_against = registry.champion(version.kind)
    verdicts = compare(version, measured_against)
    _require_passed(version, verdicts)
    with transaction.atomic():
        registry.lock_kind(version.kind)
        request = PromotionRequest.objects.select_for_update().get(pk=request.pk)
        confirm()
        require_decider(request, by)
        replaced = _put_into_use(version.pk, measured_against, at)
        _decided(request, PromotionRequest.Status.APPROVED, by, note.strip()[:_LONGEST_TEXT], at, replaced)
        _audit("predictions.model_promoted", version.pk, replaced, verdicts, at, by, request.note or request.reason)
    return request, verdicts


def promote_first(
    version: ModelVersion, *, at: datetime, by: User | None = None, reason: str = "first version of its kind"
) -> ModelVersion:
    """Put the first version of a kind into use without a second person: for the command line and the demo, never for a page.

    Raises PromotionRefused when a version is in use already or the gate does not pass.
    """
    at = require_utc(at)
    if registry.champion(version.kind) is not None:
        raise PromotionRefused(_IN_USE_ALREADY)
    require_promotable(version)
    verdicts = compare(version, None)
    _require_passed(version, verdicts)
    with transaction.atomic():
        registry.lock_kind(version.kind)
        _put_into_use(version.pk, None, at)
        _audit("predictions.model_promoted_first", version.pk, None, verdicts, at, by, reason)
    return _version(version.pk)


_IN_USE_ALREADY = "a version of this kind is in use already; ask for a promotion, which another person decides"


# -- the gate ---------------------------------------------------------------------------------------------------------


def compare(version: ModelVersion, champion: ModelVersion | None) -> "list[Verdict]":
    """Every verdict on `version`: those of its training, where it comes from, the data as they are, and `champion` measured beside it.

    Raises PromotionRefused when the version's own file cannot be opened or nothing can be measured.
    """
    from predictions.ml.kinds import NotEnoughData

    try:
        challenger = registry.load(version)
    except ArtifactError as error:
        raise PromotionRefused(f"{version} cannot be opened. {error}") from error
    newest = max(one.as_of for one in (version, champion) if one is not None)
    verdicts = [*gate.recorded(version), *gate.origin_verdicts(version.kind, version.is_synthetic)]
    if version.kind not in gate.WITHOUT_HISTORY:
        verdicts += [one for one in gate.data_verdicts(version.kind, gate.extent(newest)) if not one.passed]
    if champion is None:
        return verdicts
    try:
        return [*verdicts, _beside(version, challenger, champion, newest)]
    except NotEnoughData as error:
        raise PromotionRefused(f"{version} cannot be compared with {champion}: {error}", verdicts) from error


def _beside(version: ModelVersion, challenger: Any, champion: ModelVersion, newest: datetime) -> "Verdict":
    from predictions import measure
    from predictions.ml.kinds import Verdict

    try:
        model = registry.load(champion)
    except ArtifactError as error:
        # it scores nobody as it is, so whatever passes the other checks is better
        return Verdict(measure.VERDICT, True, 0.0, 0.0, f"{champion} cannot be opened and is in nobody's way. {error.problem}")
    if version.kind in gate.WITHOUT_HISTORY:
        return measure.compare_profiles(challenger, model, seeds=(version.seed, champion.seed))
    panel = all(PANEL in one.parameters for one in (version, champion))
    cutoff = measure.evaluation_cutoff(newest, version.horizon_days, seed=version.seed, panel_only=panel)
    return measure.compare(version.kind, challenger, model, cutoff, seed=version.seed)


# -- details ----------------------------------------------------------------------------------------------------------


def _version(pk: int) -> ModelVersion:
    return ModelVersion.objects.get(pk=pk)


def _text(text: str, what: str) -> str:
    text = text.strip()
    if not text or len(text) > _LONGEST_TEXT:
        raise PromotionRefused(f"say in at most {_LONGEST_TEXT} characters {what}")
    return text


def require_promotable(version: ModelVersion) -> None:
    """Raises PromotionRefused for a version that its gate refused, that is in use already or is the same as the one in use, or whose
    file is gone."""
    if version.status == _Status.REFUSED:
        raise PromotionRefused(f"{version} did not pass the gate at its training. {gate.failures(gate.recorded(version))}")
    if version.status == _Status.CHAMPION:
        raise PromotionRefused(f"{version} is in use already")
    if version.artifact_deleted_at is not None:
        raise PromotionRefused(f"the file of {version} was deleted on {version.artifact_deleted_at:%Y-%m-%d}; train again")
    current = registry.champion(version.kind)
    if current is not None and version.sha256 and current.sha256 == version.sha256:
        raise PromotionRefused(
            f"{version} is the same model as {current}, which is in use; nothing would change: train on newer data and ask for that version"
        )


def require_decider(request: PromotionRequest, by: User) -> None:
    """Raises PromotionRefused unless the request waits and `by` may decide and is not the one who asked."""
    if request.status != PromotionRequest.Status.PENDING:
        raise PromotionRefused(f"the {request} is {request.get_status_display().lower()} already")
    if not by.has_perm(DECIDE_PERMISSION):
        raise PromotionRefused("you may not decide on promotions; ask for the permission 'Can decide on a model's promotion'")
    if request.requested_by_id == by.pk:
        raise PromotionRefused("you asked for this promotion yourself; another person must decide")


def _require_passed(version: ModelVersion, verdicts: "list[Verdict]") -> None:
    if not gate.passed(verdicts):
        raise PromotionRefused(f"{version} is not put into use. {gate.failures(verdicts)}", verdicts)


def _somebody_else_may_decide(asker: User) -> bool:
    users = get_user_model()._default_manager
    backend = "django.contrib.auth.backends.ModelBackend"
    return bool(users.with_perm(DECIDE_PERMISSION, backend=backend).filter(is_active=True).exclude(pk=asker.pk).exists())


def _put_into_use(pk: int, measured_against: ModelVersion | None, at: datetime) -> ModelVersion | None:
    """Under the kind's lock: retire what was measured against, then promote. Returns what was replaced."""
    version = ModelVersion.objects.select_for_update().get(pk=pk)
    require_promotable(version)
    current = ModelVersion.objects.select_for_update().filter(kind=version.kind, status=_Status.CHAMPION).first()
    if current != measured_against:
        raise PromotionRefused(f"{current or 'no version'} was put into use meanwhile; decide again, measured against what is in use now")
    if current is not None:
        current.status, current.retired_at = _Status.RETIRED, at
        current.save(update_fields=["status", "retired_at"])
    version.status, version.promoted_at, version.retired_at = _Status.CHAMPION, at, None
    version.save(update_fields=["status", "promoted_at", "retired_at"])
    return current


def _refuse(request: PromotionRequest, by: User, note: str, at: datetime) -> PromotionRequest:
    with transaction.atomic():
        request = PromotionRequest.objects.select_for_update().get(pk=request.pk)
        require_decider(request, by)
        _decided(request, PromotionRequest.Status.REFUSED, by, note, at, None)
        audit.record("predictions.promotion_refused", request, at=at, actor=by, after=registry.facts(request.version), reason=note)
    return request


def _decided(request: PromotionRequest, status: str, by: User, note: str, at: datetime, replaced: ModelVersion | None) -> None:
    request.status, request.decided_by, request.decided_at, request.note, request.replaced = status, by, at, note, replaced
    request.save(update_fields=["status", "decided_by", "decided_at", "note", "replaced"])


def _audit(
    action: str, pk: int, replaced: ModelVersion | None, verdicts: "list[Verdict]", at: datetime, by: User | None, reason: str
) -> None:
    version = _version(pk)
    audit.record(
        action,
        version,
        at=at,
        actor=by,
        before=registry.facts(replaced) if replaced is not None else None,
        after={**registry.facts(version), "verdicts": [registry.plain(asdict(one)) for one in verdicts]},
        reason=reason,
    )
    logger.info("%s kind=%s version=%s replaced=%s", action, version.kind, pk, replaced.pk if replaced else None)
