import pytest

from players.imports.fields import FIELDS
from players.imports.mapping import BUILTIN, check_options, detect_kind, normalise, resolve, suggest
from players.imports.problems import ImportRefused
from players.imports.validate import Validator

TOTALS = ["player_id", "total_deposited", "total_wagered", "total_won", "sessions", "playtime_hours"]


def checked(kind, columns, headers, rows, now, **options):
    validator = Validator(kind, resolve(kind, columns, headers), len(headers), options, now)
    result = validator.check([(number, list(row)) for number, row in enumerate(rows, start=2)])
    return validator.fields, result


@pytest.mark.parametrize(
    ("header", "name"),
    [
        ("Player ID ", "player_id"),
        ("totalWagered (EUR)", "total_wagered"),
        ("E-Mail", "e_mail"),
        ("Gewinn [€]", "gewinn"),
        ("ИГРОК", "игрок"),
    ],
)
def test_normalise__headers__lose_case_units_and_punctuation(header, name):
    assert normalise(header) == name


def test_suggest__reference_headers__match_exactly():
    found = suggest("TOTALS", TOTALS)
    assert found == {"player_external_id": "player_id", **{name: name for name in TOTALS[1:]}}
    assert detect_kind(TOTALS) == "TOTALS"


def test_suggest__other_systems_words_and_typos__are_recognised():
    found = suggest("TOTALS", ["Customer ID", "Total Deposits", "Turnover", "Winnings", "Session Count", "playtme_hours", "Notes"])
    assert found == {
        "player_external_id": "Customer ID", "total_deposited": "Total Deposits", "total_wagered": "Turnover", "total_won": "Winnings",
        "sessions": "Session Count", "playtime_hours": "playtme_hours",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("headers", "kind"),
    [
        (["player_id", "payment_id", "type", "amount", "date"], "PAYMENTS"),
        (["player_id", "session_id", "start_time", "end_time", "ip"], "SESSIONS"),
        (["player_id", "bet_id", "game", "timestamp", "stake", "payout"], "PLAYS"),
        (["player_id", "email", "country"], "PLAYERS"),
        (["colour", "shape"], None),
    ],
)
def test_detect_kind__headers__decide(headers, kind):
    assert detect_kind(headers) == kind


def test_resolve__missing_and_absent_columns__are_all_named():
    with pytest.raises(ImportRefused, match="total_won, sessions, playtime_hours") as caught:
        resolve("TOTALS", {"player_external_id": "a", "total_deposited": "b", "total_wagered": "b"}, ["a", "b"])
    assert caught.value.details["columns"] == ["total_won", "sessions", "playtime_hours"]
    with pytest.raises(ImportRefused, match="gone"):
        resolve("TOTALS", {"player_external_id": "gone"}, ["a"])
    with pytest.raises(ImportRefused, match="nonsense"):
        resolve("TOTALS", {"nonsense": "a"}, ["a"])


def test_transforms__sum_product_first_join_constant_and_when__compute_exactly(now):
    headers = ["u", "id", "bet", "multiplier", "profit", "note"]
    columns = {
        "player_external_id": {"transform": "join", "headers": ["u", "note"], "with": "-"},
        "external_id": {"transform": "first", "headers": ["note", "id"]},
        "game_code": {"constant": "crash"},
        "played_at": {"constant": "2026-03-01"},
        "stake": "bet",
        "payout": {"transform": "product", "headers": ["bet", "multiplier"], "when": "multiplier", "else": "0"},
        "bonus_stake": {"transform": "difference", "headers": ["bet", "bet"]},
    }
    fields, result = checked("PLAYS", columns, headers, [["u1", "7", "0.1", "3", "0.2", ""], ["u2", "8", "5", "", "", "n"]], now)
    rows = [dict(zip(["row", *fields], row, strict=True)) for row in result.rows]
    assert result.faults == {}
    assert [row["payout"] for row in rows] == ["0.3", "0"]
    assert [row["player_external_id"] for row in rows] == ["u1", "u2-n"]
    assert [row["external_id"] for row in rows] == ["7", "n"]
    assert {row["game_code"] for row in rows} == {"crash"}


def test_builtin_bustabit__won_and_lost_bet__pay_stake_plus_profit_or_nothing(now):
    headers = ["Id", "GameID", "Username", "Bet", "CashedOut", "Bonus", "Profit", "BustedAt", "PlayDate"]
    rows = [
        ["1", "g", "u", "4", "1.33", "3.0", "1.44", "3.15", "2021-11-23T06:39:15Z"],
        ["2", "g", "u", "3", "", "", "", "1.4", "2021-11-14T14:21:50Z"],
    ]
    fields, result = checked("PLAYS", BUILTIN["bustabit"]["columns"], headers, rows, now)
    payout = fields.index("payout") + 1
    assert [row[payout] for row in result.rows] == ["5.44", "0"]


