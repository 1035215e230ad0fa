#include "holdfast/planner/plan.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <set>

#include "candidates.h"
#include "fields.h"
#include "option.h"
#include "uncertainty.h"

namespace holdfast::planner {

namespace {

constexpr std::array<std::string_view, kModes> kModeNames{"onprem", "rent", "token-api",
                                                          "hybrid", "edge", "owned"};
constexpr std::array<std::string_view, 4> kStatusNames{"removed", "dominated", "feasible",
                                                       "recommended"};
// Simulated per mode, and drawn.
constexpr std::size_t kFinalistsPerMode = 2;
constexpr std::size_t kDrawnPerMode = 2;
// Below it a pilot is worth its time (R-UNSURE).
constexpr double kSureShare = 0.7;
// Beyond this multiple of today's demand, R-SMALL looks for no break-even.
constexpr double kVolumeFactorMax = 10'000;

// The plan of one part of the workload.
class SlicePlanner {
 public:
  SlicePlanner(const Problem& p, const Slice& slice, const Efficiencies& efficiencies,
               const PlanOptions& options, std::string prefix, Plan& plan)
      : p_(p),
        slice_(slice),
        efficiencies_(efficiencies),
        options_(options),
        prefix_(std::move(prefix)),
        plan_(plan) {}

  Status run() {
    HF_TRY_ASSIGN(found_, find_candidates(p_, slice_, efficiencies_, plan_.prices_used));
    for (const Found& f : found_) made_.push_back(make_option(p_, slice_, f, prefix_));
    unique_ids();
    budgets();
    simulate_best();
    collect_finalists();
    draw();
    constraints_of_draws();
    choose();
    return ok_status();
  }

  std::vector<PlanOption>& options() { return made_; }
  const std::optional<std::size_t>& recommended() const { return recommended_; }

 private:
  bool removed(std::size_t i) const { return made_[i].status == OptionStatus::kRemoved; }

  std::size_t index_of(const PlanOption& o) const {
    return static_cast<std::size_t>(&o - made_.data());
  }

  void remove(std::size_t i, Reason reason) {
    made_[i].status = OptionStatus::kRemoved;
    made_[i].because.push_back(std::move(reason));
  }

  void unique_ids() {
    std::set<std::string> seen;
    for (PlanOption& o : made_) {
      const std::string base = o.id;
      for (int n = 2; !seen.insert(o.id).second; ++n) o.id = base + "-" + std::to_string(n);
    }
  }

  // R-CAPEX, R-OPEX and R-LOCKIN.
  void budgets() {
    for (std::size_t i = 0; i < made_.size(); ++i) {
      if (removed(i)) continue;
      const PlanOption& o = made_[i];
      if (p_.capex_max >= 0 && o.capex > p_.capex_max)
        remove(i, {"R-CAPEX",
                   {"budget.capex_max"},
                   {{"capex", o.capex}, {"capex_max", p_.capex_max}},
                   "a year's purchases cost " + number_text(std::round(o.capex)) +
                       ", the budget is " + number_text(p_.capex_max)});
      else if (p_.opex_month_max >= 0 && o.opex_month_max > p_.opex_month_max)
        remove(i, {"R-OPEX",
                   {"budget.opex_month_max"},
                   {{"opex_month", o.opex_month_max}, {"opex_month_max", p_.opex_month_max}},
                   "running it costs " + number_text(std::round(o.opex_month_max)) +
                       " a month in its dearest year, the budget is " +
                       number_text(p_.opex_month_max)});
      else if (p_.lockin_max >= 0 && o.lockin > p_.lockin_max)
        remove(i, {"R-LOCKIN",
                   {"preferences.lockin_max"},
                   {{"lockin", o.lockin}, {"lockin_max", p_.lockin_max}},
                   "leaving it would cost " + number_text(o.lockin) +
                       " years of its spending, the limit is " + number_text(p_.lockin_max)});
    }
  }

