"""A simulated bank of known law, which the value of a described customer is learned from.

Every number is written here, so the true expected value of each customer is known beside the one that chance then made of it. Amounts are
in the currency of the bank. The value of a customer is what the bank keeps over the 12 months after the instant of scoring:

    each month as a customer:  balances x margin / 12  +  purchases x interchange  +  transactions x fee  -  servicing
    and, within the year, with a probability that falls with the credit score: the loss of half of cards and loans.

A customer leaves in any month with the same chance, smaller for engaged, long-standing ones with several products.
"""

from dataclasses import dataclass

import numpy as np
from scipy.special import expit

from predictions.ml.profile_schema import CHANNELS, DAYS_IN_MONTH, PRODUCTS, REGIONS, TYPES, WINDOW_DAYS, People

MONTHS = 12
MARGIN = {"Savings": 0.018, "Checking": 0.025, "Credit Card": 0.09, "Loan": 0.05, "Mortgage": 0.011, "Investment": 0.007}  # a year
INTERCHANGE, FEE, SERVICING = 0.008, 0.12, 4.0
LOSS_GIVEN_DEFAULT = 0.5
_LIKELY = {"Savings": 0.8, "Checking": 1.2, "Credit Card": -0.3, "Loan": -1.2, "Mortgage": -1.6, "Investment": -1.5}  # log-odds of holding
_INCOMES = {
    "Savings": 0.25,
    "Checking": 0.06,
    "Credit Card": 0.05,
    "Loan": 0.2,
    "Mortgage": 2.0,
    "Investment": 0.5,
}  # median balance in years of income
_SHARES = {"Deposit": 0.16, "Withdrawal": 0.14, "Purchase": 0.45, "Payment": 0.13, "Transfer": 0.09, "Fee": 0.03}
_LEAVING_BY_CHANNEL = {"Online": 0.25, "Branch": -0.2, "Referral": -0.3, "Mobile": 0.1, "Partner": 0.35}
_LEAVING_BY_REGION = {"North": 0.0, "South": 0.1, "East": -0.05, "West": 0.0, "Central": 0.05}
# how often a fact is withheld, so that the model and its measured coverage know incomplete descriptions
_WITHHELD = {"income": 0.1, "credit_score": 0.1, "region": 0.05, "acquisition_channel": 0.05}
_NO_PRODUCTS_TOLD, _NO_TRANSACTIONS_TOLD, _UNDATED = 0.05, 0.05, 0.2


@dataclass(frozen=True)
class Bank:
    """`people` as they describe themselves; `value` of each in the 12 months after; `expected`: its true mean, all hidden known."""

    people: People
    value: np.ndarray
    expected: np.ndarray


def simulate(customers: int, seed: int) -> Bank:
    """`customers` independent customers, the same for the same seed."""
    rng = np.random.default_rng(seed)
    n = customers
    age = np.clip(18 + rng.gamma(4.0, 7.0, n), 18, 95)
    income = np.exp(rng.normal(10.4 + 0.012 * np.minimum(age - 18, 35), 0.5, n))
    credit = np.clip(rng.normal(665 + 45 * (np.log(income) - 10.6), 65, n), 300, 850)
    tenure = np.minimum(rng.gamma(1.4, 40, n), (age - 18) * 12)
    region, channel = rng.integers(len(REGIONS), size=n), rng.integers(len(CHANNELS), size=n)
    engaged = rng.standard_normal(n)
    holds, balance = _products(rng, income, age, engaged)
    rate = np.exp(0.9 + 0.5 * engaged + 0.12 * holds.sum(axis=1))  # transactions a month
    ticket = income / 1200 * np.exp(rng.normal(0, 0.4, n))  # a typical amount
    leaving = _leaving(engaged, tenure, holds.sum(axis=1), channel, region)
    month = (balance * holds) @ (np.array([MARGIN[one] for one in PRODUCTS]) / 12) + rate * FEE - SERVICING
    month += rate * _SHARES["Purchase"] * ticket * INTERCHANGE
    at_risk = (balance * holds)[:, [PRODUCTS.index("Credit Card"), PRODUCTS.index("Loan")]].sum(axis=1) * LOSS_GIVEN_DEFAULT
    default = expit(-3.9 - 0.012 * (credit - 665))

    stay = 1 - leaving
    expected = month * (stay * (1 - stay**MONTHS) / leaving) - default * at_risk
    stayed = np.minimum(rng.geometric(leaving) - 1, MONTHS)
    drift = np.exp(rng.normal(-0.02, 0.2, n))  # mean 1: how this customer's year differs from the last
    value = month * stayed * drift - (rng.random(n) < default) * at_risk

    facts = np.column_stack([age, income, credit, tenure, region, channel]).astype(np.float64)
    for column, name in ((1, "income"), (2, "credit_score"), (4, "region"), (5, "acquisition_channel")):
        facts[rng.random(n) < _WITHHELD[name], column] = np.nan
    return Bank(_people(rng, facts, holds, balance, tenure, rate, ticket, age), value, expected)


