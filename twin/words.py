"""The report in plain words: a page for a person, and the three sentences answered."""

import textwrap
from collections.abc import Mapping

from twin.constants import CELSIUS
from twin.profiles import Profile
from twin.report_form import Band, Conflict, Group, Report, Verdict
from twin.scenario import Scenario

WIDTH = 96
PAGE = 130  # characters of the page's lines that are not sentences
CONSUMER = {
    "survival": "avionics and heaters", "comms": "radio", "isl": "laser terminals",
    "payload": "payload",
}  # fmt: skip


def sentence(report: Report) -> str:
    """The run in one sentence, as a person would say it."""
    losses = {"energy": 0.0, "heat": 0.0, "booting": 0.0}
    offered = 0.0
    for g in report.groups.values():
        shares = (g.lost_to_energy, g.lost_to_heat, g.lost_to_fault)
        mine = g.tokens / max(1 - sum(shares), 1e-9)
        offered += mine
        for name, share in zip(losses, shares, strict=True):
            losses[name] += share * mine
    lost = sum(losses.values()) / offered if offered else 0.0
    most = max(losses, key=losses.__getitem__)
    return (
        f"{report.satellites:,} satellites, {_hours(report.duration_s)}, {report.steps:,} steps in"
        f" {report.wall_s:.1f} s. Emptiest battery {report.battery_min_fraction:.0%}, hottest chip"
        f" {_celsius(report.payload_temperature_max_k)}, {big(report.tokens)} tokens made,"
        f" {lost:.1%} lost{f', mostly to {most}' if lost > 1e-3 else ''}."
    )


def verdicts(report: Report) -> list[Verdict]:
    """The three sentences by which orbital computing is sold, each with number and remedy."""
    return [_energy(report), _cooling(report), _two_minutes(report)]


def _energy(report: Report) -> Verdict:
    low, high = report.eclipse_fraction_range
    longest = report.eclipse_longest_s[1] / 60
    share = f"{low:.0%} to {high:.0%}" if round(low, 2) != round(high, 2) else f"{high:.0%}"
    key = "battery_min_fraction"
    charge = f"{report.battery_min_fraction:.0%}{_band(report, key, _percent)}"
    kept = all(x > 0.995 for x in (report.battery_min_fraction, *report.bands.get(key, ())))
    fall = "All batteries stay full" if kept else f"The emptiest battery falls to {charge}"
    parts = [
        f"Satellites spend {share} of the time in shadow, up to {longest:.0f} min at a stretch."
        if report.eclipse_fraction > 0
        else "No satellite enters the Earth's shadow during this run.",
        f"{fall} and {_unserved(report)}.",
    ]
    if safe := report.shed_satellites["safe"]:
        hours = report.shed_hours["safe"] / safe
        went = (
            f"goes into safe mode, for {hours:.1f} h in all"
            if safe == 1
            else (f"go into safe mode, for {hours:.1f} h each")
        )
        parts.append(f"{safe:,} of {report.satellites:,} satellites {went}.")
    for name, group in report.groups.items():
        array, battery = group.array_needed_m2, group.battery_needed_wh
        if group.lost_to_energy > 1e-3:
            lost = f"{group.lost_to_energy:.0%} of its work"
            parts.append(f"Class {name} loses {lost} for want of energy.")
        if array is None:
            parts.append(f"No array up to 3.5 times as large closes class {name}.")
            continue
        parts.append(
            f"To work through every night class {name} takes"
            f" {_least(array, group.array_m2)} of array (it has"
            f" {group.array_m2:.3g}, margin {group.array_m2 / array - 1:+.0%})"
            + (
                f" and {battery:,.0f} Wh of battery (it has {group.battery_wh:,.0f}, margin"
                f" {group.battery_wh / battery - 1:+.0%})."
                if battery > 0
                else "."
            )
        )
    fails = (
        report.eclipse_fraction > 0
        or report.limits.energy > 0
        or report.unserved_wh > 0
        or report.shed_satellites["safe"] > 0
    )
    return Verdict(
        claim="unlimited energy",
        answer="fails" if fails else _careful(report, "battery_min_fraction"),
        text=" ".join(parts),
    )


def _unserved(report: Report) -> str:
    band = report.bands.get("unserved_wh", (0.0, 0.0))
    if report.unserved_wh == 0 and band[1] == 0:
        return "no load goes unserved"
    amount = f"{_energy_amount(report.unserved_wh)}{_band(report, 'unserved_wh', _energy_amount)}"
    return f"{amount} of load goes unserved"


