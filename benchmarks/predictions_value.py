"""Value, segments and fraud on public data sets: `./loyalty bench predictions_value [folder of the data sets] [seed]`.

The data sets are named in the manifest of that folder; without the folder the benchmark says so and ends. Nothing is tuned on what it
measures: every figure is held out by time, by fold, or both, and trees have the settings of the product's value model
(`predictions.ml.ltv_trees`), those for fraud the settings of its model for reviewed cases. The random forest is the published method.
"""

import io
import lzma
import sys
import time
from collections.abc import Mapping, Sequence
from datetime import UTC
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
import pandas as pd

from predictions.ml import anomaly, ltv, metrics
from predictions.ml.kinds import Cutoff, History
from predictions.ml.ltv_trees import Binned
from predictions.ml.segmentation_fit import choose, resampled

FOLDER = Path(__file__).resolve().parents[2] / "shared" / "data"


def read(folder: Path, name: str, **options: object) -> pd.DataFrame:
    return pd.read_csv(io.BytesIO(lzma.open(folder / f"{name}.csv.xz").read()), **options)


# --- Online Retail and CDNOW: value of the following 90 days, and of the year where the set is long enough ---------------------------


def retail_days(folder: Path) -> pd.DataFrame:
    """One row per customer and day with an invoice: what was paid, returns of the same day taken off."""
    lines = read(folder, "online_retail_uci", usecols=["InvoiceDate", "Quantity", "UnitPrice", "CustomerID"], encoding="latin-1")
    lines = lines.dropna(subset=["CustomerID"])
    lines["day"] = pd.to_datetime(lines["InvoiceDate"]).dt.normalize()
    lines["amount"] = lines["Quantity"] * lines["UnitPrice"]
    days = lines.groupby([lines["CustomerID"].astype(np.int64), "day"], sort=True)["amount"].sum().reset_index()
    return days.rename(columns={"CustomerID": "player_id"})


def cdnow_days(folder: Path) -> pd.DataFrame:
    """The same of the sample of CDNOW, which covers a year and a half of customers who all came in its first twelve weeks."""
    rows = pd.read_csv(folder / "cdnow_sample.txt.xz", header=None, names=["full", "player_id", "day", "cds", "amount"], sep=r"\s+")
    rows["day"] = pd.to_datetime(rows["day"], format="%Y%m%d")
    return rows.groupby(["player_id", "day"], sort=True)["amount"].sum().reset_index()


def purchase_cutoff(days: pd.DataFrame, at: pd.Timestamp, end: pd.Timestamp, unit: float) -> Cutoff:
    """Features of everybody who bought before `at`, in the names that the product's frames have; what was paid stands for both."""
    past = days[days["day"] < at].assign(amount=lambda table: table["amount"] / unit)
    bought = past[past["amount"] > 0]
    index = pd.Index(np.sort(bought["player_id"].unique()), name="player_id")
    frame = pd.DataFrame(index=index)
    grouped = bought.groupby("player_id")
    first, last, count = grouped["day"].min(), grouped["day"].max(), grouped.size()
    frame["days_since_last_deposit"] = (at - last).dt.days
    for span in (30, 90, 365):
        recent = past[past["day"] >= at - pd.Timedelta(days=span)].groupby("player_id")["amount"]
        frame[f"ngr_{span}d"] = recent.sum().reindex(index, fill_value=0.0)
        frame[f"deposit_count_{span}d"] = recent.size().reindex(index, fill_value=0)
    frame["deposits_90d"] = (
        bought[bought["day"] >= at - pd.Timedelta(days=90)].groupby("player_id")["amount"].sum().reindex(index, fill_value=0.0)
    )
    frame["theo_90d"] = frame["deposits_90d"]
    frame["deposit_count_total"], frame["deposits_total"] = count, grouped["amount"].sum()
    frame["tenure_days"] = (at - first).dt.days
    frame["bg_frequency"], frame["bg_recency"], frame["bg_age"] = count - 1, (last - first).dt.days / 7, (at - first).dt.days / 7
    opening = bought[bought["day"] == bought["player_id"].map(first)].groupby("player_id")["amount"].sum()
    frame["bg_spend"] = ((frame["deposits_total"] - opening) / (count - 1)).where(count > 1)
    labels = pd.DataFrame({"is_eligible": True}, index=index)
    for span in (90, 365):
        until = at + pd.Timedelta(days=span)
        after = days[(days["day"] >= at) & (days["day"] < until)].groupby("player_id")["amount"].sum()
        labels[f"ngr_{span}d"] = after.reindex(index, fill_value=0.0) / unit if until <= end else np.nan
    return Cutoff(at.to_pydatetime().replace(tzinfo=UTC), frame.astype(float), labels)


