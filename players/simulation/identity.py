"""Names, addresses, devices, networks and payment instruments. Nothing here belongs to a real person or a public network."""

import numpy as np

from .config import MARKETS, SimulationConfig
from .population import Population

FIRST_NAMES = {
    "german": "Anna Ben Clara David Emma Felix Greta Hannes Ida Jonas Klara Lukas Mia Noah Paula Ruben Sophie Tim Vera Wim".split(),
    "nordic": "Aino Axel Elin Emil Freja Hilda Ida Joel Kalle Linnea Maja Nils Olavi Pia Rasmus Saga Sini Tor Veera Ville".split(),
    "english": "Alice Aidan Beth Callum Daisy Ethan Fiona Grace Harry Isla Jack Kate Liam Molly Niamh Owen Poppy Ryan Sean Tara".split(),
    "southern": "Alba Bruno Carla Diego Elena Fabio Gala Hugo Ines Javier Lucia Marco Nadia Oscar Petra Rita Sara Tomas Vito Xenia".split(),
}
LAST_NAMES = {
    "german": "Bauer Becker Brandt Fischer Graf Hofer Jansen Keller Koch Lang Maier Neumann Richter Schulz Vogel Weber Winter Wolf".split(),
    "nordic": "Aalto Berg Dahl Eklund Forsberg Heino Holm Koski Laine Lind Lund Niemi Nyman Strand Sund Virta Wallin Ek".split(),
    "english": "Abbott Barnes Byrne Carter Doyle Ellis Foster Gray Hughes Kelly Lane Moore Nolan Parker Quinn Reid Shaw Walsh".split(),
    "southern": "Alonso Borg Camilleri Costa Diaz Farrugia Garcia Grech Leon Marin Molina Navarro Ortiz Pace Ramos Romero Vella".split(),
}
CHANNELS = ("organic", "affiliate", "paid_search", "social", "referral")
METHODS = ("card", "e-wallet", "bank_transfer", "prepaid")
_CHANNEL_SHARES = (0.30, 0.34, 0.17, 0.11, 0.08)
_CARRIER_ADDRESSES = 48  # shared addresses of mobile networks in each market
_DEVICE, _INSTRUMENT, _RING_DEVICE, _RING_INSTRUMENT, _HOUSE_DEVICE = range(1, 6)


def fingerprints(config: SimulationConfig, what: int, owner: np.ndarray, index: np.ndarray) -> np.ndarray:
    """16 hex digits for each (owner, index): a keyed mix of the seed, so that equal inputs and only they share a print."""
    with np.errstate(over="ignore"):
        x = (owner.astype(np.uint64) << np.uint64(8)) | (index.astype(np.uint64) << np.uint64(4)) | np.uint64(what)
        x ^= np.uint64(config.seed) * np.uint64(0x9E3779B97F4A7C15)
        for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
            x = (x ^ (x >> np.uint64(shift))) * np.uint64(factor)
        x ^= x >> np.uint64(31)
    unique, inverse = np.unique(x, return_inverse=True)
    return np.array([f"{value:016x}" for value in unique.tolist()])[inverse]


def device_of_visits(rng: np.random.Generator, config: SimulationConfig, people: Population, player: np.ndarray) -> np.ndarray:
    """Own devices (one to three); members of a ring mostly use the ring's two, households one tablet now and then."""
    own = np.minimum(rng.geometric(0.75, len(player)) - 1, 2)
    prints = fingerprints(config, _DEVICE, people.number[player], own)
    block = int(people.number[0]) << 8
    ring, house = people.ring[player], people.household[player]
    in_ring = (ring >= 0) & (rng.random(len(player)) < 0.7)
    prints[in_ring] = fingerprints(config, _RING_DEVICE, block + ring[in_ring], rng.integers(0, 2, in_ring.sum()))
    shares_tablet = (house >= 0) & (house % 3 == 0) & (rng.random(len(player)) < 0.15)
    prints[shares_tablet] = fingerprints(config, _HOUSE_DEVICE, block + house[shares_tablet], np.zeros(shares_tablet.sum(), dtype=int))
    return prints


