"""What stands on the page of a bonus: how far it is, what was promised, where its money went, what every bet did."""

from datetime import datetime, timedelta
from typing import Any

from django.db import connection
from django.utils.safestring import SafeString

from loyalty_site.common.admin.display import amount, badge, duration
from loyalty_site.common.admin.display import progress_bar as draw_bar
from wallet import services
from wallet.bonus import closing, values
from wallet.bonus.states import Status
from wallet.bonus.terms import Terms
from wallet.grants.queue import queue_position
from wallet.models import (
    FINAL_STATUSES,
    OPEN_STATUSES,
    BonusGrant,
    ContributionTable,
    Entry,
    GrantEvent,
    GrantStatus,
    House,
    PayoutInstruction,
    WagerCount,
    WalletFlag,
)

from .entry import entry_rows
from .grant_words import parts_words, sentences, terms_table, verdict_words, wagering_amount
from .parts import STATUS_TONES, page_url, player_link, shown_amount, shown_signed

BETS_A_PAGE = 50
_ENTRIES = 25
_EXACT_COUNT = 10_000
_GOOD = {"COUNTED", "CAPPED"}
_PARTLY = {"CAPPED_AT_MAX_BET", "FLAGGED", "PENALTY"}
_PAYOUT_TONES = {"PENDING": "warn", "DELIVERED": "good", "FAILED": "bad"}
_VOID_TONES = {"PENDING": "warn", "VOIDED": "bad", "REJECTED": ""}
# what a posting did to the bonus, by its house code; the order is that of the panel
_MONEY_LINES: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("Credited", (House.REWARDS, House.GAME, House.OPENING, House.MANUAL, House.REINSTATED)),
    ("Won with it", (House.WIN,)),
    ("Staked", (House.STAKE,)),
    ("Spent by the player", (House.REDEMPTION,)),
    ("Debt of the player", (House.DEBT,)),
    ("Released to cash", (House.PAYOUT,)),
    ("Kept by the house", (House.BREAKAGE,)),
    ("Expired", (House.EXPIRY,)),
    ("Forfeited, voided or reversed", (House.FORFEIT,)),
)


def status_badge(status: str) -> SafeString:
    return badge(GrantStatus(status).label, STATUS_TONES.get(status, ""))


def wagered_percent(grant: BonusGrant) -> int:
    """Whole per cent, rounded down: 100 only when the wagering is complete. A bonus that is not active yet has 0."""
    if grant.wagering_required:
        return int(100 * grant.wagered / grant.wagering_required)
    return 100 if grant.activated_at else 0


def wagering_bar(grant: BonusGrant) -> SafeString:
    percent = wagered_percent(grant)
    tone = "good" if grant.status == GrantStatus.COMPLETED else ""
    return draw_bar(percent, 100, tone=tone, label=f"{percent} %")


def working_copy(grant: BonusGrant, terms: Terms) -> values.Grant:
    """The grant as the engine knows it."""
    return values.Grant(
        grant_id=grant.pk,
        product=grant.product,
        currency=grant.currency,
        status=Status(grant.status),
        terms=terms,
        principal=grant.principal,
        balance=grant.balance,
        locked=grant.locked,
        deposit=grant.deposit,
        required=grant.wagering_required,
        wagered=grant.wagered,
        penalties=grant.penalties,
        spins_left=grant.spins_left,
        open_bets=grant.open_bets,
        released=grant.released,
        kept=grant.kept,
        activated_at=grant.activated_at,
        expires_at=grant.expires_at,
        queue_order=grant.queue_order,
    )


def grant_page(grant: BonusGrant, now: datetime, *, bets_before: str = "", verdict: str = "") -> dict[str, Any]:
    """Context of a grant's page at `now`. `bets_before` is the id of the bet the table continues below (keyset paging), `verdict`
    narrows it to bets with that verdict."""
    terms = Terms.from_json(grant.terms)
    code = grant.currency
    is_open = grant.status in OPEN_STATUSES
    return {
        "grant": grant,
        "player_link": player_link(grant.player),
        "status_badge": status_badge(grant.status),
        "is_open": is_open,
        "is_waiting": grant.status not in OPEN_STATUSES + FINAL_STATUSES,
        "is_due": is_open and grant.expires_at <= now,
        "principal_text": shown_amount(grant.principal, "BONUS", code),
        "left_text": shown_amount(grant.balance + grant.locked, "BONUS", code),
        "bonus_text": shown_amount(grant.balance, "BONUS", code),
        "locked_text": shown_amount(grant.locked, "BONUS", code) if grant.locked else "",
        "deposit_text": shown_amount(grant.deposit, "BONUS", code),
        "time_tile": _time_tile(grant, now),
        "template": _template(grant),
        "meter": _meter(grant),
        "queue": _queue(grant),
        "sentences": sentences(grant, terms),
        "terms_rows": terms_table(grant, terms, _table_name(terms)),
        "money_rows": _money_rows(grant),
        "if_completed": _if_completed(grant, terms) if is_open else None,
        "if_withdrawn": _if_withdrawn(grant, now) if is_open else None,
        "events": _events(grant),
        "payouts": _payouts(grant),
        "voids": _voids(grant),
        "flags": WalletFlag.objects.filter(player_id=grant.player_id, grant=grant).order_by("-id")[:BETS_A_PAGE],
        "entries": entry_rows(_entries(grant)),
        "account_url": page_url("wallet_account", grant.account_id),
        "ledger_url": f"{page_url('wallet_entry')}?q={grant.player.external_id}",
        **_bets(grant, terms, bets_before, verdict),
    }


