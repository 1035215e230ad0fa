#include "report_view.h"

#include <algorithm>
#include <array>
#include <cmath>

namespace holdfast::planner {

namespace {

ClassView& view_of(std::vector<ClassView>& views, const std::string& name) {
  for (ClassView& v : views)
    if (v.name == name) return v;
  views.push_back({name, nullptr, {}, {}});
  return views.back();
}

void add_removed(ClassView& view, const PlanOption& o) {
  const Reason* reason = removal(o);
  const std::string rule = reason == nullptr ? "" : reason->rule;
  for (RemovedGroup& g : view.removed) {
    if (g.rule != rule) continue;
    g.options.push_back(&o);
    return;
  }
  view.removed.push_back({rule, {&o}, reason});
}

std::string advice(const Speech& s, const PlanOption& o) {
  const std::string model =
      harmless(o.model) + (o.quant.empty() ? "" : " (" + harmless(o.quant) + ")");
  switch (o.mode) {
    case Mode::kOnPrem:
      return s.say(Text::kAdviceOnPrem, {place_text(s, o), model});
    case Mode::kRent:
      return s.say(Text::kAdviceRent, {place_text(s, o), model});
    case Mode::kTokenApi:
      return s.say(Text::kAdviceTokens, {harmless(o.provider), model});
    case Mode::kHybrid:
      return s.say(Text::kAdviceHybrid,
                   {s.rounded(o.count) + " × " + harmless(o.device), model, harmless(o.provider)});
    case Mode::kEdge:
      return s.say(Text::kAdviceEdge, {place_text(s, o), model});
    case Mode::kOwned:
      return s.say(Text::kAdviceOwned, {place_text(s, o), model});
  }
  return "";
}

std::string why(const Speech& s, const Plan& plan, const ClassView& view) {
  const PlanOption& o = *view.best;
  const std::string month = s.money(per_month(plan, o));
  const std::string years = std::to_string(plan.horizon_years);
  if (view.kept.size() == 1) return s.say(Text::kWhyOnly, {month, s.money(o.total), years});
  const PlanOption* cheapest = &o;
  for (const PlanOption* k : view.kept)
    if (k->npv < cheapest->npv) cheapest = k;
  if (cheapest != &o)
    return s.say(Text::kWhySteady,
                 {harmless(cheapest->id), s.money(cheapest->total), s.money(o.total), years});
  return s.say(Text::kWhyCheapest,
               {std::to_string(view.kept.size()), month, s.money(o.total), years});
}

double share(double part, double whole) { return whole > 0 ? part / whole : 0; }

}  // namespace

const Reason* removal(const PlanOption& o) {
  if (o.status != OptionStatus::kRemoved) return nullptr;
  // What a model was priced as is said last, and removes nothing.
  for (std::size_t i = o.because.size(); i-- > 0;)
    if (o.because[i].rule != "R-SUBSTITUTE") return &o.because[i];
  return nullptr;
}

const Reason* reason_by(const PlanOption& o, std::string_view rule) {
  for (const Reason& r : o.because)
    if (r.rule == rule) return &r;
  return nullptr;
}

std::vector<ClassView> class_views(const Plan& plan) {
  std::vector<ClassView> views;
  for (const PlanOption& o : plan.options) {
    ClassView& v = view_of(views, o.workload_class);
    if (o.status == OptionStatus::kRemoved) {
      add_removed(v, o);
      continue;
    }
    if (o.status == OptionStatus::kRecommended) v.best = &o;
    v.kept.push_back(&o);
  }
  for (ClassView& v : views) {
    std::stable_sort(v.kept.begin(), v.kept.end(), [&v](const PlanOption* a, const PlanOption* b) {
      if ((a == v.best) != (b == v.best)) return a == v.best;
      return a->npv < b->npv;
    });
    std::stable_sort(v.removed.begin(), v.removed.end(),
                     [](const RemovedGroup& a, const RemovedGroup& b) {
                       return a.options.size() > b.options.size();
                     });
  }
  return views;
}

std::vector<const PlanOption*> best_of_modes(const ClassView& view) {
  std::array<const PlanOption*, kModes> best{};
  for (const PlanOption* o : view.kept) {
    const PlanOption*& b = best[static_cast<std::size_t>(o->mode)];
    // The recommended one stands for its mode.
    if (b == nullptr || (b != view.best && o->npv < b->npv)) b = o;
  }
  std::vector<const PlanOption*> out;
  for (const PlanOption* o : best)
    if (o != nullptr) out.push_back(o);
  std::stable_sort(out.begin(), out.end(),
                   [](const PlanOption* a, const PlanOption* b) { return a->npv < b->npv; });
  return out;
}

std::vector<const PlanOption*> front(const ClassView& view) {
  std::vector<const PlanOption*> sorted = view.kept;
  std::stable_sort(sorted.begin(), sorted.end(), [](const PlanOption* a, const PlanOption* b) {
    return a->npv != b->npv ? a->npv < b->npv : a->ttft_ms_p99.p50 < b->ttft_ms_p99.p50;
  });
  std::vector<const PlanOption*> out;
  for (const PlanOption* o : sorted)
    if (out.empty() || o->ttft_ms_p99.p50 < out.back()->ttft_ms_p99.p50) out.push_back(o);
  return out;
}

std::vector<const PlanOption*> worth_showing(const ClassView& view, std::size_t most) {
  std::vector<const PlanOption*> out = best_of_modes(view);
  const auto add = [&](bool beaten) {
    for (const PlanOption* o : view.kept) {
      if (out.size() >= most) return;
      const bool new_one = std::find(out.begin(), out.end(), o) == out.end();
      if (new_one && (o->status == OptionStatus::kDominated) == beaten) out.push_back(o);
    }
  };
  add(false);
  add(true);
  std::stable_sort(out.begin(), out.end(), [&view](const PlanOption* a, const PlanOption* b) {
    if ((a == view.best) != (b == view.best)) return a == view.best;
    return a->npv < b->npv;
  });
  return out;
}

std::vector<const Price*> prices_by_use(const Plan& plan, const std::vector<ClassView>& views) {
  const auto belongs = [](const Price& p, const PlanOption& o) {
    if (o.mode == Mode::kTokenApi) return p.id == o.provider || p.id.starts_with(o.provider + "/");
    return p.id == o.device || (!o.device.empty() && p.id.ends_with("/" + o.device));
  };
  const auto rank = [&](const Price& p) {
    int best = is_stale(plan, p) ? 1 : 3;
    for (const ClassView& v : views) {
      if (v.best != nullptr && belongs(p, *v.best)) return 0;
      for (const PlanOption* o : best_of_modes(v))
        if (belongs(p, *o)) best = std::min(best, 2);
    }
    return best;
  };
  std::vector<std::pair<int, const Price*>> ranked;
  for (const Price& p : plan.prices_used) ranked.emplace_back(rank(p), &p);
  std::stable_sort(ranked.begin(), ranked.end(),
                   [](const auto& a, const auto& b) { return a.first < b.first; });
  std::vector<const Price*> out;
  for (const auto& [r, p] : ranked) out.push_back(p);
  return out;
}

double per_month(const Plan& plan, const PlanOption& o) {
  return o.total / (kMonthsPerYear * std::max(1, plan.horizon_years));
}

double line_sum(const PlanOption& o, std::string_view line, std::size_t year) {
  double sum = 0;
  for (const LedgerLine& l : o.ledger.lines) {
    if (l.name != line) continue;
    for (std::size_t t = 0; t < l.per_year.size(); ++t)
      if (year == 0 || t == year) sum += l.per_year[t].value();
  }
  return sum;
}

double network_share_first(const LatencyBudget& b) {
  return share(b.rtt_ms, b.rtt_ms + b.queue_ms + b.ttft_ms);
}
double network_share_answer(const LatencyBudget& b) { return share(b.rtt_ms, b.total_ms()); }

std::vector<double> cumulated(const PlanOption& o) {
  std::vector<double> out;
  double sum = 0;
  for (const Money m : cash_flow_by_month(o.ledger)) out.push_back(sum += m.value());
  return out;
}

std::optional<int> even_month(const PlanOption& o, const PlanOption& other) {
  return payback_step(savings(cash_flow_by_month(other.ledger), cash_flow_by_month(o.ledger)));
}

bool is_stale(const Plan& plan, const Price& price) {
  const auto age = days_between(price.valid_from, plan.today);
  return age && *age > kStaleDays;
}

std::string place_text(const Speech& s, const PlanOption& o) {
  if (o.mode == Mode::kTokenApi) return harmless(o.provider);
  std::string out = (o.count > 0 ? s.rounded(o.count) + " × " : "") + harmless(o.device);
  if (o.mode == Mode::kHybrid && !o.provider.empty()) out += " + " + harmless(o.provider);
  if (o.mode == Mode::kRent && !o.provider.empty()) out += " (" + harmless(o.provider) + ")";
  return out;
}

std::vector<std::string> headline(const Speech& s, const Plan& plan, const ClassView& view) {
  if (view.best == nullptr) {
    std::string rules;
    for (const RemovedGroup& g : view.removed) {
      if (!rules.empty()) rules += ", ";
      rules += s.rule(g.rule) + " (" + harmless(g.rule) + ")";
    }
    if (rules.empty()) rules = s.say(Text::kNone);
    return {s.say(Text::kNothing), s.say(Text::kNothingWhy, {rules}), s.say(Text::kNothingWhat)};
  }
  const PlanOption& o = *view.best;
  return {advice(s, o), why(s, plan, view),
          o.npv_band.p50 > 0 ? s.say(Text::kHowSure, {s.percent(o.p_cheapest)})
                             : s.say(Text::kHowSureNot)};
}

std::vector<std::string> overall(const Speech& s, const Plan& plan) {
  std::vector<std::string> out;
  if (plan.portfolio.empty()) return out;
  out.push_back(s.say(Text::kPortfolio));
  double sum = 0;
  for (const PortfolioPart& p : plan.portfolio) {
    out.push_back("  " + harmless(p.workload_class) + ": " + harmless(p.option) + ", " +
                  s.money(p.npv));
    sum += p.npv;
  }
  if (!plan.recommended) return out;
  out.push_back(plan.best_pure_npv
                    ? s.say(Text::kPortfolioSaved, {s.money(sum), s.money(*plan.best_pure_npv)})
                    : s.say(Text::kPortfolioAlone, {s.money(sum)}));
  return out;
}

std::string threshold_sentence(const Speech& s, const Threshold& t) {
  return s.say(t.threshold > t.value ? Text::kRises : Text::kFalls,
               {s.input(t.input), s.input_value(t.input, t.value),
                s.input_value(t.input, t.threshold), harmless(t.to)});
}

std::vector<std::string> pilot_sentences(const Speech& s, const PlanOption& o) {
  const Reason* unsure = reason_by(o, "R-UNSURE");
  if (unsure == nullptr) return {};
  std::vector<std::string> out{s.say(Text::kPilotWhy, {s.percent(o.p_cheapest)})};
  if (!unsure->inputs.empty())
    out.push_back(s.say(Text::kPilotWhat, {s.phrase(unsure->inputs[0])}));
  out.push_back(s.say(Text::kPilotHow));
  return out;
}

std::vector<std::string> latency_sentences(const Speech& s, const PlanOption& o) {
  std::vector<std::string> out;
  out.push_back(s.say(Text::kNetworkShare, {s.percent(network_share_first(o.budget)),
                                            s.percent(network_share_answer(o.budget))}));
  out.push_back(s.say(Text::kPercentiles,
                      {s.milliseconds(o.ttft_ms_p50.p50), s.milliseconds(o.ttft_ms_p99.p50),
                       s.milliseconds(o.ttft_ms_p99.p10), s.milliseconds(o.ttft_ms_p99.p90),
                       s.milliseconds(o.tpot_ms_p50.p50), s.milliseconds(o.tpot_ms_p99.p50)}));
  if (!o.device.empty())
    out.push_back(s.say(Text::kSpeed, {s.rounded(o.decode_tps.p50), s.rounded(o.decode_tps.p10),
                                       s.rounded(o.decode_tps.p90), s.rounded(o.throughput_tps.p50),
                                       s.percent(o.utilisation)}));
  out.push_back(s.say(Text::kTier, {s.word("tier", o.latency_tier)}));
  return out;
}

std::vector<std::string> people_sentences(const Speech& s, const Plan& plan, const PlanOption& o) {
  std::vector<std::string> out;
  const double first = line_sum(o, "staff", 1);
  if (o.staff_hours_year > 0 || first > 0) {
    out.push_back(s.say(Text::kStaffLine, {s.rounded(o.staff_hours_year), s.money(first),
                                           s.percent(share(line_sum(o, "staff"), o.total)),
                                           s.money(first / kHoursPerYear)}));
  } else {
    out.push_back(s.say(Text::kStaffNone));
  }
  if (const Reason* skill = reason_by(o, "R-SKILL")) out.push_back(s.reason(plan, *skill));
  return out;
}

std::string memory_sentence(const Speech& s, const PlanOption& o) {
  return s.say(Text::kMemoryHow,
               {s.bytes(o.memory.total().value()), s.bytes(o.memory.usable.value()),
                s.rounded(o.batch_cap), s.bytes(o.kv_bytes_per_token)});
}

std::vector<std::string> demand_sentences(const Speech& s, const Plan& plan) {
  std::vector<std::string> out{
      s.say(Text::kDemand,
            {s.rounded(plan.rate_mean), s.rounded(plan.rate_sized),
             s.rounded(plan.tokens_in_month / 1e6), s.rounded(plan.tokens_out_month / 1e6)})};
  const auto of = [&](const char* key) {
    const json::Value* v = plan.burstiness.find(key);
    return v != nullptr && v->is_number() ? s.rounded(v->as_double()) : s.say(Text::kUnknown);
  };
  if (!plan.burstiness.empty())
    out.push_back(
        s.say(Text::kBurstiness, {of("c2a"), of("idc_1s"), of("idc_10s"), of("idc_60s")}));
  return out;
}

TornadoView tornado_view(const Speech& s, const Plan& plan, const PlanOption& best) {
  constexpr double kWorthShowing = 0.001;
  TornadoView out;
  for (const TornadoBar& bar : plan.tornado) {
    const bool flips = bar.winner_low != best.id || bar.winner_high != best.id;
    const double effect =
        std::max(std::abs(bar.npv_low - best.npv), std::abs(bar.npv_high - best.npv));
    if (flips || effect > kWorthShowing * std::abs(best.npv)) {
      out.bars.push_back(&bar);
    } else {
      out.rest += (out.rest.empty() ? "" : ", ") + s.input(bar.input);
    }
  }
  return out;
}

}  // namespace holdfast::planner
