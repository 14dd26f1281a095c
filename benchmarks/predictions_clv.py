"""Purchases and lifetime value, measured: `./loyalty bench predictions_clv [--customers N] [--seed S] [--without-peers]`.

1. BG/NBD by maximum likelihood on simulated customers, against lifetimes and PyMC-Marketing (MAP) on the same rows in the same run, one
   thread each: CPU seconds, ratio, and the log-likelihood each one's parameters reach (all by our formula). The other libraries
   (requirements-bench.txt) go into virtual environments below the temporary folder; one that cannot be installed is named.
2. CDNOW: published parameters, hold-out, error and coverage of the value. 3. Coverage under a known law. 4. Speed of values and intervals.
5. Value of a described customer: error, coverage, latency.

Prints and writes nothing into the project or the database. Nothing here was tuned on what it measures.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[name] = "1"  # read when numpy is imported, below and by the peers

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import numpy as np  # noqa: E402
import pandas as pd  # noqa: E402

from predictions.ml import bgnbd, clv, gamma_gamma, profile_bank, profile_schema, profile_value  # noqa: E402
from predictions.ml.bgnbd import BgNbd  # noqa: E402
from predictions.ml.gamma_gamma import GammaGamma  # noqa: E402

DATA = ROOT.parent / "shared" / "data"
PEERS = ("lifetimes", "pymc-marketing")
NEEDED = 5.0
LAW, SPEND = BgNbd(0.243, 4.414, 0.793, 2.426, 0.0, 0), GammaGamma(6.25, 3.74, 15.44, 0.0, 0)  # CDNOW, as published


def main(customers: int, seed: int, with_peers: bool) -> None:
    pythons = {peer: environment(peer) for peer in PEERS} if with_peers else {}
    print(f"1. BG/NBD fit, {customers:,} simulated customers, seed {seed}, one thread, numpy {np.__version__}")
    for times, fits in (("whole days", 2), ("continuous", 1)):
        compare(times, generated(times, customers, seed), pythons, fits)
    cdnow()
    known_law(seed)
    speed(min(customers, 200_000), seed)
    profiles(seed)


# -- 1 ----------------------------------------------------------------------------------------------------------------


def generated(times: str, customers: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """x, t_x and T in weeks; first purchases 27 to 52 weeks before the end."""
    rng = np.random.default_rng(seed)
    T = rng.integers(27 * 7, 52 * 7, customers) / 7 if times == "whole days" else rng.uniform(27, 52, customers)
    x, t_x, _ = LAW.generate(T, rng)
    return x, np.minimum(np.ceil(t_x * 7) / 7, T) if times == "whole days" else t_x, T


def compare(times: str, data: tuple[np.ndarray, np.ndarray, np.ndarray], pythons: dict[str, Path | str], fits: int) -> None:
    columns = [np.asarray(column, dtype=float) for column in data]
    everyone = bgnbd.Customers.merged(*columns, np.ones(len(columns[0])))

    def likelihood(parameters: list[float]) -> float:
        return everyone.log_likelihood(np.log(parameters))[0]

    cpu, wall = [], []
    for _ in range(3):
        started, spent = time.perf_counter(), time.process_time()
        ours = bgnbd.fit(*data)
        cpu.append(time.process_time() - spent)
        wall.append(time.perf_counter() - started)
    best = likelihood([ours.r, ours.alpha, ours.a, ours.b])
    print(f"   {times}: {everyone.x.size + everyone.single_T.size:,} distinct rows")
    print(f"   {'':<24}{'CPU s':>8}{'wall s':>8}{'ratio':>8}   r       alpha   a       b       log-likelihood")
    line("ours", min(cpu), min(wall), 1.0, [ours.r, ours.alpha, ours.a, ours.b], f"{best:,.3f}")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "customers.npz"
        np.savez(path, x=columns[0], t_x=columns[1], T=columns[2])
        for peer, python in pythons.items():
            if isinstance(python, str):
                print(f"   {peer}: not compared, it could not be installed: {python}")
                continue
            found = ask(peer, python, path, fits, Path(folder))
            if isinstance(found, str):
                print(f"   {peer}: not compared, it failed: {found}")
                continue
            ratio, gap = min(found["cpu"]) / min(cpu), likelihood(found["parameters"]) - best
            label = f"{peer} {found['version']}"
            line(
                label,
                min(found["cpu"]),
                min(found["seconds"]),
                ratio,
                found["parameters"],
                f"{gap:+.3f} of ours, {found['peak_mb']:.0f} MB",
            )
            equal = "at equal likelihood" if abs(gap) < 1e-6 * abs(best) else "AT ANOTHER LIKELIHOOD"
            print(f"      {'reached' if ratio >= NEEDED else 'MISSED'}: at least {NEEDED:g} times faster, {equal}")


def line(label: str, cpu: float, wall: float, ratio: float, parameters: list[float], rest: str) -> None:
    print(f"   {label:<24}{cpu:>8.2f}{wall:>8.2f}{ratio:>8.1f}   " + "".join(f"{value:<8.4f}" for value in parameters) + rest)


def environment(peer: str) -> Path | str:
    """Python of an environment that has `peer`, made on first use; or why there is none."""
    folder = Path(tempfile.gettempdir()) / f"loyalty-bench-{os.getuid() if hasattr(os, 'getuid') else 0}-{peer}"
    python = folder / ("Scripts" if os.name == "nt" else "bin") / "python"
    wanted = next(row.strip() for row in (ROOT / "requirements-bench.txt").read_text().splitlines() if row.startswith(peer))
    if python.exists() and subprocess.run([python, "-m", "pip", "show", "-q", peer], capture_output=True, check=False).returncode == 0:
        return python
    print(f"installing {wanted} into {folder}", flush=True)
    for command in ([sys.executable, "-m", "venv", str(folder)], [str(python), "-m", "pip", "install", "-q", wanted]):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            return last_line(done)
    return python


def ask(peer: str, python: Path, data: Path, fits: int, folder: Path) -> dict[str, object] | str:
    """The peer's answer, or the last line of what went wrong. What PyTensor compiles goes into the temporary folder."""
    command = [str(python), str(ROOT / "benchmarks" / "_clv_peers.py"), peer, str(data), str(fits)]
    env = {**os.environ, "PYTENSOR_FLAGS": f"base_compiledir={folder / 'compiled'}"}
    env.pop("PYTHONPATH", None)
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=env)
    return last_line(done) if done.returncode else json.loads(done.stdout.splitlines()[-1])