def _products(rng: np.random.Generator, income: np.ndarray, age: np.ndarray, engaged: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Which products are held, and their balances; both (customers, PRODUCTS)."""
    n, count = len(income), len(PRODUCTS)
    rich = np.log(income) - 10.6
    odds = np.array([_LIKELY[one] for one in PRODUCTS]) + 0.4 * rich[:, None] + 0.3 * engaged[:, None]
    odds[:, PRODUCTS.index("Mortgage")] += 0.8 * ((age > 28) & (age < 65))
    years = np.array([_INCOMES[one] for one in PRODUCTS])
    return rng.random((n, count)) < expit(odds), income[:, None] * years * np.exp(rng.normal(0, 0.7, (n, count)))


def _leaving(engaged: np.ndarray, tenure: np.ndarray, products: np.ndarray, channel: np.ndarray, region: np.ndarray) -> np.ndarray:
    """Chance to leave in a month."""
    by_channel, by_region = np.array([_LEAVING_BY_CHANNEL[one] for one in CHANNELS]), np.array([_LEAVING_BY_REGION[one] for one in REGIONS])
    odds = -3.2 - 0.5 * engaged - 0.006 * np.minimum(tenure, 120) - 0.25 * products + by_channel[channel] + by_region[region]
    return np.asarray(expit(odds))


def _people(
    rng: np.random.Generator,
    facts: np.ndarray,
    holds: np.ndarray,
    balance: np.ndarray,
    tenure: np.ndarray,
    rate: np.ndarray,
    ticket: np.ndarray,
    age: np.ndarray,
) -> People:
    """What is seen of them: products in use, some that are closed, and the transactions of the last year (shorter for newer customers)."""
    n = len(facts)
    closed = ~holds & (rng.random(holds.shape) < 0.06)
    owner, kind = np.nonzero(holds | closed)
    seen_days = np.minimum(WINDOW_DAYS, tenure * DAYS_IN_MONTH)
    whose = np.repeat(np.arange(n), rng.poisson(rate * seen_days / DAYS_IN_MONTH))
    days_ago = rng.random(whose.size) * seen_days[whose]
    dated = rng.random(n) >= _UNDATED
    last = np.full(n, np.inf)
    np.fmin.at(last, whose, days_ago)
    days_ago -= np.where(dated, 0.0, last)[whose]
    knows_products, knows_transactions = rng.random(n) >= _NO_PRODUCTS_TOLD, rng.random(n) >= _NO_TRANSACTIONS_TOLD
    shares = np.array([_SHARES[one] for one in TYPES])
    prefers_digital = expit(rng.normal(1.2 - 0.03 * (age - 40), 1.0))
    return People(
        facts=facts,
        product_whose=owner,
        product_type=kind,
        product_months=tenure[owner] * rng.beta(3, 1, owner.size),
        product_balance=np.where(holds, balance, 0.0)[owner, kind],
        product_active=holds[owner, kind],
        whose=whose,
        days_ago=days_ago,
        type=rng.choice(len(TYPES), size=whose.size, p=shares),
        amount=ticket[whose] * np.exp(rng.normal(-0.18, 0.6, whose.size)),
        digital=rng.random(whose.size) < prefers_digital[whose],
        knows_products=knows_products,
        knows_transactions=knows_transactions,
        dated=dated,
    )
