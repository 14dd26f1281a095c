"""Multi-accounting: several accounts on one device, payment instrument or home network."""

import hashlib
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import pandas as pd

from .finding import Finding, by_player, noisy_or
from .parameters import DetectorParameters

KIND = "MULTI_ACCOUNT"
DEVICE, INSTRUMENT, IP = "DEVICE", "INSTRUMENT", "IP"
_STRONG = (DEVICE, INSTRUMENT)
_LISTED_TOKENS = 10
_TokenUsers = dict[Any, frozenset[int]]


class Components:
    """Union-find over players: path halving, union by size."""

    def __init__(self) -> None:
        self._parent: dict[int, int] = {}
        self._size: dict[int, int] = {}

    def find(self, player: int) -> int:
        self._parent.setdefault(player, player)
        self._size.setdefault(player, 1)
        while self._parent[player] != player:
            self._parent[player] = self._parent[self._parent[player]]
            player = self._parent[player]
        return player

    def join(self, one: int, other: int) -> None:
        one, other = self.find(one), self.find(other)
        if one == other:
            return
        if self._size[one] < self._size[other]:
            one, other = other, one
        self._parent[other] = one
        self._size[one] += self._size[other]

    def groups(self) -> list[list[int]]:
        """Members of each component, ascending."""
        members = defaultdict(list)
        for player in sorted(self._parent):
            members[self.find(player)].append(player)
        return list(members.values())


def detect_multi_account(links: pd.DataFrame, parameters: DetectorParameters) -> list[Finding]:
    """One row for each player and shared token: player_id, kind (DEVICE, INSTRUMENT, IP), token, share (of the player's uses of that
    kind), last_seen_at (aware). Tokens of more players than the caps are ignored: a broken fingerprint, a mobile network.

    Devices and instruments join players into clusters; shared addresses support a cluster, and alone make weak clusters among players
    without one, so that a network never welds strangers' clusters together. A player's strength is
    noisy-or(weight of kind x min(1, share / full share)) x (1 - 2^-(size - 1)): two accounts are half, three three quarters.
    """
    caps = {
        DEVICE: parameters.most_players_per_device,
        INSTRUMENT: parameters.most_players_per_instrument,
        IP: parameters.most_players_per_ip,
    }
    users = links.groupby(["kind", "token"])["player_id"].transform("nunique")
    links = links[(users >= 2) & (users <= links["kind"].map(caps))]
    if links.empty:
        return []
    strong = links[links["kind"].isin(_STRONG)]
    clustered = _cluster(strong)
    inside = {player for members in clustered for player in members}
    weak_links = links[(links["kind"] == IP) & ~links["player_id"].isin(inside)]
    weak = [members for members in _cluster(weak_links) if len(members) > 1]
    cluster_of = {player: members for members in [*clustered, *weak] for player in members}
    token_users = {pair: frozenset(players.tolist()) for pair, players in links.groupby(["kind", "token"])["player_id"]}
    findings = []
    for player, mine in by_player(links):
        members = cluster_of.get(player)
        if members is None:
            continue
        others = set(members) - {player}
        mine = mine[[bool(token_users[kind, token] & others) for kind, token in zip(mine["kind"], mine["token"], strict=True)]]
        if finding := _finding(player, members, mine, token_users, parameters):
            findings.append(finding)
    return findings


def _cluster(links: pd.DataFrame) -> list[list[int]]:
    components = Components()
    for _, players in links.groupby(["kind", "token"])["player_id"]:
        first, *rest = (int(player) for player in players)
        components.find(first)
        for other in rest:
            components.join(first, other)
    return components.groups()


def _finding(
    player: int, members: list[int], mine: pd.DataFrame, token_users: _TokenUsers, parameters: DetectorParameters
) -> Finding | None:
    weights = {DEVICE: parameters.device_weight, INSTRUMENT: parameters.instrument_weight, IP: parameters.ip_weight}
    shares = {str(kind): float(share) for kind, share in mine.groupby("kind")["share"].sum().items()}
    ties = noisy_or(weights[kind] * min(1.0, share / parameters.full_share) for kind, share in shares.items())
    strength = ties * (1 - 2.0 ** -(len(members) - 1))
    if strength < parameters.least_strength:
        return None
    return Finding(
        player_id=player,
        kind=KIND,
        key=cluster_key(members),
        strength=strength,
        seen_at=mine["last_seen_at"].max().to_pydatetime(),
        evidence={
            "cluster": cluster_key(members),
            "cluster_size": len(members),
            "linked_players": [other for other in members if other != player][: parameters.listed_players],
            "share_of_use": {kind: round(min(share, 1.0), 4) for kind, share in sorted(shares.items())},
            "shared": [
                {
                    "kind": row["kind"],
                    "token": row["token"][:10],
                    "players": len(token_users[row["kind"], row["token"]]),
                    "share": round(row["share"], 4),
                }
                for row in mine.sort_values("share", ascending=False).head(_LISTED_TOKENS).to_dict("records")
            ],
            "window_days": parameters.link_window_days,
        },
    )


def cluster_key(members: Iterable[int]) -> str:
    """A name for a set of players: another member makes another cluster."""
    return hashlib.sha256(",".join(str(player) for player in sorted(members)).encode()).hexdigest()[:16]