def last_line(done: subprocess.CompletedProcess[str]) -> str:
    return next((row for row in reversed((done.stderr or done.stdout).splitlines()) if row.strip()), f"exit code {done.returncode}")


# -- 2 ----------------------------------------------------------------------------------------------------------------


def cdnow() -> None:
    print("2. CDNOW, 2,357 customers: fitted on weeks 1 to 39, measured on weeks 40 to 78")
    if not DATA.exists():
        print("   not measured: the shared data sets are not on this machine")
        return
    data = pd.read_csv(DATA / "cdnow_customers_summary_with_transactions.csv.xz")
    bg, gg = bgnbd.fit(data.x, data.t_x, data["T"]), gamma_gamma.fit(data.x, data.zbar)
    found = f"r {bg.r:.4f} (.243)  alpha {bg.alpha:.4f} (4.414)  a {bg.a:.4f} (.793)  b {bg.b:.4f} (2.426)"
    print(f"   {found}  LL {bg.log_likelihood:.2f} (-9582.4)")
    print(f"   p {gg.p:.3f} (6.25)  q {gg.q:.3f} (3.74)  v {gg.v:.3f} (15.44)  LL {gg.log_likelihood:.2f} (-4055.9)")
    rows = pd.read_csv(DATA / "cdnow_sample.txt.xz", header=None, names=["full", "id", "day", "cds", "dollars"], sep=r"\s+")
    later = rows[rows.day > 19970930].groupby(["id", "day"]).dollars.sum().groupby("id").agg(["size", "sum"]).reindex(data.ID).fillna(0.0)
    bought, spent = later["size"].to_numpy(), later["sum"].to_numpy()
    predicted = bg.expected_purchases(39, data.x, data.t_x, data["T"])
    cumulative = bg.expected_purchases(data["T"] + 39, 0, 0, 0).sum() / (data.x.sum() + bought.sum()) - 1
    correlation = np.corrcoef(predicted, bought)[0, 1]
    print(f"   cumulative repeat purchases at week 78: {cumulative:+.2%} (-4 %)   individual correlation {correlation:.4f} (.626)")
    print(f"   hold-out purchases {predicted.sum():,.0f} for {bought.sum():,.0f}; MAE {np.abs(predicted - bought).mean():.3f}")
    frame = pd.DataFrame(dict(zip(clv.COLUMNS, (data.x, data.t_x, data["T"], data.zbar), strict=True)))
    value = clv.value(bg, gg, frame, 39 * 7, seed=0)["value"].to_numpy()
    same = (data.x * data.zbar / data["T"] * 39).to_numpy()
    print(f"   value: MAE {np.abs(value - spent).mean():.2f} against {np.abs(same - spent).mean():.2f} at the same rate as before")
    rng = np.random.default_rng(0)
    print(f"   80 % interval of the spend covers {share_inside(clv.simulate(bg, gg, frame, 39 * 7, draws=1000, rng=rng), spent, rng):.1%}")
    grid = pd.read_csv(DATA / "donations.csv.xz")
    gifts = bgnbd.fit(grid.frequency, grid.recency, grid.periods, grid.weights)
    print(f"   donations (weighted grid of {gifts.n:,.0f}): r {gifts.r:.4f}, alpha {gifts.alpha:.4f}, LL {gifts.log_likelihood:.2f};")
    print(f"   at their limits: {', '.join(gifts.at_limit)}, as nobody seems to leave")


