"""The cost ledger of the planner a second time, in decimal arithmetic: every amount to the cent.

usage: ledger.py PLANNER_LEDGER_CASES
"""
import json
import subprocess
import sys
from decimal import Decimal, getcontext

getcontext().prec = 50
CASES_MIN = 20
HALF_CENT = Decimal("0.005")
ONE = Decimal(1)


def grow(amount, escalator, horizon):
    return [Decimal(0)] + [amount * (ONE + escalator) ** t for t in range(horizon)]


def own_year(i):
    life, wacc = i["life_years"], i["wacc"]
    if i["sunk"] * i["sunk_too"] == 1:
        capital = Decimal(0)
    else:
        # Sinking the loan: the present value of owning, over the present value of 1 a year.
        present = i["purchase"] - i["purchase"] * i["resale_share"] / (ONE + wacc) ** life
        capital = present / sum(ONE / (ONE + wacc) ** t for t in range(1, int(life) + 1))
    watts = i["idle_w"] * (ONE - i["duty"]) + (i["idle_w"] + i["more_w"]) * i["duty"]
    energy = watts * 24 * 365 / 1000 * i["pue"] * i["kwh"]
    return capital, i["purchase"] * i["maintenance_share"], energy


def own(i, expected):
    capital, maintenance, energy = own_year(i)
    fixed = {name: i[name] for name in ("space", "network", "licences", "staff", "insurance")}
    expected["capital"] = capital
    expected["energy"] = energy
    expected["year"] = capital + maintenance + energy + sum(fixed.values())
    horizon, life = int(i["horizon"]), int(i["life_years"])
    lines = {"maintenance": grow(maintenance, i["esc_maintenance"], horizon),
             "energy": grow(energy, i["esc_electricity"], horizon)}
    for name, amount in fixed.items():
        lines[name] = grow(amount, i["esc_staff"] if name == "staff" else Decimal(0), horizon)
    lumps = {}
    if i["sunk"] * i["sunk_too"] != 1:
        buys, sells = [Decimal(0)] * (horizon + 1), [Decimal(0)] * (horizon + 1)
        for age in range(horizon * life):
            if age % life == 0 and age < horizon:
                price = i["purchase"] * (ONE + i["esc_purchase"]) ** age
                buys[age] += price
                kept = min(life, horizon - age)
                lost = price - price * i["resale_share"]
                sells[age + kept] -= price - lost * kept / life
        lumps = {"purchase": buys, "resale": sells}
    return lines, lumps


def rent(i, _expected):
    price = i["price"] * (ONE - i["discount"])
    parts = {"hours": price * i["hours"],
             "minimum_idle": price * max(Decimal(0), i["starts"] * i["block_hours"] - i["hours"]),
             "interruptions": price * i["hours"] * i["interruptions"] * i["restart_hours"],
             "storage": i["stored_gb"] * i["storage_gb_month"] * 12,
             "egress": i["egress_gb"] * i["egress_price"]}
    return {name: grow(amount, i["escalator"], int(i["horizon"])) for name, amount in parts.items()}, {}


def api(i, _expected):
    horizon = int(i["horizon"])
    fresh = i["in_m"] * (ONE - i["hit"]) * i["price_in"]
    cached = i["in_m"] * i["hit"] * i["price_cached"]
    return {"tokens_in": grow(fresh, i["escalator"], horizon),
            "tokens_cached": grow(cached, i["escalator"], horizon),
            "tokens_out": grow(i["out_m"] * i["price_out"], i["escalator"], horizon),
            "egress": grow(i["egress_gb"] * i["egress_price"], Decimal(0), horizon)}, {}


def by_month(lines, lumps, horizon):
    months = [Decimal(0)] * (12 * horizon + 1)
    for amounts in lines.values():
        for m in range(1, 12 * horizon + 1):
            months[m] += amounts[(m + 11) // 12] / 12
    for amounts in lumps.values():
        for t, amount in enumerate(amounts):
            months[12 * t] += amount
    return months


def check_case(case):
    i, out, expected = case["in"], case["out"], {}
    lines, lumps = {"own": own, "rent": rent, "api": api}[case["kind"]](i, expected)
    every = {name: amounts for name, amounts in {**lines, **lumps}.items() if any(amounts)}
    years = [sum(column) for column in zip(*every.values())]
    expected["npv"] = sum(amount / (ONE + i["wacc"]) ** t for t, amount in enumerate(years))
    expected["total"] = sum(years)
    pairs = [(name, out[name], amount) for name, amount in expected.items()]
    if set(out["lines"]) != set(every):
        return [f"lines {sorted(out['lines'])}, expected {sorted(every)}"], 0
    for name, amounts in every.items():
        pairs += [(f"{name}[{t}]", got, want) for t, (got, want) in
                  enumerate(zip(out["lines"][name], amounts, strict=True))]
    pairs += [(f"month[{m}]", got, want) for m, (got, want) in
              enumerate(zip(out["months"], by_month(lines, lumps, int(i["horizon"])), strict=True))]
    return [f"{name}: {got}, expected {want:.6f}" for name, got, want in pairs
            if not abs(got - want) < HALF_CENT], len(pairs)


def main():
    printed = subprocess.run([sys.argv[1]], check=True, capture_output=True, text=True).stdout
    cases = [json.loads(line, parse_float=Decimal, parse_int=Decimal) for line in printed.splitlines()]
    amounts, failures = 0, []
    for case in cases:
        wrong, count = check_case(case)
        amounts += count
        failures += [f"{case['id']}: {line}" for line in wrong]
    print(f"{len(cases)} cases, {amounts} amounts, {len(failures)} differ")
    print("\n".join(failures[:20]))
    return 1 if failures or len(cases) < CASES_MIN or amounts < 100 * CASES_MIN else 0


if __name__ == "__main__":
    sys.exit(main())
