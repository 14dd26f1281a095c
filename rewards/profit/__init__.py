"""What a reward is expected to cost and to bring. Knows no framework: columns in, columns out, exact decimals."""

from .caps import CapUse, cap_excess
from .expected_value import ExpectedValue, expected_value, monthly_base_wager, roi_above

__all__ = ["CapUse", "ExpectedValue", "cap_excess", "expected_value", "monthly_base_wager", "roi_above"]
