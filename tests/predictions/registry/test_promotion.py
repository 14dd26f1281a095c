"""One asks, another decides, and what is worse than the version in use is refused whoever asks."""

import threading
from datetime import timedelta
from typing import Any

import numpy as np
import pytest
from django.db import IntegrityError, transaction

from loyalty_site.common.models import AuditEvent
from predictions import gate, measure, promotion, registry
from predictions.ml.kinds import Verdict
from predictions.models import ModelVersion, PromotionRequest
from predictions.promotion import PromotionRefused
from tests.factories import NOW, UserFactory
from tests.predictions.registry.at_once import at_once
from tests.predictions.registry.models import AS_OF, HORIZON, a_cutoff, a_history, champion, fit, saved, staff, trained

LATER = NOW + timedelta(hours=1)
BOTH, NOISE_ONLY = (0, 1), (1,)


@pytest.fixture(autouse=True)
def evaluation(monkeypatch) -> list[tuple[Any, ...]]:
    """The evaluation cut-off of these small models in place of the database's; returns what was asked for."""
    asked: list[tuple[Any, ...]] = []

    def cutoff(as_of, horizon_days, *, seed, panel_only):
        asked.append((as_of, horizon_days, panel_only))
        return a_cutoff(seed=77)

    monkeypatch.setattr(measure, "evaluation_cutoff", cutoff)
    monkeypatch.setattr(gate, "extent", lambda _as_of: gate.Extent(days=300, players=800))
    return asked


@pytest.fixture
def asker(db):
    return staff("request_promotion", "decide_promotion")


@pytest.fixture
def decider(db):
    return staff("decide_promotion")


def nothing_moved(version: ModelVersion, request: PromotionRequest | None = None) -> None:
    version.refresh_from_db()
    assert version.status == ModelVersion.Status.CANDIDATE
    assert version.promoted_at is None
    assert not AuditEvent.objects.filter(action="predictions.model_promoted").exists()
    if request is not None:
        request.refresh_from_db()
        assert (request.status, request.decided_by, request.decided_at) == (PromotionRequest.Status.PENDING, None, None)


@pytest.mark.django_db
class TestRequest:
    def test_asked__is_recorded_and_audited(self, asker, decider):
        version = saved()
        asked = promotion.request(version, asker, "  Trained on the newest month.  ", NOW)

        assert (asked.status, asked.requested_by, asked.requested_at) == (PromotionRequest.Status.PENDING, asker, NOW)
        event = AuditEvent.objects.get(action="predictions.promotion_requested")
        assert (event.actor, event.reason, event.after["number"]) == (asker, "Trained on the newest month.", 1)
        nothing_moved(version)

    def test_without_the_permission__refused(self, decider):
        with pytest.raises(PromotionRefused, match="may not ask for promotions"):
            promotion.request(saved(), staff("view_modelversion"), "better", NOW)
        assert not PromotionRequest.objects.exists()

    @pytest.mark.parametrize("reason", ["", "   ", "x" * 501])
    def test_without_a_reason_or_with_a_novel__refused(self, asker, decider, reason):
        with pytest.raises(PromotionRefused, match="say in at most 500 characters"):
            promotion.request(saved(), asker, reason, NOW)

    def test_twice__refused(self, asker, decider):
        version = saved()
        promotion.request(version, asker, "better", NOW)
        with pytest.raises(PromotionRefused, match="has been asked for already"):
            promotion.request(version, asker, "better", LATER)
        assert PromotionRequest.objects.count() == 1

    def test_refused_at_training__refused_with_the_reason(self, asker, decider):
        version = saved(gate=(Verdict("auc", False, 0.5, 0.6, "ranks no better than the baseline"),))
        with pytest.raises(PromotionRefused, match="did not pass the gate at its training. AUC: ranks no better"):
            promotion.request(version, asker, "better", NOW)

    def test_in_use__refused(self, asker, decider):
        with pytest.raises(PromotionRefused, match="is in use already"):
            promotion.request(champion(saved()), asker, "better", NOW)

    def test_the_same_model_as_the_one_in_use__refused(self, asker, decider):
        first, again, other = champion(saved()), saved(), saved(seed=10)
        assert first.sha256 == again.sha256 != other.sha256
        with pytest.raises(PromotionRefused, match="^Churn 2 is the same model as Churn 1, which is in use; nothing would"):
            promotion.request(again, asker, "newer", NOW)
        assert not PromotionRequest.objects.exists()
        assert promotion.request(other, asker, "newer", NOW).version == other

    def test_nobody_else_could_decide__refused(self, asker):
        with pytest.raises(PromotionRefused, match="nobody else may decide"):
            promotion.request(saved(), asker, "better", NOW)

    def test_the_only_other_decider_left__refused(self, asker, decider):
        decider.is_active = False
        decider.save()
        with pytest.raises(PromotionRefused, match="nobody else may decide"):
            promotion.request(saved(), asker, "better", NOW)


