"""Everything that changes a rule. A change of contents makes a new version; each change takes a reason and leaves an audit row."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.contrib.auth.models import User
from django.core.cache import cache
from django.core.exceptions import ValidationError
from django.core.validators import validate_slug
from django.db import connection, transaction
from django.db.models import Max

from loyalty_site.common import audit
from loyalty_site.common.clock import require_utc
from loyalty_site.common.models import ApiClient
from players.models import Game, Tier
from rewards.granting.batch import bonus_terms
from rewards.models import RewardRule, RuleVersion
from rewards.rules.engine import CompiledRule, compile_rule
from rewards.rules.lint import Review, RuleDraft, review
from rewards.rules.problems import Problem, RuleError
from rewards.rules.reward import BONUS_KEYS

_KNOWN_VALUES_KEY = "rewards.rules.known_values"
_KNOWN_VALUES_SECONDS = 300
_MAX_COOLDOWN_HOURS = 24 * 366 * 5
_PLAYER_CATEGORIES = ("country", "currency", "language", "acquisition_channel")


class RuleRefused(ValueError):
    """A change that the business rules do not allow; the text says why and what to do."""


@dataclass(frozen=True)
class RuleContent:
    """What a version holds. conditions, reward_config: JSON text (then errors carry line and column) or the value itself."""

    conditions: Any
    reward_config: Any
    period: str = RuleVersion.Period.DAY
    cooldown_hours: int = 0
    stacking_group: str = ""
    player_budget: Decimal | None = None
    total_budget: Decimal | None = None


@dataclass(frozen=True)
class RuleHeader:
    """What stands outside the versions."""

    name: str
    description: str = ""
    priority: int = 0
    valid_from: datetime | None = None
    valid_to: datetime | None = None


@dataclass(frozen=True)
class SavedRule:
    rule: RewardRule
    version: RuleVersion
    created: bool
    new_version: bool
    warnings: tuple[Problem, ...]


@dataclass(frozen=True)
class Change:
    """One difference between two versions; None: not there."""

    field: str
    before: Any
    after: Any

    @property
    def before_text(self) -> str:
        return _shown(self.before)

    @property
    def after_text(self) -> str:
        return _shown(self.after)


@dataclass(frozen=True)
class Caller:
    """Who asks: a member of staff or an API client."""

    actor: User | None = None
    api_client: ApiClient | None = None
    reason: str = field(default="")


def check_content(content: RuleContent) -> Review:
    """All errors and warnings of the content, against the operator's tiers, countries, currencies and games. Writes nothing."""
    found = review(
        RuleDraft(
            conditions=content.conditions,
            reward_config=content.reward_config,
            period=content.period,
            cooldown_hours=content.cooldown_hours,
            player_budget=content.player_budget,
            total_budget=content.total_budget,
            known_values=known_values(),
        )
    )
    extra = [*_settings_problems(content), *_template_problems(found)]
    return found if not extra else Review((*extra, *found.problems), None, found.conditions, found.reward_config)


def save_rule(rule_id: str, header: RuleHeader, content: RuleContent, *, at: datetime, caller: Caller) -> SavedRule:
    """Create the rule, or change it; a new version is made only when its content differs. A new rule is not active.

    Raises RuleError when the content has errors (nothing is written), RuleRefused for a missing reason, a bad rule id or dates.
    """
    at = require_utc(at, "at")
    reason = _need_reason(caller)
    _check_header(rule_id, header)
    found = check_content(content)
    if found.errors:
        raise RuleError(found.errors)
    values = _content_values(content, found)
    with transaction.atomic():
        rule = RewardRule.objects.select_for_update().filter(rule_id=rule_id).first()
        created = rule is None
        if rule is None:
            rule = RewardRule(rule_id=rule_id, created_at=at)
        before = {} if created else _header_state(rule)
        for name in ("name", "description", "priority", "valid_from", "valid_to"):
            setattr(rule, name, getattr(header, name))
        latest = rule.current_version if not created else None
        new_version = latest is None or _version_values(latest) != values
        header_changed = created or before != _header_state(rule)
        if not header_changed and not new_version and latest is not None:
            return SavedRule(rule, latest, created=False, new_version=False, warnings=tuple(found.warnings))
        if created:  # the version needs the rule's key; its history begins with the save below
            rule.skip_history_when_saving = True  # type: ignore[attr-defined]
            _save(rule, at, caller, reason)
            del rule.skip_history_when_saving  # type: ignore[attr-defined]
        version = _add_version(rule, values, at, caller, reason) if new_version or latest is None else latest
        rule.current_version = version
        _save(rule, at, caller, reason)
        audit.record(
            "rewards.rule_created" if created else "rewards.rule_changed",
            rule,
            at=at,
            actor=caller.actor,
            api_client=caller.api_client,
            before=before | ({"version": latest.number, **_plain(_version_values(latest))} if latest and new_version else {}),
            after=_header_state(rule) | ({"version": version.number, **_plain(values)} if new_version else {}),
            reason=reason,
        )
    return SavedRule(rule, version, created, new_version, tuple(found.warnings))


