"""Who may do what: one table of roles, applied to Django's groups after every migration.

Permissions are named "app.codename". The roles belong to the release: an operator that wants another cut makes a group of its own,
so that an update never takes back what the operator decided, and never leaves a role half-made.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.apps import apps as global_apps


@dataclass(frozen=True)
class Role:
    """A group of the product: its purpose in one sentence, and every permission it has."""

    purpose: str
    permissions: frozenset[str]


def _can(verb: str, app: str, *models: str) -> frozenset[str]:
    return frozenset(f"{app}.{verb}_{model}" for model in models)


# What everybody at a desk sees: players and what they did, without names and addresses.
_PLAYERS = _can(
    "view",
    "players",
    *("player", "playermetrics", "playerday", "tier", "tiermove", "tierprogramme", "playertier", "segmentmove", "game"),
    *("payment", "playsession", "gameplay", "activitytotals", "protection", "exclusion", "depositlimit"),
    *("jurisdiction", "jurisdictionpack"),
)
_REWARDS = _can("view", "rewards", "rewardrule", "ruleversion", "rewarddecision", "decisionevent", "budgetaccount", "earningrule")
_WALLET = _can(
    "view",
    "wallet",
    "account",
    "entry",
    "bonusgrant",
    "grantevent",
    "grantmovement",
    "wagerevent",
    "wagercount",
    "adjustmentrequest",
    "voidrequest",
    "catalogueitem",
    "redemption",
    "bonustemplate",
    "bonustemplateversion",
    "contributiontable",
    "contributionrule",
    "payoutinstruction",
    "lot",
    "lotuse",
    "pointspolicy",
)
_PREDICTIONS = _can(
    "view",
    "predictions",
    *("churnscore", "valuescore", "segmentscore", "engagementscore", "scorepoint", "scoringrun", "modelversion", "promotionrequest"),
)
_RISK = (
    _can("view", "fraud", "abuseprofile", "abusesignal", "reviewflag", "flagevidence")
    | _can("view", "wallet", "walletflag")
    | _can("view", "predictions", "fraudscore")
)
_IMPORTS = _can("view", "players", "importjob", "importmapping", "feedstate", "feedrefusal")
_JOBS = _can("view", "common", "jobrun", "jobchunk")
_HISTORY = (
    _can("view", "players", "historicaltier", "historicaltierprogramme", "historicaljurisdiction", "historicaljurisdictionpack")
    | _can("view", "rewards", "historicalrewardrule", "historicalearningrule")
    | _can("view", "wallet", "historicalbonustemplate", "historicalcontributiontable", "historicalcontributionrule")
    | _can("view", "wallet", "historicalcatalogueitem", "historicalpointspolicy")
)
_THRESHOLDS_READ = frozenset({"constance.view_config"})
_SCHEDULE_READ = _can("view", "django_celery_beat", "periodictask", "crontabschedule", "intervalschedule")
_FLAG = _can("add", "fraud", "reviewflag")
_CLEARANCE = _can("view", "players", "vipclearance")
_PII = frozenset({"players.view_player_pii"})

ROLES: dict[str, Role] = {
    "CRM agent": Role(
        "Talks to players: looks them up, explains rewards, proposes a reward by hand, asks for a review. Exports nothing.",
        _PLAYERS
        | _PII
        | _REWARDS
        | _WALLET
        | _PREDICTIONS
        | _can("view", "fraud", "abuseprofile", "reviewflag")
        | _FLAG
        | {"rewards.grant_manual", "wallet.act_for_player", "predictions.score_profile"},
    ),
    "CRM manager": Role(
        "Runs the programme: rules, tiers, approvals, imports, jobs; asks for wallet adjustments that Finance approves.",
        _PLAYERS
        | _PII
        | _REWARDS
        | _WALLET
        | _PREDICTIONS
        | _RISK
        | _IMPORTS
        | _JOBS
        | _HISTORY
        | _THRESHOLDS_READ
        | _SCHEDULE_READ
        | _FLAG
        | _can("add", "rewards", "rewardrule", "ruleversion", "earningrule")
        | _can("change", "rewards", "rewardrule", "earningrule")
        | _can("add", "wallet", "catalogueitem")
        | _can("change", "wallet", "catalogueitem")
        | _can("add", "wallet", "bonustemplate", "contributiontable", "contributionrule")
        | _can("change", "wallet", "bonustemplate", "contributiontable", "contributionrule")
        | _can("add", "players", "tier", "game", "importjob", "importmapping")
        | _can("change", "players", "tier", "game", "importjob", "importmapping", "quarantinedrow")
        | _can("view", "players", "quarantinedrow")
        | _can("change", "django_celery_beat", "periodictask", "crontabschedule")
        | _can("add", "django_celery_beat", "crontabschedule")
        | _CLEARANCE
        | _can("change", "players", "tierprogramme")
        | {
            "players.override_tier",
            "players.request_vipclearance",
            "players.export_playertier",
            "rewards.test_rule",
            "rewards.approve_decision",
            "rewards.revoke_decision",
            "rewards.grant_manual",
            "wallet.adjust_wallet",
            "wallet.reinstate_lot",
            "wallet.act_for_player",
            "wallet.offer_bonus",
            "wallet.fulfil_redemption",
            "wallet.retry_payout",
            "wallet.request_void",
            "wallet.export_bonusgrant",
            "players.export_player",
            "players.import_player",
            "players.undo_importjob",
            "players.pull_feed",
            "players.dismiss_feedrefusal",
            "predictions.train_model",
            "predictions.request_promotion",
            "predictions.score_profile",
            "predictions.export_scores",
            "common.rerun_jobrun",
            "common.view_auditevent",
            "constance.change_config",
        },
    ),
    "Risk analyst": Role(
        "Finds and closes abuse: signals, scores, reviews; revokes rewards that were got by abuse.",
        _PLAYERS
        | _PII
        | _REWARDS
        | _WALLET
        | _PREDICTIONS
        | _RISK
        | _JOBS
        | _THRESHOLDS_READ
        | _FLAG
        | _CLEARANCE
        | {
            "predictions.train_model",
            "predictions.request_promotion",
            "predictions.decide_promotion",
            "predictions.score_profile",
            "predictions.export_scores",
            "fraud.close_reviewflag",
            "fraud.change_reviewflag",
            "rewards.revoke_decision",
            "rewards.test_rule",
            "wallet.request_void",
            "wallet.export_bonusgrant",
            "common.view_auditevent",
            "constance.change_config",
        },
    ),
    "Compliance": Role(
        "Protects players and keeps to the rules of each market: exclusions, harm flags, consents, markets, the audit trail.",
        _PLAYERS
        | _PII
        | _REWARDS
        | _WALLET
        | _PREDICTIONS
        | _RISK
        | _IMPORTS
        | _JOBS
        | _HISTORY
        | _THRESHOLDS_READ
        | _FLAG
        | _can("add", "players", "jurisdiction", "jurisdictionpack")
        | _can("change", "players", "jurisdiction", "jurisdictionpack")
        | _can("add", "players", "exclusion", "depositlimit", "protection")
        | _can("change", "players", "exclusion", "depositlimit", "protection")
        | _CLEARANCE
        | {
            "predictions.decide_promotion",
            "players.approve_vipclearance",
            "players.export_player",
            "players.export_playertier",
            "wallet.approve_void",
            "wallet.export_bonusgrant",
            "common.view_auditevent",
        },
    ),
    "Finance": Role(
        "Answers for the money: ledger, budgets, adjustments that others asked for; sees players without names.",
        _PLAYERS
        | _REWARDS
        | _WALLET
        | _PREDICTIONS
        | _JOBS
        | _HISTORY
        | _THRESHOLDS_READ
        | _can("add", "rewards", "budgetaccount")
        | _can("change", "rewards", "budgetaccount")
        | {
            "wallet.adjust_wallet",
            "wallet.approve_adjustment",
            "wallet.change_pointspolicy",
            "wallet.view_liability",
            "wallet.export_liability",
            "wallet.retry_payout",
            "wallet.approve_void",
            "wallet.export_bonusgrant",
            "common.view_auditevent",
            "constance.change_config",
        },
    ),
    "Read-only": Role(
        "Looks at everything without names and addresses, and changes nothing.",
        _PLAYERS
        | _REWARDS
        | _WALLET
        | _PREDICTIONS
        | _RISK
        | _IMPORTS
        | _JOBS
        | _HISTORY
        | _THRESHOLDS_READ
        | _SCHEDULE_READ
        | {"wallet.view_liability"},
    ),
}

# Records that nobody may edit or delete through a form, whoever grants permissions. The permission itself does not exist.
NEVER_DELETE: dict[str, tuple[str, ...]] = {
    "wallet": (
        "account",
        "entry",
        "bonusgrant",
        "grantevent",
        "grantmovement",
        "wagerevent",
        "wagercount",
        "adjustmentrequest",
        "voidrequest",
        "bonustemplate",
        "bonustemplateversion",
        "contributiontable",
        "payoutinstruction",
        "walletflag",
        "catalogueitem",
        "redemption",
        "lot",
        "lotuse",
        "pointspolicy",
    ),
    "rewards": ("rewardrule", "ruleversion", "rewarddecision", "decisionevent", "budgetaccount", "earningrule", "dayearning", "playpoints"),
    "common": ("auditevent", "jobrun", "jobchunk", "idempotentrequest"),
    "players": (
        "player",
        "payment",
        "playsession",
        "gameplay",
        "activitytotals",
        "exclusion",
        "protection",
        "segmentmove",
        "tiermove",
        "tierprogramme",
        "playertier",
        "vipclearance",
        "feedstate",
        "feedrun",
        "feedrefusal",
    ),
    "predictions": (
        *("modelversion", "promotionrequest", "scoringrun", "scorepoint"),
        *("churnscore", "valuescore", "fraudscore", "segmentscore", "engagementscore"),
    ),
    "fraud": ("abusesignal", "abuseprofile", "reviewflag", "flagevidence"),
}
NEVER_WRITE: dict[str, tuple[str, ...]] = {
    "wallet": (
        "account",
        "lot",
        "lotuse",
        "entry",
        "bonusgrant",
        "grantevent",
        "grantmovement",
        "wagerevent",
        "wagercount",
        "bonustemplateversion",
        "payoutinstruction",
        "walletflag",
        "redemption",
    ),
    "rewards": ("rewarddecision", "decisionevent", "dayearning", "playpoints"),
    "players": ("playertier", "vipclearance", "feedstate", "feedrun", "feedrefusal"),
    "predictions": (
        *("modelversion", "promotionrequest", "scoringrun", "scorepoint"),
        *("churnscore", "valuescore", "fraudscore", "segmentscore", "engagementscore"),
    ),
    "common": ("auditevent",),
}


def forbidden_permissions() -> Iterator[tuple[str, str]]:
    """(app, codename) of the permissions that must not exist."""
    for app, models in NEVER_DELETE.items():
        yield from ((app, f"delete_{model}") for model in models)
    for app, models in NEVER_WRITE.items():
        for model in models:
            yield app, f"add_{model}"
            yield app, f"change_{model}"


def sync_roles(apps: Any = global_apps, using: str = "default") -> list[str]:
    """Make Django's groups equal to `ROLES` and remove the permissions that must not exist.

    Permission rows are made first where they are missing. Returns the declared names that no model defines (empty in a complete
    product; a test holds it empty). Groups of other names are left alone.
    """
    from django.contrib.auth.management import create_permissions

    for app_config in global_apps.get_app_configs():
        create_permissions(app_config, verbosity=0, interactive=False, using=using)
    group_model = apps.get_model("auth", "Group")
    permission_model = apps.get_model("auth", "Permission")
    known = {
        f"{app}.{codename}": pk
        for pk, app, codename in permission_model.objects.using(using).values_list("pk", "content_type__app_label", "codename")
    }
    forbidden = [known.pop(f"{app}.{codename}") for app, codename in forbidden_permissions() if f"{app}.{codename}" in known]
    permission_model.objects.using(using).filter(pk__in=forbidden).delete()
    missing: set[str] = set()
    for name, role in ROLES.items():
        group, _ = group_model.objects.using(using).get_or_create(name=name)
        group.permissions.set([known[one] for one in role.permissions if one in known])
        missing |= {one for one in role.permissions if one not in known}
    return sorted(missing)


def sync_after_migrate(using: str = "default", **kwargs: Any) -> None:
    """Receiver of `post_migrate` of the last app with models: all permissions of the release exist by then."""
    sync_roles(using=using)
