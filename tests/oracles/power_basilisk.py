"""Shadow, panel and battery over three orbits with changing load, by Basilisk's own modules.

Made for this project with Basilisk (bsk) 2.12.1, 2026-11-23: `eclipse`, `simpleSolarPanel`,
`simplePowerSink`, `simpleBattery`. Basilisk is no dependency: run `python power_basilisk.py >
power_basilisk.csv` where it is installed, or `python power_basilisk.py time` for its speed.

Basilisk's Sun has a radius of 695,000 km and its Earth one of our choice. To meet our Sun of
695,700 km, all lengths that the eclipse module sees are shrunk by 6950 / 6957: angles stay. The
panel sees true lengths. Positions are whole metres, the Sun's whole kilometres.
"""

import sys
import time

import numpy as np
from Basilisk.architecture import messaging
from Basilisk.simulation import (
    eclipse,
    gravityEffector,
    sensorThermal,
    simpleBattery,
    simplePowerSink,
    simpleSolarPanel,
    spacecraft,
)
from Basilisk.utilities import SimulationBaseClass, macros

STEP, PERIOD, RADIUS, INCLINATION = 30.0, 5739.0, 6_928_137.0, np.radians(53.0)
EARTH, AU, GM = 6_378_137.0, 149_597_870_700.0, 3.986004418e14
SHRINK = 6950 / 6957
AREA, EFFICIENCY, NORMAL = 2.0, 0.29, (0.6, 0.0, 0.8)
CAPACITY, START = 400 * 3600.0, 0.85 * 400 * 3600.0


def position(moment):
    """Circular orbit, in whole metres."""
    u = 2 * np.pi * moment / PERIOD
    flat = np.array([np.cos(u), np.sin(u) * np.cos(INCLINATION), np.sin(u) * np.sin(INCLINATION)])
    return np.round(RADIUS * flat)


def sun(moment):
    """The Sun near the March equinox, in whole kilometres."""
    longitude = 0.1 + 2 * np.pi * moment / (365.25 * 86_400)
    tilt = np.radians(23.44)
    flat = [np.cos(longitude), np.sin(longitude) * np.cos(tilt), np.sin(longitude) * np.sin(tilt)]
    return 1e3 * np.round(0.996e-3 * AU * np.array(flat))