  // Indices of a mode's options, the cheapest first.
  std::vector<std::size_t> cheapest_of(Mode mode) const {
    std::vector<std::size_t> out;
    for (std::size_t i = 0; i < made_.size(); ++i)
      if (made_[i].mode == mode && !removed(i)) out.push_back(i);
    std::stable_sort(out.begin(), out.end(),
                     [this](std::size_t a, std::size_t b) { return made_[a].npv < made_[b].npv; });
    return out;
  }

  // Closed forms prune, simulation decides: in each mode, until the cheapest have been simulated.
  void simulate_best() {
    if (!p_.simulate) return;
    constexpr int kTriedPerMode = 6;
    for (std::size_t m = 0; m < kModes; ++m) {
      if (static_cast<Mode>(m) == Mode::kTokenApi) continue;
      std::set<std::size_t> simulated;
      for (int tried = 0; tried < kTriedPerMode; ++tried) {
        auto order = cheapest_of(static_cast<Mode>(m));
        order.resize(std::min(kFinalistsPerMode, order.size()));
        const auto next = std::find_if(order.begin(), order.end(),
                                       [&](std::size_t i) { return !simulated.contains(i); });
        if (next == order.end()) break;
        simulated.insert(*next);
        if (!simulate_option(p_, slice_, found_[*next], made_[*next]))
          made_[*next].status = OptionStatus::kRemoved;
      }
    }
    budgets();
  }

  void collect_finalists() {
    for (std::size_t m = 0; m < kModes; ++m) {
      std::size_t taken = 0;
      for (const std::size_t i : cheapest_of(static_cast<Mode>(m))) {
        if (taken++ == kDrawnPerMode) break;
        finalists_.push_back({&found_[i].candidate, &made_[i]});
      }
    }
  }

  void draw() {
    if (options_.draws > 0) decisive_ = draw_costs(p_, finalists_, options_.draws).decisive;
  }

  // A limit on how much costs may vary needs the draws.
  void constraints_of_draws() {
    if (p_.cv_cost_max < 0) return;
    std::erase_if(finalists_, [this](const Finalist& f) {
      const double cv = f.option->cost_cv;
      if (cv <= p_.cv_cost_max) return false;
      remove(index_of(*f.option),
             {"R-CV",
              {"preferences.cv_cost_max"},
              {{"cv", cv}, {"cv_cost_max", p_.cv_cost_max}},
              "its cost varies by " + number_text(cv) + " of its mean, the limit is " +
                  number_text(p_.cv_cost_max)});
      return true;
    });
  }

  double score(const PlanOption& o) const { return o.npv * (1 + p_.predictability * o.cost_cv); }

  void choose() {
    mark_dominated();
    if (finalists_.empty()) return;
    std::size_t best = 0;
    for (std::size_t i = 1; i < finalists_.size(); ++i)
      if (score(*finalists_[i].option) < score(*finalists_[best].option)) best = i;
    recommended_ = index_of(*finalists_[best].option);
    PlanOption& o = *finalists_[best].option;
    o.status = OptionStatus::kRecommended;
    if (options_.sensitivity) {
      o.would_change_if = flips(*recommended_);
      if (plan_.tornado.empty()) plan_.tornado = tornado(p_, finalists_, best);
    }
    reasons_of_choice(o, *finalists_[best].candidate);
    freshness(o);
    hands(o);
    load_curve(*finalists_[best].candidate);
    pay_back();
    staff_share();
  }

  // Against everything that is allowed, for what is best at another load may be far from it now.
  std::vector<Threshold> flips(std::size_t chosen) {
    std::vector<Finalist> all;
    std::size_t at = 0;
    for (std::size_t i = 0; i < made_.size(); ++i) {
      if (removed(i)) continue;
      if (i == chosen) at = all.size();
      all.push_back({&found_[i].candidate, &made_[i]});
    }
    return thresholds(p_, all, at);
  }