@pytest.mark.django_db
class TestDecide:
    def test_equal_model__takes_the_place_of_the_one_in_use(self, asker, decider, evaluation):
        first, second = champion(saved()), saved(seed=10, as_of=AS_OF + timedelta(days=7))
        asked = promotion.request(second, asker, "newer", NOW)

        decided = promotion.decide(asked, decider, True, "looks right", LATER)

        first.refresh_from_db()
        second.refresh_from_db()
        assert (first.status, first.retired_at) == (ModelVersion.Status.RETIRED, LATER)
        assert (second.status, second.promoted_at) == (ModelVersion.Status.CHAMPION, LATER)
        assert (decided.status, decided.decided_by, decided.replaced) == (PromotionRequest.Status.APPROVED, decider, first)
        # measured on the cut-off of the newer of the two
        assert evaluation == [(AS_OF + timedelta(days=7), HORIZON, False)]
        event = AuditEvent.objects.get(action="predictions.model_promoted")
        assert (event.actor, event.reason, event.before["number"], event.after["number"]) == (decider, "looks right", 1, 2)
        verdict = event.after["verdicts"][-1]
        assert (verdict["name"], verdict["passed"]) == (measure.VERDICT, True)
        assert registry.champion("churn") == second

    def test_worse_model__refused_and_nothing_moves(self, asker, decider):
        first, worse = champion(saved()), saved(NOISE_ONLY, gate=())
        asked = promotion.request(worse, asker, "newer", NOW)

        with pytest.raises(PromotionRefused, match=r"Not worse than the version in use: Brier score 0\.2\d+ against 0\.1\d+") as raised:
            promotion.decide(asked, decider, True, "", LATER)

        assert [one.name for one in raised.value.verdicts if not one.passed] == [measure.VERDICT]
        nothing_moved(worse, asked)
        assert registry.champion("churn") == first

    def test_recorded_figures_are_not_believed(self, asker, decider):
        """A challenger whose record claims the best figures of all is measured like any other."""
        champion(saved())
        history = a_history()
        boast = trained(fit(history, NOISE_ONLY), history=history, metrics={"auc": 0.99, "brier": 0.01})
        asked = promotion.request(saved(trained=boast), asker, "0.99!", NOW)

        with pytest.raises(PromotionRefused, match="Brier score"):
            promotion.decide(asked, decider, True, "", LATER)

    def test_same_person__refused_whatever_the_rights(self, asker, decider):
        version = saved()
        asked = promotion.request(version, asker, "better", NOW)

        with pytest.raises(PromotionRefused, match="you asked for this promotion yourself; another person must decide"):
            promotion.decide(asked, asker, True, "", LATER)
        nothing_moved(version, asked)

    def test_same_person_as_superuser__refused(self, decider):
        root = UserFactory(is_superuser=True)
        version = saved()
        asked = promotion.request(version, root, "better", NOW)

        with pytest.raises(PromotionRefused, match="another person must decide"):
            promotion.decide(asked, root, True, "", LATER)
        with pytest.raises(IntegrityError, match="promotion_by_a_second_person"), transaction.atomic():
            PromotionRequest.objects.filter(pk=asked.pk).update(decided_by=root)

    def test_without_the_permission__refused(self, asker, decider):
        version = saved()
        asked = promotion.request(version, asker, "better", NOW)
        with pytest.raises(PromotionRefused, match="may not decide on promotions"):
            promotion.decide(asked, staff("request_promotion"), True, "", LATER)
        nothing_moved(version, asked)

    def test_refusal__needs_a_note_and_is_audited(self, asker, decider):
        version = saved()
        asked = promotion.request(version, asker, "better", NOW)
        with pytest.raises(PromotionRefused, match="why the promotion is refused"):
            promotion.decide(asked, decider, False, " ", LATER)

        decided = promotion.decide(asked, decider, False, "the month was unusual", LATER)

        assert (decided.status, decided.note) == (PromotionRequest.Status.REFUSED, "the month was unusual")
        assert AuditEvent.objects.get(action="predictions.promotion_refused").actor == decider
        nothing_moved(version)
        with pytest.raises(PromotionRefused, match="is refused already"):
            promotion.decide(asked, decider, True, "", LATER)

    def test_altered_file__refused(self, asker, decider, model_folder):
        version = saved()
        asked = promotion.request(version, asker, "better", NOW)
        (model_folder / version.artifact).write_bytes(b"altered")

        with pytest.raises(PromotionRefused, match="Churn 1 cannot be opened"):
            promotion.decide(asked, decider, True, "", LATER)
        nothing_moved(version, asked)

    def test_version_in_use_cannot_be_opened__is_in_nobodys_way(self, asker, decider, model_folder):
        first, second = champion(saved()), saved(seed=10)
        (model_folder / first.artifact).unlink()

        promotion.decide(promotion.request(second, asker, "libraries were updated", NOW), decider, True, "", LATER)

        assert registry.champion("churn") == second

    def test_former_version__may_come_back(self, asker, decider):
        first, second = champion(saved()), saved(seed=10)
        promotion.decide(promotion.request(second, asker, "newer", NOW), decider, True, "", LATER)
        promotion.decide(promotion.request(first, asker, "complaints", LATER), decider, True, "", LATER + timedelta(hours=1))

        assert registry.champion("churn") == first
        second.refresh_from_db()
        assert second.status == ModelVersion.Status.RETIRED

    def test_data_went_away__refused(self, asker, decider, monkeypatch):
        version = saved()
        asked = promotion.request(version, asker, "better", NOW)
        monkeypatch.setattr(gate, "extent", lambda _as_of: gate.Extent(days=300, players=499))

        with pytest.raises(PromotionRefused, match="499 players; 500 are needed"):
            promotion.decide(asked, decider, True, "", LATER)
        nothing_moved(version, asked)

    def test_simulated_operator_in_production__refused(self, asker, decider, settings):
        settings.IS_PRODUCTION = True
        version = saved()
        ModelVersion.objects.update(is_synthetic=True)
        asked = promotion.request(version, asker, "better", NOW)

        with pytest.raises(PromotionRefused, match="Origin: Trained on simulated players"):
            promotion.decide(asked, decider, True, "", LATER)
        nothing_moved(version, asked)


