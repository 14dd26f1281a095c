from .churn import Churn
from .engagement import Engagement
from .fraud import Fraud
from .ltv import Ltv
from .segmentation import Segmentation

__all__ = ["Churn", "Engagement", "Fraud", "Ltv", "Segmentation"]
