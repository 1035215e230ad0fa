#include "economics.h"

#include <algorithm>
#include <cmath>

namespace holdfast::planner {

namespace {

// Of one request as text: four bytes a token.
constexpr double kBytesPerToken = 4;
constexpr double kEnergyEscalator = 0.02;
constexpr double kStaffEscalator = 0.03;
// Per site and year: a visit costs 300, one machine in twenty fails; both assumed.
constexpr double kTruckRoll = 300;
constexpr double kFailuresYear = 0.05;
constexpr double kRestartHours = 0.1;
// The share of a 6 N D training run's peak arithmetic that is reached: assumed.
constexpr double kTrainingUse = 0.35;

// The machine's own cap moves with lengths; the rest follows from the demand.
double capacity_under(const Candidate& c, const Scenario& s) {
  double capacity = c.capacity_rps * s.speed;
  if ((s.isl != 1 || s.osl != 1) && c.served && c.cap_rps > 0) {
    RequestShape r = c.request;
    r.isl *= s.isl;
    r.osl *= s.osl;
    r.isl_p99 *= s.isl;
    r.osl_p99 *= s.osl;
    const ServedModel::Cap cap = c.served->cap(r, c.tpot_max_ms);
    capacity *= cap.requests.value() / c.cap_rps;
  }
  return std::max(capacity, 1e-12);
}

double growth_in(const Problem& p, const Scenario& s, double year) {
  return growth_factor(std::max(-0.95, p.workload.growth + s.growth), year);
}

double replicas_at(const Candidate& c, const Problem& p, const Scenario& s, int year,
                   double capacity) {
  const double sized = c.demand.sized.value() * s.demand * growth_in(p, s, year);
  return std::max(1.0, std::ceil(sized / capacity - 1e-9));
}

// A year of hourly replicas: needed on average, and what exceeds `owned`.
struct ReplicaHours {
  double needed = 0;
  double beyond = 0;
};
ReplicaHours replica_hours(const Candidate& c, double rate, double capacity, double owned) {
  ReplicaHours out;
  for (const double w : c.demand.week) {
    const double units = std::ceil(rate * w / capacity - 1e-9);
    out.needed += std::max(1.0, units);
    out.beyond += std::max(0.0, units - owned);
  }
  const double scale = kHoursPerYear / static_cast<double>(c.demand.week.size());
  out.needed *= scale;
  out.beyond *= scale;
  return out;
}

// Share of the requests above what `owned` replicas carry.
double burst_share(const Candidate& c, double rate, double capacity, double owned) {
  double total = 0;
  double beyond = 0;
  for (const double w : c.demand.hours) {
    total += rate * w;
    beyond += std::max(0.0, rate * w - owned * capacity);
  }
  return total > 0 ? beyond / total : 0;
}

class LedgerBuilder {
 public:
  explicit LedgerBuilder(int horizon) { ledger_.horizon_years = horizon; }

  void add(const char* name, int year, double amount, bool assumed, double escalator = 0) {
    if (amount == 0) return;
    for (LedgerLine& line : ledger_.lines) {
      if (line.name != name) continue;
      line.per_year[static_cast<std::size_t>(year)] += Money(amount);
      return;
    }
    LedgerLine line;
    line.name = name;
    line.per_year.assign(static_cast<std::size_t>(ledger_.horizon_years) + 1, Money(0));
    line.per_year[static_cast<std::size_t>(year)] = Money(amount);
    line.assumed = assumed;
    line.escalator = escalator;
    ledger_.lines.push_back(std::move(line));
  }

  Ledger take() { return std::move(ledger_); }

 private:
  Ledger ledger_;
};

// The same arithmetic without names.
class NpvSum {
 public:
  NpvSum(double wacc, int horizon) {
    double factor = 1;
    for (int t = 0; t <= horizon; ++t, factor /= 1 + wacc) discount_.push_back(factor);
  }
  void add(const char* /*name*/, int year, double amount, bool /*assumed*/,
           double /*escalator*/ = 0) {
    sum_ += amount * discount_[static_cast<std::size_t>(year)];
  }
  double value() const { return sum_; }