def address_of_visits(rng: np.random.Generator, people: Population, player: np.ndarray) -> np.ndarray:
    """IPv4 of each visit: homes in 10.0.0.0/8, mobile networks' shared addresses in 100.64.0.0/10 (used by many people)."""
    home_owner = people.number[player].astype(np.int64).copy()
    for group in (people.household, people.ring):
        together = group[player] >= 0
        first_member = np.full(group.max(initial=-1) + 1, np.iinfo(np.int64).max)
        np.minimum.at(first_member, group[group >= 0], people.number[group >= 0])
        home_owner[together] = first_member[group[player][together]]
    moved = np.minimum(rng.geometric(0.8, len(player)) - 1, 3)
    home = (10 << 24) | ((home_owner * 4 + moved) & 0xFFFFFF)
    mobile_share = np.where(people.ring >= 0, 0.1, rng.beta(1.2, 2.5, len(people)))
    carrier = (100 << 24) | (64 << 16) | (people.market[player] << 8) | rng.integers(1, _CARRIER_ADDRESSES + 1, len(player))
    address = np.where(rng.random(len(player)) < mobile_share[player], carrier, home).astype(np.int64)
    parts = [(address >> shift & 255).astype("U3") for shift in (24, 16, 8, 0)]
    text = parts[0]
    for part in parts[1:]:
        text = np.char.add(np.char.add(text, "."), part)
    return text


def instruments_of_payments(
    rng: np.random.Generator, config: SimulationConfig, people: Population, player: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """(method, fingerprint) of each payment: a player's first instrument mostly; half of each ring pays with the ring's."""
    second = (rng.random(len(player)) < 0.12).astype(np.int64)
    favourite = rng.choice(len(METHODS), size=(len(people), 2), p=[0.48, 0.30, 0.15, 0.07])
    prints = fingerprints(config, _INSTRUMENT, people.number[player], second)
    method = favourite[player, second]
    pays_for_ring = (people.ring >= 0) & (rng.random(len(people)) < 0.5)
    shared = pays_for_ring[player]
    block = int(people.number[0]) << 8
    prints[shared] = fingerprints(config, _RING_INSTRUMENT, block + people.ring[player][shared], np.zeros(shared.sum(), dtype=int))
    method[shared] = 0
    return np.array(METHODS)[method], prints


def personal_details(rng: np.random.Generator, config: SimulationConfig, people: Population) -> dict[str, np.ndarray]:
    """First and last name, user name, e-mail at example.com, birth date (18 to 75 at registration), channel."""
    size = len(people)
    group = np.array([market.names for market in MARKETS])[people.market]
    first, last = np.empty(size, dtype="U20"), np.empty(size, dtype="U20")
    for name in FIRST_NAMES:
        mine = group == name
        first[mine] = rng.choice(FIRST_NAMES[name], mine.sum())
        last[mine] = rng.choice(LAST_NAMES[name], mine.sum())
    number = people.number.astype("U12")
    lower_first, lower_last = np.char.lower(first), np.char.lower(last)
    username = np.char.add(np.char.add(lower_first, lower_last), number)
    email = np.char.add(np.char.add(np.char.add(np.char.add(lower_first, "."), lower_last), number), "@example.com")
    age_days = (18.02 + 57 * rng.beta(1.6, 3.0, size)) * 365.25
    birth_day = config.first_day + people.arrival - age_days
    return {
        "first_name": first,
        "last_name": last,
        "username": username,
        "email": email,
        "birth_date": np.floor(birth_day).astype(np.int64).astype("datetime64[D]"),
        "acquisition_channel": rng.choice(CHANNELS, size=size, p=_CHANNEL_SHARES),
    }
