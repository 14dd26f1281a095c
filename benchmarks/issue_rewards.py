"""Issuing rewards, against Django's bulk_create/bulk_update and against one hand-written INSERT..SELECT, in the same run.

    python benchmarks/issue_rewards.py [--rewards 200000] [--baseline 10000]

Needs a database without players (DATABASE_URL); it fills it and empties it again. Every contender pays approved rewards of as many
players and writes the same rows: account, ledger entry, status and event of the decision; a bonus also its grant with event and
movement. Ours is the job `rewards.issue` as the night runs it. Once for bonus money, once for loyalty points. The baseline runs on
fewer rewards, as its cost is linear in them: in transactions of 1,000 and of 5,000 like ours. The floor is one statement for all
rewards in one transaction: no claiming, no checks, no chunks that others could work beside.
Prints one JSON object a kind.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "loyalty_site.settings")
os.environ.setdefault("LOYALTY_LOG_LEVEL", "WARNING")

import django  # noqa: E402

django.setup()

from django.db import connection, transaction  # noqa: E402

from loyalty_site.common import jobs  # noqa: E402
from players.models import Player  # noqa: E402
from rewards.models import DecisionEvent, RewardDecision, RewardRule, RuleVersion  # noqa: E402
from wallet.bonus.terms import Terms  # noqa: E402
from wallet.models import Account, BonusGrant, Entry, GrantEvent, GrantMovement, Lot  # noqa: E402
from wallet.services import reconcile  # noqa: E402

AT = datetime(2026, 3, 15, 12, tzinfo=UTC)
CHUNK = 5_000
PAID = "wallet_grantmovement, wallet_grantevent, wallet_bonusgrant, wallet_entry, wallet_account, rewards_decisionevent"
EVERYTHING = f"{PAID}, rewards_rewarddecision, rewards_ruleversion, rewards_rewardrule, players_player"

_PLAYERS = """
INSERT INTO players_player (external_id, username, first_name, last_name, email, country, currency, language, acquisition_channel, status,
    segment, risk_score, attributes, created_at, updated_at)
SELECT 'bench-' || n, '', '', '', '', 'MT', 'EUR', '', '', 'ACTIVE', 'WINNING', 0, '{}', %(at)s, %(at)s FROM generate_series(1, %(count)s) n
"""
_DECISIONS = """
INSERT INTO rewards_rewarddecision (player_id, rule_id, rule_version_id, period, stacking_group, source, idempotency_key, unit, currency,
    proposed_minor, amount_minor, wagering_multiple, wagering_required, expiry_hours, eligible_games, status, verdicts, refused_by, facts,
    diff, expected_cost, budget_ids, reason, approvals_needed, proposed_at, checked_at, decided_at, error, bonus_template)
SELECT id, %(rule)s, %(version)s, '2026-03-15', '', 'RULE', '', %(unit)s, %(currency)s, 1000 + id %% 500, 1000 + id %% 500,
    %(multiple)s, %(required)s, %(hours)s, '[]',
    'AUTO_APPROVED', '[]', '', '{}', '[]', 10, '{}', '', 0, %(at)s, %(at)s, %(at)s, '', ''
