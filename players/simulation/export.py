"""Simulated frames as text: amounts with two places, instants in ISO 8601 with Z, empty for unknown."""

import numpy as np
import pandas as pd

from .frames import MONEY


def as_text(frame: pd.DataFrame) -> pd.DataFrame:
    """The same rows with money as exact decimal text and instants as ISO 8601 text; other columns as they are."""
    if frame.empty:
        return frame.astype(object)
    columns: dict[str, np.ndarray | pd.Series] = {}
    for name in frame.columns:
        values = frame[name]
        if name in MONEY:
            columns[name] = _money(values.to_numpy().astype(np.int64))
        elif isinstance(values.dtype, pd.DatetimeTZDtype):
            columns[name] = _instants(values)
        else:
            columns[name] = values
    return pd.DataFrame(columns, columns=list(frame.columns))


def as_csv(frame: pd.DataFrame, *, header: bool) -> str:
    return as_text(frame).to_csv(index=False, header=header, lineterminator="\n")


def _money(minor: np.ndarray) -> np.ndarray:
    whole, part = np.divmod(minor, 100)
    return np.char.add(np.char.add(whole.astype("U16"), "."), np.char.zfill(part.astype("U2"), 2))


def _instants(values: pd.Series) -> np.ndarray:
    plain = values.dt.tz_localize(None).to_numpy().astype("datetime64[s]")
    return np.where(np.isnat(plain), "", np.char.add(np.datetime_as_string(plain, unit="s"), "Z"))
