"""Numbers of calendar days, weeks and months, for many instants at once."""

import numpy as np

DAY, WEEK, MONTH = 0, 1, 2


def period_numbers(seconds: np.ndarray, period: np.ndarray) -> np.ndarray:
    """The number of the UTC day, week (from Monday) or month in which each instant lies, by each row's `period`."""
    day = seconds // 86400
    month = day.astype("datetime64[D]").astype("datetime64[M]").astype(np.int64)
    return np.select([period == DAY, period == WEEK], [day, (day + 3) // 7], month)
