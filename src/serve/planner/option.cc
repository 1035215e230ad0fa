#include "option.h"

#include <algorithm>
#include <cmath>

#include "fields.h"
#include "holdfast/planner/availability.h"

namespace holdfast::planner {

namespace {

double nodes_of(const Candidate& c, const Problem& p) {
  if (c.mode == Mode::kEdge) return static_cast<double>(c.site_count) * c.site_devices;
  if (c.mode == Mode::kOwned) return c.owned_devices / c.served->place().devices;
  if (c.mode == Mode::kHybrid) return c.hybrid_owned + c.spares;
  return replicas_in_year(c, p, {}, 1) + c.spares;
}

std::vector<CalendarEntry> calendar(const Problem& p, const Candidate& c) {
  std::vector<CalendarEntry> out;
  if (!c.served || c.sunk || c.mode == Mode::kRent || p.today.empty()) return out;
  const int lead = static_cast<int>(p.lead_weeks * 7);
  double have = 0;
  for (int year = 1; year <= p.horizon_years; ++year) {
    const double growing =
        c.mode == Mode::kOnPrem ? replicas_in_year(c, p, {}, year) + c.spares : nodes_of(c, p);
    const double wanted = growing * c.served->place().devices;
    if (wanted <= have) continue;
    // The first can be there after the lead time; the others when their year begins.
    const std::string needed = add_days(p.today, year == 1 ? lead : 365 * (year - 1));
    out.push_back({year, add_days(needed, -lead), needed, wanted - have});
    have = wanted;
  }
  return out;
}

double system_up(const Problem& p, const Candidate& c) {
  if (c.mode == Mode::kTokenApi) return c.api_availability;
  Redundancy r;
  r.repair = hours(c.mode == Mode::kRent ? 0.25 : p.mttr_hours);
  if (c.mode == Mode::kEdge) return availability(r.mtbf, r.repair);
  r.needed = static_cast<int>(std::min(4000.0, std::max(1.0, nodes_of(c, p) - c.spares)));
  r.present = static_cast<int>(std::min(4000.0, std::max(1.0, nodes_of(c, p))));
  const double own = system_availability(r).value_or(0);
  if (c.mode != Mode::kHybrid) return own;
  return 1 - (1 - own) * (1 - (c.burst_by_rent ? 0.995 : c.api_availability));
}

void fill_costs(const Problem& p, const Candidate& c, PlanOption& o) {
  o.ledger = candidate_ledger(c, p, {});
  o.npv = npv_of(o.ledger, p.wacc);
  o.total = ledger_total(o.ledger).value();
  o.per_year.clear();
  for (const Money m : cash_flow_by_year(o.ledger)) o.per_year.push_back(m.value());
  o.capex = 0;
  o.migration = 0;
  std::vector<double> running(static_cast<std::size_t>(p.horizon_years) + 1, 0.0);
  for (const LedgerLine& line : o.ledger.lines) {
    for (std::size_t t = 0; t < line.per_year.size(); ++t) {
      const double amount = line.per_year[t].value();
      if (line.name == "hardware") {
        o.capex = std::max(o.capex, amount);
      } else if (line.name == "migration") {
        o.migration += amount;
      } else if (line.name != "resale") {
        running[t] += amount;
      }
    }
  }
  o.opex_month_max = *std::max_element(running.begin(), running.end()) / kMonthsPerYear;
  double tokens = 0;
  for (int year = 1; year <= p.horizon_years; ++year) {
    tokens += c.demand.mean.value() * growth_factor(p.workload.growth, mid_of_year(year)) *
              kSecondsPerHour * kHoursPerYear * (c.request.isl + c.request.osl);
  }
  o.per_million_tokens = tokens > 0 ? o.total / tokens * 1e6 : 0;
  double resale = 0;
  double hardware = 0;
  double spent = 0;
  for (const LedgerLine& line : o.ledger.lines) {
    double sum = 0;
    for (const Money m : line.per_year) sum += m.value();
    if (line.name == "resale") resale -= sum;
    if (line.name == "hardware") hardware += sum;
    if (line.name != "hardware" && line.name != "resale") spent += sum;
  }
  const double yearly = (spent + hardware - resale) / p.horizon_years;
  o.lockin = lockin_index(Money(o.migration), Money(std::max(0.0, o.capex * (1 - p.resale))),
                          Money(std::max(0.0, yearly)));
  o.staff_hours_year = c.staff_fte * kStaffHoursYear;
  o.energy_kwh_year = in_kilowatt_hours(candidate_energy(c, p, {}, 1));
  o.co2_kg_year = o.energy_kwh_year * p.co2_kg_kwh;
}

void fill_rates(const Candidate& c, PlanOption& o) {
  const ServedModel& m = *c.served;
  const RequestShape& r = c.request;
  const double prompt = std::max(1.0, r.work_isl());
  o.prefill_tps = band(prompt / m.prefill(prompt).value(), m.prefill_sigma());
  o.decode_tps = band(1 / m.step(1, r.isl + r.osl / 2).value(), m.decode_sigma());
  o.throughput_tps = band(c.cap_rps * r.osl, m.throughput_sigma());
  o.memory = m.memory(r, c.batch);
  o.kv_bytes_per_token = kv_bytes_per_token(m.shape(), m.kv_element_bytes()).value();
}

// A constant ratio of slow and fast to median carries the band of the rates to a latency. Where the
// slow case would overload, ten times stands for "does not hold".
Band around(double median, double slow, double fast) {
  constexpr double kOverload = 10;
  return {median * std::min(1.0, fast), median, median * std::clamp(slow, 1.0, kOverload)};
}

struct Ratios {
  double ttft_slow = 10, ttft_fast = 1, tpot_slow = 10, tpot_fast = 1;
};

Ratios ratios_of(const Candidate& c, PerSecond rate, const Latency& median) {
  Ratios out;
  const double factor = std::exp(kZ90 * c.served->throughput_sigma());
  const Latency slow = chain_latency(*c.served, c.request, c.batch, rate, c.c2a, 1 / factor);
  const Latency fast = chain_latency(*c.served, c.request, c.batch, rate, c.c2a, factor);
  if (median.unstable) return out;
  if (!slow.unstable) {
    out.ttft_slow = slow.ttft_p99 / median.ttft_p99;
    out.tpot_slow = slow.tpot_p99 / median.tpot_p99;
  }
  if (!fast.unstable) {
    out.ttft_fast = fast.ttft_p99 / median.ttft_p99;
    out.tpot_fast = fast.tpot_p99 / median.tpot_p99;
  }
  return out;
}

// Of one replica in the sized hour.
PerSecond replica_rate(const Problem& p, const Candidate& c) {
  if (c.mode == Mode::kEdge)
    return c.demand.sized / static_cast<double>(c.site_count * c.site_devices);
  if (c.mode == Mode::kOwned)
    return c.demand.sized / std::max(1.0, std::floor(c.owned_devices / c.served->place().devices));
  const double sized = c.demand.sized.value() * growth_factor(p.workload.growth, 1);
  if (c.mode == Mode::kHybrid)
    return PerSecond(std::min(sized / std::max(1.0, c.hybrid_owned), c.capacity_rps));
  return PerSecond(sized / replicas_in_year(c, p, {}, 1));
}

void fill_latency(const Problem& p, const Candidate& c, const Latency& l, const Ratios& r,
                  PlanOption& o) {
  o.latency_tier = l.tier;
  const double rtt = rtt_of(p, c.mode);
  const auto ttft = [&](Seconds s) {
    Band b = around(in_milliseconds(s), r.ttft_slow, r.ttft_fast);
    b.p10 += rtt;
    b.p50 += rtt;
    b.p90 += rtt;
    return b;
  };
  o.ttft_ms_p50 = ttft(l.ttft_p50);
  o.ttft_ms_p99 = ttft(l.ttft_p99);
  o.tpot_ms_p50 = around(in_milliseconds(l.tpot_p50), r.tpot_slow, r.tpot_fast);
  o.tpot_ms_p99 = around(in_milliseconds(l.tpot_p99), r.tpot_slow, r.tpot_fast);
  o.budget.rtt_ms = rtt;
  o.budget.ttft_ms = in_milliseconds(c.served->prefill(c.request.work_isl())) +
                     in_milliseconds(c.served->step(1, c.request.isl));
  o.budget.queue_ms = std::max(0.0, in_milliseconds(l.ttft_p50) - o.budget.ttft_ms);
  o.budget.tpot_ms = in_milliseconds(l.tpot_p50);
  o.budget.tokens = c.request.osl;
}

bool within_slo(const Problem& p, const Candidate& c, const Slice& slice, const Latency& l) {
  const Slo& slo = slice.part->slo;
  if (slice.part->kind == ServiceKind::kBatch) return true;
  const double rtt = rtt_of(p, c.mode);
  if (slo.ttft_p99_ms > 0 && in_milliseconds(l.ttft_p99) + rtt > slo.ttft_p99_ms) return false;
  if (slo.tpot_p99_ms > 0 && in_milliseconds(l.tpot_p99) > slo.tpot_p99_ms) return false;
  return slo.e2e_p99_ms <= 0 || in_milliseconds(l.e2e_p99) + rtt <= slo.e2e_p99_ms;
}

// Share of what its machines can do that the mean hour asks of them in the first year.
double utilisation_of(const Problem& p, const Candidate& c) {
  const double rate = c.demand.mean.value() * growth_factor(p.workload.growth, mid_of_year(1));
  const double capacity = std::max(1e-12, c.cap_rps * std::max(1.0, nodes_of(c, p)));
  if (c.mode != Mode::kHybrid) return std::min(1.0, rate / capacity);
  double served = 0;
  for (const double w : c.demand.hours)
    served += std::min(rate * w, c.hybrid_owned * c.capacity_rps);
  return std::min(1.0, served / static_cast<double>(c.demand.hours.size()) / capacity);
}

// Replicas that are simulated; more of them behave like these with their share of the load.
constexpr int kSimulatedReplicas = 8;

Result<Latency> simulated(const Problem& p, const Candidate& c, const Slice& slice,
                          double replicas) {
  Simulation s;
  const double growth_now =
      c.mode == Mode::kEdge || c.mode == Mode::kOwned ? 1 : growth_factor(p.workload.growth, 1);
  const double load = c.demand.sized.value() * growth_now / (replicas * c.cap_rps);
  s.step = load > kLoadedFrom ? c.served->loaded_coefficients(c.request, c.batch)
                              : c.served->coefficients(c.request);
  s.limits = c.served->limits(c.request, c.batch);
  s.fleet.replicas =
      static_cast<int>(std::clamp(replicas, 1.0, static_cast<double>(kSimulatedReplicas)));
  const double share = s.fleet.replicas / replicas;
  s.arrivals.rate = c.demand.sized * (growth_now * share);
  const auto part = [share](double idc) { return idc > 0 ? 1 + (idc - 1) * share : 0.0; };
  const ArrivalSpec& a = p.workload.arrival;
  if (a.kind != ArrivalKind::kPoisson) {
    // A sparse stream shows no bursts within windows in which nothing comes.
    const bool busy = s.arrivals.rate.value() > 0.2;
    s.arrivals.shape.c2a = slice.c2a;
    s.arrivals.shape.idc_1s = busy ? part(slice.burstiness.idc_1s) : 0;
    s.arrivals.shape.idc_10s = busy ? part(slice.burstiness.idc_10s) : 0;
    s.arrivals.shape.idc_60s = busy ? part(slice.burstiness.idc_60s) : 0;
  }
  s.classes[0].isl = simulation_lengths(slice.part->isl);
  s.classes[0].osl = simulation_lengths(slice.part->osl);
  s.classes[0].prefix_hit = c.request.prefix_share;
  s.requests = 1'500;
  s.replications = 20;
  s.seed = p.seed;
  HF_TRY_ASSIGN(const SimulationOutcome r, simulate(s));
  Latency out;
  out.ttft_p50 = r.all.ttft.p50;
  out.ttft_p99 = r.all.ttft.p99;
  out.tpot_p50 = r.all.tpot.p50;
  out.tpot_p99 = r.all.tpot.p99;
  out.e2e_p99 = r.all.e2e.p99;
  out.utilisation = r.utilisation;
  out.tier = "simulation";
  return out;
}

}  // namespace

std::string option_id(const Found& f, const std::string& prefix) {
  std::string id = prefix + std::string(mode_name(f.mode));
  if (f.mode == Mode::kTokenApi)
    return id + "-" + (f.candidate.provider.empty() ? f.provider : f.candidate.provider);
  id += "-" + f.device;
  if (f.candidate.served) {
    id += "-" + std::string(f.candidate.served->quant().name);
    if (f.candidate.served->place().devices > 1)
      id += "-x" + std::to_string(f.candidate.served->place().devices);
  }
  return id;
}

void screen_latency(const Problem& p, const Slice& slice, const Found& f, PlanOption& o) {
  const Candidate& c = f.candidate;
  const PerSecond rate = replica_rate(p, c);
  const Latency l = chain_latency(*c.served, c.request, c.batch, rate, slice.c2a);
  fill_latency(p, c, l, ratios_of(c, rate, l), o);
}

PlanOption make_option(const Problem& p, const Slice& slice, const Found& f,
                       const std::string& prefix) {
  PlanOption o;
  const Candidate& c = f.candidate;
  o.id = option_id(f, prefix);
  o.mode = f.mode;
  o.workload_class = slice.part->name;
  o.model = slice.model->shape.id;
  o.device = f.device;
  o.quant = f.quant;
  o.provider = f.provider;
  o.because = f.reasons;
  o.memory = f.memory;
  if (f.removed) {
    o.status = OptionStatus::kRemoved;
    const bool costed = c.mode != Mode::kHybrid || c.tokens || c.burst_by_rent;
    if (!c.served || c.capacity_rps <= 0 || !costed) return o;
  }
  o.batch_cap = c.batch;
  fill_costs(p, c, o);
  o.availability = system_up(p, c);
  if (c.served) {
    o.devices_per_replica = c.served->place().devices;
    o.tensor_parallel = c.served->place().tensor_parallel;
    o.spares = c.spares;
    o.replicas = nodes_of(c, p) - c.spares;
    o.count = nodes_of(c, p) * o.devices_per_replica;
    o.hybrid_owned = c.hybrid_owned;
    o.utilisation = utilisation_of(p, c);
    fill_rates(c, o);
    screen_latency(p, slice, f, o);
    o.bom = bill_of_materials(c, nodes_of(c, p) * o.devices_per_replica);
    o.calendar = calendar(p, c);
  } else {
    constexpr double kTail = 2.5;
    constexpr double kSigma = 0.3;
    o.latency_tier = "assumed";
    o.ttft_ms_p50 = band(c.api_rtt_ms + c.api_ttft_ms, kSigma);
    o.ttft_ms_p99 = band(c.api_rtt_ms + c.api_ttft_ms * kTail, kSigma);
    o.tpot_ms_p50 = band(c.api_tpot_ms, kSigma);
    o.tpot_ms_p99 = band(c.api_tpot_ms * kTail, kSigma);
    o.decode_tps = band(1000 / std::max(0.1, c.api_tpot_ms), kSigma);
    o.budget = {c.api_rtt_ms, 0, c.api_ttft_ms, c.api_tpot_ms, c.request.osl};
  }
  return o;
}

bool simulate_option(const Problem& p, const Slice& slice, Found& f, PlanOption& o) {
  Candidate& c = f.candidate;
  const bool fixed = c.mode == Mode::kEdge || c.mode == Mode::kOwned || c.mode == Mode::kHybrid;
  double replicas = c.mode == Mode::kEdge ? static_cast<double>(c.site_count) * c.site_devices
                    : fixed ? std::max(1.0, c.mode == Mode::kHybrid ? replicas_in_year(c, p, {}, 1)
                                                                    : nodes_of(c, p))
                            : replicas_in_year(c, p, {}, 1);
  constexpr int kAttempts = 6;
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    const auto latency = simulated(p, c, slice, replicas);
    if (!latency.ok()) return true;  // the screen stands
    const bool good = within_slo(p, c, slice, *latency);
    if (good || slice.part->kind == ServiceKind::kBatch) {
      const PerSecond rate = replica_rate(p, c);
      const Latency chain = chain_latency(*c.served, c.request, c.batch, rate, slice.c2a);
      fill_latency(p, c, *latency, ratios_of(c, rate, chain), o);
      return true;
    }
    if (fixed) break;
    replicas = std::ceil(replicas * 1.15 + 0.01);
    c.capacity_rps = c.demand.sized.value() * growth_factor(p.workload.growth, 1) / replicas;
    const auto reasons = o.because;
    const std::string id = o.id;
    o = make_option(p, slice, f, "");
    o.because = reasons;
    o.id = id;
  }
  o.because.push_back({"R-LAT",
                       {"slo.ttft_p99_ms", "slo.tpot_p99_ms", "workload.arrival"},
                       {{"replicas", replicas}},
                       "in the simulation of the sized hour the limits of latency do not hold"});
  return false;
}

}  // namespace holdfast::planner
