#include "candidates.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <map>

#include "fields.h"
#include "holdfast/planner/availability.h"
#include "holdfast/planner/edge.h"
#include "holdfast/planner/hybrid.h"
#include "token_offers.h"

namespace holdfast::planner {

namespace {

constexpr double kLanRttMs = 0.5;
constexpr double kRegionRttMs = 35;
// What a machine around a consumer or workstation card costs and draws: assumed.
constexpr double kPcPrice = 1'000;
constexpr double kPcWatts = 80;
// Batch work has no one waiting.
constexpr double kBatchUse = 0.95;
// Months a region's rented machine is away in a failure: another one starts within a quarter hour.
constexpr double kRentedRepairHours = 0.25;

bool wanted(const Problem& p, Mode mode) {
  return p.modes.empty() ||
         std::find(p.modes.begin(), p.modes.end(), mode_name(mode)) != p.modes.end();
}

bool is_batch(const Slice& s) { return s.part->kind == ServiceKind::kBatch; }

// Several of them make one machine.
bool multiplies(const Device& d) {
  return d.device_class == DeviceClass::kDatacentre ||
         d.device_class == DeviceClass::kWorkstation || d.device_class == DeviceClass::kConsumer;
}

struct HostShare {
  double price;
  double watts;
};
HostShare host_of(const Problem& p, const Device& d) {
  switch (d.device_class) {
    case DeviceClass::kDatacentre:
      return {p.host_cost, p.host_watts};
    case DeviceClass::kWorkstation:
    case DeviceClass::kConsumer:
      return {std::min(kPcPrice, p.host_cost), std::min(kPcWatts, p.host_watts)};
    default:
      return {0, 0};  // the row is of a whole machine
  }
}

class Finder {
 public:
  Finder(const Problem& p, const Slice& slice, const Efficiencies& efficiencies,
         std::vector<Price>& used)
      : p_(p), slice_(slice), efficiencies_(efficiencies), used_(used) {}

  Result<std::vector<Found>> run() {
    HF_TRY(frontier());
    for (const Device& d : p_.hardware.all()) {
      if (!p_.devices.empty() &&
          std::find(p_.devices.begin(), p_.devices.end(), d.id) == p_.devices.end())
        continue;
      HF_TRY(of_device(d));
    }
    if (wanted(p_, Mode::kOwned))
      for (const OwnedHardware& o : p_.owned) HF_TRY(owned(o));
    if (wanted(p_, Mode::kTokenApi)) HF_TRY(token_apis());
    if (wanted(p_, Mode::kHybrid)) HF_TRY(hybrids());
    return std::move(found_);
  }

 private:
  Label label() const { return std::max(slice_.part->label, p_.label); }

  // The device's best configuration as a whole, by screening cost; or why there is none.
  struct Best {
    std::shared_ptr<const ServedModel> served;
    ServedModel::Cap cap;
    double batch = 0;
    double price_rate = 0;  // devices per request and second
    std::vector<Reason> reasons;
    MemoryNeed memory;
    std::string quant;
  };

  Best configure(const Device& d, std::uint32_t devices_max, double rtt_ms) const {
    Best best;
    bool fits = false;
    for (std::uint32_t n = 1; n <= devices_max; n *= 2) {
      if (n > 1 && !multiplies(d)) break;
      for (const Quant& q : slice_.model->quants) {
        if (q.quality_loss > slice_.model->quality_loss_max) continue;
        const auto served = std::make_shared<const ServedModel>(
            *slice_.model, q, Placement{d, n, n}, p_.profile, efficiencies_, p_.calibrations);
        const double most = served->batch_max(slice_.request);
        if (most < 1) {
          best.memory =
              served->memory({slice_.request.isl_p99, slice_.request.osl_p99, 0, 0, 0, 0}, 1);
          best.quant = q.name;
          continue;
        }
        fits = true;
        const ServedModel::Cap cap = served->cap(slice_.request, tpot_limit());
        if (cap.requests.value() <= 0 || too_slow(*served, rtt_ms)) continue;
        const double rate = n / cap.requests.value();
        if (best.served && rate >= best.price_rate) continue;
        best.served = served;
        best.cap = cap;
        best.batch = cap.batch;
        best.price_rate = rate;
      }
      // More devices per replica only where fewer do not serve.
      if (best.served) break;
    }
    if (!best.served) best.reasons.push_back(why_none(d, best, fits, rtt_ms));
    return best;
  }