  // No better in cost, first token or purchase than another, and worse in one.
  void mark_dominated() {
    for (std::size_t i = 0; i < made_.size(); ++i) {
      if (removed(i)) continue;
      for (std::size_t j = 0; j < made_.size(); ++j) {
        if (i == j || removed(j)) continue;
        const PlanOption& a = made_[i];
        const PlanOption& b = made_[j];
        const bool no_worse =
            b.npv <= a.npv && b.ttft_ms_p99.p50 <= a.ttft_ms_p99.p50 && b.capex <= a.capex;
        const bool better =
            b.npv < a.npv || b.ttft_ms_p99.p50 < a.ttft_ms_p99.p50 || b.capex < a.capex;
        if (no_worse && better) {
          made_[i].status = OptionStatus::kDominated;
          break;
        }
      }
    }
  }

  const PlanOption* runner_up(const PlanOption& best) const {
    const PlanOption* out = nullptr;
    for (const Finalist& f : finalists_) {
      if (f.option->mode == best.mode) continue;
      if (out == nullptr || f.option->npv < out->npv) out = f.option;
    }
    return out;
  }

  void reasons_of_choice(PlanOption& o, const Candidate& c) {
    const double ratio = slice_.demand.peak_to_mean;
    const PlanOption* other = runner_up(o);
    std::vector<std::pair<std::string, double>> numbers{{"npv", o.npv}};
    std::string text =
        "the lowest cost over " + std::to_string(p_.horizon_years) + " years among what is allowed";
    if (other != nullptr) {
      numbers.emplace_back("npv_next", other->npv);
      text += ": " + number_text(std::round(o.npv)) + " against " +
              number_text(std::round(other->npv)) + " of " + other->id;
    }
    o.because.push_back({"R-COST", {"budget.horizon_years", "budget.wacc"}, numbers, text});
    constexpr double kFlat = 1.5;
    const bool owns = o.mode == Mode::kOnPrem || o.mode == Mode::kOwned;
    if (owns && ratio < kFlat) {
      o.because.push_back({"R-FLAT",
                           {"workload.arrival.profile"},
                           {{"peak_to_mean", ratio}, {"utilisation", o.utilisation}},
                           "demand is flat (peak " + number_text(ratio) +
                               " times the mean), so own machines are busy"});
    }
    if (o.mode == Mode::kTokenApi) small(o, c);
    if (o.mode == Mode::kEdge)
      o.because.push_back({"R-EDGE",
                           {"sites", "slo.control_loop_ms"},
                           {{"rtt_ms", rtt_of(p_, Mode::kRent)}},
                           "a machine at each site answers without the way to a region"});
    if (p_.frontier_share > 0) {
      o.because.push_back(
          {"R-FRONTIER",
           {"preferences.frontier_share"},
           {{"share", p_.frontier_share}},
           c.frontier ? "requests that need the newest models go to " + c.frontier->id
                      : "no API may have this data, so no request gets the newest models"});
    }
    if (options_.draws > 0 && o.p_cheapest < kSureShare) {
      o.because.push_back({"R-UNSURE",
                           {decisive_},
                           {{"p_cheapest", o.p_cheapest}},
                           "it is the cheapest in " + number_text(std::round(o.p_cheapest * 100)) +
                               " % of the draws: try it before buying; what decides most is the " +
                               decisive_});
    }
  }

  bool is_local(std::size_t i) const {
    const Mode mode = made_[i].mode;
    return (mode == Mode::kOnPrem || mode == Mode::kOwned || mode == Mode::kEdge) && !removed(i);
  }

  // The multiple of the demand from which some own machine, in the number that it takes, costs less
  // than the token API; nullopt: none below kVolumeFactorMax. V* = fixed / (p_api - p_marginal) of
  // the specification, section 12, with whole machines.
  std::optional<double> break_even_factor(const Candidate& api) const {
    const auto pays = [&](double factor) {
      Scenario s;
      s.demand = factor;
      const double tokens = candidate_npv(api, p_, s);
      for (std::size_t i = 0; i < made_.size(); ++i)
        if (is_local(i) && candidate_npv(found_[i].candidate, p_, s) <= tokens) return true;
      return false;
    };
    constexpr double kStep = 1.1;
    double above = kStep;
    while (above < kVolumeFactorMax && !pays(above)) above *= kStep;
    if (above >= kVolumeFactorMax) return std::nullopt;
    double below = above / kStep;
    for (int i = 0; i < 10; ++i) {
      const double middle = std::sqrt(below * above);
      (pays(middle) ? above : below) = middle;
    }
    return above;
  }