def load(row):
    """Changing load (W): bus, payload in spells of 11 minutes, a terminal in spells of 4."""
    return 120.0 + (150.0 if (row // 22) % 3 else 40.0) + (90.0 if (row // 8) % 2 else 0.0)


def planet(where, name):
    payload = messaging.SpicePlanetStateMsgPayload()
    payload.PositionVector = list(where)
    payload.PlanetName = name
    payload.J20002Pfix = np.identity(3).tolist()
    return payload


def simulate(moments, with_power):
    """Rows of shadow factor, panel power and stored energy at given moments."""
    simulation = SimulationBaseClass.SimBaseClass()
    process = simulation.CreateNewProcess("process")
    process.addTask(simulation.CreateNewTask("task", macros.sec2nano(STEP)))
    craft, far, near, there = (
        messaging.SCStatesMsg(),
        messaging.SpicePlanetStateMsg(),
        messaging.SpicePlanetStateMsg(),
        messaging.SCStatesMsg(),
    )
    earth = messaging.SpicePlanetStateMsg().write(planet([0, 0, 0], "custom"))

    shade = eclipse.Eclipse()
    shade.rEqCustom = EARTH * SHRINK
    shade.sunInMsg.subscribeTo(near)
    shade.addPlanetToModel(earth)
    shade.addSpacecraftToModel(there)
    panel = simpleSolarPanel.SimpleSolarPanel()
    panel.panelArea, panel.panelEfficiency, panel.nHat_B = AREA, EFFICIENCY, list(NORMAL)
    panel.stateInMsg.subscribeTo(craft)
    panel.sunInMsg.subscribeTo(far)
    panel.sunEclipseInMsg.subscribeTo(shade.eclipseOutMsgs[0])
    sink = simplePowerSink.SimplePowerSink()
    battery = simpleBattery.SimpleBattery()
    battery.storageCapacity, battery.storedCharge_Init = CAPACITY, START
    battery.addPowerNodeToModel(panel.nodePowerOutMsg)
    battery.addPowerNodeToModel(sink.nodePowerOutMsg)
    for priority, module in enumerate((battery, sink, panel, shade)):
        simulation.AddModelToTask("task", module, priority)

    def place(moment, clock):
        for state, light, scale in ((craft, far, 1.0), (there, near, SHRINK)):
            payload = messaging.SCStatesMsgPayload()
            payload.r_BN_N = list(scale * position(moment))
            state.write(payload, clock)
            light.write(planet(scale * sun(moment), "sun"), clock)

    place(moments[0], 0)
    sink.nodePowerOut = -load(0)
    simulation.InitializeSimulation()
    for row, moment in enumerate(moments):
        clock = macros.sec2nano(STEP * row)
        place(moment, clock)
        sink.nodePowerOut = -load(row)
        simulation.ConfigureStopTime(clock)
        simulation.ExecuteSimulation()
        out = shade.eclipseOutMsgs[0].read()
        seen = [out.shadowFactor]
        if with_power:
            seen += [panel.nodePowerOutMsg.read().netPower, load(row)]
            seen += [battery.batPowerOutMsg.read().storageLevel]
        yield [*position(moment), *sun(moment), *seen]


def golden():
    """Three orbits every 30 s, then every half second around two edges of the night."""
    print("# Basilisk 2.12.1 eclipse, simpleSolarPanel, simplePowerSink, simpleBattery; 2026-11-23")
    print("# by power_basilisk.py; SI; empty power columns: rows around an edge of the shadow")
    print("x,y,z,sun_x,sun_y,sun_z,shadow,panel,load,stored")
    rows = list(simulate(np.arange(0, 3 * PERIOD, STEP), True))
    lit = np.array([row[6] for row in rows])
    edges = np.flatnonzero(np.diff(lit > 0.5))[:2] * STEP
    near = np.concatenate([edge + np.arange(-10, 40, 0.5) for edge in edges])
    for row in [*rows, *simulate(near, False)]:
        text = [f"{x:.0f}" for x in row[:6]] + [f"{x:.15g}" for x in row[6:]]
        print(",".join(text + [""] * (10 - len(text))))


def clock(satellites=28, step=10.0, span=86_400.0):
    """Wall and process time (s) of orbit, shadow, panel, battery and one-node heat of a fleet."""
    simulation = SimulationBaseClass.SimBaseClass()
    process = simulation.CreateNewProcess("process")
    process.addTask(simulation.CreateNewTask("task", macros.sec2nano(step)))
    earth = messaging.SpicePlanetStateMsg().write(planet([0, 0, 0], "earth"))
    light = messaging.SpicePlanetStateMsg().write(planet(sun(0.0), "sun"))
    shade = eclipse.Eclipse()
    shade.sunInMsg.subscribeTo(light)
    shade.addPlanetToModel(earth)
    keep = []
    for one in range(satellites):
        craft = spacecraft.Spacecraft()
        gravity = gravityEffector.GravBodyData()
        gravity.planetName, gravity.mu, gravity.isCentralBody = "earth", GM, True
        gravity.planetBodyInMsg.subscribeTo(earth)
        craft.gravField.gravBodies = spacecraft.GravBodyVector([gravity])
        turn = 2 * np.pi * one / satellites
        craft.hub.r_CN_NInit = [RADIUS * np.cos(turn), RADIUS * np.sin(turn), 0.0]
        speed = np.sqrt(GM / RADIUS)
        craft.hub.v_CN_NInit = [
            -speed * np.sin(turn) * np.cos(INCLINATION),
            speed * np.cos(turn) * np.cos(INCLINATION),
            speed * np.sin(INCLINATION),
        ]
        shade.addSpacecraftToModel(craft.scStateOutMsg)
        panel = simpleSolarPanel.SimpleSolarPanel()
        panel.panelArea, panel.panelEfficiency, panel.nHat_B = AREA, EFFICIENCY, list(NORMAL)
        panel.stateInMsg.subscribeTo(craft.scStateOutMsg)
        panel.sunInMsg.subscribeTo(light)
        panel.sunEclipseInMsg.subscribeTo(shade.eclipseOutMsgs[one])
        sink = simplePowerSink.SimplePowerSink()
        sink.nodePowerOut = -200.0
        battery = simpleBattery.SimpleBattery()
        battery.storageCapacity, battery.storedCharge_Init = CAPACITY, START
        battery.addPowerNodeToModel(panel.nodePowerOutMsg)
        battery.addPowerNodeToModel(sink.nodePowerOutMsg)
        heat = sensorThermal.SensorThermal()
        heat.nHat_B, heat.sensorArea, heat.sensorAbsorptivity = list(NORMAL), 1.0, 0.25
        heat.sensorEmissivity, heat.sensorMass, heat.sensorSpecificHeat = 0.34, 2.0, 890.0
        heat.sensorPowerDraw, heat.T_0 = 30.0, 0.0
        heat.sunInMsg.subscribeTo(light)
        heat.stateInMsg.subscribeTo(craft.scStateOutMsg)
        heat.sunEclipseInMsg.subscribeTo(shade.eclipseOutMsgs[one])
        keep.append((gravity, craft, panel, sink, battery, heat))
    for _, craft, *_ in keep:
        simulation.AddModelToTask("task", craft, 9)
    simulation.AddModelToTask("task", shade, 8)
    for _, _, *rest in keep:
        for priority, module in zip((7, 7, 6, 5), rest, strict=True):
            simulation.AddModelToTask("task", module, priority)
    simulation.InitializeSimulation()
    simulation.ConfigureStopTime(macros.sec2nano(span))
    wall, used = time.perf_counter(), time.process_time()
    simulation.ExecuteSimulation()
    return time.perf_counter() - wall, time.process_time() - used


if __name__ == "__main__":
    if sys.argv[1:] == ["time"]:
        wall, used = clock()
        print(f"28 satellites, a day of 10 s: wall {wall:.2f} s, process {used:.2f} s, "
              f"{1e6 * used / 28 / 8640:.2f} us a satellite-step")  # fmt: skip
    else:
        golden()