  double tpot_limit() const { return is_batch(slice_) ? 0 : slice_.part->slo.tpot_p99_ms; }

  bool too_slow(const ServedModel& served, double rtt_ms) const {
    if (is_batch(slice_)) return false;
    const Slo& slo = slice_.part->slo;
    const Seconds first = served.prefill(slice_.request.work_isl()) +
                          served.step(1, slice_.request.isl + slice_.request.osl / 2);
    if (slo.ttft_p99_ms > 0 && in_milliseconds(first) + rtt_ms > slo.ttft_p99_ms) return true;
    if (slo.control_loop_ms > 0) {
      const double answer =
          in_milliseconds(first) +
          in_milliseconds(served.step(1, slice_.request.isl)) * slice_.request.osl;
      return answer + rtt_ms > slo.control_loop_ms;
    }
    return false;
  }

  Reason why_none(const Device& d, const Best& best, bool fits, double rtt_ms) const {
    const bool quality = std::all_of(
        slice_.model->quants.begin(), slice_.model->quants.end(),
        [&](const Quant& q) { return q.quality_loss > slice_.model->quality_loss_max; });
    if (quality) {
      double least = 1e9;
      for (const Quant& q : slice_.model->quants) least = std::min(least, q.quality_loss);
      return {"R-QUAL",
              {"models[].quant", "models[].quality_loss_max"},
              {{"quality_loss", least}, {"quality_loss_max", slice_.model->quality_loss_max}},
              "every allowed quantisation loses more quality (" + number_text(least * 100) +
                  " %) than the limit (" + number_text(slice_.model->quality_loss_max * 100) +
                  " %)"};
    }
    if (!fits) {
      return {"R-MEM",
              {"models[].params", "models[].quant", "workload.isl", "workload.osl"},
              {{"needed_bytes", best.memory.total().value()},
               {"usable_bytes", best.memory.usable.value()}},
              "does not fit: a request of the 99th percentile needs " +
                  gigabytes_text(best.memory.total()) + " of " +
                  gigabytes_text(best.memory.usable) + " usable"};
    }
    const auto fastest =
        std::make_shared<const ServedModel>(*slice_.model, allowed_quant(), Placement{d, 1, 1},
                                            p_.profile, efficiencies_, p_.calibrations);
    const double step = in_milliseconds(fastest->step(1, slice_.request.isl));
    const double first = in_milliseconds(fastest->prefill(slice_.request.work_isl())) + step;
    return {"R-LAT",
            {"slo.ttft_p99_ms", "slo.tpot_p99_ms", "slo.control_loop_ms"},
            {{"rtt_ms", rtt_ms},
             {"ttft_ms", first},
             {"tpot_ms", step},
             {"ttft_limit_ms", slice_.part->slo.ttft_p99_ms},
             {"tpot_limit_ms", slice_.part->slo.tpot_p99_ms},
             {"control_loop_ms", slice_.part->slo.control_loop_ms}},
            "too slow even for one request: " + number_text(rtt_ms) + " ms on the way, " +
                number_text(first) + " ms to the first token, " + number_text(step) +
                " ms for each further one"};
  }

  // The smallest of the allowed formats.
  const Quant& allowed_quant() const {
    const Quant* best = nullptr;
    for (const Quant& q : slice_.model->quants) {
      if (q.quality_loss > slice_.model->quality_loss_max) continue;
      if (best == nullptr || q.bits_per_weight < best->bits_per_weight) best = &q;
    }
    return *best;
  }

  Candidate start(Mode mode, const Best& best) const {
    Candidate c;
    c.mode = mode;
    c.workload_class = slice_.part->name;
    c.model = slice_.model;
    c.served = best.served;
    c.request = slice_.request;
    c.demand = slice_.demand;
    // Nobody waits for batch work: it fills the hours.
    if (is_batch(slice_)) {
      c.demand.sized = c.demand.mean * 1.1;
      c.demand.week.assign(c.demand.week.size(), 1.0);
    }
    c.c2a = slice_.c2a;
    c.tpot_max_ms = tpot_limit();
    c.cap_rps = best.cap.requests.value();
    c.batch = best.batch;
    c.frontier = frontier_;
    return c;
  }