  // R-SMALL: the volume below which tokens are cheapest, and the price of staying local.
  void small(PlanOption& o, const Candidate& api) {
    const PlanOption* local = nullptr;
    for (std::size_t i = 0; i < made_.size(); ++i)
      if (is_local(i) && (local == nullptr || made_[i].npv < local->npv)) local = &made_[i];
    if (local == nullptr) return;
    const double tokens = (slice_.request.isl + slice_.request.osl) * slice_.demand.mean.value() *
                          kSecondsPerHour * kHoursPerYear / kMonthsPerYear;
    std::vector<std::pair<std::string, double>> numbers{
        {"tokens_month", tokens}, {"local_total", local->total}, {"api_total", o.total}};
    const auto factor = break_even_factor(api);
    const double volume = tokens * factor.value_or(kVolumeFactorMax);
    numbers.emplace_back(factor ? "break_even_tokens_month" : "no_break_even_tokens_month", volume);
    o.because.push_back(
        {"R-SMALL",
         {"workload.rate_rps"},
         numbers,
         "at this volume tokens are cheapest; staying local (" + local->id + ") costs " +
             number_text(std::round(local->total - o.total)) + " more over " +
             std::to_string(p_.horizon_years) + " years, and own machines pay " +
             (factor ? "from " : "at no volume up to ") +
             number_text(std::round(volume / 1e5) / 10) + " million tokens a month"});
  }

  void load_curve(const Candidate& c) {
    if (!c.served || !plan_.load_curve.empty()) return;
    constexpr int kPoints = 19;
    for (int i = 1; i <= kPoints; ++i) {
      const double load = 0.05 * i;
      const Latency l =
          chain_latency(*c.served, c.request, c.batch, PerSecond(load * c.cap_rps), c.c2a);
      if (l.unstable) break;
      plan_.load_curve.push_back(
          {load, in_milliseconds(l.ttft_p99) + rtt_of(p_, c.mode), in_milliseconds(l.tpot_p99)});
    }
  }

  // Against the cheapest that needs no purchase.
  void pay_back() {
    const PlanOption* baseline = nullptr;
    for (const PlanOption& o : made_) {
      if (o.status == OptionStatus::kRemoved || o.capex > 0 || o.mode == Mode::kOwned) continue;
      if (baseline == nullptr || o.npv < baseline->npv) baseline = &o;
    }
    if (baseline == nullptr) return;
    for (PlanOption& o : made_) {
      if (o.status == OptionStatus::kRemoved || &o == baseline) continue;
      if (o.mode == Mode::kOwned) {
        o.payback_month = 0;
        continue;
      }
      if (o.capex <= 0) continue;
      const auto saved =
          savings(cash_flow_by_month(baseline->ledger), cash_flow_by_month(o.ledger));
      if (const auto month = payback_step(saved)) o.payback_month = *month;
      o.irr = internal_rate_of_return(
          savings(cash_flow_by_year(baseline->ledger), cash_flow_by_year(o.ledger)));
    }
  }

  // The model's age against what is asked for.
  void freshness(PlanOption& o) const {
    const std::string& released = slice_.model->shape.released;
    if (p_.freshness_max_gap_months < 0 || released.size() != 7) return;
    const auto days = days_between(released + "-15", p_.today);
    if (!days) return;
    constexpr double kDaysPerMonth = 30.44;
    const double months = std::floor(*days / kDaysPerMonth);
    if (months <= p_.freshness_max_gap_months) return;
    o.because.push_back({"R-FRONTIER",
                         {"preferences.freshness_max_gap_months"},
                         {{"age_months", months}, {"limit_months", p_.freshness_max_gap_months}},
                         slice_.model->shape.id + " is " + number_text(months) + " months old, " +
                             number_text(p_.freshness_max_gap_months) +
                             " are asked for: take a newer model, or send the requests that need "
                             "one to an API (frontier_share)"});
  }

