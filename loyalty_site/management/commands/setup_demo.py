"""`manage.py setup_demo`: tiers, markets, reward rules, bonuses and staff accounts to try the product with. Safe to run again."""

import os
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.contrib.auth.hashers import make_password
from django.contrib.auth.models import Group
from django.core.management.base import BaseCommand, CommandError
from django.db import transaction

from loyalty_site import sample_bonuses, sample_data
from loyalty_site.common.clock import utc_now
from loyalty_site.common.money import to_minor
from players.models import Jurisdiction, JurisdictionPack, Tier
from rewards import rule_services
from rewards.models import EarningRule, PlayPoints, RewardRule
from wallet.grants.template_versions import draft_version, save_version
from wallet.models import BonusTemplate, CatalogueItem, ContributionRule, ContributionTable, PointsPolicy

User = get_user_model()

_MARK = "(demo)"  # tells our accounts from those that staff made


class Command(BaseCommand):
    help = (
        "Create the sample tiers, markets, reward rules, bonuses, a catalogue and one staff account per role. "
        "What exists stays as staff left it. "
        "The accounts' password comes from LOYALTY_DEMO_PASSWORD."
    )

    def handle(self, *_args: Any, **_options: Any) -> None:
        if settings.IS_PRODUCTION:
            raise CommandError(
                "setup_demo makes accounts with a known password and is refused in production; set LOYALTY_ENV=demo on a trial."
            )
        password = os.environ.get("LOYALTY_DEMO_PASSWORD", "")
        if len(password) < 8:
            raise CommandError("set LOYALTY_DEMO_PASSWORD to a password of at least 8 characters for the demo's staff accounts.")
        with transaction.atomic():
            counts = {
                "tiers": self._tiers(),
                "markets": self._markets(),
                "staff": self._staff(password),
                "rules": self._rules(utc_now()),
                "contribution tables": self._contribution_tables(),
                "bonus templates": self._bonus_templates(utc_now()),
                "catalogue items": self._catalogue(),
            }
            self._points_policies()
            self._earning_rules(utc_now())
        self.stdout.write("created: " + ", ".join(f"{count} {name}" for name, count in counts.items()))

    def _tiers(self) -> int:
        """The ladder, unless there is one already: half of ours mixed into somebody else's would be neither."""
        if Tier.objects.exists():
            return 0
        for tier in sample_data.TIERS:
            Tier.objects.create(**tier)
        return len(sample_data.TIERS)

    def _earning_rules(self, at: datetime) -> None:
        """Points for the whole simulated history, unless staff wrote rules or points were reckoned already."""
        if PlayPoints.objects.exists() or EarningRule.history.exists():
            return
        first = at.date() - timedelta(days=sample_data.PROGRAMME_DAYS)
        EarningRule.objects.update(valid_from=first)
        for rule in sample_data.EARNING_RULES:
            EarningRule.objects.create(**rule, valid_from=first)

    def _markets(self) -> int:
        created = 0
        for code, name, countries, packs in sample_data.MARKETS:
            market, is_new = Jurisdiction.objects.get_or_create(code=code, defaults={"name": name, "countries": countries})
            if is_new:
                created += 1
                for pack in packs:
                    JurisdictionPack.objects.create(jurisdiction=market, **pack)
        return created

    def _staff(self, password: str) -> int:
        hashed = make_password(password)
        created = 0
        for username, group_name in [(sample_data.DEMO_ADMIN, None), *sample_data.DEMO_STAFF.items()]:
            user, is_new = User.objects.get_or_create(
                username=username,
                defaults={
                    "is_staff": True,
                    "is_superuser": group_name is None,
                    "password": hashed,
                    "first_name": username.replace("_", " ").title(),
                    "last_name": _MARK,
                },
            )
            if is_new and group_name is not None:
                user.groups.add(self._group(group_name))
            created += is_new
        ours = User.objects.filter(username__in=[sample_data.DEMO_ADMIN, *sample_data.DEMO_STAFF], last_name=_MARK)
        first = ours.first()
        if first is not None and not first.check_password(password):  # another password was asked for since
            ours.update(password=hashed)
        return created

    def _group(self, name: str) -> Group:
        try:
            return Group.objects.get(name=name)
        except Group.DoesNotExist:
            raise CommandError(f"the role {name!r} does not exist; run manage.py migrate first.") from None

    def _rules(self, at: datetime) -> int:
        present = set(RewardRule.objects.values_list("rule_id", flat=True))
        missing = [rule for rule in sample_data.RULES if rule["rule_id"] not in present]
        caller = rule_services.Caller(actor=User.objects.get(username=sample_data.DEMO_ADMIN), reason="Sample rule of the demo.")
        for sample in missing:
            values = dict(sample)
            header = rule_services.RuleHeader(**{name: values.pop(name) for name in ("name", "description", "priority")})
            saved = rule_services.save_rule(values.pop("rule_id"), header, rule_services.RuleContent(**values), at=at, caller=caller)
            rule_services.set_active(saved.rule, True, at=at, caller=caller)
        return len(missing)

    def _contribution_tables(self) -> int:
        """Tables with the lines that hold since before all simulated play. The default stays whichever staff chose."""
        created = 0
        for name, is_default, lines in sample_bonuses.CONTRIBUTION_TABLES:
            if ContributionTable.objects.filter(name=name).exists():
                continue
            is_default = is_default and not ContributionTable.objects.filter(is_default=True).exists()
            table = ContributionTable.objects.create(name=name, is_default=is_default)
            for scope, key, method, weight in lines:
                ContributionRule.objects.create(
                    table=table, scope=scope, key=key, method=method, weight=Decimal(weight), valid_from=sample_bonuses.TABLES_BEGIN
                )
            created += 1
        return created

    def _bonus_templates(self, at: datetime) -> int:
        created = 0
        for sample in sample_bonuses.BONUS_TEMPLATES:
            template, is_new = BonusTemplate.objects.get_or_create(code=sample["code"], defaults={"name": sample["name"]})
            if not is_new:
                continue
            fields = {"products": ["casino"], **sample["terms"]}
            fields["markets"] = list(Jurisdiction.objects.filter(code__in=fields["markets"]))
            if "contribution" in fields:
                fields["contribution"] = ContributionTable.objects.get(name=fields["contribution"])
            draft = draft_version(template, fields, at)
            if draft.needs_acknowledgement:  # games that count little make the player wager more than the market's figure
                fields["acknowledged_multiple"] = draft.effective
            save_version(template, fields, None, at, reason="Sample bonus of the demo.")
            created += 1
        return created

    def _points_policies(self) -> None:
        for unit, fields in sample_bonuses.POINTS_POLICIES.items():
            PointsPolicy.objects.filter(unit=unit, expiry="never", cost_per_point=0).update(**fields)

    def _catalogue(self) -> int:
        present = set(CatalogueItem.objects.values_list("code", flat=True))
        missing = [item for item in sample_bonuses.CATALOGUE if item["code"] not in present]
        for sample in missing:
            values = dict(sample)
            template = values.pop("template", None)
            if template is not None:
                values["bonus_template"] = BonusTemplate.objects.get(code=template)
            CatalogueItem.objects.create(**values | {"price": to_minor(values["price"], "RP")})
        return len(missing)