def test_values__translated__then_checked(now):
    columns = {
        "player_external_id": "p", "external_id": "i", "kind": {"header": "k", "values": {"E": "DEPOSIT"}}, "amount": "a",
        "occurred_at": "t",
    }  # fmt: skip
    rows = [["P", "1", "E", "1", "2026-03-01"], ["P", "2", "X", "1", "2026-03-01"]]
    fields, result = checked("PAYMENTS", columns, ["p", "i", "k", "a", "t"], rows, now)
    assert [row[fields.index("kind") + 1] for row in result.rows] == ["DEPOSIT"]
    assert result.faults[3][0].code == "unknown_value"
    assert "WITHDRAWAL" in result.faults[3][0].remedy


@pytest.mark.parametrize(
    ("row", "column", "code"),
    [
        (["", "1", "1", "1", "1", "1"], "player_id", "missing"),
        (["x" * 65, "1", "1", "1", "1", "1"], "player_id", "too_long"),
        (["a\x07b", "1", "1", "1", "1", "1"], "player_id", "control_character"),
        (["P", "", "1", "1", "1", "1"], "total_deposited", "missing"),
        (["P", "1", "1", "1", "-1", "1"], "sessions", "negative"),
        (["P", "1", "1", "1", "1", "12345678901"], "playtime_hours", "too_large"),
        (["1.23456789012346e+19", "1", "1", "1", "1", "1"], "player_id", "scientific"),
        (["1.23E+19", "1", "1", "1", "1", "1"], "player_id", "scientific"),
        (["P", "1,2,3,4\nQ,1,2,3,4,5\nR,1,2,3,4,5"], "", "unclosed_quote"),
        (["P", "1", "1", "1", "1"], "", "wrong_cell_count"),
        (["P", "1", "1", "1", "1", "1", "1"], "", "wrong_cell_count"),
    ],
)
def test_row__one_fault__names_column_and_code(now, row, column, code):
    _fields, result = checked("TOTALS", suggest("TOTALS", TOTALS), TOTALS, [row], now)
    problem = result.faults[2][0]
    assert (problem.column, problem.code) == (column, code)
    assert result.rows == []


def test_row__negative_count__is_told_as_a_count(now):
    _fields, result = checked("TOTALS", suggest("TOTALS", TOTALS), TOTALS, [["P", "1", "1", "1", "-1", "1"]], now)
    assert (result.faults[2][0].reason, result.faults[2][0].remedy) == ("'-1' is negative.", "A count is 0 or more: enter the true one.")


@pytest.mark.parametrize("player", ["1", "5e10", "Ω" * 64, "選手", "игрок 7", "=1+1"])
def test_row__player_id_of_any_script__is_taken(now, player):
    fields, result = checked("TOTALS", suggest("TOTALS", TOTALS), TOTALS, [[player, "1", "1", "1", "1", "1"]], now)
    assert result.rows[0][fields.index("player_external_id") + 1] == player


def test_row__session_ending_before_start__is_a_problem(now):
    headers = ["player_id", "session_id", "start_time", "end_time", "ip"]
    rows = [["P", "1", "2026-03-01 10:00", "2026-03-01 09:59", "::1"], ["P", "2", "2026-03-01 10:00", "2026-03-01 10:00:00.5", "999.1.1.1"]]
    _fields, result = checked("SESSIONS", suggest("SESSIONS", headers), headers, rows, now)
    assert [result.faults[number][0].code for number in (2, 3)] == ["ends_before_start", "bad_ip"]


def test_row__bonus_above_stake_or_no_rounds__is_a_problem(now):
    headers = ["player_id", "bet_id", "game", "timestamp", "stake", "payout", "bonus_bet", "rounds"]
    rows = [["P", "1", "g", "2026-03-01", "5", "0", "5.01", "1"], ["P", "2", "g", "2026-03-01", "5", "0", "5", "0"]]
    _fields, result = checked("PLAYS", suggest("PLAYS", headers), headers, rows, now)
    assert [result.faults[number][0].code for number in (2, 3)] == ["bonus_above_stake", "no_rounds"]


@pytest.mark.parametrize("options", [{"zone": "Mars/Base"}, {"decimals": 9}, {"unix": "days"}, {"colour": 1}])
def test_options__nonsense__is_refused(options):
    with pytest.raises(ImportRefused):
        check_options(options)


def test_fields__names__are_unique_per_kind():
    for fields in FIELDS.values():
        assert len({one.name for one in fields}) == len(fields)
