"""The check of the demo asks each kind for a player who has a score of it."""

from loyalty_site.launcher import check


def test_first_row__of_an_envelope() -> None:
    assert check.first_row('{"data": {"results": [{"player_id": "P1"}]}}') == {"player_id": "P1"}
    assert check.first_row('{"data": {"results": []}}') is None


def test_record_paths__of_predictions__the_kinds_own_first_player() -> None:
    operations = {
        f"/api/v1/predictions/{kind}/{rest}": {"get": {}} for kind in ("churn", "ltv") for rest in ("predict", "players/{player_id}")
    }
    rows = {"/api/v1/players": {"player_id": "P9"}, "/api/v1/predictions/churn/predict": {"player_id": "P1"}}
    assert check.record_paths(operations, rows) == ["/api/v1/predictions/churn/players/P1"]