def retail(folder: Path, seed: int) -> None:
    purchases("Online Retail (UCI 352)", "GBP", retail_days(folder), seed)


def cdnow(folder: Path, seed: int) -> None:
    purchases("CDNOW", "USD", cdnow_days(folder), seed)


def purchases(name: str, currency: str, days: pd.DataFrame, seed: int) -> None:
    """Five cut-offs 30 days apart, the last one only measured, and those a year back that the set has room for, as a training has."""
    end = days["day"].max() + pd.Timedelta(days=1)
    unit = float(days.loc[days["day"] < days["day"].min() + pd.Timedelta(days=90), "amount"].median())
    room = (end - days["day"].min()).days - 90
    back = [far for far in (395, 365) if far <= room] + [90 + 30 * step for step in range(5)][::-1]
    history = History([purchase_cutoff(days, end - pd.Timedelta(days=before), end, unit) for before in back], horizon_days=90)
    started = time.process_time()
    record = ltv.train(history, seed=seed).record
    seconds = time.process_time() - started
    evaluation = history.evaluation
    print(f"{name}: {len(evaluation.features):,} customers at {evaluation.as_of:%Y-%m-%d}, value of the next 90 days")
    print(f"  learned from 4 earlier cut-offs, {record.rows:,} rows, {seconds:.1f} CPU-s; unit {unit:.2f} {currency}")
    chosen = next(each["algorithm"] for each in record.candidates if each["chosen"])
    print(f"  in use: {chosen}")
    print(f"  {'':34} {'MAE ' + currency:>9} {'MAE P50':>9} {'median':>9} {'RMSE':>9} {'scaled':>8} {'Gini':>7} {'total':>7}")
    rows = [("model", record.metrics), ("last 90 days carried forward", record.baseline), ("mean", record.curves["mean_baseline"])]
    for name, figures in rows:
        median = figures.get("mae_p50", figures["mae"]) * unit
        print(
            f"  {name:34} {figures['mae'] * unit:9.1f} {median:9.1f} {figures['median_absolute_error'] * unit:9.1f} "
            f"{figures['rmse'] * unit:9.1f} {figures['scaled_error']:8.4f} {figures['gini']:7.3f} {figures['bias']:+7.1%}"
        )
    print("  on the last development cut-off:")
    for each in record.candidates:
        figures = each["metrics"]
        held = f" interval holds {figures['coverage_all']:.3f}" if "coverage_all" in figures else ""
        errors = f"MAE {figures['mae'] * unit:8.1f} scaled {figures['scaled_error']:.4f} Gini {figures['gini']:.3f}"
        print(f"    {each['algorithm']:32} {errors}{held}")
    print_interval("90 days", record.metrics, record.curves["coverage"], unit, currency)
    extension = record.curves["extension"]
    if "metrics" in extension:
        figures, naive = extension["metrics"], extension["baseline"]
        print(
            f"  {extension['days_measured']} days, on players held out: scaled error {figures['scaled_error']:.4f} against "
            f"{naive['scaled_error']:.4f} carried forward, total {figures['bias']:+.1%} against {naive['bias']:+.1%}"
        )
        print_interval(f"{extension['days_measured']} days", figures, record.curves["coverage_extended"], unit, currency)
    print()


def print_interval(time_ahead: str, figures: Mapping[str, float], groups: Sequence[Mapping[str, Any]], unit: float, currency: str) -> None:
    print(
        f"  80 % interval of {time_ahead} holds {figures['coverage']:.3f} of the uncertain, {figures['coverage_closed']:.3f} with its ends"
    )
    print(f"    below P10 {figures['below_p10']:.3f}, P50 {figures['below_p50']:.3f}, P90 {figures['below_p90']:.3f}")
    for group in groups:
        width = f"mean width {group['width'] * unit:9.1f} {currency}"
        print(f"    {group['group']:36} n {group['n']:5} holds {group['coverage']:.3f} with its ends, {width}")


# --- IBM marketing: value of a described customer -------------------------------------------------------------------------------------


