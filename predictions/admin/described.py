"""What if of somebody who is not here: a customer of a bank with products and transactions, or a player of whom the deposits are known.

Scored at once by the models in use; nothing is stored. Without JavaScript every button sends the form and the whole page comes back; with
it the answer alone is renewed while the numbers are typed.
"""

from abc import abstractmethod
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse

from loyalty_site.common.admin.actions import StaffPage
from loyalty_site.common.clock import utc_now
from predictions import deposit_value, services
from predictions.ml.profile_schema import CHANNELS, LABELS, PRODUCTS, REGIONS, STATUSES, TYPES, WAYS
from predictions.models import Kind
from predictions.services import InvalidProfile, ProfileScore, Unavailable
from wallet.admin.funnel import player_currencies

from . import drawing
from .entry_form import Entered, Entry, EntryForm, Rows, told_of
from .parts import PROFILE, VIEW, Viewer, money, named_url, percent, reason_bars

PERMISSIONS = (PROFILE, VIEW[Kind.LTV])
_MODES = (
    ("predictions_what_if", "A player's numbers", (*PERMISSIONS, VIEW[Kind.CHURN])),
    ("predictions_what_if_customer", "A customer with products", PERMISSIONS),
    ("predictions_what_if_deposits", "A player by deposits", PERMISSIONS),
)
_NOT_MEASURED = (
    "P10 to P90 of simulated futures. How often such an interval holds the real value was not measured, so no confidence is given."
)


def modes(viewer: Viewer, chosen: str) -> list[dict[str, Any]]:
    """The pages of what if that the viewer may open, for the switch above each of them."""
    return [
        {"label": label, "url": named_url(name), "is_chosen": name == chosen}
        for name, label, permissions in _MODES
        if viewer.has_perms(permissions)  # type: ignore[union-attr]
    ]


class DescribedPage(StaffPage):
    """A description is entered and scored. Subclasses say of what fields it is made and who scores it."""

    title = "What if"
    template_name = "predictions/described.html"
    permissions = PERMISSIONS
    http_method_names = ["get", "post", "head", "options"]
    name = ""
    heading = ""
    intro = ""
    currency_note = ""

    @abstractmethod
    def form(self, codes: tuple[str, ...], ago: Callable[[int], str]) -> EntryForm:
        """`codes`: currencies to choose from; `ago`: the day so many days ago, as a date field takes it."""

    @abstractmethod
    def score(self, form: EntryForm, entered: Entered) -> ProfileScore:
        """Raises InvalidProfile and Unavailable."""

    @abstractmethod
    def card(self, found: ProfileScore, currency: str) -> dict[str, Any]: ...

    def _form(self) -> EntryForm:
        today = utc_now().date()
        return self.form(tuple(player_currencies()), lambda days: (today - timedelta(days=days)).isoformat())

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        form = self._form()
        return self.render_to_response(self.get_context_data(form=form, entered=form.initial()))

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        form = self._form()
        entered = form.read(request.POST)
        if "HX-Request" in request.headers:
            return TemplateResponse(request, "predictions/described_answer.html", self._answer(form, entered))
        return self.render_to_response(self.get_context_data(form=form, entered=entered))

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        form, entered = kwargs.pop("form"), kwargs.pop("entered")
        answer = self._answer(form, entered)
        errors = {one["path"]: one["message"] for one in answer.get("errors", [])}
        return super().get_context_data(
            **kwargs,
            **answer,
            modes=modes(self.request.user, self.name),
            heading=self.heading,
            intro=self.intro,
            currency_note=self.currency_note,
            entry=form.drawn(entered, errors),
        )

    def _answer(self, form: EntryForm, entered: Entered) -> dict[str, Any]:
        try:
            found = self.score(form, entered)
        except InvalidProfile as error:
            return {"errors": form.named({**error.errors, **form.stray_commas(entered)})}
        except Unavailable as error:
            return {"unavailable": error.reason}
        currency = entered.values["currency"]
        return {
            "card": {
                **self.card(found, currency),
                "figure": money(found.answer["value"], currency),
                "is_synthetic": found.is_synthetic,
                "base": money(found.answer["base"], currency),
                "currency": currency,
                "reasons": reason_bars(Kind.LTV, [one for one in found.reasons if one.contribution], currency=currency),
            }
        }