def _time_tile(grant: BonusGrant, now: datetime) -> dict[str, str]:
    """How long it still has, or how long it lasted."""
    if grant.closed_at:
        since = grant.activated_at or grant.offered_at
        return {"label": "Lasted", "figure": _days(grant.closed_at - since), "note": f"closed {grant.closed_at:%Y-%m-%d %H:%M} UTC"}
    label = {GrantStatus.OFFERED: "Offer stands", GrantStatus.QUEUED: "May wait"}.get(GrantStatus(grant.status), "Time left")
    left = grant.expires_at - now
    return {
        "label": label,
        "figure": _days(left) if left > timedelta(0) else "none",
        "note": f"until {grant.expires_at:%Y-%m-%d %H:%M} UTC",
        "tone": "bad" if left <= timedelta(0) else "warn" if left < timedelta(days=1) else "",
    }


def _days(time: timedelta) -> str:
    if time < timedelta(days=2):
        return duration(time)
    return f"{time / timedelta(days=1):.1f} days".replace(".0 ", " ")


def _template(grant: BonusGrant) -> dict[str, str] | None:
    version = grant.template_version
    if version is None:
        return None
    return {
        "name": version.template.name,
        "version": f"version {version.number}",
        "url": page_url("wallet_bonustemplate", version.template_id),
    }


def _table_name(terms: Terms) -> str:
    if terms.contribution_table is None:
        return "every game counts in full"
    return ContributionTable.objects.values_list("name", flat=True).get(pk=terms.contribution_table)


def _meter(grant: BonusGrant) -> dict[str, Any]:
    """The bar: what was wagered, what is left of the promise, and the penalties at its end."""
    required, code = grant.wagering_required, grant.currency
    penalty = float(100 * grant.penalties / required) if required else 0.0
    return {
        "percent": wagered_percent(grant),
        "done": f"{float(100 * grant.wagered / required) if required else 100.0 * bool(grant.activated_at):.2f}",
        "penalty": f"{penalty:.2f}",
        "wagered": wagering_amount(grant.wagered, code),
        "required": wagering_amount(required, code),
        "left": wagering_amount(required - grant.wagered, code),
        "penalties": wagering_amount(grant.penalties, code) if grant.penalties else "",
        "nothing": not required,
    }


def _queue(grant: BonusGrant) -> dict[str, Any] | None:
    """Where a queued bonus stands and what it waits for."""
    if grant.status != GrantStatus.QUEUED:
        return None
    same = BonusGrant.objects.filter(player_id=grant.player_id, product=grant.product)
    ahead = same.filter(status__in=OPEN_STATUSES).first()
    return {
        "position": queue_position(grant),
        "length": same.filter(status=GrantStatus.QUEUED).count(),
        "ahead": ahead,
        "ahead_url": page_url(ahead, ahead.pk) if ahead else "",
    }