def marketing(folder: Path, seed: int) -> None:
    table = read(folder, "ibm_marketing_customer_value")
    value = table.pop("Customer_Lifetime_Value").to_numpy(float)
    table = table.drop(columns=["Customer", "Effective_To_Date"])
    inputs = pd.get_dummies(table, dtype=float).to_numpy()
    folds = np.random.default_rng(seed).permutation(len(value)) % 5
    predicted, low, high, naive = np.empty(len(value)), np.empty(len(value)), np.empty(len(value)), np.empty(len(value))
    for fold in range(5):
        test, rest = folds == fold, np.flatnonzero(folds != fold)
        # a quarter of the training part calibrates the interval
        calibrating = np.random.default_rng(seed + fold).random(len(rest)) < 0.25
        fit, calibrate = rest[~calibrating], rest[calibrating]
        learned = Binned(inputs[rest], seed=seed).fit(np.log(value[rest]), objective="regression")
        away = value[rest] / np.exp(learned.predict(inputs[rest]))
        # the mean of the exponential is above the exponential of the mean
        predicted[test] = np.exp(learned.predict(inputs[test])) * away.mean()
        naive[test] = value[rest].mean()
        binned = Binned(inputs[fit], seed=seed)
        ends = []
        for level in (0.1, 0.9):
            end = binned.fit(np.log(value[fit]), objective="quantile", alpha=level)
            # each end on its own, as the product's intervals are
            away_from_end = np.log(value[calibrate]) - end.predict(inputs[calibrate])
            ends.append(end.predict(inputs[test]) + np.quantile(away_from_end, level, method="weibull"))
        low[test], high[test] = np.exp(np.sort(ends, axis=0))
    spread = ((value - value.mean()) ** 2).sum()
    print(f"IBM marketing customer value: {len(value):,} customers, 5-fold cross-validation")
    print(
        f"  boosted trees on log value: R2 {1 - ((value - predicted) ** 2).sum() / spread:.3f}, "
        f"MAE {np.abs(value - predicted).mean():.0f}, "
        f"Gini {metrics.gini(value, predicted):.3f}, 80 % interval holds {metrics.coverage(value, low, high):.3f}"
    )
    print(f"  mean of the others:         R2 {1 - ((value - naive) ** 2).sum() / spread:.3f}, MAE {np.abs(value - naive).mean():.0f}")
    forest(inputs, value, folds, seed, spread)


def forest(inputs: np.ndarray, value: np.ndarray, folds: np.ndarray, seed: int, spread: float) -> None:
    """The published method on the same folds."""
    from sklearn.ensemble import RandomForestRegressor

    predicted = np.empty(len(value))
    for fold in range(5):
        test = folds == fold
        predicted[test] = RandomForestRegressor(100, random_state=seed, n_jobs=1).fit(inputs[~test], value[~test]).predict(inputs[test])
    r2, mae = 1 - ((value - predicted) ** 2).sum() / spread, np.abs(value - predicted).mean()
    print(f"  random forest (published .65 to .70): R2 {r2:.3f}, MAE {mae:.0f}")


# --- Bustabit: groups of gamblers ---------------------------------------------------------------------------------------------------


def bustabit(folder: Path, seed: int) -> None:
    bets = read(folder, "bustabit_bets")
    bets["loss"] = np.where(bets["Profit"].isna(), bets["Bet"], 0.0)
    bets["won"] = bets["Profit"].fillna(0.0)
    players = bets.groupby("Username").agg(
        games=("GameID", "size"),
        cashed=("CashedOut", "mean"),
        bet=("Bet", "mean"),
        won=("won", "sum"),
        lost=("loss", "sum"),
        wins=("CashedOut", "count"),
    )
    players["losses"] = players["games"] - players["wins"]
    players["cashed"] = players["cashed"].fillna(1.01)
    logs = np.log1p(players[["cashed", "bet", "won", "lost", "wins", "losses"]].to_numpy(float))
    points = (logs - logs.mean(axis=0)) / logs.std(axis=0)
    chosen, tried = choose(points, seed=seed)
    print(f"\nBustabit: {len(players):,} players, {len(bets):,} bets; k-means by cash-out, bet, won, lost, games won and lost (log)")
    for each in tried:
        mark = "  <- chosen" if each["chosen"] else ""
        print(f"  {each['algorithm']}: silhouette {each['metrics']['silhouette']:.3f}, stability {each['metrics']['stability']:.3f}{mark}")
    from predictions.ml.segmentation import nearest
    from predictions.ml.segmentation_fit import kmeans

    # the published analysis has five
    centres = kmeans(points, 5, seed=seed)
    label = nearest(points, centres)
    again = resampled(points, centres, resamples=20, seed=seed)
    stability = np.mean([nearest(points, other) == label for other in again], axis=0)
    table = (
        players.assign(group=label, stability=stability)
        .groupby("group")
        .agg(
            players=("games", "size"),
            games=("games", "mean"),
            cashed=("cashed", "median"),
            bet=("bet", "median"),
            lost=("lost", "mean"),
            stability=("stability", "mean"),
        )
    )
    print("  five groups, as published:")
    print("    " + table.sort_values("players", ascending=False).round(2).to_string().replace("\n", "\n    "))


