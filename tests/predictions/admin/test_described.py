"""What if of somebody who is described: a bank customer with products and transactions, a player by deposits."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils.html import escape

from loyalty_site.roles import ROLES
from predictions import deposit_value, gate, registry, services
from predictions.admin import described
from predictions.admin.entry_form import as_number
from predictions.ml import profile_schema
from predictions.ml.profile_value import ProfileModel
from predictions.services import InvalidProfile, ProfileScore, Reason, Unavailable
from tests.predictions.admin import rows
from tests.predictions.api.test_players_and_models import PURCHASES

pytestmark = pytest.mark.django_db

CUSTOMER, DEPOSITS = "predictions_what_if_customer", "predictions_what_if_deposits"
INCOME = Reason("income", "income a year", "money", 75000.0, 1204.5, "income a year: 75,000")
MORTGAGE = Reason("mortgage_balance", "balance of mortgages", "money", 0.0, -301.0, "balance of mortgages: 0")
BANK = {"value": 4210.35, "low": 2890.1, "high": 5730.9, "confidence": 0.803, "level": 0.8, "base": 3306.85, "outside": ["age"]}
GAMBLER = {
    "value": 182.79, "low": 12.2, "median": 147.1, "high": 396.4, "level": 0.8, "base": 357.83, "alive": 0.91, "purchases": 8.2,
    "margin": 0.44, "currency": "EUR", "amounts_used": 4,
}  # fmt: skip


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Descriptions that were scored, by services that read them as the models do and answer with fixed figures."""
    rows.player("P-1")
    calls: list[dict[str, Any]] = []

    def bank(kind: str, profile: Mapping[str, Any]) -> ProfileScore:
        calls.append(dict(profile))
        try:
            profile_schema.read(profile)
        except profile_schema.InvalidProfile as error:
            raise InvalidProfile(error.errors) from error
        return ProfileScore(kind, dict(BANK), [INCOME, MORTGAGE], ["credit_score"], 6, True)

    def deposits(profile: Mapping[str, Any], at: datetime) -> ProfileScore:
        calls.append(dict(profile))
        return ProfileScore("ltv", dict(GAMBLER), [INCOME], [], 2, False)

    monkeypatch.setattr(services, "score_profile", bank)
    monkeypatch.setattr(deposit_value, "score_deposits", deposits)
    return calls


def opened(client: Client, name: str) -> str:
    return str(client.get(reverse(f"admin:{name}")).content.decode())


def sent(client: Client, name: str, form: Mapping[str, str], *, piece: bool = False) -> str:
    headers = {"HX-Request": "true"} if piece else {}
    answer = client.post(reverse(f"admin:{name}"), form, headers=headers)
    assert answer.status_code == 200
    return str(answer.content.decode())


def product(number: int, **changed: str) -> dict[str, str]:
    told = {"product_type": "Loan", "start_date": "2025-01-31", "balance": "1", "status": "Active", **changed}
    return {f"products-{number}-{field}": text for field, text in told.items()}


def customer(**changed: str) -> dict[str, str]:
    return {
        "age": "41", "tenure_months": "30", "income": "52,000", "credit_score": "", "region": "", "acquisition_channel": "Branch",
        "currency": "EUR", "as_of": "2026-03-15",
        **product(0, balance="9000.50"),
        "transactions-0-transaction_date": "2026-03-01", "transactions-0-transaction_type": "Deposit", "transactions-0-amount": "120",
        "transactions-0-channel": "ATM", **changed,
    }  # fmt: skip