def set_active(rule: RewardRule, active: bool, *, at: datetime, caller: Caller) -> RewardRule:
    """Switch a rule on or off. Switching on checks the current version again. Raises RuleError, RuleRefused."""
    at = require_utc(at, "at")
    reason = _need_reason(caller)
    with transaction.atomic():
        rule = RewardRule.objects.select_for_update().get(pk=rule.pk)
        if rule.is_active == active:
            raise RuleRefused(f"The rule {rule.rule_id} is already {'active' if active else 'inactive'}.")
        if active:
            if rule.current_version is None:
                raise RuleRefused(f"The rule {rule.rule_id} has no content yet; save it first.")
            compiled = compile_version(rule.current_version)
            if compiled.reward.bonus_template and (problems := template_problems(compiled.reward.bonus_template)):
                raise RuleError(problems)
            if rule.valid_to is not None and rule.valid_to <= at:
                raise RuleRefused(f"The rule ended on {rule.valid_to:%Y-%m-%d %H:%M} UTC; change its validity first.")
        rule.is_active = active
        _save(rule, at, caller, reason)
        audit.record(
            "rewards.rule_activated" if active else "rewards.rule_deactivated",
            rule,
            at=at,
            actor=caller.actor,
            api_client=caller.api_client,
            before={"is_active": not active},
            after={"is_active": active, "version": rule.current_version.number if rule.current_version else None},
            reason=reason,
        )
    return rule


def roll_back(rule: RewardRule, number: int, *, at: datetime, caller: Caller) -> RuleVersion:
    """Make the content of version `number` current again, as a new version. Raises RuleRefused, RuleError."""
    at = require_utc(at, "at")
    reason = _need_reason(caller)
    with transaction.atomic():
        rule = RewardRule.objects.select_for_update().get(pk=rule.pk)
        wanted = rule.versions.filter(number=number).first()
        if wanted is None:
            raise RuleRefused(f"The rule {rule.rule_id} has no version {number}.")
        current = rule.current_version
        if current is not None and _version_values(current) == _version_values(wanted):
            raise RuleRefused(f"The current version {current.number} has the same content as version {number}.")
        compile_version(wanted)
        version = _add_version(rule, _version_values(wanted), at, caller, f"Back to version {number}: {reason}")
        rule.current_version = version
        _save(rule, at, caller, reason)
        audit.record(
            "rewards.rule_rolled_back",
            rule,
            at=at,
            actor=caller.actor,
            api_client=caller.api_client,
            before={"version": current.number if current else None},
            after={"version": version.number, "same_as": number},
            reason=reason,
        )
    return version


def compile_version(version: RuleVersion) -> CompiledRule:
    """The compiled rule of a stored version. Raises RuleError when the language has changed since it was saved."""
    return compile_rule(version.conditions, version.reward_config)


def diff_versions(before: RuleVersion, after: RuleVersion) -> list[Change]:
    """What differs, field by field; conditions and reward are compared by their paths."""
    old, new = _flat(_plain(_version_values(before))), _flat(_plain(_version_values(after)))
    return [Change(name, old.get(name), new.get(name)) for name in sorted(old.keys() | new.keys()) if old.get(name) != new.get(name)]


def content_equals(content: RuleContent, version: RuleVersion) -> bool:
    """Whether saving the content would make no new version. Content with errors equals nothing."""
    found = check_content(content)
    return not found.errors and _content_values(content, found) == _version_values(version)


def known_values() -> dict[str, Sequence[str]]:
    """Values that exist at this operator, for spelling checks; kept for five minutes."""
    found = cache.get(_KNOWN_VALUES_KEY)
    if found is None:
        found = {"tier": list(Tier.objects.values_list("name", flat=True))}
        with connection.cursor() as cursor:
            for name in _PLAYER_CATEGORIES:
                cursor.execute(f"SELECT DISTINCT {name} FROM players_player WHERE {name} <> '' LIMIT 1000")
                found[name] = [row[0] for row in cursor.fetchall()]
        games = Game.objects.values_list("code", flat=True)[:20_000]
        found["eligible_games"] = [*Game.Category.values, *games]
        found = {name: values for name, values in found.items() if values}
        cache.set(_KNOWN_VALUES_KEY, found, _KNOWN_VALUES_SECONDS)
    return found


def forget_known_values() -> None:
    """After tiers or games changed."""
    cache.delete(_KNOWN_VALUES_KEY)


# inside


def _need_reason(caller: Caller) -> str:
    reason = caller.reason.strip()
    if not reason:
        raise RuleRefused("A reason is needed for every change of a rule.")
    return reason


def _check_header(rule_id: str, header: RuleHeader) -> None:
    try:
        validate_slug(rule_id)
    except ValidationError:
        raise RuleRefused(f"{rule_id!r} is not a rule id: use letters, digits, _ and -.") from None
    if len(rule_id) > 80:
        raise RuleRefused("A rule id has at most 80 characters.")
    if not header.name.strip() or len(header.name) > 120:
        raise RuleRefused("A rule needs a name of at most 120 characters.")
    for name in ("valid_from", "valid_to"):
        if (moment := getattr(header, name)) is not None:
            require_utc(moment, name)
    if header.valid_from and header.valid_to and header.valid_to <= header.valid_from:
        raise RuleRefused("valid_to must be after valid_from.")