# --- E-commerce fraud -----------------------------------------------------------------------------------------------------------------

FRAUD_FEATURES = ("purchase_value", "age", "hour", "weekday", "seconds", "device_users", "ip_users", "source", "browser", "sex")


def fraud_frame(folder: Path) -> tuple[pd.DataFrame, np.ndarray]:
    """Rows in order of purchase. Counts of other accounts on a device or address are those up to the purchase: nothing later is used."""
    # the last line of this copy is cut
    table = read(folder, "ecommerce_fraud_with_ip_30k", encoding="utf-8-sig", on_bad_lines="skip").dropna()
    for name in ("signup_time", "purchase_time"):
        table[name] = pd.to_datetime(table[name], format="%m/%d/%Y %H:%M")
    table = table.sort_values("purchase_time", kind="stable").reset_index(drop=True)
    frame = pd.DataFrame(
        {
            "purchase_value": table["purchase_value"],
            "age": table["age"],
            "hour": table["purchase_time"].dt.hour,
            "weekday": table["purchase_time"].dt.day_of_week,
            "seconds": (table["purchase_time"] - table["signup_time"]).dt.total_seconds(),
            "device_users": table.groupby("device_id").cumcount(),
            "ip_users": table.groupby("ip_address").cumcount(),
        }
    )
    for name in ("source", "browser", "sex"):
        frame[name] = pd.factorize(table[name], sort=True)[0]
    return frame.astype(float), table["class"].to_numpy(int)


def ecommerce(folder: Path, seed: int) -> None:
    frame, truth = fraud_frame(folder)
    quick = (frame["seconds"] <= 60).to_numpy()
    print(
        f"\nE-commerce fraud: {len(frame):,} purchases, {truth.mean():.3f} fraud; signup to purchase within 60 s: {quick.sum():,}, "
        f"{truth[quick].mean():.3f} of them fraud, {truth[quick].sum() / truth.sum():.3f} of all fraud"
    )
    half = len(frame) // 2
    print(f"  {'':52} {'5-fold AUC':>11} {'later half AUC':>15} {'PR-AUC':>8}")
    links = ("device_users", "ip_users")
    without = tuple(name for name in FRAUD_FEATURES if name != "seconds")
    plain = tuple(name for name in FRAUD_FEATURES if name not in links)
    cases = [
        ("isolation forest", FRAUD_FEATURES, slice(None)),
        ("isolation forest, without the time to purchase", without, slice(None)),
        ("supervised", FRAUD_FEATURES, slice(None)),
        ("supervised, without link counts (published .77)", plain, slice(None)),
        ("supervised, without the time to purchase", without, slice(None)),
        ("supervised, purchases later than 60 s only", FRAUD_FEATURES, ~quick),
    ]
    for name, features, rows in cases:
        part, target = frame[rows].reset_index(drop=True), truth[rows]
        learn = isolated if name.startswith("isolation") else supervised
        folds = np.random.default_rng(seed).permutation(len(part)) % 5
        crossed = np.empty(len(part))
        for fold in range(5):
            test = folds == fold
            crossed[test] = learn(part[~test], target[~test], part[test], features, seed)
        early = np.arange(len(part)) < min(half, len(part) // 2)
        later = learn(part[early], target[early], part[~early], features, seed)
        print(
            f"  {name:52} {metrics.auc(target, crossed):11.3f} {metrics.auc(target[~early], later):15.3f} "
            f"{metrics.average_precision(target[~early], later):8.3f}"
        )


def isolated(learn: pd.DataFrame, _truth: np.ndarray, score: pd.DataFrame, features: tuple[str, ...], seed: int) -> np.ndarray:
    return anomaly.fit(learn, seed=seed, features=features).predict(score)["anomaly"].to_numpy()


def supervised(learn: pd.DataFrame, truth: np.ndarray, score: pd.DataFrame, features: tuple[str, ...], seed: int) -> np.ndarray:
    """The product's boosting for reviewed cases."""
    from predictions.ml.anomaly_supervised import _BOOSTING

    trees = Binned(learn[list(features)].to_numpy(), seed=seed).fit(truth.astype(float), **_BOOSTING)
    return trees.predict(score[list(features)].to_numpy())


def main(folder: Path, seed: int) -> None:
    if not folder.is_dir():
        print(f"The data sets are not at {folder}; name their folder as the first argument.")
        return
    print(f"seed {seed}\n")
    for part in (retail, cdnow, marketing, bustabit, ecommerce):
        part(folder, seed)


if __name__ == "__main__":
    arguments = sys.argv[1:]
    main(Path(arguments[0]) if arguments else FOLDER, int(arguments[1]) if len(arguments) > 1 else 1)