def _cooling(report: Report) -> Verdict:
    hot = report.payload_temperature_max_k - CELSIUS
    parts = [
        f"The hottest chip reaches {hot:.0f} °C"
        f"{_band(report, 'payload_temperature_max_k', lambda k: f'{k - CELSIUS:.0f}')}."
    ]
    for name, group in report.groups.items():
        share = f"{group.radiator_m2_per_kw:.2g} m² of radiator"
        text = f"Class {name} has {share} per kilowatt of compute"
        if group.lost_to_heat > 1e-3:
            text += f" and loses {group.lost_to_heat:.1%} of its work to heat"
        if group.drawn and group.radiator_needed_m2 in (None, group.radiator_m2):
            holds = "does not hold" if group.radiator_needed_m2 is None else "holds"
            text += f"; as drawn it {holds} chip and battery"
        elif group.radiator_needed_m2 is None:
            text += "; no radiator up to 3.5 times as large keeps chip and battery cool"
        else:
            has = f"it has {group.radiator_m2:.3g}"
            least = _least(group.radiator_needed_m2, group.radiator_m2)
            text += f"; {least} would hold chip and battery ({has})"
        parts.append(text + ".")
    parts.append("Vacuum cools nothing by itself: all of it leaves by radiation.")
    fails = report.limits.heat > 0 or any(g.lost_to_heat > 1e-3 for g in report.groups.values())
    return Verdict(
        claim="natural cooling",
        answer="fails" if fails else _careful(report, "payload_temperature_max_k"),
        text=" ".join(parts),
    )


def _least(needed: float, present: float) -> str:
    """An area that was found, or the smallest that was tried."""
    return f"{needed:.3g} m²{' or less' if needed < 0.351 * present else ''}"


def _two_minutes(report: Report) -> Verdict:
    contact = report.contact
    if contact is None:
        return Verdict(
            claim="answers in two minutes",
            answer="not tested",
            text="The scenario names no ground station, so nobody can ask; add [[station]].",
        )
    low, high = contact.share_in_view_band
    near, far = contact.chance_within_90_s_band
    what = f"{len(contact.stations)} stations" if len(contact.stations) > 1 else contact.stations[0]
    always = low > 0.999
    mask = f"mask {_span(contact.mask_deg, 'g')}°"
    if always:
        text = (
            f"Some satellite always stands over one of {what} ({mask}, fourteen"
            " two-day windows). Contact is not the obstacle here; "
        )
    else:
        text = (
            f"A satellite stands over {what} {contact.share_in_view:.0%} of the day ({low:.0%} to"
            f" {high:.0%} over fourteen two-day windows, {mask}). A question"
            " asked at a random moment meets one within 90 s with a chance of"
            f" {contact.chance_within_90_s:.0%} ({near:.0%} to {far:.0%}). The twelve stations"
            f" of a world-wide network would make it {contact.chance_with_world_stations:.0%}; "
        )
    text += "links, queues and tokens come later, and can only lower it."
    answer = "illustrates" if contact.chance_within_90_s > 0.95 else "fails"
    return Verdict(claim="answers in two minutes", answer=answer, text=text)


def _careful(report: Report, headline: str) -> str:
    """A verdict that rests on assumed inputs illustrates; it does not hold."""
    return "illustrates" if report.assumed_share.get(headline, 1.0) > 0.5 else "holds"


def assumption(scenario: Scenario, profiles: Mapping[str, Profile]) -> str:
    """What pictures and exports say about the payload; nothing if all of it was measured."""
    parts = []
    for name, design in scenario.class_.items():
        profile = profiles.get(name)
        if profile is None:
            parts.append(f"{name}, assumed")
        elif profile.origin != "measured":
            parts.append(f"{name}, {design.payload.devices} x {profile.device} ({profile.origin})")
    return "payload assumed: " + "; ".join(parts) if parts else ""