  Found removed(Mode mode, const std::string& device, std::vector<Reason> reasons) const {
    Found f;
    f.mode = mode;
    f.removed = true;
    f.device = device;
    f.reasons = std::move(reasons);
    return f;
  }

  // Fills in what depends on the limits of latency; false with a reason where no rate is within.
  bool complete(Candidate& c, std::vector<Reason>& reasons) const {
    const double rtt = rtt_of(p_, c.mode);
    c.capacity_rps =
        is_batch(slice_) ? c.cap_rps * kBatchUse : capacity_within(*c.served, slice_, c.batch, rtt);
    if (c.capacity_rps > 0) return true;
    reasons.push_back({"R-LAT",
                       {"slo.ttft_p99_ms"},
                       {{"rtt_ms", rtt}, {"ttft_limit_ms", slice_.part->slo.ttft_p99_ms}},
                       "no load keeps the first token of the 99th percentile within the limit"});
    return false;
  }

  Result<double> amount(const Price& price) { return use_price(p_, price, used_); }

  Status of_device(const Device& d) {
    const Price* buy = p_.prices.find(PriceKind::kPurchase, d.id);
    const bool edge =
        !p_.sites.empty() && wanted(p_, Mode::kEdge) && d.device_class != DeviceClass::kDatacentre;
    std::optional<double> price;
    if (buy != nullptr) {
      HF_TRY_ASSIGN(price, amount(*buy));
    } else if (d.from_user && d.buy) {
      price = *d.buy;
    }
    if (wanted(p_, Mode::kOnPrem) && price) {
      // With sites, the own premises are one place that all of them must reach.
      const auto far = p_.sites.empty() ? std::nullopt : far_away(Mode::kOnPrem);
      if (far) {
        found_.push_back(removed(Mode::kOnPrem, d.id, {*far}));
      } else {
        HF_TRY(onprem(d, *price));
      }
    }
    if (wanted(p_, Mode::kRent)) HF_TRY(rent(d));
    if (edge && price) HF_TRY(at_edge(d, *price));
    return ok_status();
  }

  Status onprem(const Device& d, double price) {
    const Best best = configure(d, 8, rtt_of(p_, Mode::kOnPrem));
    if (!best.served) {
      push_removed(Mode::kOnPrem, d.id, best);
      return ok_status();
    }
    Candidate c = start(Mode::kOnPrem, best);
    const HostShare host = host_of(p_, d);
    c.buy_price = price;
    c.host_price = host.price;
    c.host_watts = host.watts;
    push(std::move(c));
    return ok_status();
  }

  void push_removed(Mode mode, const std::string& device, const Best& best) {
    Found f = removed(mode, device, best.reasons);
    f.memory = best.memory;
    f.quant = best.quant;
    found_.push_back(std::move(f));
  }

  void push(Candidate c) {
    Found f;
    f.mode = c.mode;
    f.device = c.device();
    f.quant = c.served ? c.served->quant().name : "";
    f.provider = c.provider;
    if (c.served && !complete(c, f.reasons)) {
      f.removed = true;
    } else if (c.served) {
      add_spares(c, f);
    }
    if (c.served) {
      const double replicas = replicas_in_year(c, p_, {}, 1) + c.spares;
      const double hosts = hosts_of(c.served->place().device, replicas * c.served->place().devices);
      c.staff_fte = staff_fte(c.mode, hosts, c.site_count, p_.team);
    }
    f.candidate = std::move(c);
    found_.push_back(std::move(f));
  }

  // R-AVAIL: machines beyond those that carry load.
  void add_spares(Candidate& c, Found& f) const {
    if (c.mode == Mode::kEdge || c.mode == Mode::kOwned) return;
    Redundancy r;
    r.needed = static_cast<int>(std::min(4000.0, replicas_in_year(c, p_, {}, 1)));
    r.repair = hours(c.mode == Mode::kRent ? kRentedRepairHours : p_.mttr_hours);
    const double target = slice_.part->slo.availability;
    const auto machines = machines_for(r, target);
    if (!machines.ok() || !*machines) {
      f.removed = true;
      f.reasons.push_back({"R-AVAIL",
                           {"slo.availability", "costs.mttr_hours"},
                           {{"target", target}},
                           "no number of machines at one site reaches the availability"});
      return;
    }
    c.spares = **machines - r.needed;
    if (c.spares > 0) {
      f.reasons.push_back({"R-AVAIL",
                           {"slo.availability", "costs.mttr_hours"},
                           {{"needed", static_cast<double>(r.needed)},
                            {"present", static_cast<double>(**machines)},
                            {"target", target}},
                           number_text(c.spares) + " more than carry the load, so that " +
                               number_text(r.needed) + " of " + number_text(**machines) +
                               " are up " + number_text(target * 100) + " % of the time"});
    }
  }

