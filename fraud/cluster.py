"""Who shares what with a player: the table that a person needs to judge a cluster of accounts."""

from collections import defaultdict
from dataclasses import dataclass
from decimal import Decimal

from django.db.models import Q, Sum

from fraud.models import AbuseProfile, AbuseSignal, AccountLink, SignalKind
from players.models import Player, PlayerDay

_TOKENS_SHOWN = 8
_PLAYERS_SHOWN = 50


@dataclass(frozen=True)
class SharedToken:
    kind: str
    name: str  # "Device 1"
    fingerprint: str
    players: int


@dataclass(frozen=True)
class Member:
    """`uses[i]` counts this player's uses of the i-th token (0: none)."""

    player: Player
    is_subject: bool
    score: Decimal
    band: str
    deposits: Decimal
    withdrawals: Decimal
    uses: list[int]


@dataclass(frozen=True)
class Cluster:
    tokens: list[SharedToken]
    members: list[Member]
    size: int
    more_tokens: int


def cluster_of(player_id: int) -> Cluster | None:
    """The cluster that the player's MULTI_ACCOUNT signal names, or None without one. Tokens used by most members come first."""
    signal = AbuseSignal.objects.filter(player_id=player_id, kind=SignalKind.MULTI_ACCOUNT).order_by("-seen_at").first()
    if signal is None:
        return None
    ids = [player_id, *signal.evidence["linked_players"]][:_PLAYERS_SHOWN]
    used: dict[tuple[str, str], dict[int, int]] = defaultdict(dict)
    for kind, token, player, uses in AccountLink.objects.filter(player_id__in=ids).values_list("kind", "token", "player_id", "uses"):
        used[kind, token][player] = uses
    order = {kind: position for position, kind in enumerate(AccountLink.Kind.values)}
    shared = sorted(
        (pair for pair, users in used.items() if len(users) > 1),
        key=lambda pair: (-len(used[pair]), order[pair[0]], -sum(used[pair].values())),
    )
    shown = sorted(shared[:_TOKENS_SHOWN], key=lambda pair: (order[pair[0]], -len(used[pair])))
    numbers: dict[str, int] = defaultdict(int)
    tokens = []
    for kind, token in shown:
        numbers[kind] += 1
        tokens.append(
            SharedToken(
                kind, f"{AccountLink.Kind(kind).label.split()[-1].capitalize()} {numbers[kind]}", token[:10], len(used[kind, token])
            )
        )
    profiles = {profile.player_id: profile for profile in AbuseProfile.objects.filter(player_id__in=ids)}
    sums = {
        player: (deposits, withdrawals)
        for player, deposits, withdrawals in PlayerDay.objects.filter(Q(player_id__in=ids))
        .order_by()
        .values_list("player_id")
        .annotate(deposits_sum=Sum("deposits"), withdrawals_sum=Sum("withdrawals"))
    }
    players = Player.objects.in_bulk(ids)
    members = [
        Member(
            player=players[one],
            is_subject=one == player_id,
            score=profiles[one].score if one in profiles else Decimal(0),
            band=profiles[one].band if one in profiles else "NONE",
            deposits=sums.get(one, (Decimal(0), Decimal(0)))[0],
            withdrawals=sums.get(one, (Decimal(0), Decimal(0)))[1],
            uses=[used[pair].get(one, 0) for pair in shown],
        )
        for one in ids
        if one in players
    ]
    return Cluster(tokens, members, signal.evidence["cluster_size"], len(shared) - len(shown))