def page(report: Report) -> str:
    """The report as a page of text."""
    lines = [
        report.title,
        f"{report.scenario}: {report.start}, {_hours(report.duration_s)}, {report.satellites:,}"
        f" satellites, {report.propagator} orbits at {_span(report.mean_altitude_km, '.0f')} km",
        "",
    ]
    chip = report.payload_temperature_max_k
    rows = [
        ("least charge", _percent(report.battery_min_fraction), "battery_min_fraction", _percent),
        ("hottest chip", _celsius(chip), "payload_temperature_max_k", _celsius),
        ("tokens a day", big(report.tokens_per_day), "tokens_per_day", big),
        ("energy per token", _joules(report.joules_per_token), "joules_per_token", _joules),
        ("unserved energy", _energy_amount(report.unserved_wh), "unserved_wh", _energy_amount),
    ]
    bands = {key: report.bands.get(key) for *_, key, _ in rows}
    spans = [
        f"{form(b[0])} to {form(b[1])}" if (b := bands[key]) else "-" for *_, key, form in rows
    ]
    wide = max(26, *map(len, spans)) + 2
    lines.append(f"  {'':26}{'this run':>16}   {'5-95 % of the inputs':{wide}}what matters most")
    for (label, value, headline, _), span in zip(rows, spans, strict=True):
        top = report.assumed.get(headline, {})
        named = ", ".join(f"{short(n)} {s:.0%}" for n, s in list(top.items())[:2])
        lines.append(f"  {label:26}{value:>16}   {span:{wide}}{named}".rstrip())
    shortest, longest = report.eclipse_longest_s
    limits = {k: v for k, v in report.limits.model_dump().items() if v >= 5e-5}
    bound = ", ".join(f"{k} {_share(v)}" for k, v in limits.items())
    books = report.books
    lines += [
        "",
        f"  limited by (satellite-time): {bound}",
        *_switched_off(report),
        f"  in shadow: {_span(report.eclipse_fraction_range, '.1%')} of the time, longest eclipse"
        f" {_span((shortest / 60, longest / 60), '.1f')} min",
        f"  books (must stay below 1e-6): energy {books.energy_residual:.0e}, heat"
        f" {books.heat_residual:.0e}, tokens {books.tokens_residual:.0e};"
        f" heat truncation {books.heat_truncation:.0e}",
        f"  error bars: {report.samples} samples of the inputs' ranges"
        + (
            f", {report.represented_by} satellites standing for the fleet"
            if report.represented_by < report.satellites
            else ""
        )
        if report.samples
        else "  error bars: none asked for (run.samples = 0)",
    ]
    for name, group in report.groups.items():
        lines.append(
            f"  class {name}: {group.satellites:,} satellites, {group.payload}"
            f" ({group.payload_origin}), {group.compute_w:,.0f} W"
        )
        lines.append(_losses(group))
        lines += [_pointing(one) for one in report.conflicts if one.group == name]
    for warning in report.warnings:
        lines += textwrap.wrap(
            f"warning: {warning}", PAGE, initial_indent="  ", subsequent_indent="    "
        )
    for verdict in report.verdicts:
        lines += ["", *_wrapped(f'"{verdict.claim}" {verdict.answer}. {verdict.text}')]
    return "\n".join([*lines, "", *_wrapped(report.sentence)])


def _switched_off(report: Report) -> list[str]:
    """Who was not served, and what stood still; no line where there is nothing to say."""
    lines, hours, who = [], report.shed_hours, report.shed_satellites
    spelled = {"payload": "payload asleep", "isl": "laser terminals off too", "safe": "safe mode"}
    parts = [
        f"{spelled[key]} {_count(hours[key])} h on {who[key]:,}"
        for key in spelled
        if hours[key] > 0
    ]
    if parts:
        lines.append(f"  switched off (satellite-hours): {', '.join(parts)}")
    if who["safe"] and report.safe_mode_entries is not None:
        left = report.safe_mode_entries - (report.safe_mode_at_end or 0)
        lines.append(
            f"  safe mode: entered {report.safe_mode_entries:,} times, left {left:,} times;"
            f" {report.safe_mode_at_end:,} in it at the end"
        )
    owed = {CONSUMER[name]: wh for name, wh in report.unserved_by_wh.items() if wh > 0}
    if owed:
        listed = ", ".join(f"{name} {_energy_amount(wh)}" for name, wh in owed.items())
        lines.append(f"  not served: {listed}")
    struck = "1 reboot" if report.resets == 1 else f"{report.resets:,.0f} reboots"
    lines.append(
        f"  upsets: {struck}; booting and loading {report.downtime_fraction:.2%} of satellite-time;"
        f" heaters used {_energy_amount(report.heater_wh)}"
    )
    return lines


def _count(number: float) -> str:
    return f"{number:,.0f}" if number >= 100 else f"{number:.3g}"