  Status rent(const Device& d) {
    auto offers = p_.prices.find_all(PriceKind::kGpuHour, d.id);
    // Work that may be interrupted takes what is left over.
    if (is_batch(slice_))
      for (const Price* s : p_.prices.find_all(PriceKind::kGpuHourSpot, d.id)) offers.push_back(s);
    if (offers.empty()) return ok_status();
    const Price* cheapest = nullptr;
    double least = 0;
    std::vector<Reason> against;
    for (const Price* offer : offers) {
      Place place;
      place.region = offer->region;
      if (auto reason = reason_against(p_, label(), place)) {
        against = {*reason};
        continue;
      }
      HF_TRY_ASSIGN(const double price, p_.prices.amount(*offer, p_.currency));
      if (cheapest == nullptr || price < least) {
        cheapest = offer;
        least = price;
      }
    }
    if (cheapest == nullptr) {
      found_.push_back(removed(Mode::kRent, d.id, against));
      return ok_status();
    }
    if (auto reason = far_away(Mode::kRent)) {
      found_.push_back(removed(Mode::kRent, d.id, {*reason}));
      return ok_status();
    }
    const Best best = configure(d, 8, rtt_of(p_, Mode::kRent));
    if (!best.served) {
      push_removed(Mode::kRent, d.id, best);
      return ok_status();
    }
    note_price(*cheapest, used_);
    Candidate c = start(Mode::kRent, best);
    c.rent_price = least;
    c.provider = cheapest->id.substr(0, cheapest->id.find('/'));
    c.data_out_gb_year = p_.ingest_gb_day * 365;
    push(std::move(c));
    return ok_status();
  }

  // R-EDGE: the way there takes too much of a control loop, or the link is down too often.
  std::optional<Reason> far_away(Mode mode) const {
    const double loop = slice_.part->slo.control_loop_ms;
    const double rtt = rtt_of(p_, mode);
    constexpr double kLoopShare = 0.3;
    if (loop > 0 && rtt > kLoopShare * loop) {
      return Reason{"R-EDGE",
                    {"slo.control_loop_ms", "sites[].rtt_ms"},
                    {{"rtt_ms", rtt}, {"control_loop_ms", loop}},
                    "the way there and back takes " + number_text(rtt) + " ms, more than 30 % of " +
                        number_text(loop) + " ms"};
    }
    for (const Sites& s : p_.sites) {
      if (s.availability < slice_.part->slo.availability) {
        return Reason{"R-EDGE",
                      {"sites[].availability", "slo.availability"},
                      {{"link", s.availability}, {"target", slice_.part->slo.availability}},
                      "the link of the sites is up " + number_text(s.availability * 100) +
                          " % of the time, less than the limit"};
      }
    }
    return std::nullopt;
  }

