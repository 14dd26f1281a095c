from .link import AccountLink
from .signal import AbuseProfile, AbuseSignal, Band, FlagEvidence, ReviewFlag, SignalKind

__all__ = ["AbuseProfile", "AbuseSignal", "AccountLink", "Band", "FlagEvidence", "ReviewFlag", "SignalKind"]