@pytest.mark.django_db
class TestPromoteFirst:
    def test_none_in_use__put_into_use_and_audited(self):
        version = promotion.promote_first(saved(), at=NOW, reason="demo")

        assert version.status == ModelVersion.Status.CHAMPION
        event = AuditEvent.objects.get(action="predictions.model_promoted_first")
        assert (event.actor, event.reason, event.subject_id) == (None, "demo", str(version.pk))

    def test_one_in_use__refused(self):
        champion(saved())
        second = saved(seed=10)
        with pytest.raises(PromotionRefused, match="in use already; ask for a promotion"):
            promotion.promote_first(second, at=NOW)
        nothing_moved(second)

    def test_refused_by_the_gate__refused(self):
        version = saved(gate=(Verdict("auc", False, 0.5, 0.6, "no better than chance"),))
        with pytest.raises(PromotionRefused, match="did not pass the gate"):
            promotion.promote_first(version, at=NOW)
        assert registry.champion("churn") is None


class TestJudge:
    """Exact arithmetic of the comparison."""

    def test_equal_losses__pass(self):
        losses = measure.Losses("Brier score", np.array([0.1, 0.2, 0.3]))
        verdict = measure.judge(losses, losses)
        assert (verdict.passed, verdict.value, verdict.limit) == (True, pytest.approx(0.2), pytest.approx(0.2))

    def test_constant_small_loss__is_no_chance_and_fails(self):
        """Every player a little worse: the differences have no spread, so nothing of it may be chance."""
        worse, best = np.full(100, 0.201), np.full(100, 0.2)
        assert not measure.judge(measure.Losses("Brier score", worse), measure.Losses("Brier score", best)).passed

    def test_noise_may_excuse_one_hundredth_at_most(self):
        spread = np.tile([-0.1, 0.1], 50)  # standard error 0.01
        best = measure.Losses("Brier score", np.full(100, 0.2))

        def judged(worse_by: float) -> bool:
            return measure.judge(measure.Losses("Brier score", 0.2 + spread + worse_by), best).passed

        assert judged(0.0019)
        assert not judged(0.0021)

    def test_little_noise_excuses_little(self):
        spread = np.tile([-0.001, 0.001], 50)
        error = spread.std(ddof=1) / 10
        best = measure.Losses("Brier score", np.full(100, 0.2))
        assert measure.judge(measure.Losses("Brier score", 0.2 + spread + 1.6 * error), best).passed
        assert not measure.judge(measure.Losses("Brier score", 0.2 + spread + 1.7 * error), best).passed

    def test_losses_that_depend_on_each_other__say_themselves_what_is_chance(self):
        best = measure.Losses("distance", np.full(100, 0.02), allowed=0.01)
        assert measure.judge(measure.Losses("distance", np.full(100, 0.0299), allowed=0.01), best).passed
        assert not measure.judge(measure.Losses("distance", np.full(100, 0.0301), allowed=0.01), best).passed

    def test_panel__is_a_tenth_and_always_the_same(self):
        ids = a_cutoff(players=20_000).features.index
        panel = measure.in_panel(ids)
        assert 0.09 < panel.mean() < 0.11
        assert (measure.in_panel(ids[5000:]) == panel[5000:]).all()

    def test_without_panel__learns_from_the_others_and_keeps_the_evaluation(self):
        history = a_history()
        rest = measure.without_panel(history)
        assert not any(measure.in_panel(cutoff.features.index).any() for cutoff in rest.development)
        assert len(rest.evaluation.features) == len(history.evaluation.features)
        assert [len(cutoff.labels) for cutoff in rest.development] == [len(cutoff.features) for cutoff in rest.development]