  Status at_edge(const Device& d, double price) {
    std::uint32_t sites = 0;
    std::uint32_t devices_max = 1;
    double power = 0;
    for (const Sites& s : p_.sites) {
      sites += s.count;
      devices_max = std::max(devices_max, s.devices);
      power = std::max(power, s.power_w_max);
    }
    const HostShare host = host_of(p_, d);
    if (power > 0 && d.tdp.value() + host.watts > power) {
      found_.push_back(removed(Mode::kEdge, d.id,
                               {{"R-EDGE",
                                 {"sites[].power_w_max"},
                                 {{"watts", d.tdp.value() + host.watts}, {"power_w_max", power}},
                                 "draws more power than a site has"}}));
      return ok_status();
    }
    const Best best = configure(d, 1, kLanRttMs);
    if (!best.served) {
      push_removed(Mode::kEdge, d.id, best);
      return ok_status();
    }
    Candidate c = start(Mode::kEdge, best);
    c.site_count = sites;
    c.site_devices = 1;
    c.buy_price = price;
    c.host_price = host.price;
    c.host_watts = host.watts;
    Found f;
    f.mode = Mode::kEdge;
    f.device = d.id;
    f.quant = best.served->quant().name;
    if (!complete(c, f.reasons)) {
      f.removed = true;
    } else {
      const double each =
          c.demand.sized.value() * growth_factor(p_.workload.growth, p_.horizon_years) / sites;
      const double needed = std::max(1.0, std::ceil(each / c.capacity_rps));
      if (needed > devices_max) {
        f.removed = true;
        f.reasons.push_back(
            {"R-LAT",
             {"workload.rate_rps", "sites[].devices"},
             {{"needed_devices", needed}, {"devices_max", static_cast<double>(devices_max)}},
             "a site would need " + number_text(needed) + " of them"});
      }
      c.site_devices = static_cast<std::uint32_t>(std::min(needed, 1024.0));
    }
    if (!f.removed) f.reasons.push_back(edge_gains(c, sites));
    c.staff_fte = staff_fte(Mode::kEdge, 1, sites, p_.team);
    f.candidate = std::move(c);
    found_.push_back(std::move(f));
    return ok_status();
  }

  // What being there saves, and what updates take on the sites' links.
  Reason edge_gains(const Candidate& c, std::uint32_t sites) const {
    const Sites& s = p_.sites[0];
    const EdgeBenefits b =
        edge_benefits(slice_.demand.mean / static_cast<double>(sites),
                      slice_.request.isl + slice_.request.osl, s.rtt_ms, s.availability);
    const Bytes file = weights_bytes(c.model->shape, c.served->quant());
    const TokensPerSecond speed(1 / c.served->step(1, slice_.request.isl).value());
    const Power wall = c.served->place().device.tdp + watts(c.host_watts);
    std::vector<std::pair<std::string, double>> numbers{
        {"not_sent_mb_month", b.not_sent_month.value() / 1e6},
        {"rtt_removed_ms", b.rtt_removed_ms},
        {"offline_minutes_year", b.offline_minutes_year},
        {"joule_per_token", energy_per_token(wall, speed).value()}};
    if (s.uplink_mbps > 0) {
      for (const UpdateKind& k : update_kinds())
        numbers.emplace_back("hours: " + std::string(k.name),
                             in_hours(update_time(file, k.high, s.uplink_mbps)));
    }
    return {"R-EDGE",
            {"sites"},
            std::move(numbers),
            "each site keeps " + number_text(std::round(b.not_sent_month.value() / 1e6)) +
                " MB a month, saves " + number_text(s.rtt_ms) +
                " ms of every request and works on through " +
                number_text(std::round(b.offline_minutes_year)) +
                " minutes without its link a year"};
  }

  Status owned(const OwnedHardware& o) {
    const Best best = configure(o.device, o.count, rtt_of(p_, Mode::kOwned));
    if (!best.served) {
      push_removed(Mode::kOwned, o.device.id, best);
      return ok_status();
    }
    Candidate c = start(Mode::kOwned, best);
    c.sunk = true;
    c.owned_devices = o.count;
    c.opportunity_year = o.opportunity_year;
    c.host_watts = host_of(p_, o.device).watts;
    Found f;
    f.mode = Mode::kOwned;
    f.device = o.device.id;
    f.quant = best.served->quant().name;
    if (complete(c, f.reasons)) {
      const double replicas =
          std::floor(o.count / static_cast<double>(best.served->place().devices));
      const double needed = replicas_in_year(c, p_, {}, p_.horizon_years);
      c.spares = std::max(0.0, replicas - needed);
      if (needed > replicas) {
        f.removed = true;
        f.reasons.push_back({"R-LAT",
                             {"workload.rate_rps", "workload.growth", "owned[].count"},
                             {{"needed_replicas", needed}, {"replicas", replicas}},
                             "the peak needs " + number_text(needed) +
                                 " replicas, and the hardware holds " + number_text(replicas)});
      }
    } else {
      f.removed = true;
    }
    // A machine that is there already is looked after already: a tenth of a new one's work.
    c.staff_fte = 0.1 * staff_fte(Mode::kOwned, 1, 0, p_.team);
    f.candidate = std::move(c);
    found_.push_back(std::move(f));
    return ok_status();
  }

