"""Random programmes, ladders, standings and points around a day."""

from datetime import date, timedelta

from hypothesis import strategies as st

from rewards.tiers.qualification import Override, Programme, Situation, Standing, Step, Window

JOINED = date(2024, 2, 29)

programmes = st.builds(
    Programme,
    window=st.sampled_from(list(Window)),
    rolling_days=st.sampled_from([1, 2, 30, 90]),
    grace_days=st.sampled_from([0, 1, 14]),
    soft_landing=st.booleans(),
)


@st.composite
def _ladders(draw: st.DrawFn) -> list[Step]:
    entries = sorted(draw(st.lists(st.sampled_from([0, 0, 100, 1000, 1000, 5000, 20_000]), min_size=1, max_size=5)))
    if draw(st.integers(0, 3)):  # mostly a ladder with something to lose
        entries = [0, 1000, 5000, *entries[3:]] if draw(st.booleans()) else [0, 100, 1000, 20_000]
    entries = sorted(entries)
    return [
        Step(tier_id, entry, draw(st.integers(0, entry) | st.just(entry)), draw(st.integers(0, 3)) == 0)
        for tier_id, entry in enumerate(entries, start=1)
    ]


ladders = _ladders()
_gaps = st.sampled_from([-100, -15, -14, -1, 0, 1, 13, 14, 15, 40, 100])


@st.composite
def standings(draw: st.DrawFn, ladder: list[Step], today: date) -> Standing | None:
    tiers = st.sampled_from([step.tier_id for step in ladder])
    if draw(st.integers(0, 5)) == 0:
        return None
    valid = today + timedelta(days=draw(_gaps))
    tier = draw(st.none() | tiers | tiers | tiers)
    grace = (
        valid + timedelta(days=draw(st.sampled_from([0, 1, 14, 30, 120]))) if valid <= today and tier and draw(st.integers(0, 3)) else None
    )
    frozen_on = today - timedelta(days=draw(st.sampled_from([0, 1, 7, 40]))) if draw(st.integers(0, 3)) == 0 else None
    override = Override(draw(tiers), today + timedelta(days=draw(_gaps))) if draw(st.integers(0, 3)) == 0 else None
    return Standing(tier, valid, grace, "EXCLUDED" if frozen_on else "", frozen_on, override, draw(st.none() | tiers))


@st.composite
def situations(draw: st.DrawFn, ladder: list[Step], today: date, standing: Standing | None) -> Situation:
    tiers = st.sampled_from([step.tier_id for step in ladder])
    known = standing.effective if standing else None
    present = draw(tiers | st.none()) if standing is None or draw(st.integers(0, 5)) == 0 else known
    days = st.sampled_from([-200, -120, -91, -90, -89, -60, -31, -30, -29, -15, -14, -13, -2, -1, 0, 0, 1, 2])
    amounts = st.sampled_from([1, 50, 99, 100, 500, 999, 1000, 4000, 19_999, 20_000])
    points = draw(st.dictionaries(days.map(lambda gap: today + timedelta(days=gap)), amounts, max_size=6))
    return Situation(
        present,
        draw(st.sampled_from([JOINED, date(2025, 7, 1), today])),
        points,
        draw(st.sampled_from(["", "", "", "EXCLUDED"])),
        draw(st.booleans()),
    )