  // R-SKILL: more work than the team has hands.
  void hands(PlanOption& o) const {
    const double needed = o.staff_hours_year / kStaffHoursYear;
    if (p_.team.fte <= 0 || needed <= p_.team.fte) return;
    o.because.push_back({"R-SKILL",
                         {"team.fte"},
                         {{"needed_fte", needed}, {"team_fte", p_.team.fte}},
                         "running it takes " + number_text(needed) + " people, the team has " +
                             number_text(p_.team.fte) + ": the others are in the cost"});
  }

  // R-SKILL: staff is the largest part, so say it and show the managed way.
  void staff_share() {
    for (PlanOption& o : made_) {
      if (o.status == OptionStatus::kRemoved || o.total <= 0) continue;
      double staff = 0;
      for (const LedgerLine& line : o.ledger.lines)
        if (line.name == "staff")
          for (const Money m : line.per_year) staff += m.value();
      const bool owns = o.mode == Mode::kOnPrem || o.mode == Mode::kOwned ||
                        o.mode == Mode::kEdge || o.mode == Mode::kHybrid;
      if (!owns || staff <= 0.5 * o.total) continue;
      const PlanOption* managed = nullptr;
      for (const PlanOption& other : made_) {
        const bool is_managed = other.mode == Mode::kRent || other.mode == Mode::kTokenApi;
        if (is_managed && other.status != OptionStatus::kRemoved &&
            (managed == nullptr || other.npv < managed->npv))
          managed = &other;
      }
      o.because.push_back({"R-SKILL",
                           {"team.staff_fte", "team.loaded_cost"},
                           {{"staff_share", staff / o.total}},
                           "people are " + number_text(std::round(100 * staff / o.total)) +
                               " % of its cost" +
                               (managed == nullptr ? "" : "; the managed way is " + managed->id)});
    }
  }