FROM players_player ORDER BY id
"""
# what a bonus writes beside account, entry and story
_FLOOR_BONUS = """
), bonus AS (
    INSERT INTO wallet_bonusgrant (id, player_id, account_id, currency, product, principal, balance, locked, deposit, deposit_ref,
        wagering_required, wagered, penalties, terms, released, kept, spins_left, open_bets, status, queue_order, offered_at, activated_at,
        expires_at, source_type, source_ref, source_sub)
    SELECT bonus, player_id, account, 'EUR', 'casino', amount_minor, amount_minor, 0, 0, '', wagering_required, 0, 0,
        %(terms)s::jsonb || jsonb_build_object('eligible_games', eligible_games), 0, 0, 0, 0, 'ACTIVE', 0, %(at)s, %(at)s,
        %(at)s + expiry_hours * interval '1 hour', 'reward', id::text, '' FROM d
), event AS (
    INSERT INTO wallet_grantevent (grant_id, from_status, to_status, cause, detail, entry_id, occurred_at)
    SELECT bonus, '', 'ACTIVE', 'credited by reward ' || id, %(detail)s::jsonb, entry, %(at)s FROM d
), movement AS (
    INSERT INTO wallet_grantmovement (grant_id, entry_id, pocket, amount) SELECT bonus, entry, 'balance', amount_minor FROM d
"""
# what points write beside account, entry and story
_FLOOR_LOT = """
), lot AS (
    INSERT INTO wallet_lot (account_id, player_id, entry_id, qty, remaining, status, earned_at, available_at, house,
        source_type, source_ref, source_sub)
    SELECT account, player_id, entry, amount_minor, amount_minor, 'ACTIVE', %(at)s, %(at)s, 'rewards', 'reward', id::text, '' FROM d
"""
_FLOOR = """
WITH d AS MATERIALIZED (
    SELECT id, player_id, unit, currency, amount_minor, wagering_required, expiry_hours, eligible_games,
        nextval('wallet_account_id_seq') AS account, nextval('wallet_entry_id_seq') AS entry, nextval('wallet_bonusgrant_id_seq') AS bonus
    FROM rewards_rewarddecision WHERE status = 'AUTO_APPROVED'
), account AS (
    INSERT INTO wallet_account (id, player_id, unit, currency, balance, version, earned_total, owed)
    SELECT account, player_id, unit, currency, amount_minor, 1, amount_minor, 0 FROM d
), entry AS (
    INSERT INTO wallet_entry (id, account_id, house, amount, seq, balance_after, source_type, source_ref, source_sub, reason, occurred_at)
    SELECT entry, account, 'rewards', amount_minor, 1, amount_minor, 'reward', id::text, '', 'Bench', %(at)s FROM d
{bonus}
), story AS (
    INSERT INTO rewards_decisionevent (decision_id, occurred_at, from_status, to_status, cause, note, detail)
    SELECT id, %(at)s, 'AUTO_APPROVED', 'ISSUED', 'issue', '', '{{"path": ["AUTO_APPROVED", "ISSUING", "ISSUED"]}}' FROM d
)
UPDATE rewards_rewarddecision r SET status = 'ISSUED', issued_at = %(at)s, error = '' FROM d WHERE r.id = d.id
"""
# terms and detail as every credit of a bonus without a template writes them
_TERMS = Terms(requirement=Decimal(50), wagering_seconds=48 * 3600).as_json()
_DETAIL = {
    "product": "casino", "principal": "1000", "deposit": "0", "deposit_ref": "", "required": "50", "spins": "0",
    "expires_at": "2026-03-17T12:00:00.000000+00:00", "queue_order": "0", "house": "rewards", "reason": "Bench",
}  # fmt: skip
KINDS: dict[str, dict] = {
    "BONUS": {"unit": "BONUS", "currency": "EUR", "multiple": 5, "required": 50, "hours": 48},
    "LP": {"unit": "LP", "currency": "", "multiple": 0, "required": 0, "hours": None},
}


def sql(statement: str, parameters: dict | None = None) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)


def keep_autovacuum(on: bool) -> None:
    """Between two contenders it would note emptied tables as empty, and foreign keys would then be checked by reading whole tables."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT relname FROM pg_class WHERE relkind = 'r' AND relname ~ '^(wallet|rewards)_'")
        for (table,) in cursor.fetchall():
            cursor.execute(f"ALTER TABLE {table} " + ("RESET (autovacuum_enabled)" if on else "SET (autovacuum_enabled = off)"))


def prepare(count: int, kind: str) -> None:
    sql(f"TRUNCATE {EVERYTHING} RESTART IDENTITY CASCADE")
    rule = RewardRule.objects.create(rule_id="bench", name="Bench", created_at=AT, updated_at=AT)
    version = RuleVersion.objects.create(
        rule=rule, number=1, reward_config={"type": "BONUS_BALANCE" if kind == "BONUS" else "LOYALTY_POINTS"}, period="DAY", created_at=AT
    )
    sql(_PLAYERS, {"count": count, "at": AT})
    sql(_DECISIONS, {"rule": rule.pk, "version": version.pk, "at": AT, **KINDS[kind]})
    for table in ("players_player", "rewards_rewarddecision"):
        sql(f"VACUUM ANALYZE {table}")


def timed(count: int, kind: str, contender: Callable[[], None]) -> float:
    """Rewards per second of wall time, on freshly prepared rows; checks that all were paid and the books balance."""
    prepare(count, kind)
    sql("CHECKPOINT")
    start = time.perf_counter()
    contender()
    seconds = time.perf_counter() - start
    assert RewardDecision.objects.filter(status="ISSUED").count() == Entry.objects.count() == count
    assert BonusGrant.objects.count() == (count if kind == "BONUS" else 0)
    assert DecisionEvent.objects.count() == count
    assert reconcile(0, 2**62).ok
    return count / seconds


def ours() -> None:
    run = jobs.execute(jobs.create_run("rewards.issue", as_of=AT))
    assert run.status == "SUCCEEDED", run.error


def floor(kind: str) -> None:
    sql(
        _FLOOR.format(bonus=_FLOOR_BONUS if kind == "BONUS" else _FLOOR_LOT),
        {"at": AT, "terms": json.dumps(_TERMS), "detail": json.dumps(_DETAIL)},
    )


def bulk(batch: int, kind: str) -> None:
    ids = list(RewardDecision.objects.order_by("pk").values_list("pk", flat=True))
    for start in range(0, len(ids), batch):
        with transaction.atomic():
            _bulk_batch(ids[start : start + batch], kind)