def _settings_problems(content: RuleContent) -> list[Problem]:
    problems = []
    if content.period not in RuleVersion.Period.values:
        known = ", ".join(RuleVersion.Period.values)
        problems.append(Problem("period", f"{content.period!r} is not a period.", f"Use one of {known}.", "period"))
    if not 0 <= content.cooldown_hours <= _MAX_COOLDOWN_HOURS:
        problems.append(Problem("cooldown", "The cooldown is out of range.", f"0 to {_MAX_COOLDOWN_HOURS} hours.", "cooldown_hours"))
    if len(content.stacking_group) > 40:
        problems.append(Problem("stacking_group", "The stacking group is too long.", "At most 40 characters.", "stacking_group"))
    for name in ("player_budget", "total_budget"):
        budget = getattr(content, name)
        if budget is not None and not (budget.is_finite() and 0 < budget < 10**14):
            problems.append(Problem("budget", f"{name} needs an amount above 0.", "Leave it empty for no limit.", name))
    if content.player_budget and content.total_budget and content.player_budget > content.total_budget:
        problems.append(Problem("budget", "One player's budget is above the total budget.", "Lower it.", "player_budget"))
    return problems


def _template_problems(found: Review) -> list[Problem]:
    """The template that the reward names must be one that can be offered, and whose amount the rule can state."""
    code = found.rule.reward.bonus_template if found.rule is not None else ""
    return [] if not code else template_problems(code)


def template_problems(code: str) -> list[Problem]:
    """Why a bonus template cannot be given by a rule; empty when it can."""
    try:
        bonus_terms(code)
    except ValueError as error:
        message, _, remedy = str(error).partition("; ")
        text = f"{message[:1].upper()}{message[1:]}."
        return [Problem("reward_template", text, f"{remedy[:1].upper()}{remedy[1:]}.", "reward_config", ("bonus_template",))]
    return []


def _content_values(content: RuleContent, found: Review) -> dict[str, Any]:
    return {
        "conditions": _storable(found.conditions),
        "reward_config": _storable(_canonical_reward(found)),
        "period": str(content.period),
        "cooldown_hours": content.cooldown_hours,
        "stacking_group": content.stacking_group.strip(),
        "player_budget": content.player_budget,
        "total_budget": content.total_budget,
    }


def _canonical_reward(found: Review) -> dict[str, Any]:
    """As written, but with the canonical spelling of type, currency and rounding, and without the terms of a bonus where none is
    given: a warning says that they have no effect, and the granting refuses points that are to be wagered."""
    config = dict(found.reward_config)
    assert found.rule is not None  # callers refuse content with errors first
    if found.rule.reward.unit != "BONUS":
        config = {name: value for name, value in config.items() if name not in BONUS_KEYS}
    for name in ("type", "currency", "rounding"):
        if config.get(name):
            config[name] = getattr(found.rule.reward, name)
    return config


def _version_values(version: RuleVersion) -> dict[str, Any]:
    names = ("conditions", "reward_config", "period", "cooldown_hours", "stacking_group", "player_budget", "total_budget")
    return {name: getattr(version, name) for name in names}


def _storable(value: Any) -> Any:
    """JSON numbers for Decimals. Exact: the language takes at most 15 digits, which a JSON number gives back as written."""
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, Mapping):
        return {str(name): _storable(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_storable(one) for one in value]
    return value


def _add_version(rule: RewardRule, values: Mapping[str, Any], at: datetime, caller: Caller, note: str) -> RuleVersion:
    number = (rule.versions.aggregate(highest=Max("number"))["highest"] or 0) + 1
    return RuleVersion.objects.create(rule=rule, number=number, created_at=at, created_by=caller.actor, note=note, **values)


def _save(rule: RewardRule, at: datetime, caller: Caller, reason: str) -> None:
    rule.updated_at = at
    rule._history_user = caller.actor  # type: ignore[attr-defined]
    rule._history_date = at  # type: ignore[attr-defined]
    rule._change_reason = reason  # type: ignore[attr-defined]
    rule.save()


def _header_state(rule: RewardRule) -> dict[str, Any]:
    moments = {name: moment.isoformat() if (moment := getattr(rule, name)) else None for name in ("valid_from", "valid_to")}
    return {"rule_id": rule.rule_id, "name": rule.name, "description": rule.description, "priority": rule.priority, **moments}


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: format(value.normalize(), "f") if isinstance(value, Decimal) else value for name, value in values.items()}


def _shown(value: Any) -> str:
    if value is None:
        return "–"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _flat(value: Any, path: str = "") -> dict[str, Any]:
    if isinstance(value, Mapping) and (value or not path):
        return {name: one for key, inner in value.items() for name, one in _flat(inner, f"{path}.{key}" if path else str(key)).items()}
    if isinstance(value, list) and any(isinstance(one, (Mapping, list)) for one in value):
        return {name: one for i, inner in enumerate(value) for name, one in _flat(inner, f"{path}[{i}]").items()}
    return {path: value}
