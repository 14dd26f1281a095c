"""The door of the fraud app: everything that writes."""

from fraud.links import refresh_links
from fraud.reviews import OUTCOMES, close_review, flag_for_review
from fraud.scanning import detect, rescore, scan, scan_players
from fraud.wallet_flags import take_up_flags

__all__ = ["OUTCOMES", "close_review", "detect", "flag_for_review", "refresh_links", "rescore", "scan", "scan_players", "take_up_flags"]