class CustomerPage(DescribedPage):
    """A described customer of a bank: facts, products, transactions."""

    name = "predictions_what_if_customer"
    heading = "A customer with products and transactions"
    intro = "What the bank keeps of this customer over the next 12 months. An empty field is unknown."
    currency_note = (
        "A name for the amounts: nothing is converted. The model was taught amounts of one currency, and takes any others as if they were."
    )

    def form(self, codes: tuple[str, ...], ago: Callable[[int], str]) -> EntryForm:
        return EntryForm(
            fields=(
                Entry("age", "Age", initial="35", unit="years", low="18", high="110", is_needed=True),
                Entry("tenure_months", "Customer for", initial="24", unit="months", low="0", high="1200", is_needed=True),
                Entry("income", "Income a year", initial="75000", low="0"),
                Entry("credit_score", "Credit score", initial="720", unit="300 to 850", low="300", high="850"),
                Entry("region", "Region", "choice", "North", options=("", *REGIONS)),
                Entry("acquisition_channel", "Came by", "choice", "Online", options=("", *CHANNELS)),
                Entry("currency", "Currency of all amounts", "choice", codes[0], options=codes),
                Entry("as_of", "Scored as of", "date", ago(0)),
            ),
            lists=(
                Rows(
                    "products",
                    "Products",
                    "Product",
                    (
                        Entry("product_type", "Kind", "choice", "Checking", options=PRODUCTS, is_needed=True),
                        Entry("start_date", "Opened on", "date", ago(365), is_needed=True),
                        Entry("balance", "Balance", initial="0", low="0", is_needed=True),
                        Entry("status", "Status", "choice", "Active", options=STATUSES, is_needed=True),
                    ),
                    ({"product_type": "Savings", "start_date": ago(730), "balance": "5000"}, {"start_date": ago(700), "balance": "1800"}),
                ),
                Rows(
                    "transactions",
                    "Transactions of the last 12 months",
                    "Transaction",
                    (
                        Entry("transaction_date", "Day", "date", ago(7), is_needed=True),
                        Entry("transaction_type", "Kind", "choice", "Purchase", options=TYPES, is_needed=True),
                        Entry("amount", "Amount", initial="100", low="0", is_needed=True),
                        Entry("channel", "Way", "choice", "Online", options=WAYS, is_needed=True),
                    ),
                    (
                        {"transaction_date": ago(41), "transaction_type": "Deposit", "amount": "1000"},
                        {"transaction_date": ago(12), "amount": "120", "channel": "Mobile"},
                    ),
                ),
            ),
        )

    def score(self, form: EntryForm, entered: Entered) -> ProfileScore:
        told = told_of(form, entered)
        told.pop("currency")  # a name for the amounts: the model knows one currency, and nothing is converted
        return services.score_profile(Kind.PROFILE, told)

    def card(self, found: ProfileScore, currency: str) -> dict[str, Any]:
        answer = found.answer
        return {
            "label": "Lifetime value, 12 months",
            "range": drawing.value_range(answer["low"], answer["value"], answer["high"]),
            "facts": [
                ("Confidence", percent(answer["confidence"], 1)),
            ],
            "note": "Confidence is how often the value of customers kept apart, of such a value, lay within the interval.",
            "of_average": "an average customer of the bank",
            "missing": [_label(name) for name in found.missing],
            "outside": [_label(name) for name in answer["outside"]],
        }


class DepositsPage(DescribedPage):
    """A described player of whom the deposits are known."""

    name = "predictions_what_if_deposits"
    heading = "A player by deposits"
    intro = "What a player with these deposits brings in over the next 365 days, by how players here come back and what they deposit."

    def form(self, codes: tuple[str, ...], ago: Callable[[int], str]) -> EntryForm:
        return EntryForm(
            fields=(
                Entry("currency", "Currency", "choice", codes[0], options=codes, is_needed=True),
                Entry("as_of", "Scored as of", "date", ago(0), is_needed=True),
            ),
            lists=(
                Rows(
                    "deposits",
                    "Deposits",
                    "Deposit",
                    (
                        Entry("occurred_at", "Day", "date", ago(3), is_needed=True),
                        Entry("amount", "Amount", initial="50", low="0.01", is_needed=True),
                    ),
                    tuple({"occurred_at": ago(days)} for days in (120, 84, 51, 23, 6)),
                    most=100,
                ),
            ),
        )

    def score(self, form: EntryForm, entered: Entered) -> ProfileScore:
        return deposit_value.score_deposits(told_of(form, entered), utc_now())

    def card(self, found: ProfileScore, currency: str) -> dict[str, Any]:
        answer = found.answer
        return {
            "label": "Lifetime value, 365 days",
            "range": drawing.value_range(answer["low"], answer["value"], answer["high"], answer["median"]),
            "facts": [
                ("Still a customer", percent(answer["alive"])),
                ("Deposit days expected", f"{answer['purchases']:,.1f}"),
                ("Kept of a deposit", percent(answer["margin"])),
            ],
            "note": _NOT_MEASURED,
            "further_note": _amounts_used(answer["amounts_used"]),
            "of_average": "an average depositor",
        }


def _amounts_used(days: int) -> str:
    """What of the amounts entered a value by deposits (`predictions.ml.profile_deposits`)."""
    if not days:
        return (
            "No amount entered: the amount of the first deposit day is not used, and there is no other day. What an average depositor "
            "deposits on a day stands in."
        )
    return f"The amount of the first deposit day is not used: the value goes by the amounts of the deposit days after it (here {days})."


def _label(name: str) -> str:
    return LABELS[name][0] if name in LABELS else name.replace("_", " ")
