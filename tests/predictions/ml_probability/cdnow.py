"""CDNOW, the data the published parameters were estimated on; absent on machines without the shared data sets."""

from pathlib import Path

import pandas as pd
import pytest

DATA = Path(__file__).resolve().parents[3].parent / "shared" / "data"


def read(name, **options):
    path = DATA / name
    if not path.exists():
        pytest.skip(f"the data set {name} is not on this machine")
    return pd.read_csv(path, **options)


def summary():
    """One row per customer: x, t_x, T (weeks to 1997-09-30), zbar."""
    return read("cdnow_customers_summary_with_transactions.csv.xz")


def held_out(summary):
    """Of each customer of `summary` in the 39 weeks after 1997-09-30: days with a purchase, and dollars spent on them."""
    rows = read("cdnow_sample.txt.xz", header=None, names=["full", "customer", "day", "cds", "dollars"], sep=r"\s+")
    days = rows[rows.day > 19970930].groupby(["customer", "day"]).dollars.sum().groupby("customer").agg(["size", "sum"])
    days = days.reindex(summary.ID).fillna(0.0)
    return days["size"].to_numpy(), days["sum"].to_numpy()