 private:
  std::vector<double> discount_;
  double sum_ = 0;
};

double node_watts(const Candidate& c) {
  return c.served->place().device.tdp.value() + c.host_watts;
}

double energy_kwh(const Candidate& c, const Problem& p, const Scenario& s, double devices,
                  double duty) {
  const double load = node_watts(c);
  const Energy e = energy_per_year(watts(load * p.idle_share), watts(load),
                                   std::clamp(duty, 0.0, 1.0), p.pue * s.pue);
  return in_kilowatt_hours(e) * devices;
}

// Writes all amounts of a candidate into a sink: the ledger, or the sum of a draw.
template <typename Sink>
class Writer {
 public:
  Writer(const Candidate& c, const Problem& p, const Scenario& s, Sink& sink)
      : c_(c), p_(p), s_(s), sink_(sink), capacity_(capacity_under(c, s)) {
    life_ = std::max(1, static_cast<int>(std::lround(s.life_years.value_or(p.life_years))));
  }

  void run() {
    switch (c_.mode) {
      case Mode::kOnPrem:
      case Mode::kOwned:
      case Mode::kEdge:
        own();
        break;
      case Mode::kRent:
        rent();
        break;
      case Mode::kTokenApi:
        token_api();
        break;
      case Mode::kHybrid:
        hybrid();
        break;
    }
    staff();
    frontier();
    once();
  }

 private:
  double rate(int year) const {
    return c_.demand.mean.value() * s_.demand * growth_in(p_, s_, mid_of_year(year));
  }
  double per_node() const { return c_.served->place().devices; }

  // Devices of a year, spares included.
  double devices(int year) const {
    if (c_.mode == Mode::kEdge) return static_cast<double>(c_.site_count) * c_.site_devices;
    if (c_.mode == Mode::kOwned) return c_.owned_devices;
    const double replicas = c_.mode == Mode::kHybrid ? c_.hybrid_owned * scale_of_hybrid(year)
                                                     : replicas_at(c_, p_, s_, year, capacity_);
    return (replicas + c_.spares) * per_node();
  }

  // The split keeps its share of the sized demand.
  double scale_of_hybrid(int year) const {
    const double now = c_.demand.mean.value() * growth_factor(p_.workload.growth, mid_of_year(1)) /
                       c_.capacity_rps;
    const double then = rate(year) / capacity_;
    const double scale = now > 0 ? then / now : 1;
    return c_.hybrid_owned > 0
               ? std::max(1.0, std::round(c_.hybrid_owned * scale)) / c_.hybrid_owned
               : 1;
  }

  void own() {
    double bought = 0;
    for (int year = 1; year <= p_.horizon_years; ++year) {
      const double wanted = devices(year);
      const double more = std::max(0.0, wanted - bought);
      if (!c_.sunk && more > 0) buy(year, price_of(bought + more) - price_of(bought));
      bought = std::max(bought, wanted);
      run_year(year, bought);
    }
  }

  double price_of(double count) const {
    return count * (c_.buy_price * s_.buy + c_.host_price) + surroundings_of(c_, count).price();
  }

  // One tranche: paid at the start of its year and again at each end of life, sold at the horizon
  // by age.
  void buy(int year, double price) {
    for (int at = year - 1; at < p_.horizon_years; at += life_) {
      sink_.add("hardware", at, price, false);
      const int ends = std::min(at + life_, p_.horizon_years);
      const double age = static_cast<double>(ends - at) / life_;
      const double value = price * (1 - (1 - p_.resale) * age);
      sink_.add("resale", ends, -value, true);
    }
  }

