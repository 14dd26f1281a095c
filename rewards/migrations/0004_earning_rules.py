"""Earning rules instead of one rate, and play points per unit."""

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import django.db.models.deletion
import simple_history.models
from django.conf import settings
from django.db import migrations, models

# one row a player and unit instead of one a player; the sum so far stays, the rules add to it from their first day
PLAY_POINTS_PER_UNIT = """
ALTER TABLE rewards_playpoints DROP CONSTRAINT play_points_not_negative;
ALTER TABLE rewards_playpoints DROP CONSTRAINT rewards_playpoints_pkey;
ALTER TABLE rewards_playpoints DROP COLUMN stake;
ALTER TABLE rewards_playpoints ALTER COLUMN earned TYPE numeric(38, 16);
ALTER TABLE rewards_playpoints ADD COLUMN unit varchar(2) NOT NULL DEFAULT 'LP';
ALTER TABLE rewards_playpoints ALTER COLUMN unit DROP DEFAULT;
ALTER TABLE rewards_playpoints ADD PRIMARY KEY (player_id, unit);
ALTER TABLE rewards_playpoints ADD CONSTRAINT play_points_not_negative CHECK (credited_minor >= 0 AND earned >= 0);
ALTER TABLE rewards_playpoints ADD CONSTRAINT play_points_unit_known CHECK (unit IN ('LP', 'RP'));
"""

_RATE_SO_FAR = Decimal("0.01")


def seed_default_rule(apps, schema_editor):
    """Loyalty points for all play at the rate that the threshold POINTS_PER_WAGERED had, from the first day not yet reckoned.

    Where nothing was reckoned yet that is the day of the installation: history that is imported later earns nothing by itself.
    """
    rule = apps.get_model("rewards", "EarningRule")
    last = apps.get_model("rewards", "PlayPoints").objects.aggregate(last=models.Max("through"))["last"]
    setting = apps.get_model("constance", "Constance").objects.filter(key="POINTS_PER_WAGERED").first()
    rule.objects.create(
        name="Loyalty points for play",
        unit="LP",
        rate=Decimal(json.loads(setting.value)["__value__"]) if setting else _RATE_SO_FAR,
        weight=Decimal(1),
        valid_from=last + timedelta(days=1) if last else datetime.now(UTC).date(),
    )