def test_customer__page__scores_its_own_example_at_once(asked: list[Any], client_of: Callable[..., Client]) -> None:
    text = opened(client_of("CRM agent"), CUSTOMER)
    for words in (
        "4,210.35 EUR",
        "80 % interval: 2,890 to 5,731",
        "80.3 %",
        "trained on simulated data",
        "income a year: 75,000",
        "+1,204.50",
    ):
        assert words in text
    assert 'class="pred-up lb-good" style="width:50.0%"' in text
    assert 'class="pred-down lb-bad" style="width:12.5%"' in text
    assert "from 3,306.85 EUR of an average customer of the bank" in text
    assert "Unknown: credit score." in text
    assert "the confidence was not measured there: age." in text
    (told,) = asked
    assert profile_schema.read(told).facts[0].tolist() == [35, 75000, 720, 24, 0, 0]
    assert [one["product_type"] for one in told["products"]] == ["Savings", "Checking"]


def test_customer__what_was_typed__is_scored_and_stays_in_the_form(asked: list[Any], client_of: Callable[..., Client]) -> None:
    text = sent(client_of("CRM agent"), CUSTOMER, customer())
    assert asked == [
        {
            "age": 41.0, "tenure_months": 30.0, "income": 52000.0, "credit_score": None, "region": None, "acquisition_channel": "Branch",
            "as_of": "2026-03-15",
            "products": [{"product_type": "Loan", "start_date": "2025-01-31", "balance": 9000.5, "status": "Active"}],
            "transactions": [{"transaction_date": "2026-03-01", "transaction_type": "Deposit", "amount": 120.0, "channel": "ATM"}],
        }
    ]  # fmt: skip
    for field in ('name="age" value="41"', 'name="products-0-balance" value="9000.50"', '<option value="Branch" selected>'):
        assert field in text


@pytest.mark.parametrize(
    ("button", "products", "transactions"),
    [
        ({"add": "products"}, ["Loan", "Checking"], ["Deposit"]),
        ({"add": "transactions"}, ["Loan"], ["Deposit", "Purchase"]),
        ({"remove": "products-0"}, [], ["Deposit"]),
        ({"remove": "transactions-0"}, ["Loan"], []),
        ({"add": "nonsense", "remove": "age"}, ["Loan"], ["Deposit"]),
    ],
)
def test_customer__buttons_of_rows__work_without_javascript(
    button: dict[str, str], products: list[str], transactions: list[str], asked: list[Any], client_of: Callable[..., Client]
) -> None:
    text = sent(client_of("CRM agent"), CUSTOMER, customer(**button))
    (told,) = asked
    assert [one["product_type"] for one in told["products"]] == products
    assert [one["transaction_type"] for one in told["transactions"]] == transactions
    assert text.count('aria-label="Product ') == len(products) + 1  # the blank one that JavaScript copies
    assert text.count('aria-label="Transaction ') == len(transactions) + 1


def test_customer__rows__are_no_more_than_the_page_holds(asked: list[Any], client_of: Callable[..., Client]) -> None:
    many = {name: text for number in range(45) for name, text in product(number).items()}
    sent(client_of("CRM agent"), CUSTOMER, customer(**many, add="products"))
    assert len(asked[0]["products"]) == 40


def test_customer__what_is_wrong__stands_beside_its_field_and_in_the_list(asked: list[Any], client_of: Callable[..., Client]) -> None:
    wrong = customer(age="12", income="a lot", **product(3, start_date="", balance="-1"))
    client = client_of("CRM agent")
    text = sent(client, CUSTOMER, wrong)
    assert "This cannot be scored yet" in text
    for field, label, message in (
        ("age", "Age", "must be between 18 and 110."),
        ("income", "Income a year", "must be a number."),
        ("products-1-start_date", "Product 2, opened on", "is needed."),  # rows are counted as they stand
        ("products-1-balance", "Product 2, balance", "must be between 0 and 1,000,000,000,000."),
    ):
        assert f"<strong>{label}</strong> {message}" in text
        assert f'data-error-of="{field}">{message}<' in text
    assert text.count('aria-invalid="true"') == 4
    piece = sent(client, CUSTOMER, wrong, piece=True)
    assert 'data-field="products-1-balance"' in piece
    assert "<form" not in piece


