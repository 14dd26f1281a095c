"""`manage.py setup_demo`: tiers, markets, reward rules and staff accounts to try the product with. Safe to run again."""

import os
from datetime import datetime
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.contrib.auth.hashers import make_password
from django.contrib.auth.models import Group
from django.core.management.base import BaseCommand, CommandError
from django.db import transaction

from loyalty_site import sample_data
from loyalty_site.common.clock import utc_now
from players.models import Jurisdiction, JurisdictionPack, Tier
from rewards import rule_services
from rewards.models import RewardRule

User = get_user_model()

_MARK = "(demo)"  # tells our accounts from those that staff made


class Command(BaseCommand):
    help = (
        "Create the sample tiers, markets, reward rules and one staff account per role. What exists stays as staff left it. "
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
            }
        self.stdout.write("created: " + ", ".join(f"{count} {name}" for name, count in counts.items()))

    def _tiers(self) -> int:
        """The ladder, unless there is one already: half of ours mixed into somebody else's would be neither."""
        if Tier.objects.exists():
            return 0
        for tier in sample_data.TIERS:
            Tier.objects.create(**tier)
        return len(sample_data.TIERS)

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