  void run_year(int year, double owned) {
    const double price = c_.sunk ? 0 : price_of(owned);
    sink_.add("maintenance", year, price * p_.maintenance * s_.maintenance, true);
    const double capacity = c_.cap_rps * s_.speed * owned / per_node();
    const double served = c_.mode == Mode::kHybrid
                              ? rate(year) * (1 - burst_share(c_, rate(year), capacity_,
                                                              owned / per_node() - c_.spares))
                              : rate(year);
    const double duty = c_.mode == Mode::kEdge
                            ? rate(year) / std::max(1e-12, c_.cap_rps * s_.speed * c_.site_count)
                            : served / std::max(1e-12, capacity);
    const double kwh = energy_kwh(c_, p_, s_, owned, duty);
    const double price_kwh =
        p_.electricity_kwh * s_.electricity * std::pow(1 + kEnergyEscalator, year - 1);
    sink_.add("energy", year, kwh * price_kwh, false, kEnergyEscalator);
    if (c_.mode != Mode::kEdge && !c_.sunk)
      sink_.add("space", year, rack_units(owned) * p_.rack_unit_month * kMonthsPerYear, true);
    if (c_.sunk) sink_.add("opportunity", year, c_.opportunity_year, false);
    if (c_.mode == Mode::kEdge)
      sink_.add("visits", year, c_.site_count * (kTruckRoll * kFailuresYear * c_.site_devices),
                true);
  }

  double rack_units(double count) const {
    const DeviceClass k = c_.served->place().device.device_class;
    if (k == DeviceClass::kDatacentre) return std::ceil(count / 2);
    if (k == DeviceClass::kWorkstation || k == DeviceClass::kConsumer || k == DeviceClass::kCpu)
      return 2 * count;
    return 0;
  }

  void rent() {
    for (int year = 1; year <= p_.horizon_years; ++year) {
      const ReplicaHours h = replica_hours(c_, rate(year), capacity_, 0);
      const double hours = h.needed * per_node();
      sink_.add("rent", year, hours * c_.rent_price * s_.rent * (1 - p_.commit_discount), false);
      sink_.add("storage", year, p_.dataset_gb * p_.storage_gb_month * kMonthsPerYear, true);
      const double restarts = 365 * kRestartHours * per_node();
      sink_.add("starts", year, restarts * c_.rent_price * s_.rent, true);
      egress(year, 1);
    }
  }

  void egress(int year, double share) {
    const double tokens = rate(year) * kSecondsPerHour * kHoursPerYear *
                          (c_.request.isl * s_.isl + c_.request.osl * s_.osl);
    const double gb = tokens * kBytesPerToken / 1e9 * share + c_.data_out_gb_year;
    sink_.add("egress", year, gb * p_.egress_gb, true);
  }

  double token_cost(int year, double share) const {
    const double requests = rate(year) * kSecondsPerHour * kHoursPerYear * share;
    const double in = c_.request.isl * s_.isl;
    const double hit = c_.request.prefix_share;
    const double each = in * (1 - hit) * c_.tokens->in + in * hit * c_.tokens->cached +
                        c_.request.osl * s_.osl * c_.tokens->out;
    const double drift = std::max(-0.95, p_.api_drift + s_.drift);
    return requests * each * 1e-6 * s_.token * std::pow(1 + drift, year - 1);
  }

  void token_api() {
    for (int year = 1; year <= p_.horizon_years; ++year) {
      sink_.add("tokens", year, token_cost(year, 1), false, p_.api_drift);
      const double requests = rate(year) * kSecondsPerHour * kHoursPerYear;
      sink_.add("requests", year, requests / 1000 * c_.tokens->request * s_.token, false);
      egress(year, 1);
    }
  }