  Status token_apis() {
    for (const Upstream& u : p_.upstreams) HF_TRY(upstream(u));
    if (!p_.upstreams.empty()) return ok_status();
    HF_TRY_ASSIGN(const auto offers, token_offers(p_, slice_.model->shape, used_, substitute_));
    for (const TokenPrices& t : offers) {
      Upstream u;
      u.name = t.id.substr(0, t.id.find('/'));
      u.region = t.region;
      HF_TRY(add_api(u, t, true));
    }
    return ok_status();
  }

  Status upstream(const Upstream& u) {
    TokenPrices t;
    t.id = u.name;
    if (u.price_in >= 0) {
      t.in = u.price_in;
      t.out = u.price_out;
      t.cached = u.price_cached >= 0 ? u.price_cached : u.price_in;
    } else {
      const std::string id = u.name + (u.model.empty() ? "" : "/" + u.model);
      HF_TRY_ASSIGN(const auto offers, token_offers(p_, slice_.model->shape, used_, substitute_));
      const auto at = std::find_if(offers.begin(), offers.end(), [&](const TokenPrices& o) {
        return o.id == id || o.id.starts_with(u.name + "/");
      });
      if (at == offers.end())
        return invalid_argument("upstreams: \"" + u.name +
                                "\" has no price_in and price_out, and "
                                "the price book has none of it for " +
                                slice_.model->shape.id);
      t = *at;
    }
    return add_api(u, t, false);
  }

  Status add_api(const Upstream& u, const TokenPrices& t, bool by_price_book) {
    Found f;
    f.mode = Mode::kTokenApi;
    f.provider = u.name;
    Candidate c = start(Mode::kTokenApi, {});
    c.tokens = t;
    c.provider = t.id;
    c.api_availability = u.availability;
    c.api_rtt_ms = p_.sites.empty() ? u.rtt_ms : std::max(u.rtt_ms, rtt_of(p_, Mode::kTokenApi));
    c.api_ttft_ms = u.ttft_ms;
    c.api_tpot_ms = u.tpot_ms;
    c.data_out_gb_year = p_.ingest_gb_day * 365;
    c.staff_fte = staff_fte(Mode::kTokenApi, 1, 0, p_.team);
    Place place{false, u.region, u.retention_days, u.trains_on_data, u.certifications, true};
    if (auto reason = reason_against(p_, label(), place))
      f.reasons.push_back(*reason);
    else if (auto far = far_away(Mode::kTokenApi))
      f.reasons.push_back(*far);
    else if (auto late = api_too_slow(c))
      f.reasons.push_back(*late);
    else if (u.availability < slice_.part->slo.availability)
      f.reasons.push_back(
          {"R-AVAIL",
           {"slo.availability", "upstreams[].availability"},
           {{"availability", u.availability}, {"target", slice_.part->slo.availability}},
           "is available " + number_text(u.availability * 100) +
               " % of the time, less than the limit"});
    f.removed = !f.reasons.empty();
    if (by_price_book && !substitute_.empty())
      f.reasons.push_back({"R-SUBSTITUTE",
                           {"models[].name"},
                           {},
                           "no provider in the price book sells " + slice_.model->shape.id +
                               "; priced as the next larger model, " + substitute_});
    f.candidate = std::move(c);
    found_.push_back(std::move(f));
    return ok_status();
  }

  std::optional<Reason> api_too_slow(const Candidate& c) const {
    const Slo& slo = slice_.part->slo;
    if (is_batch(slice_)) return std::nullopt;
    const double first = c.api_rtt_ms + c.api_ttft_ms * kApiTail;
    const bool late = (slo.ttft_p99_ms > 0 && first > slo.ttft_p99_ms) ||
                      (slo.tpot_p99_ms > 0 && c.api_tpot_ms * kApiTail > slo.tpot_p99_ms) ||
                      (slo.control_loop_ms > 0 &&
                       first + c.api_tpot_ms * slice_.request.osl > slo.control_loop_ms);
    if (!late) return std::nullopt;
    return Reason{
        "R-LAT",
        {"slo.ttft_p99_ms", "slo.tpot_p99_ms", "upstreams[].ttft_ms"},
        {{"rtt_ms", c.api_rtt_ms},
         {"ttft_ms", c.api_ttft_ms * kApiTail},
         {"tpot_ms", c.api_tpot_ms * kApiTail},
         {"ttft_limit_ms", slo.ttft_p99_ms},
         {"tpot_limit_ms", slo.tpot_p99_ms}},
        "its first token takes " + number_text(first) + " ms at the 99th percentile (assumed)"};
  }

