"""Fills the database of DATABASE_URL with players whose reward is due. Run as a process of its own: `python -m tests.faults.world N`."""

import sys
from datetime import UTC, datetime

import django

NOW = datetime(2026, 3, 15, 12, 0, tzinfo=UTC)


def fill(players: int) -> None:
    from django.db import connection

    from players.models import Jurisdiction, JurisdictionPack
    from rewards import rule_services

    market = Jurisdiction.objects.create(code="MT", name="Malta", countries=["MT"])
    JurisdictionPack.objects.create(jurisdiction=market, valid_from="2020-01-01")
    with connection.cursor() as cursor:
        cursor.execute(
            """
            INSERT INTO players_player (external_id, username, first_name, last_name, email, country, jurisdiction_id, currency, language,
                registered_at, acquisition_channel, status, segment, risk_score, attributes, created_at, updated_at)
            SELECT 'F' || n, '', '', '', '', 'MT', %(market)s, 'EUR', '', %(now)s, '', 'ACTIVE', 'NEW', 0, '{}', %(now)s, %(now)s
            FROM generate_series(1, %(players)s) n
            """,
            {"market": market.pk, "now": NOW, "players": players},
        )
        cursor.execute(
            """
            INSERT INTO players_protection (player_id, marketing_consent, marketing_consent_at, profiling_consent, profiling_consent_at,
                harm_flag, harm_note)
            SELECT id, true, %(now)s, true, %(now)s, false, '' FROM players_player
            """,
            {"now": NOW},
        )
    caller = rule_services.Caller(reason="fault test")
    saved = rule_services.save_rule(
        "points",
        rule_services.RuleHeader(name="Ten points"),
        rule_services.RuleContent(conditions={}, reward_config={"type": "LOYALTY_POINTS", "formula": "10", "max_amount": 10}),
        at=NOW,
        caller=caller,
    )
    rule_services.set_active(saved.rule, True, at=NOW, caller=caller)


if __name__ == "__main__":
    django.setup()
    fill(int(sys.argv[1]))