class Migration(migrations.Migration):

    dependencies = [
        ('players', '0013_bonus_rules_of_markets'),
        ('constance', '0003_drop_pickle'),
        ('rewards', '0003_play_points'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name='DayEarning',
            fields=[
                ('pk', models.CompositePrimaryKey('player_id', 'day', blank=True, editable=False, primary_key=True, serialize=False)),
                ('player', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='day_earnings', to='players.player')),
                ('day', models.DateField()),
                ('stake', models.DecimalField(decimal_places=4, max_digits=20)),
                ('bonus_stake', models.DecimalField(decimal_places=4, max_digits=20)),
                ('theo', models.DecimalField(decimal_places=9, max_digits=24)),
                ('rounds', models.PositiveBigIntegerField()),
                ('games', models.PositiveIntegerField()),
                ('max_stake', models.DecimalField(decimal_places=4, max_digits=20)),
                ('multiplier', models.DecimalField(decimal_places=3, help_text='Of the tier held when the day ended; stays when corrected.', max_digits=6)),
                ('lp', models.DecimalField(decimal_places=16, max_digits=38)),
                ('rp', models.DecimalField(decimal_places=16, max_digits=38)),
                ('lines', models.JSONField(default=list)),
                ('reckoned_at', models.DateTimeField()),
            ],
        ),
        migrations.CreateModel(
            name='EarningRule',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('name', models.CharField(max_length=120)),
                ('unit', models.CharField(choices=[('LP', 'Loyalty points'), ('RP', 'Reward points')], default='LP', max_length=2)),
                ('scope', models.CharField(choices=[('default', 'All play'), ('category', 'A category of games'), ('provider', 'A provider'), ('game', 'One game')], default='default', max_length=8)),
                ('key', models.CharField(blank=True, default='', help_text='Code of the game, name of the provider, or the category; empty for all play.', max_length=80)),
                ('currency', models.CharField(blank=True, default='', help_text='ISO 4217: only players with this currency; empty: all currencies.', max_length=3)),
                ('rate', models.DecimalField(decimal_places=6, help_text="Points per unit of the player's currency staked.", max_digits=12)),
                ('weight', models.DecimalField(decimal_places=3, default=Decimal('1'), help_text='Factor on the rate; 0 earns nothing.', max_digits=6)),
                ('uses_tier_multiplier', models.BooleanField(default=True, help_text='Times the multiplier of the tier held when the day ended.')),
                ('counts_bonus_stake', models.BooleanField(default=False, help_text='Stakes paid with bonus money earn, too.')),
                ('daily_cap', models.DecimalField(blank=True, decimal_places=2, help_text='Most points a player gets from this rule in a UTC day.', max_digits=12, null=True)),
                ('event_cap', models.DecimalField(blank=True, decimal_places=2, help_text='Most points that one play record gives, multiplier included.', max_digits=12, null=True)),
                ('valid_from', models.DateField(help_text='First UTC day; play before it earns nothing from this rule.')),
                ('valid_to', models.DateField(blank=True, help_text='First UTC day on which it no longer holds; empty: open end.', null=True)),
            ],
            options={
                'ordering': ['unit', 'scope', 'key', 'currency', '-valid_from'],
            },
        ),
        migrations.CreateModel(
            name='HistoricalEarningRule',
            fields=[
                ('id', models.BigIntegerField(auto_created=True, blank=True, db_index=True, verbose_name='ID')),
                ('name', models.CharField(max_length=120)),
                ('unit', models.CharField(choices=[('LP', 'Loyalty points'), ('RP', 'Reward points')], default='LP', max_length=2)),
                ('scope', models.CharField(choices=[('default', 'All play'), ('category', 'A category of games'), ('provider', 'A provider'), ('game', 'One game')], default='default', max_length=8)),
                ('key', models.CharField(blank=True, default='', help_text='Code of the game, name of the provider, or the category; empty for all play.', max_length=80)),
                ('currency', models.CharField(blank=True, default='', help_text='ISO 4217: only players with this currency; empty: all currencies.', max_length=3)),
                ('rate', models.DecimalField(decimal_places=6, help_text="Points per unit of the player's currency staked.", max_digits=12)),
                ('weight', models.DecimalField(decimal_places=3, default=Decimal('1'), help_text='Factor on the rate; 0 earns nothing.', max_digits=6)),
                ('uses_tier_multiplier', models.BooleanField(default=True, help_text='Times the multiplier of the tier held when the day ended.')),
                ('counts_bonus_stake', models.BooleanField(default=False, help_text='Stakes paid with bonus money earn, too.')),
                ('daily_cap', models.DecimalField(blank=True, decimal_places=2, help_text='Most points a player gets from this rule in a UTC day.', max_digits=12, null=True)),
                ('event_cap', models.DecimalField(blank=True, decimal_places=2, help_text='Most points that one play record gives, multiplier included.', max_digits=12, null=True)),
                ('valid_from', models.DateField(help_text='First UTC day; play before it earns nothing from this rule.')),
                ('valid_to', models.DateField(blank=True, help_text='First UTC day on which it no longer holds; empty: open end.', null=True)),
                ('history_change_reason', models.TextField(null=True)),
                ('history_id', models.AutoField(primary_key=True, serialize=False)),
                ('history_date', models.DateTimeField(db_index=True)),
                ('history_type', models.CharField(choices=[('+', 'Created'), ('~', 'Changed'), ('-', 'Deleted')], max_length=1)),
            ],
            options={
                'verbose_name': 'historical earning rule',
                'verbose_name_plural': 'historical earning rules',
                'ordering': ('-history_date', '-history_id'),
                'get_latest_by': ('history_date', 'history_id'),
            },
            bases=(simple_history.models.HistoricalChanges, models.Model),
        ),
        migrations.AddConstraint(
            model_name='earningrule',
            constraint=models.UniqueConstraint(fields=('unit', 'scope', 'key', 'currency', 'valid_from'), name='earningrule_one_start'),
        ),
        migrations.AddConstraint(
            model_name='earningrule',
            constraint=models.CheckConstraint(condition=models.Q(('rate__gte', 0), ('weight__gte', 0)), name='earningrule_rate_not_negative'),
        ),
        migrations.AddConstraint(
            model_name='earningrule',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('daily_cap__isnull', True), ('daily_cap__gt', 0), _connector='OR'), models.Q(('event_cap__isnull', True), ('event_cap__gt', 0), _connector='OR')), name='earningrule_caps_positive'),
        ),
        migrations.AddConstraint(
            model_name='earningrule',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('key', ''), ('scope', 'default')), models.Q(models.Q(('scope', 'default'), _negated=True), models.Q(('key', ''), _negated=True)), _connector='OR'), name='earningrule_key_fits'),
        ),
        migrations.AddConstraint(
            model_name='earningrule',
            constraint=models.CheckConstraint(condition=models.Q(('currency', ''), ('currency__regex', '^[A-Z]{3}$'), _connector='OR'), name='earningrule_currency_is_iso'),
        ),
        migrations.AddConstraint(
            model_name='earningrule',
            constraint=models.CheckConstraint(condition=models.Q(('valid_to__isnull', True), ('valid_to__gte', models.F('valid_from')), _connector='OR'), name='earningrule_ends_not_before_start'),
        ),
        migrations.AddField(
            model_name='historicalearningrule',
            name='history_user',
            field=models.ForeignKey(null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to=settings.AUTH_USER_MODEL),
        ),
        migrations.AddConstraint(
            model_name='dayearning',
            constraint=models.CheckConstraint(condition=models.Q(('lp__gte', 0), ('rp__gte', 0)), name='dayearning_not_negative'),
        ),
        migrations.SeparateDatabaseAndState(
            database_operations=[migrations.RunSQL(PLAY_POINTS_PER_UNIT, migrations.RunSQL.noop)],
            state_operations=[
                migrations.DeleteModel(name='PlayPoints'),
                migrations.CreateModel(
                    name='PlayPoints',
                    fields=[
                        ('pk', models.CompositePrimaryKey('player_id', 'unit', blank=True, editable=False, primary_key=True, serialize=False)),
                        ('player', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='play_points', to='players.player')),
                        ('unit', models.CharField(default='LP', max_length=2)),
                        ('through', models.DateField(help_text='Last day that is included.')),
                        ('earned', models.DecimalField(decimal_places=16, default=0, max_digits=38)),
                        ('credited_minor', models.BigIntegerField(default=0, help_text='Hundredths of a point posted to the wallet, net of corrections.')),
                        ('postings', models.PositiveIntegerField(default=0)),
                        ('updated_at', models.DateTimeField()),
                    ],
                    options={
                        'verbose_name_plural': 'play points',
                        'constraints': [
                            models.CheckConstraint(condition=models.Q(('credited_minor__gte', 0), ('earned__gte', 0)), name='play_points_not_negative'),
                            models.CheckConstraint(condition=models.Q(('unit__in', ['LP', 'RP'])), name='play_points_unit_known'),
                        ],
                    },
                ),
            ],
        ),
        migrations.RunPython(seed_default_rule, migrations.RunPython.noop),
    ]
