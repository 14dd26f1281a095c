"""One other library's BG/NBD fit, run by benchmarks/predictions_clv.py with the Python of an environment that has it.

Arguments: lifetimes or pymc-marketing, an .npz with x, t_x and T, and how often to fit. Prints one JSON line: version, seconds and CPU
seconds of each fit, parameters r, alpha, a, b, peak memory in MB.
"""

import importlib.metadata
import json
import logging
import resource
import sys
import time
import warnings

import numpy as np


def fit_lifetimes(x, t_x, T):
    from lifetimes import BetaGeoFitter

    found = BetaGeoFitter().fit(x, t_x, T).params_
    return [float(found[name]) for name in ("r", "alpha", "a", "b")]


def fit_pymc(x, t_x, T):
    import pandas as pd
    from pymc_marketing.clv import BetaGeoModel

    data = pd.DataFrame({"customer_id": np.arange(x.size), "frequency": x, "recency": t_x, "T": T})
    try:
        model = BetaGeoModel(data=data)
        model.fit(method="map", progressbar=False)
    except TypeError:  # older versions take the data in another place
        model = BetaGeoModel(data)
        model.fit(fit_method="map", progressbar=False)
    return [float(model.fit_result[name].mean()) for name in ("r", "alpha", "a", "b")]


def main(name, path, times):
    warnings.filterwarnings("ignore")
    logging.disable(logging.WARNING)
    columns = [np.load(path)[key].astype(float) for key in ("x", "t_x", "T")]
    fit = {"lifetimes": fit_lifetimes, "pymc-marketing": fit_pymc}[name]
    fit(*(column[:400] for column in columns))  # imports, and what is compiled once, are not counted
    seconds, cpu = [], []
    for _ in range(times):
        wall, spent = time.perf_counter(), time.process_time()
        parameters = fit(*columns)
        seconds.append(time.perf_counter() - wall)
        cpu.append(time.process_time() - spent)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    answer = {"version": importlib.metadata.version(name), "seconds": seconds, "cpu": cpu, "parameters": parameters, "peak_mb": peak}
    print(json.dumps(answer))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
