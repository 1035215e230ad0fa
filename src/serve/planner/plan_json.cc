// plan.json: rulings 25 and 26, in canonical form.
#include <cmath>

#include "canonical.h"
#include "holdfast/planner/plan.h"

namespace holdfast::planner {

namespace {

json::Value band_json(const Band& b) {
  return json::Value(json::Object{{"p10", b.p10}, {"p50", b.p50}, {"p90", b.p90}});
}

json::Value texts(const std::vector<std::string>& list) {
  json::Array out;
  for (const std::string& t : list) out.emplace_back(t);
  return json::Value(std::move(out));
}

json::Value reason_json(const Reason& r) {
  json::Object numbers;
  for (const auto& [name, value] : r.numbers) numbers.set(name, value);
  return json::Value(json::Object{{"rule", r.rule},
                                  {"inputs", texts(r.inputs)},
                                  {"numbers", json::Value(std::move(numbers))},
                                  {"text", r.text}});
}

json::Value optional_json(const std::optional<double>& v) {
  return v ? json::Value(*v) : json::Value();
}

json::Value cost_json(const Plan& plan, const PlanOption& o) {
  json::Array lines;
  for (const LedgerLine& line : o.ledger.lines) {
    json::Array years;
    double sum = 0;
    for (const Money m : line.per_year) {
      years.emplace_back(m.value());
      sum += m.value();
    }
    lines.emplace_back(json::Object{{"line", line.name},
                                    {"amount", sum},
                                    {"per_year", json::Value(std::move(years))},
                                    {"escalator", line.escalator},
                                    {"assumed", line.assumed}});
  }
  json::Array per_year;
  for (const double y : o.per_year) per_year.emplace_back(y);
  return json::Value(
      json::Object{{"currency", plan.currency},
                   {"total", o.total},
                   {"npv", o.npv},
                   {"npv_band", o.npv_band.p50 > 0 ? band_json(o.npv_band) : json::Value()},
                   {"cv", o.cost_cv},
                   {"capex", o.capex},
                   {"opex_month_max", o.opex_month_max},
                   {"migration", o.migration},
                   {"payback_month", optional_json(o.payback_month)},
                   {"irr", optional_json(o.irr)},
                   {"per_year", json::Value(std::move(per_year))},
                   {"per_million_tokens", o.per_million_tokens},
                   {"lines", json::Value(std::move(lines))}});
}

json::Value memory_json(const PlanOption& o) {
  return json::Value(json::Object{{"weights_bytes", std::round(o.memory.weights.value())},
                                  {"kv_bytes", std::round(o.memory.kv.value())},
                                  {"kv_bytes_per_token", o.kv_bytes_per_token},
                                  {"workspace_bytes", std::round(o.memory.workspace.value())},
                                  {"usable_bytes", std::round(o.memory.usable.value())},
                                  {"free_bytes", std::round(o.memory.free().value())}});
}

json::Value option_json(const Plan& plan, const PlanOption& o) {
  json::Array because;
  for (const Reason& r : o.because) because.push_back(reason_json(r));
  json::Array changes;
  for (const Threshold& t : o.would_change_if)
    changes.emplace_back(json::Object{
        {"input", t.input}, {"value", t.value}, {"threshold", t.threshold}, {"to", t.to}});
  json::Array bom;
  for (const BomLine& b : o.bom)
    bom.emplace_back(json::Object{{"item", b.item},
                                  {"count", b.count},
                                  {"unit_price", b.unit_price},
                                  {"watts", b.watts},
                                  {"rack_units", b.rack_units}});
  json::Array calendar;
  for (const CalendarEntry& c : o.calendar)
    calendar.emplace_back(json::Object{{"year", c.year},
                                       {"order_by", c.order_by},
                                       {"needed_from", c.needed_from},
                                       {"count", c.count}});
  json::Object out{{"id", o.id},
                   {"mode", mode_name(o.mode)},
                   {"status", option_status_name(o.status)},
                   {"class", o.workload_class},
                   {"model", o.model},
                   {"because", json::Value(std::move(because))},
                   {"would_change_if", json::Value(std::move(changes))},
                   {"device", o.device.empty() ? json::Value() : json::Value(o.device)},
                   {"provider", o.provider.empty() ? json::Value() : json::Value(o.provider)},
                   {"count", o.count},
                   {"quant", o.quant.empty() ? json::Value() : json::Value(o.quant)},
                   {"tensor_parallel", o.tensor_parallel},
                   {"devices_per_replica", o.devices_per_replica},
                   {"replicas", o.replicas},
                   {"spares", o.spares},
                   {"batch_cap", o.batch_cap},
                   {"memory", memory_json(o)}};
  out.set("rates", json::Value(json::Object{{"prefill_tps", band_json(o.prefill_tps)},
                                            {"decode_tps", band_json(o.decode_tps)},
                                            {"throughput_tps", band_json(o.throughput_tps)}}));
  out.set("latency", json::Value(json::Object{{"ttft_ms_p50", band_json(o.ttft_ms_p50)},
                                              {"ttft_ms_p99", band_json(o.ttft_ms_p99)},
                                              {"tpot_ms_p50", band_json(o.tpot_ms_p50)},
                                              {"tpot_ms_p99", band_json(o.tpot_ms_p99)},
                                              {"tier", o.latency_tier}}));
  out.set("latency_budget", json::Value(json::Object{{"rtt_ms", o.budget.rtt_ms},
                                                     {"queue_ms", o.budget.queue_ms},
                                                     {"ttft_ms", o.budget.ttft_ms},
                                                     {"tpot_ms", o.budget.tpot_ms},
                                                     {"tokens", o.budget.tokens},
                                                     {"total_ms", o.budget.total_ms()}}));
  out.set("availability", o.availability);
  out.set("utilisation", o.utilisation);
  out.set("cost", cost_json(plan, o));
  out.set("p_cheapest", o.p_cheapest);
  out.set("bom", json::Value(std::move(bom)));
  out.set("calendar", json::Value(std::move(calendar)));
  out.set("lockin_index", o.lockin);
  out.set("staff_hours_year", o.staff_hours_year);
  out.set("energy_kwh_year", o.energy_kwh_year);
  out.set("co2_kg_year", o.co2_kg_year);
  if (o.mode == Mode::kHybrid) out.set("owned_replicas", o.hybrid_owned);
  return json::Value(std::move(out));
}

}  // namespace

json::Value plan_json(const Plan& plan) {
  json::Array prices;
  for (const Price& p : plan.prices_used) prices.push_back(price_json(p));
  json::Array defaults;
  for (const DefaultUsed& d : plan.defaults)
    defaults.emplace_back(json::Object{
        {"field", d.field}, {"value", d.value}, {"effect", d.effect}, {"assumed", d.assumed}});
  json::Array options;
  for (const PlanOption& o : plan.options) options.push_back(option_json(plan, o));
  json::Array bars;
  for (const TornadoBar& t : plan.tornado)
    bars.emplace_back(json::Object{{"input", t.input},
                                   {"value", t.value},
                                   {"npv_low", t.npv_low},
                                   {"npv_high", t.npv_high},
                                   {"winner_low", t.winner_low},
                                   {"winner_high", t.winner_high}});
  json::Array portfolio;
  for (const PortfolioPart& p : plan.portfolio)
    portfolio.emplace_back(
        json::Object{{"class", p.workload_class}, {"option", p.option}, {"npv", p.npv}});
  json::Array curve;
  for (const LoadPoint& l : plan.load_curve)
    curve.emplace_back(json::Object{
        {"load", l.load}, {"ttft_p99_ms", l.ttft_p99_ms}, {"tpot_p99_ms", l.tpot_p99_ms}});
  json::Object out{
      {"schema", "holdfast.plan/1"},
      {"version", plan.version},
      {"seed", plan.seed},
      {"date", plan.today},
      {"inputs_sha256", plan.inputs_sha256},
      {"currency", plan.currency},
      {"horizon_years", plan.horizon_years},
      {"prices", json::Value(std::move(prices))},
      {"defaults", json::Value(std::move(defaults))},
      {"warnings", texts(plan.warnings)},
      {"recommended", plan.recommended ? json::Value(*plan.recommended) : json::Value()},
      {"binding", texts(plan.binding)},
      {"options", json::Value(std::move(options))},
      {"tornado", json::Value(std::move(bars))},
      {"load_curve", json::Value(std::move(curve))},
      {"portfolio", json::Value(std::move(portfolio))},
      {"best_pure_npv", optional_json(plan.best_pure_npv)}};
  out.set("demand", json::Value(json::Object{{"rate_rps", plan.rate_mean},
                                             {"sized_rps", plan.rate_sized},
                                             {"peak_to_mean", plan.peak_to_mean},
                                             {"tokens_in_month", plan.tokens_in_month},
                                             {"tokens_out_month", plan.tokens_out_month},
                                             {"burstiness", json::Value(plan.burstiness)}}));
  return sorted(json::Value(std::move(out)));
}

}  // namespace holdfast::planner
