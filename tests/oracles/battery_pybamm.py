"""One orbit of an LG M50 cell by PyBaMM: what a battery stores and loses under a changing load.

Made for this project with PyBaMM 26.10.1.1 (single particle model with electrolyte, parameter set
OKane2022: the cell of Chen et al. 2020 with its dependence on temperature), 2026-11-23. PyBaMM is
no dependency: run `python battery_pybamm.py > battery_pybamm.json` where it is installed.

From PyBaMM come the open-circuit voltage over the stored share; one resistance at 25 °C (half an
hour at C/2, as in an eclipse: fast and slow overpotential in one number, by the energy lost) and
its growth at 5 °C; and the curves: terminal power, stored share and energy lost, every minute.
"""

import json
import os

os.environ["PYBAMM_DISABLE_TELEMETRY"] = "true"

import numpy as np
import pybamm
from scipy.optimize import least_squares

NAME, WARM, COLD = "OKane2022", 298.15, 278.15
# Terminal power (W) of one cell, positive into it, in spells of five minutes: 12 lit, 7 dark.
LIT = [2.0, 4.0, 6.0, 6.0, 5.0, 6.0, 3.0, 5.0, 6.0, 4.0, 3.0, 1.0]
DARK = [-6.0, -9.0, -4.0, -7.0, -10.0, -5.0, -8.0]
CASES = {
    "gentle": (0.7, WARM, 1.0, DARK + LIT),
    "deep": (0.9, WARM, 1.8, DARK + LIT),
    "low": (0.35, WARM, 1.0, DARK + LIT),
    "cold": (0.7, COLD, 1.0, DARK + LIT),
}


def parameters(temperature):
    """The cell held at one temperature, with its electrode balance."""
    values = pybamm.ParameterValues(NAME)
    values["Ambient temperature [K]"] = temperature
    values["Initial temperature [K]"] = temperature
    return values


def open_circuit(values):
    """Charge (Ah), energy (J) and voltage from empty to full, at 25 °C."""
    ends = [pybamm.lithium_ion.get_initial_stoichiometries(s, values) for s in (0.0, 1.0)]
    empty, full = ([*end.values()][:2] if isinstance(end, dict) else end[:2] for end in ends)
    part = np.linspace(0, 1, 4001)
    cell = pybamm.LithiumIonParameters()
    negative, positive = (
        values.process_symbol(side.prim.U(pybamm.Vector(a + (b - a) * part), WARM))
        for side, a, b in zip((cell.n, cell.p), empty, full, strict=True)
    )
    voltage = positive.evaluate().ravel() - negative.evaluate().ravel()
    usable = values.evaluate(cell.n.prim.Q_init) * (full[0] - empty[0])
    charge = usable * part
    energy = np.concatenate([[0], np.cumsum(np.diff(charge) * (voltage[1:] + voltage[:-1]) / 2)])
    return charge, 3600 * energy, voltage


def live(values, start, spells, minutes):
    """Charge (Ah) every minute, under spells of constant terminal power."""
    steps = [
        (pybamm.step.power(-watts, duration=60 * minutes, period=60))  # PyBaMM counts discharge
        for watts in spells
    ]
    simulation = pybamm.Simulation(
        pybamm.lithium_ion.SPMe(), parameter_values=values, experiment=pybamm.Experiment(steps)
    )
    solution = simulation.solve(initial_soc=start)
    time = solution["Time [s]"].entries
    every = np.arange(0, 60 * minutes * len(spells) + 1, 60)
    assert time[-1] >= every[-1] - 1e-6, "a limit of voltage cut the orbit short"
    return np.interp(every, time, solution["Discharge capacity [A.h]"].entries)


def main():
    charge, energy, voltage = open_circuit(parameters(WARM))
    capacity, nominal = energy[-1], energy[-1] / charge[-1] / 3600
    share = np.linspace(0, 1, 1001)
    curve = np.interp(share, energy / capacity, voltage) / nominal
    law = least_squares(
        lambda c: c[0] + c[1] * share - c[2] / (share + c[3]) - curve, [0.9, 0.2, 0.01, 0.02]
    ).x
    off = law[0] + law[1] * share - law[2] / (share + law[3]) - curve

    def run(temperature, start, spells, minutes=5):
        drawn = live(parameters(temperature), start, spells, minutes)
        stored = np.interp(start * charge[-1] - drawn, charge, energy)
        into = np.repeat(spells, minutes)
        lost = np.cumsum(into) * 60 - (stored[1:] - stored[0])
        return into, stored, np.concatenate([[0], lost])

    def resistance(temperature):  # 1/W, from energy lost at C/2 over half an hour
        into, stored, lost = run(temperature, 0.7, [-0.5 * nominal * charge[-1]], 30)
        inner = np.diff(stored) / 60  # chemical power
        v = np.interp(stored[1:] / 2 + stored[:-1] / 2, energy, voltage) / nominal
        return lost[-1] / np.sum(60 * (inner / v) ** 2)

    warm, cold = resistance(WARM), resistance(COLD)
    cases = {}
    for name, (start, temperature, scale, spells) in CASES.items():
        into, stored, lost = run(temperature, start, [scale * watts for watts in spells])
        cases[name] = {
            "temperature": temperature,
            "power": into.tolist(),
            "share": np.round(stored / capacity, 7).tolist(),
            "lost": np.round(lost, 3).tolist(),
        }
    header = {
        "tool": f"PyBaMM {pybamm.__version__}, SPMe, {NAME}",
        "date": "2026-11-23",
        "script": "battery_pybamm.py",
        "units": "power W into the terminals, every minute; lost J; resistance 1/W",
    }
    cell = {
        "capacity": capacity,
        "nominal_voltage": nominal,
        "voltage_law": law.tolist(),
        "voltage_law_worst": float(np.abs(off).max()),
        "voltage_curve": np.round(curve[::50], 6).tolist(),
        "resistance": warm,
        "resistance_cold": cold,
        "activation": float(np.log(cold / warm) / (1 / COLD - 1 / WARM)),
    }
    print(json.dumps({"header": header, "cell": cell, "cases": cases}))


if __name__ == "__main__":
    main()