  void hybrid() {
    own();
    for (int year = 1; year <= p_.horizon_years; ++year) {
      const double owned = c_.hybrid_owned * scale_of_hybrid(year);
      if (c_.burst_by_rent) {
        const ReplicaHours h = replica_hours(c_, rate(year), capacity_, owned);
        sink_.add("burst rent", year, h.beyond * per_node() * c_.rent_price * s_.rent, false);
      } else {
        const double share = burst_share(c_, rate(year), capacity_, owned);
        sink_.add("burst tokens", year, token_cost(year, share), false, p_.api_drift);
      }
    }
  }

  void staff() {
    for (int year = 1; year <= p_.horizon_years; ++year) {
      sink_.add(
          "staff", year,
          c_.staff_fte * p_.team.loaded_cost * s_.staff * std::pow(1 + kStaffEscalator, year - 1),
          true, kStaffEscalator);
    }
  }

  // Requests that need the newest models go to an API whatever the mode.
  void frontier() {
    if (!c_.frontier || p_.frontier_share <= 0 || c_.mode == Mode::kTokenApi) return;
    for (int year = 1; year <= p_.horizon_years; ++year) {
      const double requests = rate(year) * kSecondsPerHour * kHoursPerYear * p_.frontier_share;
      const double each =
          c_.request.isl * s_.isl * c_.frontier->in + c_.request.osl * s_.osl * c_.frontier->out;
      sink_.add("frontier tokens", year, requests * each * 1e-6 * s_.token, false);
    }
  }

  // Moving in, and training runs on the option's own kind of machine.
  void once() {
    const double hourly = p_.team.loaded_cost / kStaffHoursYear;
    const bool moves = c_.mode != Mode::kOwned;
    if (moves) sink_.add("migration", 0, p_.migration_hours * hourly + p_.retraining_cost, false);
    // Leaving a rented cloud takes the data set along.
    if (c_.mode == Mode::kRent)
      sink_.add("exit egress", p_.horizon_years, p_.dataset_gb * p_.egress_gb, true);
    if (p_.training_tokens <= 0 || !c_.served) return;
    const double flops = 6 * c_.model->shape.active * p_.training_tokens;
    const double hours =
        flops / (c_.served->place().device.fp16.value() * kTrainingUse) / kSecondsPerHour;
    for (int year = 1; year <= p_.horizon_years; ++year) {
      const double runs = p_.training_per_year;
      if (c_.mode == Mode::kRent)
        sink_.add("training", year, runs * hours * c_.rent_price * s_.rent, true);
      else
        sink_.add(
            "training energy", year,
            runs * hours * node_watts(c_) / 1000 * p_.pue * p_.electricity_kwh * s_.electricity,
            true);
    }
  }