  // Where requests go that need the newest models, if the data may.
  Status frontier() {
    if (p_.frontier_share <= 0) return ok_status();
    if (reason_against(p_, label(), {false, "", -1, std::nullopt, {}, true})) return ok_status();
    HF_TRY_ASSIGN(frontier_, frontier_offer(p_, used_));
    return ok_status();
  }

  // Owned machines for the usual load and something else for the peaks, on the best own devices.
  Status hybrids() {
    std::vector<std::size_t> own;
    for (std::size_t i = 0; i < found_.size(); ++i)
      if (found_[i].mode == Mode::kOnPrem && !found_[i].removed) own.push_back(i);
    std::map<std::size_t, double> cost;
    for (const std::size_t i : own) cost[i] = candidate_npv(found_[i].candidate, p_, {});
    std::sort(own.begin(), own.end(),
              [&](std::size_t a, std::size_t b) { return cost[a] < cost[b]; });
    constexpr std::size_t kTried = 4;
    if (own.size() > kTried) own.resize(kTried);
    for (const std::size_t i : own) HF_TRY(hybrid(found_[i].candidate));
    return ok_status();
  }

  Status hybrid(const Candidate& own) {
    Candidate c = own;
    c.mode = Mode::kHybrid;
    Found f;
    f.mode = Mode::kHybrid;
    f.device = c.device();
    f.quant = c.served->quant().name;
    if (!burst_source(c, f)) {
      f.removed = true;
      f.candidate = std::move(c);
      found_.push_back(std::move(f));
      return ok_status();
    }
    std::vector<double> series;
    const double rate = c.demand.mean.value() * growth_factor(p_.workload.growth, 1);
    for (const double w : c.demand.hours)
      series.push_back(std::min(static_cast<double>(kUnitsMax), rate * w / c.capacity_rps));
    const auto demand = demand_of(series);
    if (!demand.ok()) return ok_status();
    const double yearly_own = candidate_npv(own, p_, {}) / p_.horizon_years;
    const double units = std::max(1.0, replicas_in_year(own, p_, {}, 1) + own.spares);
    SplitPrices prices;
    prices.owned = spread_over_year(Money(std::max(0.0, yearly_own / units)));
    prices.burst =
        c.burst_by_rent ? money_per_hour(c.rent_price * c.served->place().devices) : burst_price(c);
    const auto split = newsvendor(*demand, prices, 1);
    if (!split.ok()) return ok_status();
    // The ledger knows lines that the formula does not: look around its optimum.
    double best_cost = 0;
    double best_owned = 0;
    const double own_devices = split->owned * static_cast<double>(c.served->place().devices);
    c.staff_fte =
        staff_fte(Mode::kHybrid, hosts_of(c.served->place().device, own_devices), 0, p_.team);
    for (int k = std::max(1, split->owned - 2); k <= split->owned + 2; ++k) {
      c.hybrid_owned = k;
      const double cost = candidate_npv(c, p_, {});
      if (best_owned != 0 && cost >= best_cost) continue;
      best_cost = cost;
      best_owned = k;
    }
    c.hybrid_owned = best_owned;
    c.spares = 0;  // the burst stands in for a machine that fails
    const double peak = replicas_in_year(own, p_, {}, 1);
    f.reasons.push_back({"R-BURST",
                         {"workload.arrival.profile", "workload.arrival.peak_to_mean"},
                         {{"owned_replicas", best_owned},
                          {"peak_replicas", peak},
                          {"newsvendor_replicas", static_cast<double>(split->owned)}},
                         number_text(best_owned) + " of " + number_text(peak) +
                             " replicas owned; what exceeds them goes to " + c.provider});
    // Without anything above the owned machines it is the option on-premises under another name.
    constexpr double kFlat = 1.5;
    const bool flat = c.demand.peak_to_mean < kFlat;
    if (flat || best_owned >= peak) {
      f.removed = true;
      f.reasons.push_back({"R-FLAT",
                           {"workload.arrival.peak_to_mean"},
                           {{"owned_replicas", best_owned}, {"peak_replicas", peak}},
                           flat ? "demand is flat: there are no peaks to burst"
                                : "nothing is left to burst: owning all of it is as cheap"});
    }
    f.provider = c.provider;
    f.candidate = std::move(c);
    found_.push_back(std::move(f));
    return ok_status();
  }

