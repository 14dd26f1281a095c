"""The whole state of the wallets as values that can be compared: every table, without database ids, log numbers and times of receipt."""

from typing import Any

from wallet.models import Account, BonusGrant, Entry, GrantEvent, GrantMovement, PayoutInstruction, WagerCount, WagerEvent, WalletFlag

_EVENT = (
    "source", "activity_id", "kind", "player_id", "currency", "product", "round_id", "ends_round", "amount", "real_part", "bonus_part",
    "locked_part", "split_stated", "cash_before", "grant__source_ref", "takes_back_id", "takes_back_kind", "game_code", "game_category",
    "provider", "house_edge", "is_free_round", "coverage", "waits", "entry__source_ref", "entry__source_sub", "occurred_at",
)  # fmt: skip
_ENTRY = (
    "account__player_id", "account__unit", "account__currency", "house", "amount", "source_sub", "reversal_of__source_sub", "reason",
)  # fmt: skip
_GRANT = (
    "source_ref", "status", "principal", "balance", "locked", "wagering_required", "wagered", "penalties", "released", "kept",
    "spins_left", "open_bets", "activated_at", "expires_at", "closed_at",
)  # fmt: skip
_COUNT = (
    "wager__activity_id", "wager__kind", "settled_by__activity_id", "grant__source_ref", "verdict", "rule", "weight", "counted_stake",
    "counted", "penalty", "progress_before", "progress_after", "required_after",
)  # fmt: skip


def _rows(model: Any, *names: str, **where: Any) -> list[tuple[Any, ...]]:
    return sorted(map(tuple, model.objects.filter(**where).values_list(*names)), key=repr)


def state(player_ids: list[int], *, with_order: bool = True) -> dict[str, Any]:
    """Everything of these players' wallets. `with_order`: also what tells in which order a player's rows came about."""
    mine = {"player_id__in": player_ids}
    order = ("seq", "balance_after", "source_ref") if with_order else ()
    refs = {one.pk: one.source_ref for one in BonusGrant.objects.filter(**mine)}
    events = ("cash_change",) if with_order else ()
    found = {
        "events": _rows(WagerEvent, *_EVENT, *events, **mine),
        "accounts": _rows(Account, "player_id", "unit", "currency", "balance", "version", "earned_total", "owed", **mine),
        "grants": _rows(BonusGrant, *_GRANT, **mine),
        "entries": _rows(Entry, *_ENTRY, *order, account__player_id__in=player_ids),
        "movements": _rows(
            GrantMovement, "grant__source_ref", "entry__source_sub", "pocket", "amount", *(("entry__seq",) if with_order else ()),
            grant__player_id__in=player_ids,
        ),
        "counts": _rows(WagerCount, *_COUNT, grant__player_id__in=player_ids),
        "changes": _rows(
            GrantEvent, "grant__source_ref", "from_status", "to_status", "cause", "detail", "entry__source_sub", "occurred_at",
            grant__player_id__in=player_ids,
        ),
        "payouts": _rows(PayoutInstruction, "grant__source_ref", "entry__source_sub", "amount", "status", **mine),
        "flags": _rows(WalletFlag, "player_id", "kind", "grant__source_ref", "source_ref", "detail", **mine),
    }  # fmt: skip
    found["entries"] = [_named(row, refs) for row in found["entries"]]
    return found


def _named(row: tuple[Any, ...], refs: dict[int, str]) -> tuple[Any, ...]:
    """Ids of grants in sources of entries differ from run to run; their references do not."""
    return tuple(refs.get(int(value), value) if isinstance(value, str) and value.isdigit() else value for value in row)
