"""What accounts have in common: devices, payment instruments and networks, as fingerprints."""

from django.db import models


class AccountLink(models.Model):
    """One player's use of one device, instrument or network in the look-back window.

    Derived from sessions and payments (job "fraud.links"), so that finding all users of a device reads one index.
    `token` is a keyed hash: equal values have equal tokens, and a token does not give the address or device away.
    """

    class Kind(models.TextChoices):
        DEVICE = "DEVICE", "Device"
        INSTRUMENT = "INSTRUMENT", "Payment instrument"
        IP = "IP", "Network address"

    player = models.ForeignKey("players.Player", on_delete=models.CASCADE, related_name="account_links", db_index=False)
    kind = models.CharField(max_length=10, choices=Kind)
    token = models.CharField(max_length=32)
    uses = models.PositiveIntegerField()
    first_seen_at = models.DateTimeField()
    last_seen_at = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["player", "kind", "token"], name="link_once")]
        indexes = [models.Index(fields=["kind", "token", "player"], name="link_by_token")]

    def __str__(self) -> str:
        return f"{self.kind} {self.token[:10]} of player {self.player_id}"