def _money_rows(grant: BonusGrant) -> list[dict[str, Any]]:
    """What moved within the grant by kind; the lines add up to what is left."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT entry.house, sum(movement.amount) FROM wallet_grantmovement AS movement "
            "JOIN wallet_entry AS entry ON entry.id = movement.entry_id WHERE movement.grant_id = %s GROUP BY 1",
            [grant.pk],
        )
        sums: dict[str, int] = {house: int(minor) for house, minor in cursor.fetchall()}
    rows = []
    for label, houses in _MONEY_LINES:
        if any(house in sums for house in houses):
            minor = sum(sums.get(house, 0) for house in houses)
            rows.append({"label": label, "amount": shown_signed(minor, "BONUS", grant.currency)})
    return rows


def _if_completed(grant: BonusGrant, terms: Terms) -> dict[str, Any]:
    """What the player would get if the wagering were complete now, and what the house would keep by cap or sticky terms."""
    released, kept = closing.release(working_copy(grant, terms))
    return {
        "released": shown_amount(released, "BONUS", grant.currency),
        "kept": shown_amount(kept, "BONUS", grant.currency) if kept else "",
    }


def _if_withdrawn(grant: BonusGrant, now: datetime) -> dict[str, Any]:
    """What a withdrawal of cash would cost the player now: this bonus, and others that would go with it."""
    code = grant.currency
    lost = services.forfeit_preview(grant.player_id, code, now).lost
    own = next((loss for loss in lost if loss.grant_id == grant.pk), None)
    return {
        "own": {
            "bonus": amount(own.bonus, code),
            "locked": amount(own.locked, code),
            "left": wagering_amount(own.wagering_left, code),
        }
        if own
        else None,
        "others": [
            {"pk": loss.grant_id, "url": page_url("wallet_bonusgrant", loss.grant_id), "amount": amount(loss.bonus + loss.locked, code)}
            for loss in lost
            if loss.grant_id != grant.pk
        ],
    }


def _events(grant: BonusGrant) -> list[dict[str, Any]]:
    events: list[GrantEvent] = list(grant.events.select_related("actor", "entry__account").order_by("-id"))
    return [
        {
            "event": event,
            "badge": status_badge(event.to_status),
            "changed": event.from_status != event.to_status,
            "amount": shown_signed(event.entry.amount, event.entry.account.unit, event.entry.account.currency) if event.entry else "",
            "entry_url": page_url("wallet_entry", event.entry_id) if event.entry_id else "",
        }
        for event in events
    ]


def _payouts(grant: BonusGrant) -> list[dict[str, Any]]:
    found: list[PayoutInstruction] = list(grant.payouts.order_by("-id")[:BETS_A_PAGE])
    return [
        {
            "payout": one,
            "amount": shown_signed(one.amount, "BONUS", one.currency),
            "badge": badge(one.get_status_display(), _PAYOUT_TONES.get(one.status, "")),
            "url": page_url(one, one.pk),
            "entry_url": page_url("wallet_entry", one.entry_id),
        }
        for one in found
    ]


def _voids(grant: BonusGrant) -> list[dict[str, Any]]:
    return [
        {"request": one, "url": page_url(one, one.pk), "badge": badge(one.get_status_display(), _VOID_TONES.get(one.status, ""))}
        for one in grant.void_requests.select_related("maker", "checker").order_by("-id")
    ]


def _entries(grant: BonusGrant) -> list[Entry]:
    """The latest entries that moved its money; found through its latest movements, so a long history costs nothing."""
    newest = grant.movements.order_by("-entry_id").values_list("entry_id", flat=True)[: 2 * _ENTRIES]
    return list(Entry.objects.filter(pk__in=list(newest)).select_related("account", "actor").order_by("-id")[:_ENTRIES])


def _bets(grant: BonusGrant, terms: Terms, bets_before: str, verdict: str) -> dict[str, Any]:
    """One page of the per-bet table, newest first."""
    counts = WagerCount.objects.filter(grant=grant).select_related("wager", "settled_by").order_by("-id")
    found_verdicts = sorted(set(WagerCount.objects.filter(grant=grant).order_by().values_list("verdict", flat=True).distinct()))
    if verdict in WagerCount.Verdict.values:
        counts = counts.filter(verdict=verdict)
    else:
        verdict = ""
    continues = bets_before.isascii() and bets_before.isdigit() and len(bets_before) < 19
    below = counts.filter(pk__lt=int(bets_before)) if continues else counts
    page = list(below[: BETS_A_PAGE + 1])
    return {
        "bets": [bet_row(count, grant, terms) for count in page[:BETS_A_PAGE]],
        "bet_count": counts.order_by()[: _EXACT_COUNT + 1].count(),
        "bet_count_limit": _EXACT_COUNT,
        "older_bets": page[BETS_A_PAGE - 1].pk if len(page) > BETS_A_PAGE else None,
        "is_first_bets_page": not continues,
        "verdict": verdict,
        "verdicts": [(one, WagerCount.Verdict(one).label) for one in found_verdicts],
    }


def bet_row(count: WagerCount, grant: BonusGrant, terms: Terms) -> dict[str, Any]:
    """One line of the per-bet table."""
    code, wager = grant.currency, count.wager
    tone = "good" if count.verdict in _GOOD else "bad" if count.verdict == "ROLLED_BACK" else "warn" if count.verdict in _PARTLY else ""
    return {
        "count": count,
        "wager": wager,
        "stake": shown_amount(wager.amount, "BONUS", wager.currency),
        "parts": parts_words(wager.real_part, wager.bonus_part, wager.locked_part, wager.currency),
        "weight": f"{count.weight.normalize():f}",
        "rule": count.rule,
        "counted": wagering_amount(count.counted, code),
        "is_zero": not count.counted,
        "before": wagering_amount(count.progress_before, code).removesuffix(f" {code}"),
        "after": wagering_amount(count.progress_after, code),
        "required": wagering_amount(count.required_after, code),
        "verdict": badge(count.get_verdict_display(), tone),
        "why": verdict_words(count, grant, terms),
    }