# -- races ------------------------------------------------------------------------------------------------------------


def two_requests() -> tuple[list[ModelVersion], list[PromotionRequest], Any]:
    """Two promotions that wait, and the person who will decide on both."""
    asker, decider = staff("request_promotion"), staff("decide_promotion")
    versions = [champion(saved()), saved(seed=10), saved(seed=20)]
    return versions, [promotion.request(version, asker, "newer", NOW) for version in versions[1:]], decider


def after_both_have_measured(monkeypatch) -> None:
    """Hold each decision after its comparison until the other has got there too."""
    barrier, real = threading.Barrier(2), promotion._require_passed

    def hold(version, verdicts):
        real(version, verdicts)
        barrier.wait(timeout=30)

    monkeypatch.setattr(promotion, "_require_passed", hold)


@pytest.mark.django_db(transaction=True)
def test_two_promotions_at_once__one_wins_the_other_has_to_measure_again(monkeypatch):
    versions, requests, decider = two_requests()
    after_both_have_measured(monkeypatch)

    results = at_once([lambda one=one: promotion.decide(one, decider, True, "", LATER) for one in requests])

    errors = [one for one in results if isinstance(one, Exception)]
    assert [type(one) for one in errors] == [PromotionRefused]
    assert "was put into use meanwhile; decide again" in str(errors[0])
    assert ModelVersion.objects.filter(status=ModelVersion.Status.CHAMPION).count() == 1
    assert sorted(PromotionRequest.objects.values_list("status", flat=True)) == ["APPROVED", "PENDING"]
    assert AuditEvent.objects.filter(action="predictions.model_promoted").count() == 1
    versions[0].refresh_from_db()
    assert versions[0].status == ModelVersion.Status.RETIRED


