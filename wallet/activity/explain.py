"""Why a bonus stands where it stands: every bet on it, what of it counted and why, and the progress before and after."""

import csv
import io
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from django.db.models import QuerySet

from loyalty_site.common.money import from_minor
from players.imports.export import neutralise
from wallet.models import BonusGrant, WagerCount

COLUMNS = (
    "number", "reported_as", "activity_id", "round_id", "placed_at", "settled_at", "game", "category", "provider", "currency", "stake",
    "stake_cash", "stake_bonus", "stake_locked", "verdict", "explanation", "rule", "weight", "counted_stake", "counted", "penalty",
    "progress_before", "progress_after", "required",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Explanation:
    """One step of a grant's wagering. Amounts in units of the currency; `explanation` is the whole of it in words."""

    number: int
    reported_as: str
    activity_id: str
    round_id: str
    placed_at: datetime
    settled_at: datetime
    game: str
    category: str
    provider: str
    currency: str
    stake: Decimal
    stake_cash: Decimal
    stake_bonus: Decimal
    stake_locked: Decimal
    verdict: str
    explanation: str
    rule: str
    weight: Decimal
    counted_stake: Decimal
    counted: Decimal
    penalty: Decimal
    progress_before: Decimal
    progress_after: Decimal
    required: Decimal


def explain(grant_id: int) -> QuerySet[WagerCount]:
    """The steps of a grant's wagering, oldest first, with their bets; `explained` puts one into words."""
    return WagerCount.objects.filter(grant_id=grant_id).select_related("wager", "settled_by", "grant").order_by("id")


def explained(step: WagerCount) -> Explanation:
    bet = step.wager
    return Explanation(
        number=step.pk,
        reported_as=bet.get_kind_display(),
        activity_id=bet.activity_id,
        round_id=bet.round_id,
        placed_at=bet.occurred_at,
        settled_at=step.settled_by.occurred_at,
        game=bet.game_code,
        category=bet.game_category,
        provider=bet.provider,
        currency=bet.currency,
        stake=from_minor(bet.amount, bet.currency),
        stake_cash=from_minor(bet.real_part, bet.currency),
        stake_bonus=from_minor(bet.bonus_part, bet.currency),
        stake_locked=from_minor(bet.locked_part, bet.currency),
        verdict=step.verdict,
        explanation=in_words(step),
        rule=step.rule,
        weight=step.weight,
        counted_stake=step.counted_stake,
        counted=step.counted,
        penalty=step.penalty,
        progress_before=step.progress_before,
        progress_after=step.progress_after,
        required=step.required_after,
    )


def in_words(step: WagerCount) -> str:
    """What a bet did and why, for a player who asks."""
    code = step.grant.currency
    words = [f"{step.get_verdict_display()}."]
    if step.counted > 0:
        words.append(
            f"{_plain(step.counted_stake)} {code} of the stake at weight {_plain(step.weight)} counts {_plain(step.counted)} {code}."
        )
    elif step.counted < 0:
        words.append(f"{_plain(-step.counted)} {code} of progress taken back.")
    if step.rule:
        words.append(f"Line that decided: {step.rule}.")
    if step.penalty > 0:
        words.append(f"The stake was above the largest bet: the requirement rose by {_plain(step.penalty)} {code}.")
    elif step.penalty < 0:
        words.append(f"The requirement went down again by {_plain(-step.penalty)} {code}.")
    words.append(f"Progress {_plain(step.progress_before)} to {_plain(step.progress_after)} of {_plain(step.required_after)} {code}.")
    return " ".join(words)


def explanation_csv(grant: BonusGrant) -> Iterator[str]:
    """The explanation of a grant as CSV, line by line, safe to open in a spreadsheet."""
    yield _line(COLUMNS)
    for step in explain(grant.pk).iterator(chunk_size=2000):
        row = explained(step)
        yield _line(_cell(getattr(row, name)) for name in COLUMNS)


def _cell(value: object) -> str:
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%dT%H:%M:%SZ}"
    if isinstance(value, Decimal):
        return format(value, "f")
    return str(neutralise(value)) if isinstance(value, str) else str(value)


def _line(cells: Iterable[str]) -> str:
    out = io.StringIO()
    csv.writer(out, lineterminator="\r\n").writerow(list(cells))
    return out.getvalue()


def _plain(amount: Decimal) -> str:
    """A number without the zeros that say nothing; whole cents stay."""
    text = format(amount.normalize(), "f")
    places = len(text.partition(".")[2])
    return format(amount, ".2f") if 0 < places < 2 else text