  MoneyPerSecond burst_price(const Candidate& c) const {
    const double each = c.request.work_isl() * c.tokens->in +
                        (c.request.isl - c.request.work_isl()) * c.tokens->cached +
                        c.request.osl * c.tokens->out;
    return MoneyPerSecond(each * 1e-6 * c.capacity_rps);
  }

  // The cheaper of renting the same device and tokens, among what is allowed.
  bool burst_source(Candidate& c, Found& f) {
    double least = 0;
    bool any = false;
    for (const Found& other : found_) {
      const bool rents = other.mode == Mode::kRent && other.device == c.device();
      if (!rents && other.mode != Mode::kTokenApi) continue;
      if (other.removed) {
        if (!any) f.reasons = other.reasons;
        continue;
      }
      Candidate tried = c;
      tried.burst_by_rent = rents;
      tried.rent_price = other.candidate.rent_price;
      tried.tokens = other.candidate.tokens;
      tried.provider = other.candidate.provider;
      const double price =
          rents ? tried.rent_price * c.served->place().devices : per_hour(burst_price(tried));
      if (any && price >= least) continue;
      least = price;
      any = true;
      c = tried;
    }
    if (any) f.reasons.clear();
    if (!any && f.reasons.empty())
      f.reasons.push_back({"R-BURST", {}, {}, "there is nothing to burst to"});
    return any;
  }

  // p99 of an API against its median: assumed.
  static constexpr double kApiTail = 2.5;

  const Problem& p_;
  const Slice& slice_;
  const Efficiencies& efficiencies_;
  std::vector<Price>& used_;
  std::vector<Found> found_;
  std::optional<TokenPrices> frontier_;
  std::string substitute_;
};

}  // namespace

double host_watts_of(const Problem& p, const Device& d) { return host_of(p, d).watts; }

std::string gigabytes_text(Bytes bytes) {
  return number_text(std::round(bytes.value() / 1e7) / 100) + " GB";
}

double rtt_of(const Problem& p, Mode mode) {
  const bool near = mode == Mode::kOnPrem || mode == Mode::kOwned || mode == Mode::kHybrid;
  if (mode == Mode::kEdge) return kLanRttMs;
  if (p.sites.empty()) return near ? kLanRttMs : kRegionRttMs;
  double farthest = 0;
  for (const Sites& s : p.sites) farthest = std::max(farthest, s.rtt_ms);
  return farthest;
}

double capacity_within(const ServedModel& served, const Slice& slice, double batch, double rtt_ms) {
  const Slo& slo = slice.part->slo;
  const double cap = served.cap(slice.request, slo.tpot_p99_ms).requests.value();
  const auto good = [&](double rate) {
    const Latency l = chain_latency(served, slice.request, batch, PerSecond(rate), slice.c2a);
    if (l.unstable) return false;
    if (slo.ttft_p99_ms > 0 && in_milliseconds(l.ttft_p99) + rtt_ms > slo.ttft_p99_ms) return false;
    return slo.e2e_p99_ms <= 0 || in_milliseconds(l.e2e_p99) + rtt_ms <= slo.e2e_p99_ms;
  };
  // Without a limit a queue still must not grow over an hour of the peak.
  double high = cap * 0.95;
  if (high <= 0) return 0;
  if (good(high)) return high;
  double low = 0;
  for (int i = 0; i < 18; ++i) {
    const double middle = (low + high) / 2;
    (good(middle) ? low : high) = middle;
  }
  return low > cap * 1e-4 ? low : 0;
}

Result<std::vector<Found>> find_candidates(const Problem& problem, const Slice& slice,
                                           const Efficiencies& efficiencies,
                                           std::vector<Price>& prices_used) {
  return Finder(problem, slice, efficiencies, prices_used).run();
}

}  // namespace holdfast::planner