@pytest.mark.django_db(transaction=True)
def test_two_promotions_at_once__control_without_the_second_look__a_version_is_replaced_unmeasured(monkeypatch):
    """Without comparing what is in use with what was measured, the second decision replaces a version it was never measured against."""
    _versions, requests, decider = two_requests()
    after_both_have_measured(monkeypatch)

    def put_into_use(pk, _measured_against, at):
        current = ModelVersion.objects.get(kind="churn", status=ModelVersion.Status.CHAMPION)
        ModelVersion.objects.filter(pk=current.pk).update(status=ModelVersion.Status.RETIRED, retired_at=at)
        ModelVersion.objects.filter(pk=pk).update(status=ModelVersion.Status.CHAMPION, promoted_at=at)
        return current

    monkeypatch.setattr(promotion, "_put_into_use", put_into_use)
    results = at_once([lambda one=one: promotion.decide(one, decider, True, "", LATER) for one in requests])

    assert not [one for one in results if isinstance(one, Exception)]
    assert sorted(PromotionRequest.objects.values_list("status", flat=True)) == ["APPROVED", "APPROVED"]


@pytest.mark.django_db(transaction=True)
def test_one_request_decided_twice_at_once__one_decision():
    asker = staff("request_promotion")
    deciders = [staff("decide_promotion"), staff("decide_promotion")]
    asked = promotion.request(saved(), asker, "first", NOW)

    results = at_once([lambda by=by: promotion.decide(asked, by, False, "no", LATER) for by in deciders])

    assert sorted(type(one).__name__ for one in results) == ["PromotionRefused", "PromotionRequest"]
    assert AuditEvent.objects.filter(action="predictions.promotion_refused").count() == 1


@pytest.mark.django_db(transaction=True)
def test_two_first_promotions_at_once__one_in_use(monkeypatch):
    versions = [saved(), saved(seed=10)]
    after_both_have_measured(monkeypatch)

    results = at_once([lambda one=one: promotion.promote_first(one, at=NOW) for one in versions])

    assert sorted(type(one).__name__ for one in results) == ["ModelVersion", "PromotionRefused"]
    assert ModelVersion.objects.filter(status=ModelVersion.Status.CHAMPION).count() == 1


@pytest.mark.django_db(transaction=True)
def test_eight_versions_saved_at_once__eight_numbers():
    results = at_once([lambda seed=seed: saved(seed=seed).number for seed in range(8)])

    assert sorted(results) == list(range(1, 9))


@pytest.mark.django_db(transaction=True)
def test_versions_saved_at_once__control_without_the_lock__the_database_refuses(monkeypatch):
    barrier = threading.Barrier(4)
    monkeypatch.setattr(registry, "lock_kind", lambda _kind: None)
    real = ModelVersion.objects.create

    def create(**fields):
        barrier.wait(timeout=30)  # all have read the last number
        return real(**fields)

    monkeypatch.setattr(ModelVersion.objects, "create", create)
    results = at_once([lambda seed=seed: saved(seed=seed).number for seed in range(4)])

    assert sorted(type(one).__name__ for one in results) == ["IntegrityError"] * 3 + ["int"]