def _losses(group: Group) -> str:
    """What one class lost, and how warm it was."""
    low, high = group.battery_temperature_min_k, group.battery_temperature_max_k
    lost = {
        "energy": group.lost_to_energy, "heat": group.lost_to_heat, "booting": group.lost_to_fault
    }  # fmt: skip
    named = ", ".join(f"{name} {_share(share)}" for name, share in lost.items() if share > 5e-5)
    work = f"lost to {named}" if named else "no work lost"
    return (
        f"    {work}; chip up to {_celsius(group.payload_temperature_max_k)} (slows down from"
        f" {group.throttle_start_k - CELSIUS:.0f}); battery {low - CELSIUS:.0f} to"
        f" {_celsius(high)}"
    )


def _pointing(one: Conflict) -> str:
    """How Sun, radiator, wings and terminals agree in one attitude."""
    when = "" if "in sunlight" in one.taken else f" ({', '.join(one.taken)})"
    parts = []
    if one.taken != ["in eclipse"]:
        if one.radiator_sunlit_worst > 0:
            shown = _span((one.radiator_sunlit, one.radiator_sunlit_worst), ".0%")
            sun = _span((one.radiator_solar_w_m2, one.radiator_solar_w_m2_worst), ".0f")
            emits = f"it emits {one.radiator_emits_w_m2:.0f} at 27 °C"
            parts.append(f"radiator in the Sun {shown} of daylight, {sun} W/m² ({emits})")
        else:
            parts.append("radiator out of the Sun")
        lost = _span((1 - one.wings_cosine, 1 - one.wings_cosine_worst), ".0%")
        slant = f"wings lose {lost} by slant and shade"
        parts.append("wings face the Sun" if lost == "0%" else slant)
    if not one.links_along_orbit:
        parts.append("laser terminals cannot look along the orbit: no links")
    return f"    {one.attitude}{when}: {'; '.join(parts)}"


def compared(one: Report, two: Report) -> list[tuple[str, str, str, str]]:
    """Headline numbers side by side: label, first, second, change."""
    headlines = (
        ("satellites", "satellites", big),
        ("least charge", "battery_min_fraction", _percent),
        ("hottest chip", "payload_temperature_max_k", _celsius),
        ("tokens a day", "tokens_per_day", big),
        ("energy per token", "joules_per_token", _joules),
        ("unserved energy", "unserved_wh", _energy_amount),
        ("payload down", "downtime_fraction", _share),
        ("in shadow", "eclipse_fraction", _percent),
    )
    rows = []
    for label, key, form in headlines:
        a, b = getattr(one, key), getattr(two, key)
        texts = form(a), form(b)
        if key == "payload_temperature_max_k":
            change = f"{b - a:+.1f} K"
        else:
            change = f"{b / a - 1:+.1%}" if a and b is not None else ""
        rows.append((label, *texts, change))
    return rows


def big(number: float) -> str:
    """A count with a word: 4.1 million."""
    for size, word in ((1e12, "trillion"), (1e9, "billion"), (1e6, "million")):
        if abs(number) >= size:
            return f"{number / size:.3g} {word}"
    return f"{number:,.0f}"


def short(name: str) -> str:
    """An input's name without the parts that go without saying."""
    return name.removeprefix("class.").removeprefix("environment.").replace(".body.", ".")


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(text, WIDTH, initial_indent="  ", subsequent_indent="  ")


def _band(report: Report, headline: str, form) -> str:
    band = report.bands.get(headline)
    return f" ({form(band[0])} to {form(band[1])})" if band else ""


def _span(pair: Band, form: str) -> str:
    low, high = format(pair[0], form), format(pair[1], form)
    return low if low == high else f"{low} to {high}"


def _percent(x: float) -> str:
    return f"{x:.1%}" if x < 0.1 else f"{x:.0%}"


def _share(x: float) -> str:
    return f"{x:.2%}" if x < 0.01 else f"{x:.1%}"


def _celsius(kelvin: float) -> str:
    return f"{kelvin - CELSIUS:.1f} °C"


def _joules(x: float | None) -> str:
    return "-" if x is None else f"{x:.3g} J"


def _energy_amount(wh: float) -> str:
    for size, unit in ((1e9, "GWh"), (1e6, "MWh"), (1e3, "kWh")):
        if abs(wh) >= size:
            return f"{wh / size:.3g} {unit}"
    return f"{wh:.3g} Wh"


def _hours(seconds: float) -> str:
    hours = seconds / 3600
    return f"{hours:g} h" if hours < 72 else f"{hours / 24:g} days"