@pytest.mark.parametrize("name", [CUSTOMER, DEPOSITS])
def test_described__as_of_the_future__refused_at_its_field(
    name: str, client_of: Callable[..., Client], monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the services themselves, with models that would answer."""
    rows.run()
    rows.player("P-1")
    in_use = {"profile": ProfileModel.__new__(ProfileModel), "ltv": SimpleNamespace(deposits=PURCHASES)}
    monkeypatch.setattr(registry, "load_champion", lambda kind: (SimpleNamespace(pk=6, is_synthetic=False), in_use[kind]))
    form = customer(as_of="2099-01-01", **{"deposits-0-occurred_at": "2026-02-01", "deposits-0-amount": "75.5"})
    text = sent(client_of("CRM agent"), name, form)
    assert "<strong>Scored as of</strong> lies in the future." in text
    assert 'data-error-of="as_of">lies in the future.<' in text
    assert text.count('aria-invalid="true"') == 1


@pytest.mark.parametrize("text", ["1,5", "1.250,50", "12,50,000", "1250,5", ",500", "1,250,50"])
def test_customer__comma_that_parts_no_thousands__is_refused_and_not_dropped(
    text: str, asked: list[Any], client_of: Callable[..., Client]
) -> None:
    message = "must be a number such as 1,250.50: a comma parts thousands, a point the decimals."
    wrong = customer(income=text, **product(0, balance=text), **{"transactions-0-amount": "a, lot"})
    answer = sent(client_of("CRM agent"), CUSTOMER, wrong)
    assert f'data-error-of="income">{message}<' in answer
    assert f"<strong>Product 1, balance</strong> {message}" in answer
    assert "<strong>Transaction 1, amount</strong> must be a number." in answer
    assert (asked[0]["income"], asked[0]["products"][0]["balance"]) == (text, text)


@pytest.mark.parametrize(
    ("text", "meant"), [("1,250.50", 1250.5), ("12,345,678", 12345678.0), ("-1,000", -1000.0), ("1.5", 1.5), ("1250", 1250.0), ("", None)]
)
def test_as_number__commas_between_thousands__are_read(text: str, meant: float | None) -> None:
    assert as_number(text) == meant


def test_customer__piece__is_the_answer_alone(asked: list[Any], client_of: Callable[..., Client]) -> None:
    piece = sent(client_of("CRM agent"), CUSTOMER, customer(), piece=True)
    assert "4,210.35 EUR" in piece
    assert "<html" not in piece


def test_customer__markup_in_a_field__is_text(asked: list[Any], client_of: Callable[..., Client]) -> None:
    text = sent(client_of("CRM agent"), CUSTOMER, customer(age='"><script>alert(1)</script>', currency="<b>"))
    assert "<script>alert" not in text
    assert "<b>" not in text.split("described-form")[1].split("</form>")[0]


def test_deposits__page__scores_by_deposits(asked: list[Any], client_of: Callable[..., Client], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(described, "utc_now", lambda: datetime(2026, 3, 15, 23, 59, tzinfo=UTC))
    client = client_of("CRM agent")
    text = opened(client, DEPOSITS)
    for words in ("182.79 EUR", "80 % interval: 12 to 396", "median 147", "expected 183", "91 %", "8.2", "44 %", "was not measured"):
        assert words in text
    assert "trained on simulated data" not in text
    assert [one["occurred_at"] for one in asked[0]["deposits"]] == ["2025-11-15", "2025-12-21", "2026-01-23", "2026-02-20", "2026-03-09"]
    sent(client, DEPOSITS, {"currency": "EUR", "as_of": "2026-03-15", "deposits-2-occurred_at": "2026-02-01", "deposits-2-amount": "75.5"})
    assert asked[1] == {"currency": "EUR", "as_of": "2026-03-15", "deposits": [{"occurred_at": "2026-02-01", "amount": 75.5}]}


def test_customer__currency__is_said_to_be_a_name_alone(asked: list[Any], client_of: Callable[..., Client]) -> None:
    client = client_of("CRM agent")
    field = opened(client, CUSTOMER).split('<select name="currency"')[1].split("</label>")[0]
    assert "nothing is converted. The model was taught amounts of one currency" in field
    assert "nothing is converted" not in opened(client, DEPOSITS)  # whose amounts are counted in the currency's typical deposit


@pytest.mark.parametrize("name", [CUSTOMER, DEPOSITS])
@pytest.mark.parametrize(("low", "shown"), [(-0.4, "0"), (-0.5, "0"), (-0.0, "0"), (-0.6, "-1"), (0.4, "0")])
def test_described__interval__has_no_negative_nothing(
    name: str, low: float, shown: str, asked: list[Any], client_of: Callable[..., Client], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(BANK, "low", low)
    monkeypatch.setitem(GAMBLER, "low", low)
    text = opened(client_of("CRM agent"), name)
    assert f"80 % interval: {shown} to " in text
    assert f'aria-label="80 % interval {shown} to ' in text


@pytest.mark.parametrize(
    ("deposits", "words"),
    [
        (
            ("2026-01-02", "2026-01-02", "2026-02-01", "2026-03-01"),
            "not used: the value goes by the amounts of the deposit days after it (here 2).",
        ),
        (("2026-01-02",), "No amount entered: the amount of the first deposit day is not used, and there is no other day."),
        (("2026-01-02", "2026-01-02"), "No amount entered: the amount of the first deposit day is not used, and there is no other day."),
    ],
)
def test_deposits__amounts__which_of_them_count_is_said(
    deposits: tuple[str, ...], words: str, client_of: Callable[..., Client], monkeypatch: pytest.MonkeyPatch
) -> None:
    rows.run()
    rows.player("P-1")
    in_use = SimpleNamespace(pk=2, is_synthetic=False), SimpleNamespace(deposits=PURCHASES)
    monkeypatch.setattr(registry, "load_champion", lambda kind: in_use)
    form = {f"deposits-{place}-occurred_at": day for place, day in enumerate(deposits)}
    form |= {f"deposits-{place}-amount": "20" for place in range(len(deposits))}
    assert words in sent(client_of("CRM agent"), DEPOSITS, {"currency": "EUR", "as_of": "2026-03-15", **form})


@pytest.mark.parametrize("name", [CUSTOMER, DEPOSITS])
def test_described__nothing_in_use__says_why(name: str, client_of: Callable[..., Client], monkeypatch: pytest.MonkeyPatch) -> None:
    def none(*args: Any) -> Any:
        raise Unavailable("profile", "No model is in use.")

    monkeypatch.setattr(services, "score_profile", none)
    monkeypatch.setattr(deposit_value, "score_deposits", none)
    assert "No model is in use." in opened(client_of("CRM agent"), name)


def test_deposits__no_model_in_use__says_so_by_the_real_service(client_of: Callable[..., Client]) -> None:
    rows.run(withheld={"ltv": "Too little history for values."})
    assert escape(gate.why_no_model("ltv")) in opened(client_of("CRM agent"), DEPOSITS)


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("name", [CUSTOMER, DEPOSITS])
def test_roles__described__open_for_those_who_may_score_profiles(
    name: str, role: str, asked: list[Any], client_of: Callable[..., Client]
) -> None:
    client, may = client_of(role), "predictions.score_profile" in ROLES[role].permissions
    url = reverse(f"admin:{name}")
    assert client.get(url).status_code == (200 if may else 403)
    assert client.post(url, customer()).status_code == (200 if may else 403)
    assert bool(asked) is may


def test_what_if__pages__lead_to_each_other(asked: list[Any], client_of: Callable[..., Client]) -> None:
    client = client_of("CRM agent")
    for name in ("predictions_what_if", CUSTOMER, DEPOSITS):
        text = opened(client, name)
        assert text.count('<a href="/admin/predictions/modelversion/what-if/') >= 3
        assert f'<a href="{reverse(f"admin:{name}")}" aria-current="true">' in text