def _bulk_batch(ids: list[int], kind: str) -> None:
    decisions = list(RewardDecision.objects.select_for_update().filter(pk__in=ids).order_by("pk"))
    wanted = {"unit": KINDS[kind]["unit"], "currency": KINDS[kind]["currency"]}
    known = {one.player_id: one for one in Account.objects.filter(player_id__in=[one.player_id for one in decisions], **wanted)}
    Account.objects.bulk_create([Account(player_id=one.player_id, **wanted) for one in decisions if one.player_id not in known])
    accounts = Account.objects.select_for_update().filter(player_id__in=[one.player_id for one in decisions], **wanted).order_by("pk")
    by_player = {account.player_id: account for account in accounts}
    entries, grants = [], []
    for one in decisions:
        account = by_player[one.player_id]
        account.balance += one.amount_minor
        account.earned_total += one.amount_minor
        account.version += 1
        source = {"source_type": "reward", "source_ref": str(one.pk)}
        entries.append(
            Entry(account=account, house="rewards", amount=one.amount_minor, seq=account.version, balance_after=account.balance,
                  reason="Bench", occurred_at=AT, **source)
        )  # fmt: skip
        if kind == "BONUS":
            grants.append(_grant(one, account, source))
        one.status, one.issued_at, one.error = "ISSUED", AT, ""
    Account.objects.bulk_update(by_player.values(), ["balance", "earned_total", "version"])
    Entry.objects.bulk_create(entries)
    if kind == "BONUS":
        _bulk_grants(grants, entries)
    else:
        _bulk_lots(entries)
    RewardDecision.objects.bulk_update(decisions, ["status", "issued_at", "error"])
    DecisionEvent.objects.bulk_create(
        [
            DecisionEvent(decision=one, occurred_at=AT, from_status="AUTO_APPROVED", to_status="ISSUED", cause="issue",
                          detail={"path": ["AUTO_APPROVED", "ISSUING", "ISSUED"]})
            for one in decisions
        ]
    )  # fmt: skip


def _grant(one: RewardDecision, account: Account, source: dict[str, str]) -> BonusGrant:
    return BonusGrant(
        player_id=one.player_id, account=account, currency="EUR", principal=one.amount_minor, balance=one.amount_minor,
        wagering_required=one.wagering_required, terms=_TERMS | {"eligible_games": one.eligible_games}, status="ACTIVE", offered_at=AT,
        activated_at=AT, expires_at=AT + timedelta(hours=one.expiry_hours or 0), **source,
    )  # fmt: skip


def _bulk_grants(grants: list[BonusGrant], entries: list[Entry]) -> None:
    BonusGrant.objects.bulk_create(grants)
    pairs = list(zip(grants, entries, strict=True))
    GrantEvent.objects.bulk_create(
        [
            GrantEvent(
                grant=grant, to_status="ACTIVE", cause=f"credited by reward {grant.source_ref}", detail=_DETAIL, entry=entry, occurred_at=AT
            )
            for grant, entry in pairs
        ]
    )
    GrantMovement.objects.bulk_create([GrantMovement(grant=grant, entry=entry, amount=entry.amount) for grant, entry in pairs])


def _bulk_lots(entries: list[Entry]) -> None:
    Lot.objects.bulk_create(
        [
            Lot(account=entry.account, player_id=entry.account.player_id, entry=entry, qty=entry.amount, remaining=entry.amount,
                status="ACTIVE", earned_at=AT, available_at=AT, house="rewards", source_type=entry.source_type, source_ref=entry.source_ref)
            for entry in entries
        ]
    )  # fmt: skip


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--rewards", type=int, default=200_000)
    arguments.add_argument("--baseline", type=int, default=10_000)
    options = arguments.parse_args()
    if Player.objects.exclude(external_id__startswith="bench-").exists():
        sys.exit("This database has players. Give the benchmark an empty one with DATABASE_URL.")
    sql("SET lock_timeout = 0")
    keep_autovacuum(False)
    for kind in KINDS:
        rates = {
            "ours": timed(options.rewards, kind, ours),
            "insert_select": timed(options.rewards, kind, lambda kind=kind: floor(kind)),
            "bulk_1000": timed(options.baseline, kind, lambda kind=kind: bulk(1_000, kind)),
            "bulk_5000": timed(options.baseline, kind, lambda kind=kind: bulk(CHUNK, kind)),
        }
        figures = {
            "kind": kind,
            "rewards": options.rewards,
            "per_second": {name: round(rate) for name, rate in rates.items()},
            "times_bulk_1000": round(rates["ours"] / rates["bulk_1000"], 1),
            "times_bulk_5000": round(rates["ours"] / rates["bulk_5000"], 1),
            "share_of_insert_select": round(rates["ours"] / rates["insert_select"], 2),
        }
        print(json.dumps(figures), flush=True)
    sql(f"TRUNCATE {EVERYTHING} RESTART IDENTITY CASCADE")
    keep_autovacuum(True)


if __name__ == "__main__":
    main()
