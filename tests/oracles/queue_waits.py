"""Mean waits in M/D/1, M/M/1 and M/M/4: closed forms, the Ciw package beside them, and recursions.

Made for this project with Ciw 3.2.7, 2026-11-27. Ciw is no dependency: run
`python queue_waits.py > queue_waits.json` where it is installed. Waits are in mean service times.
The closed forms are Pollaczek and Khinchine's for one server and Erlang's C for several (Kleinrock,
Queueing Systems I, 1975, 5.6 and 3.5). `lindley` and `kiefer_wolfowitz` give every single wait of
given arrivals and services, from nothing but the definition of a queue: the tests use them too.
"""

import json
from math import factorial

import numpy as np

QUEUES = {"M/D/1": ("D", 1), "M/M/1": ("M", 1), "M/M/4": ("M", 4)}
LOADS = (0.3, 0.5, 0.7, 0.9)
RUNS, CUSTOMERS, WARM_UP = 10, 40_000, 4_000


def mean_wait(law, servers, load):
    """Closed form; D only for one server."""
    offered = servers * load
    last = offered**servers / factorial(servers) / (1 - load)
    delayed = last / (sum(offered**k / factorial(k) for k in range(servers)) + last)
    return delayed / (servers * (1 - load)) * (1.0 if law == "M" else 0.5)


def lindley(arrivals, services):
    """Waits at one server, first come, first served; the last axis counts customers."""
    steps = services[..., :-1] - np.diff(arrivals)
    path = np.concatenate([np.zeros((*steps.shape[:-1], 1)), np.cumsum(steps, axis=-1)], axis=-1)
    return path - np.minimum.accumulate(path, axis=-1)


def kiefer_wolfowitz(arrivals, services, servers):
    """Waits at several servers: each takes the next in line when it is free."""
    free = np.zeros((*arrivals.shape[:-1], servers))
    waits = np.empty_like(arrivals)
    for k in range(arrivals.shape[-1]):
        free.sort(axis=-1)
        start = np.maximum(free[..., 0], arrivals[..., k])
        waits[..., k] = start - arrivals[..., k]
        free[..., 0] = start + services[..., k]
    return waits


def interval(means):
    """Mean and half width of its 95 % interval, from independent runs."""
    from scipy.stats import t

    means = np.asarray(means)
    half = t.ppf(0.975, len(means) - 1) * means.std(ddof=1) / len(means) ** 0.5
    return float(means.mean()), float(half)


def simulated(law, servers, load):
    """Ciw's mean wait and half width."""
    import ciw

    service = ciw.dists.Exponential(1.0) if law == "M" else ciw.dists.Deterministic(1.0)
    means = []
    for run in range(RUNS):
        ciw.seed(run)
        network = ciw.create_network(
            arrival_distributions=[ciw.dists.Exponential(servers * load)],
            service_distributions=[service],
            number_of_servers=[servers],
        )
        queue = ciw.Simulation(network)
        queue.simulate_until_max_customers(CUSTOMERS, method="Finish")
        records = sorted(queue.get_all_records(), key=lambda r: r.arrival_date)
        means.append(float(np.mean([r.waiting_time for r in records[WARM_UP:]])))
    return interval(means)


def main():
    rows = []
    for name, (law, servers) in QUEUES.items():
        for load in LOADS:
            mean, half = simulated(law, servers, load)
            wait = mean_wait(law, servers, load)
            rows.append(
                {"queue": name, "law": law, "servers": servers, "load": load, "wait": wait}
                | {"ciw": round(mean, 5), "ciw_half_width": round(half, 5)}
            )
    header = {
        "tool": "Ciw 3.2.7 and closed forms",
        "date": "2026-11-27",
        "script": "queue_waits.py",
        "units": "waits in mean service times; half widths of 95 % intervals",
        "customers": f"{RUNS} runs of {CUSTOMERS}, the first {WARM_UP} left out",
    }
    print(json.dumps({"header": header, "rows": rows}, indent=1))


if __name__ == "__main__":
    main()
