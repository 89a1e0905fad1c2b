"""Six lumps of heat by SciPy's Radau: an independent right-hand side, from the scenario's numbers.

Written from the scenario's keys in plain NumPy, without a line of the twin. The array's electricity
follows its temperature moment by moment, the battery's losses warm it at once, the payload draws a
constant power (no throttle). The sky is handed in as smooth functions of time. SciPy 1;
2026-11-22.
"""

import numpy as np
from scipy.integrate import solve_ivp

SIGMA, SPACE = 5.670374419e-8, 2.7
ARRAY, BUS, BATTERY, CHIP, PLATE, RADIATOR = range(6)


def right_hand_side(design, payload_power, charge_limit):
    """Returns f(temperature, irradiance, heats on array, box and radiator) in K/s."""
    b, wh = design.body, design.battery_wh.value
    wings, radiator = design.array_m2.value, b.radiator_m2.value
    devices = design.payload.devices
    mass = np.array(
        [
            b.array_heat_capacity_j_k_m2.value * wings,
            b.bus_heat_capacity_j_k.value,
            b.battery_heat_capacity_j_k_wh.value * wh,
            b.chip_heat_capacity_j_k.value * devices,
            b.cold_plate_heat_capacity_j_k.value,
            b.radiator_heat_capacity_j_k_m2.value * radiator,
        ]
    )
    grey = np.zeros(6)
    grey[ARRAY] = wings * (b.array_front_emittance.value + b.array_back_emittance.value)
    grey[BUS] = 6 * b.box_face_m2.value * b.box_emittance.value
    grey[RADIATOR] = b.radiator_sides * radiator * b.radiator_emittance.value
    joined = np.zeros((6, 6))
    for one, two, w_k in (
        (ARRAY, BUS, b.array_bus_w_k.value),
        (BUS, BATTERY, b.bus_battery_w_k.value),
        (BUS, PLATE, b.bus_cold_plate_w_k.value),
        (BUS, RADIATOR, b.bus_radiator_w_k.value),
        (CHIP, PLATE, b.chip_cold_plate_w_k.value * devices),
        (PLATE, RADIATOR, b.cold_plate_radiator_w_k.value),
    ):
        joined[one, two] -= w_k
        joined[two, one] -= w_k
        joined[one, one] += w_k
        joined[two, two] += w_k
    aged = (1 - design.array_ageing_per_year.value) ** design.array_age_years.value
    cells = wings * design.array_efficiency.value * design.array_losses.value * aged
    slope = design.array_temperature_coefficient_per_k.value
    housekeeping = design.housekeeping_w.value
    loads = housekeeping + payload_power
    way_in = 1 - design.battery_charge_efficiency.value
    way_out = 1 / design.battery_discharge_efficiency.value - 1

    def rate(temperature, irradiance, on_array, on_box, on_radiator):
        power = cells * irradiance * max(1 + slope * (temperature[ARRAY] - 301.15), 0.0)
        power = min(power, loads + charge_limit)
        surplus = power - loads
        heat = np.array([on_array - power, on_box + housekeeping, 0, payload_power, 0, on_radiator])
        heat[BATTERY] = way_in * max(surplus, 0.0) + way_out * max(-surplus, 0.0)
        return (heat - joined @ temperature - SIGMA * grey * (temperature**4 - SPACE**4)) / mass

    return rate


def solve(rate, sky, temperature, times, max_step=20.0):
    """Temperatures at `times` (node, time), from `temperature` at the first of them."""
    solution = solve_ivp(
        lambda t, y: rate(y, *sky(t)),
        (times[0], times[-1]),
        temperature,
        method="Radau",
        t_eval=times,
        rtol=1e-10,
        atol=1e-7,
        max_step=max_step,
    )
    assert solution.success, solution.message
    return solution.y