  const Problem& p_;
  const Slice& slice_;
  const Efficiencies& efficiencies_;
  const PlanOptions& options_;
  std::string prefix_;
  Plan& plan_;
  std::vector<Found> found_;
  std::vector<PlanOption> made_;
  std::vector<Finalist> finalists_;
  std::optional<std::size_t> recommended_;
  std::string decisive_;
};

Burstiness burstiness_of(const Problem& p) {
  const ArrivalSpec& a = p.workload.arrival;
  if (a.kind == ArrivalKind::kTrace) {
    std::vector<double> times;
    for (const TraceRow& r : p.workload.trace) times.push_back(r.at_s);
    return measure_burstiness(times);
  }
  return {a.c2a, a.idc_1s, a.idc_10s, a.idc_60s};
}

Slice slice_of(const Problem& p, const WorkloadClass& part) {
  Slice s;
  s.part = &part;
  s.model = &p.models[0];
  for (const ModelNeed& m : p.models)
    if (!part.model.empty() && m.shape.id == part.model) s.model = &m;
  s.request = request_shape(part, p.workload.prefix_share);
  s.demand = demand_profile(p.workload, part.share, p.seed);
  s.burstiness = burstiness_of(p);
  s.c2a = std::clamp(s.burstiness.c2a, 0.05, 400.0);
  return s;
}

void warn_of_age(const Problem& p, Plan& plan) {
  std::size_t stale = 0;
  std::string oldest = "9999";
  for (const Price& price : plan.prices_used) {
    const auto age = days_between(price.valid_from, p.today);
    if (!age || *age <= kStaleDays) continue;
    ++stale;
    oldest = std::min(oldest, price.valid_from);
  }
  if (stale > 0)
    plan.warnings.push_back(std::to_string(stale) + " of " +
                            std::to_string(plan.prices_used.size()) + " prices are older than " +
                            std::to_string(kStaleDays) + " days (the oldest of " + oldest +
                            "): give newer ones with --prices");
}

// E25: a mode per class, never dearer than one mode for all.
void build_portfolio(const std::vector<Slice>& slices, Plan& plan) {
  std::array<std::optional<double>, kModes> pure;
  for (std::size_t m = 0; m < kModes; ++m) {
    double sum = 0;
    bool all = true;
    for (const Slice& s : slices) {
      double least = -1;
      for (const PlanOption& o : plan.options) {
        if (o.workload_class != s.part->name || o.status == OptionStatus::kRemoved) continue;
        if (static_cast<std::size_t>(o.mode) == m && (least < 0 || o.npv < least)) least = o.npv;
      }
      all = all && least >= 0;
      sum += std::max(0.0, least);
    }
    if (all) pure[m] = sum;
  }
  for (const auto& p : pure)
    if (p && (!plan.best_pure_npv || *p < *plan.best_pure_npv)) plan.best_pure_npv = p;
}

}  // namespace

std::string_view mode_name(Mode mode) { return kModeNames[static_cast<std::size_t>(mode)]; }

std::string_view option_status_name(OptionStatus status) {
  return kStatusNames[static_cast<std::size_t>(status)];
}

const PlanOption* Plan::find(std::string_view id) const {
  for (const PlanOption& o : options)
    if (o.id == id) return &o;
  return nullptr;
}

Result<Plan> make_plan(const Problem& p, const Efficiencies& efficiencies,
                       const PlanOptions& options) {
  Plan plan;
  plan.version = options.version;
  plan.seed = p.seed;
  plan.today = p.today;
  plan.inputs_sha256 = p.inputs_sha256;
  plan.currency = p.currency;
  plan.horizon_years = p.horizon_years;
  plan.defaults = p.defaults;
  plan.warnings = p.warnings;
  std::vector<Slice> slices;
  for (const WorkloadClass& c : p.workload.classes) slices.push_back(slice_of(p, c));
  bool complete = true;
  for (const Slice& s : slices) {
    SlicePlanner planner(p, s, efficiencies, options, slices.size() > 1 ? s.part->name + "/" : "",
                         plan);
    HF_TRY(planner.run());
    if (planner.recommended()) {
      const PlanOption& best = planner.options()[*planner.recommended()];
      plan.portfolio.push_back({s.part->name, best.id, best.npv});
    } else {
      complete = false;
    }
    for (PlanOption& o : planner.options()) plan.options.push_back(std::move(o));
  }
  if (complete) plan.recommended = slices.size() == 1 ? plan.portfolio[0].option : "portfolio";
  if (!complete) {
    std::set<std::string> rules;
    for (const PlanOption& o : plan.options)
      if (o.status == OptionStatus::kRemoved && !o.because.empty())
        rules.insert(o.because.back().rule);
    plan.binding.assign(rules.begin(), rules.end());
  }
  if (slices.size() == 1) {
    plan.portfolio.clear();
  } else {
    build_portfolio(slices, plan);
  }
  const Burstiness b = burstiness_of(p);
  plan.burstiness = json::Object{
      {"c2a", b.c2a}, {"idc_1s", b.idc_1s}, {"idc_10s", b.idc_10s}, {"idc_60s", b.idc_60s}};
  plan.rate_mean = p.workload.rate_rps;
  plan.peak_to_mean = slices[0].demand.peak_to_mean;
  plan.rate_sized = plan.rate_mean * plan.peak_to_mean;
  for (const Slice& s : slices) {
    const double requests =
        s.demand.mean.value() * kSecondsPerHour * kHoursPerYear / kMonthsPerYear;
    plan.tokens_in_month += requests * s.request.isl;
    plan.tokens_out_month += requests * s.request.osl;
  }
  warn_of_age(p, plan);
  return plan;
}

}  // namespace holdfast::planner
