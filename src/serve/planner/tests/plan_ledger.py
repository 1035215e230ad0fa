"""The costs of whole plans a second time, from what the plan prints: lines, years, totals, NPV.

usage: plan_ledger.py PLANNER_PLAN_CASES
"""
import json
import math
import subprocess
import sys

CENT = 0.01
OPTIONS_MIN = 100
HOURS_PER_YEAR = 8760
ENERGY_ESCALATOR = 0.02
STAFF_ESCALATOR = 0.03
STAFF_HOURS = 1800


def line_of(option, name):
    for line in option["cost"]["lines"]:
        if line["line"] == name:
            return line["per_year"]
    return [0.0] * len(option["cost"]["per_year"])


def requests_in(parameters, year):
    growth = (1 + parameters["growth"]) ** (year - 0.5)
    return parameters["rate"] * growth * 3600 * HOURS_PER_YEAR


def price_of(plan, kind, entry_id):
    for price in plan["prices"]:
        if price["kind"] == kind and price["id"] == entry_id:
            return price["price"]
    return None


class Check:
    def __init__(self):
        self.amounts = 0
        self.wrong = []

    def equal(self, option, what, expected, got):
        self.amounts += 1
        if abs(expected - got) > CENT:
            self.wrong.append(f"{option['id']}: {what}: expected {expected:.4f}, plan says {got:.4f}")


def check_sums(check, parameters, option):
    cost = option["cost"]
    years = cost["per_year"]
    for year, amount in enumerate(years):
        check.equal(option, f"year {year}", sum(l["per_year"][year] for l in cost["lines"]), amount)
    check.equal(option, "total", sum(years), cost["total"])
    npv = sum(a / (1 + parameters["wacc"]) ** t for t, a in enumerate(years))
    check.equal(option, "npv", npv, cost["npv"])
    tokens = sum(requests_in(parameters, y) for y in range(1, parameters["horizon"] + 1))
    tokens *= parameters["isl"] + parameters["osl"]
    check.equal(option, "per million", cost["total"] / tokens * 1e6, cost["per_million_tokens"])


def check_staff(check, parameters, option):
    staff = line_of(option, "staff")
    fte = option["staff_hours_year"] / STAFF_HOURS
    for year in range(1, parameters["horizon"] + 1):
        expected = fte * parameters["loaded_cost"] * (1 + STAFF_ESCALATOR) ** (year - 1)
        check.equal(option, f"staff {year}", expected, staff[year])


def check_tokens(check, parameters, plan, option):
    provider = option["id"][len("token-api-"):]
    p_in = price_of(plan, "token_in", provider)
    p_out = price_of(plan, "token_out", provider)
    cached = price_of(plan, "token_in_cached", provider)
    cached = p_in if cached is None else cached
    hit = parameters["prefix"]
    each = parameters["isl"] * ((1 - hit) * p_in + hit * cached) + parameters["osl"] * p_out
    for year in range(1, parameters["horizon"] + 1):
        expected = requests_in(parameters, year) * each / 1e6 * (1 + parameters["drift"]) ** (year - 1)
        check.equal(option, f"tokens {year}", expected, line_of(option, "tokens")[year])
        gigabytes = requests_in(parameters, year) * (parameters["isl"] + parameters["osl"]) * 4 / 1e9
        gigabytes += parameters["ingest_gb_day"] * 365
        check.equal(option, f"egress {year}", gigabytes * 0.09, line_of(option, "egress")[year])


def check_owned_purchase(check, parameters, option):
    """Hardware, resale and maintenance where everything is bought at the start."""
    if len(option["calendar"]) != 1:
        return
    price = sum(b["count"] * b["unit_price"] for b in option["bom"])
    horizon, life = parameters["horizon"], round(parameters["life"])
    hardware = [0.0] * (horizon + 1)
    resale = [0.0] * (horizon + 1)
    for start in range(0, horizon, life):
        end = min(start + life, horizon)
        hardware[start] += price
        resale[end] -= price * (1 - (1 - parameters["resale"]) * (end - start) / life)
    for year in range(horizon + 1):
        check.equal(option, f"hardware {year}", hardware[year], line_of(option, "hardware")[year])
        check.equal(option, f"resale {year}", resale[year], line_of(option, "resale")[year])
        upkeep = price * parameters["maintenance"] if year else 0
        check.equal(option, f"maintenance {year}", upkeep, line_of(option, "maintenance")[year])


def check_energy(check, parameters, option):
    """The first year, from the utilisation that the plan prints."""
    if option["utilisation"] >= 1 or not option["bom"]:
        return
    watts = option["bom"][0]["watts"]
    if len(option["bom"]) > 1 and option["bom"][1]["item"] == "host share":
        watts += option["bom"][1]["watts"]
    load = parameters["idle_share"] + (1 - parameters["idle_share"]) * option["utilisation"]
    kwh = HOURS_PER_YEAR * parameters["pue"] * watts * load / 1000 * option["count"]
    check.equal(option, "kWh", kwh, option["energy_kwh_year"])
    check.equal(option, "energy 1", kwh * parameters["electricity"], line_of(option, "energy")[1])


def check_migration(check, parameters, option):
    expected = parameters["migration_hours"] * parameters["loaded_cost"] / STAFF_HOURS
    expected += parameters["retraining"]
    if option["mode"] == "owned":
        expected = 0
    check.equal(option, "migration", expected, line_of(option, "migration")[0])


def main():
    out = subprocess.run([sys.argv[1]], check=True, capture_output=True, text=True).stdout
    check = Check()
    options = 0
    for text in out.splitlines():
        case = json.loads(text)
        parameters, plan = case["parameters"], case["plan"]
        for option in plan["options"]:
            if option["status"] == "removed":
                continue
            options += 1
            check_sums(check, parameters, option)
            check_staff(check, parameters, option)
            check_migration(check, parameters, option)
            if option["mode"] == "token-api":
                check_tokens(check, parameters, plan, option)
            if option["mode"] in ("onprem", "edge"):
                check_owned_purchase(check, parameters, option)
                check_energy(check, parameters, option)
    for line in check.wrong[:20]:
        print(line)
    print(f"{options} options, {check.amounts} amounts, {len(check.wrong)} differ")
    if options < OPTIONS_MIN:
        print(f"fewer than {OPTIONS_MIN} options: the cases are gone")
        return 1
    return 1 if check.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