def share_inside(drawn: np.ndarray, actual: np.ndarray, rng: np.random.Generator) -> float:
    """Share of the randomised probability integral transforms between .1 and .9."""
    levels = (drawn < actual[:, None]).mean(axis=1) + rng.random(actual.size) * (drawn == actual[:, None]).mean(axis=1)
    return float(((levels > 0.1) & (levels < 0.9)).mean())


# -- 3 to 5 -----------------------------------------------------------------------------------------------------------


def simulated(customers: int, seed: int, horizon: float) -> tuple[pd.DataFrame, np.ndarray]:
    rng = np.random.default_rng([seed, 1])
    T = rng.uniform(4, 52, customers)
    x, t_x, future = LAW.generate(T, rng, horizon)
    rate = rng.gamma(SPEND.q, 1 / SPEND.v, customers)
    mean = np.where(x > 0, rng.gamma(SPEND.p * np.maximum(x, 1)) / rate / np.maximum(x, 1), np.nan)
    spent = np.where(future > 0, rng.gamma(SPEND.p * np.maximum(future, 1)) / rate, 0.0)
    return pd.DataFrame(dict(zip(clv.COLUMNS, (x, t_x, T, mean), strict=True))), spent


def known_law(seed: int) -> None:
    print("3. 20,000 customers of known law, spend of the next 90 and 365 days")
    for days in (90, 365):
        frame, spent = simulated(20_000, seed, days / 7)
        rng = np.random.default_rng([seed, 2])
        inside = share_inside(clv.simulate(LAW, SPEND, frame, days, draws=400, rng=rng), spent, rng)
        value = clv.value(LAW, SPEND, frame, days, seed=seed, draws=10)["value"]
        print(f"   {days} days: the 80 % interval covers {inside:.1%}; mean value {value.mean():.3f} for {spent.mean():.3f}")


def speed(customers: int, seed: int) -> None:
    frame, _ = simulated(customers, seed, 0.0)
    spent = time.process_time()
    clv.value(LAW, SPEND, frame, 365, seed=seed)
    million = (time.process_time() - spent) / customers * 1e6
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"4. value and interval ({clv.DRAWS} draws): {million:.0f} CPU s for 1,000,000 customers; peak of this run so far {peak:.0f} MB")


def profiles(seed: int) -> None:
    started = time.process_time()
    trained = profile_value.train(seed=seed)
    found, naive = trained.record.metrics, trained.record.baseline
    bank = profile_bank.simulate(20_000, seed + 1)
    answer = trained.model.predict(pd.DataFrame(profile_schema.features(bank.people), columns=list(profile_schema.FEATURES)))
    covered = ((bank.value >= answer.low) & (bank.value <= answer.high)).mean()
    print(f"5. value of a described customer: trained and measured in {time.process_time() - started:.1f} CPU s")
    print(f"   MAE {found['mae']:.0f} against {naive['mae']:.0f} by the mean of all")
    oracle = trained.record.parameters["rmse_of_the_true_expectation"]
    print(
        f"   RMSE {found['rmse']:.0f} ({naive['rmse']:.0f} by the mean, {oracle:.0f} knowing everything hidden); Gini {found['gini']:.3f}"
    )
    print(f"   80 % interval covers {found['coverage']:.1%} of those kept apart, {covered:.1%} of another bank of 20,000")
    gift = {"transaction_date": "2026-01-01T10:00:00", "transaction_type": "Deposit", "amount": 100, "channel": "Online"}
    profile = {"age": 35, "income": 75_000, "credit_score": 720, "tenure_months": 24, "region": "North", "acquisition_channel": "Online"}
    profile |= {
        "products": [{"product_type": "Savings", "start_date": "2025-01-01", "balance": 5000, "status": "Active"}],
        "transactions": [gift] * 100,
    }
    seconds = []
    for _ in range(500):
        started = time.perf_counter()
        trained.model.predict_profile(profile)
        seconds.append(time.perf_counter() - started)
    print("   one profile with 100 transactions, ms: " + ", ".join(f"p{p} {np.percentile(seconds, p) * 1000:.1f}" for p in (50, 95, 99)))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Purchases and lifetime value, measured.")
    parser.add_argument("--customers", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--without-peers", action="store_true")
    options = parser.parse_args()
    main(options.customers, options.seed, not options.without_peers)