  const Candidate& c_;
  const Problem& p_;
  const Scenario& s_;
  Sink& sink_;
  double capacity_;
  int life_ = 1;
};

}  // namespace

double replicas_in_year(const Candidate& c, const Problem& p, const Scenario& s, int year) {
  return replicas_at(c, p, s, year, capacity_under(c, s));
}

Ledger candidate_ledger(const Candidate& c, const Problem& p, const Scenario& s) {
  LedgerBuilder sink(p.horizon_years);
  Writer(c, p, s, sink).run();
  return sink.take();
}

double npv_of(const Ledger& ledger, double wacc) {
  return net_present_value(cash_flow_by_year(ledger), wacc).value();
}

double candidate_npv(const Candidate& c, const Problem& p, const Scenario& s) {
  NpvSum sink(s.wacc.value_or(p.wacc), p.horizon_years);
  Writer(c, p, s, sink).run();
  return sink.value();
}

double staff_fte(Mode mode, double nodes, double sites, const Team& team) {
  double base = nodes <= 1 ? 0.1 : nodes <= 4 ? 0.5 : std::max(0.5, nodes / 20);
  if (team.staff_fte >= 0) base = team.staff_fte;
  // Managed machines need half of it, tokens a fiftieth of a person; edge sites add some each.
  double fte = base;
  double level = team.onprem_level;
  if (mode == Mode::kRent) fte = 0.5 * base;
  if (mode == Mode::kTokenApi) fte = std::min(0.02, base);
  if (mode == Mode::kRent || mode == Mode::kTokenApi) level = team.cloud_level;
  if (mode == Mode::kEdge) fte = base + 0.005 * sites;
  if (mode == Mode::kHybrid) fte = base + std::min(0.02, base);
  // The table is for average skill (0.5); none takes half as much time again, full skill half.
  return fte * (1.5 - level);
}

double Surroundings::price() const {
  return network_cards * kNetworkCardPrice + switches * kSwitchPrice + hosts * disk_price +
         ups_price;
}

Surroundings surroundings_of(const Candidate& c, double devices) {
  constexpr double kSwitchPorts = 24;
  constexpr double kDiskPerGb = 0.10;
  constexpr double kDiskLeast = 100;
  constexpr double kUpsPerKw = 400;
  Surroundings out;
  // A site's machine stands where there is a network and a plug.
  if (!c.served || devices <= 0 || c.mode == Mode::kEdge || c.sunk) return out;
  const Device& d = c.served->place().device;
  out.hosts = hosts_of(d, devices);
  if (out.hosts > 1) {
    out.network_cards = out.hosts;
    out.switches = std::ceil(out.hosts / kSwitchPorts);
  }
  // The model three times: in use, before an update, and room.
  const double gb = weights_bytes(c.model->shape, c.served->quant()).value() / 1e9;
  out.disk_price = std::max(kDiskLeast, std::ceil(3 * gb * kDiskPerGb));
  const double watts = devices * (d.tdp.value() + c.host_watts);
  out.ups_price = std::ceil(watts / 1000 * kUpsPerKw);
  return out;
}

std::vector<BomLine> bill_of_materials(const Candidate& c, double devices) {
  std::vector<BomLine> out;
  if (!c.served || c.mode == Mode::kRent || devices <= 0) return out;
  const Device& d = c.served->place().device;
  const bool rack = d.device_class == DeviceClass::kDatacentre;
  out.push_back({d.id, devices, c.buy_price, d.tdp.value(), rack ? 0.0 : 1.0});
  if (c.host_price > 0)
    out.push_back({"host share", devices, c.host_price, c.host_watts, rack ? 0.5 : 1.0});
  const Surroundings around = surroundings_of(c, devices);
  if (around.network_cards > 0) {
    out.push_back({"network card", around.network_cards, kNetworkCardPrice, 15, 0});
    out.push_back({"switch", around.switches, kSwitchPrice, 100, 1});
  }
  if (around.hosts > 0) {
    out.push_back({"disk", around.hosts, around.disk_price, 8, 0});
    out.push_back({"ups", 1, around.ups_price, 0, 2});
  }
  return out;
}

double hosts_of(const Device& device, double devices) {
  constexpr double kPerHost = 8;
  return device.device_class == DeviceClass::kDatacentre ? std::ceil(devices / kPerHost)
                                                         : std::ceil(devices);
}

Energy candidate_energy(const Candidate& c, const Problem& p, const Scenario& s, int year) {
  if (!c.served || c.mode == Mode::kRent) return Energy(0);
  double devices = 0;
  if (c.mode == Mode::kEdge) {
    devices = static_cast<double>(c.site_count) * c.site_devices;
  } else if (c.mode == Mode::kOwned) {
    devices = c.owned_devices;
  } else if (c.mode == Mode::kHybrid) {
    devices = (c.hybrid_owned + c.spares) * c.served->place().devices;
  } else {
    devices = (replicas_in_year(c, p, s, year) + c.spares) * c.served->place().devices;
  }
  const double nodes = devices / c.served->place().devices;
  const double rate = c.demand.mean.value() * growth_in(p, s, mid_of_year(year));
  return kilowatt_hours(energy_kwh(c, p, s, devices, rate / std::max(1e-12, c.cap_rps * nodes)));
}

}  // namespace holdfast::planner
