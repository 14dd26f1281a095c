"""Objects for tests, with the smallest valid content."""

from datetime import UTC, datetime
from decimal import Decimal

import factory
from django.contrib.auth import get_user_model

from players.models import Game, Player, PlayerMetrics, Protection, Tier

NOW = datetime(2026, 3, 15, 12, 0, tzinfo=UTC)


class UserFactory(factory.django.DjangoModelFactory):
    class Meta:
        model = get_user_model()

    username = factory.Sequence(lambda n: f"staff{n}")
    is_staff = True


class TierFactory(factory.django.DjangoModelFactory):
    class Meta:
        model = Tier

    rank = factory.Sequence(lambda n: n)
    name = factory.LazyAttribute(lambda o: f"Tier {o.rank}")
    entry_points = Decimal(0)
    keep_points = Decimal(0)


class GameFactory(factory.django.DjangoModelFactory):
    class Meta:
        model = Game

    code = factory.Sequence(lambda n: f"game-{n}")
    category = Game.Category.SLOTS
    house_edge = Decimal("0.04")
    round_sd = Decimal("5")


class PlayerFactory(factory.django.DjangoModelFactory):
    class Meta:
        model = Player

    external_id = factory.Sequence(lambda n: f"P{n:05d}")
    currency = "EUR"
    country = "MT"
    registered_at = datetime(2025, 1, 1, tzinfo=UTC)
    created_at = NOW
    updated_at = NOW


class ProtectionFactory(factory.django.DjangoModelFactory):
    class Meta:
        model = Protection

    player = factory.SubFactory(PlayerFactory)
    marketing_consent = True
    marketing_consent_at = NOW
    profiling_consent = True
    profiling_consent_at = NOW


class PlayerMetricsFactory(factory.django.DjangoModelFactory):
    class Meta:
        model = PlayerMetrics

    player = factory.SubFactory(PlayerFactory)
    as_of = NOW
