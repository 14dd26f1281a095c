from .link import AccountLink
from .signal import AbuseProfile, AbuseSignal, Band, ReviewFlag, SignalKind

__all__ = ["AbuseProfile", "AbuseSignal", "AccountLink", "Band", "ReviewFlag", "SignalKind"]
