#include "holdfast/planner/explain.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <optional>

#include "candidates.h"
#include "economics.h"
#include "holdfast/planner/availability.h"
#include "report_view.h"

namespace holdfast::planner {

namespace {

// Formulas of the lines of a ledger, in the symbols of section 12.
struct LineFormula {
  std::string_view line;
  std::string_view formula;
  std::string_view section;
};
constexpr std::array<LineFormula, 18> kLineFormulas{{
    {"hardware", "devices · (price + host), when bought and at each end of life", "12"},
    {"resale", "−devices · (price + host) · (1 − (1 − ρ) · age / life)", "12"},
    {"maintenance", "maintenance · devices · (price + host)", "12"},
    {"energy", "kWh · price of a kWh · 1.02^(t−1)", "12"},
    {"space", "rack units · price · 12", "12"},
    {"opportunity", "opportunity_year", "12"},
    {"visits", "sites · devices · failures per year · cost of a visit", "14"},
    {"rent", "Σ over hours ⌈λ(t) / r_slo⌉ · n · price of an hour", "12"},
    {"starts", "365 · restart · n · price of an hour", "12"},
    {"egress", "λ · (ISL + OSL) · 4 bytes · price of a GB", "12"},
    {"tokens", "Σ (in·(1 − hit)·p_in + in·hit·p_cached + out·p_out) · (1 + drift)^(t−1)", "12"},
    {"burst rent", "Σ over hours (⌈λ(t) / r_slo⌉ − K)⁺ · n · price of an hour", "13"},
    {"burst tokens", "burst · Σ (in·p_in + out·p_out) · (1 + drift)^(t−1)", "13"},
    {"staff", "FTE · cost · 1.03^(t−1)", "12"},
    {"frontier tokens", "frontier_share · λ · (in·p_in + out·p_out)", "12"},
    {"migration", "hours · cost / 1800 + retraining_cost", "12"},
    {"training", "runs · 6·A·tokens / (0.35 · F) · price of an hour", "12"},
    {"training energy", "runs · 6·A·tokens / (0.35 · F) · P_load · PUE · price of a kWh", "12"},
}};

std::string hyphened(std::string name) {
  std::replace(name.begin(), name.end(), ' ', '-');
  return name;
}

class Explainer {
 public:
  Explainer(const Plan& plan, const Problem& problem, const PlanOption& option, Language language)
      : plan_(plan), p_(problem), o_(option), s_(language, plan.currency) {}

  // kInvalidArgument where the plan was made from another problem.
  Status prepare() {
    for (const WorkloadClass& c : p_.workload.classes)
      if (c.name == o_.workload_class) slice_.part = &c;
    for (const ModelNeed& m : p_.models)
      if (m.shape.id == o_.model) slice_.model = &m;
    if (slice_.part == nullptr || slice_.model == nullptr)
      return invalid_argument("problem: is not the one of the plan");
    slice_.request = request_shape(*slice_.part, p_.workload.prefix_share);
    slice_.demand = demand_profile(p_.workload, slice_.part->share, p_.seed);
    const double c2a = number_in(plan_.burstiness, "c2a");
    slice_.c2a = std::clamp(c2a, 0.05, 400.0);
    if (o_.device.empty()) return ok_status();
    HF_TRY_ASSIGN(device_, p_.hardware.find(o_.device));
    if (o_.quant.empty()) return ok_status();
    HF_TRY_ASSIGN(quant_, find_quant(o_.quant));
    place_ = {device_, o_.devices_per_replica, o_.devices_per_replica};
    served_.emplace(*slice_.model, quant_, place_, p_.profile, Efficiencies::shipped(),
                    p_.calibrations);
    place_ = served_->place();
    return ok_status();
  }

  std::string run(std::string_view quantity) {
    quantity_ = std::string(quantity);
    if (quantity == "memory.weights") weights();
    if (quantity == "memory.kv") context();
    if (quantity == "memory.total") memory();
    if (quantity == "rate") rate();
    if (quantity == "decode") decode();
    if (quantity == "prefill") prefill();
    if (quantity == "throughput") throughput();
    if (quantity == "replicas") replicas();
    if (quantity == "ttft") ttft();
    if (quantity == "availability") up_time();
    if (quantity == "energy") energy();
    if (quantity == "capex") capex();
    if (quantity == "npv") npv();
    if (quantity == "per_million_tokens") per_million();
    if (quantity == "staff") staff();
    if (quantity == "hybrid") hybrid();
    if (quantity.starts_with("cost.")) cost_line(quantity.substr(5));
    return std::move(out_);
  }

 private:
  // Form.

  void result(const std::string& value) {
    out_ += s_.say(Text::kOfOption, {quantity_, harmless(o_.id)}) + ": " + value + "\n";
  }
  void row(const std::string& name, const std::string& text) {
    constexpr std::size_t kColumn = 9;
    const std::size_t wide = width_of(name);
    out_ += "  " + name + std::string(wide < kColumn ? kColumn - wide : 1, ' ') + text + "\n";
  }
  void formula(const std::string& text) { row(s_.say(Text::kFormula), text); }
  void numbers(const std::string& text) { row(s_.say(Text::kWithNumbers), text); }
  void where(const char* symbol, const std::string& value) {
    row(symbol, value + "  " + s_.word("symbol", symbol));
  }
  void note(const std::string& text) { row("", text); }
  void source(const char* section) { row(s_.say(Text::kFrom), s_.say(Text::kSection, {section})); }

  static double number_in(const json::Object& object, const char* key) {
    const json::Value* v = object.find(key);
    return v != nullptr && v->is_number() ? v->as_double() : 1;
  }
  std::string ms(Seconds t) const { return s_.milliseconds(in_milliseconds(t)); }
  std::string billions(double v) const { return s_.rounded(v / 1e9, 4) + "·10⁹"; }
  std::string flops(double v) const { return s_.rounded(v / 1e12, 4) + " TFLOP/s"; }
  std::string bandwidth(BytesPerSecond v) const { return s_.bytes(v.value()) + "/s"; }
  std::string tokens(double v) const { return s_.rounded(v, 5) + " tokens"; }
  std::string rate_text(double v) const { return s_.rounded(v, 4) + " /s"; }
  bool calibrated() const { return served_->rate_class().ends_with(", calibrated"); }
  const ModelShape& shape() const { return slice_.model->shape; }
  double mean_context() const { return slice_.request.isl + slice_.request.osl / 2; }
  double limit_ms() const {
    return slice_.part->kind == ServiceKind::kBatch ? 0 : slice_.part->slo.tpot_p99_ms;
  }
  double first_year() const { return growth_factor(p_.workload.growth, 1); }
  const BomLine* item(std::string_view name) const {
    for (const BomLine& b : o_.bom)
      if (b.item == name) return &b;
    return nullptr;
  }

  // Quantities.

  void weights() {
    const double w = weights_bytes(shape(), quant_).value();
    result(s_.bytes(w));
    if (shape().file_bytes && shape().quant == quant_.name) {
      formula("W = Σ tensor bytes");
      numbers(s_.number(w, 0) + " B");
    } else {
      formula("W = P · bpw / 8");
      numbers(billions(shape().params) + " · " + s_.rounded(quant_.bits_per_weight, 4) +
              " / 8 = " + s_.bytes(w));
      where("P", billions(shape().params));
      where("bpw", s_.rounded(quant_.bits_per_weight, 4) + " (" + std::string(quant_.name) + ")");
    }
    source("6");
  }

  void context() {
    const double element = served_->kv_element_bytes();
    const double pages = std::ceil(mean_context() / 16) * 16;
    const Bytes one = kv_bytes_paged(shape(), mean_context(), element);
    result(s_.bytes(o_.memory.kv.value()));
    formula("KV = b · ⌈T/16⌉·16 · kv");
    numbers(s_.rounded(o_.batch_cap) + " · " + tokens(pages) + " · " +
            s_.bytes(o_.kv_bytes_per_token) + " = " +
            s_.bytes(o_.batch_cap * pages * o_.kv_bytes_per_token));
    if (shape().attention == Attention::kGrouped) {
      row("kv", "2·L·g·d_h·s = 2 · " + s_.rounded(shape().layers) + " · " +
                    s_.rounded(shape().kv_heads) + " · " + s_.rounded(shape().head_dim) + " · " +
                    s_.rounded(element, 5) + " = " + s_.number(o_.kv_bytes_per_token, 0) + " B");
    } else if (shape().attention == Attention::kLatent) {
      row("kv", "L·(d_c + d_r)·s = " + s_.rounded(shape().layers) + " · (" +
                    s_.rounded(shape().kv_latent) + " + " + s_.rounded(shape().rope_dim) + ") · " +
                    s_.rounded(element, 5) + " = " + s_.number(o_.kv_bytes_per_token, 0) + " B");
    }
    where("b", s_.rounded(o_.batch_cap));
    where("T", tokens(mean_context()) + " (ISL + OSL/2)");
    if (shape().window_layers > 0 || shape().attention == Attention::kStateSpace)
      note(s_.say(Text::kNoteWindow, {s_.bytes(one.value())}));
    source("6");
  }

  void memory() {
    const MemoryNeed& m = o_.memory;
    result(s_.bytes(m.total().value()) + " / " + s_.bytes(m.usable.value()));
    formula("W + b·KV + ws ≤ u · M · n");
    numbers(s_.bytes(m.weights.value()) + " + " + s_.bytes(m.kv.value()) + " + " +
            s_.bytes(m.workspace.value()) + " = " + s_.bytes(m.total().value()) + " ≤ " +
            s_.rounded(device_.usable_share()) + " · " + s_.bytes(device_.memory.value()) + " · " +
            s_.rounded(o_.devices_per_replica) + " = " + s_.bytes(m.usable.value()));
    where("u", s_.percent(device_.usable_share()));
    where("M", s_.bytes(device_.memory.value()));
    where("n", s_.rounded(o_.devices_per_replica));
    source("6");
  }

  void rate() {
    const DemandProfile& d = slice_.demand;
    result(rate_text(d.mean.value()));
    formula("λ = rate · share,  λ_peak = λ · peak · (1 + growth)");
    numbers(rate_text(p_.workload.rate_rps) + " · " + s_.rounded(slice_.part->share) + " = " +
            rate_text(d.mean.value()) + ",  · " + s_.rounded(d.peak_to_mean) + " · " +
            s_.rounded(first_year(), 4) + " = " +
            rate_text(d.mean.value() * d.peak_to_mean * first_year()));
    where("share", s_.percent(slice_.part->share));
    where("peak", s_.rounded(d.peak_to_mean));
    where("growth", s_.percent(p_.workload.growth));
    source("11");
  }

  void decode() {
    const double context = mean_context();
    const Seconds t = served_->step(1, context);
    result(s_.rounded(1 / t.value()) + " tokens/s (" + ms(t) + ")");
    served_->batching_server() ? decode_of_server(context, t) : decode_of_engine(context, t);
    where("T", tokens(context));
    note(s_.say(calibrated() ? Text::kNoteCalibrated : Text::kNoteClass,
                {harmless(served_->rate_class())}));
    source(served_->batching_server() ? "9" : "8");
  }

  void decode_of_engine(double context, Seconds t) {
    DecodeEfficiency e = Efficiencies::shipped().decode(device_, quant_, true).efficiency;
    for (const Calibration& c : p_.calibrations)
      if (calibrated() && c.local) e = c.local->decode;
    const BytesPerSecond bw = place_.device.data_bandwidth() * place_.tensor_parallel;
    const Bytes read = weights_read(shape(), weights_bytes(shape(), quant_), 1, e.expert_reuse);
    const Bytes kv = kv_bytes(shape(), context, served_->kv_element_bytes());
    const double peak = place_.device.arithmetic_peak().value() * place_.tensor_parallel;
    const double hops = static_cast<double>(place_.devices) / place_.tensor_parallel - 1;
    const Seconds parts[] = {e.bytes_cost * (read / bw), e.kv_cost * (kv / bw),
                             Seconds(e.flops_cost * 2 * shape().active / peak),
                             e.layer * static_cast<double>(shape().layers),
                             e.split * std::max(0.0, hops)};
    formula("t(1) = a_w·W_read/BW + a_kv·KV/BW + a_f·2·A/F + c·L");
    std::string sum;
    for (const Seconds part : parts)
      if (part.value() > 0) sum += (sum.empty() ? "" : " + ") + ms(part);
    numbers(sum + " = " + ms(t));
    where("W_read", s_.bytes(read.value()));
    where("KV", s_.bytes(kv.value()));
    where("BW", bandwidth(bw));
    where("A", billions(shape().active));
    where("F", flops(peak));
    where("a_w", s_.rounded(e.bytes_cost));
    where("a_kv", s_.rounded(e.kv_cost));
    where("a_f", s_.rounded(e.flops_cost));
    where("c", s_.rounded(e.layer.value() * 1e6) + " µs");
  }

  BatchProfile server_profile() const {
    const auto profile = p_.profile == EngineProfile::kTuned ? ServerProfile::kTunedServer
                                                             : ServerProfile::kTrtLlmDefault;
    return Efficiencies::shipped().throughput(profile, device_, quant_).profile;
  }

  void decode_of_server(double context, Seconds t) {
    const BatchProfile profile = server_profile();
    const double n = place_.devices;
    const BytesPerSecond bw = device_.data_bandwidth() * (n * profile.bandwidth_share);
    const FlopsPerSecond peak = profile.peak * (n * profile.decode_flops_share);
    const double rho =
        Efficiencies::shipped().decode(device_, quant_, true).efficiency.expert_reuse;
    const Bytes read = weights_read(shape(), weights_bytes(shape(), quant_), 1, rho);
    const Bytes kv = kv_bytes(shape(), context, served_->kv_element_bytes());
    const Seconds sent = communication(shape(), place_, 1) * profile.communication_factor;
    formula("t(1) = max(W_read/BW_e, 2·A/F_e) + KV/BW_e + t_comm");
    numbers("max(" + ms(read / bw) + ", " + ms(decode_flops(shape()) / peak) + ") + " +
            ms(kv / bw) + " + " + ms(sent) + " = " + ms(t));
    where("W_read", s_.bytes(read.value()));
    where("KV", s_.bytes(kv.value()));
    where("BW_e", bandwidth(bw));
    where("A", billions(shape().active));
    where("F_e", flops(peak.value()));
  }

  void prefill() {
    const double n = std::max(1.0, slice_.request.work_isl());
    const Seconds t = served_->prefill(n);
    const double work = prefill_flops(shape(), n).value();
    const double peak = served_->batching_server()
                            ? server_profile().peak.value() * place_.devices
                            : device_.prefill_peak().value() * place_.tensor_parallel;
    result(s_.rounded(n / t.value()) + " tokens/s (" + ms(t) + ")");
    formula("t_pf = FLOPs(N) / (η · F),  FLOPs(N) = 2·A·N + 2·L·h·d_h·N²");
    numbers(s_.rounded(work / 1e12) + " TFLOP / (" + s_.rounded(work / (t.value() * peak)) + " · " +
            flops(peak) + ") = " + ms(t));
    where("N", tokens(n));
    where("A", billions(shape().active));
    row("η", s_.percent(work / (t.value() * peak)) + "  " + s_.word("symbol", "eta"));
    where("F", flops(peak));
    note(s_.say(calibrated() ? Text::kNoteCalibrated : Text::kNoteClass,
                {harmless(served_->rate_class())}));
    source("7");
  }

  void throughput() {
    const RequestShape& r = slice_.request;
    const ServedModel::Cap cap = served_->cap(r, limit_ms());
    const Seconds step = served_->step(cap.batch, mean_context());
    const Seconds prompt = served_->prefill(r.work_isl());
    result(s_.rounded(cap.requests.value() * r.osl) + " tokens/s");
    formula("r_max = b / (OSL·t(b) + b·t_pf),  tokens/s = OSL · r_max");
    numbers(s_.rounded(cap.batch) + " / (" + s_.rounded(r.osl) + " · " + ms(step) + " + " +
            s_.rounded(cap.batch) + " · " + ms(prompt) + ") = " + rate_text(cap.requests.value()));
    where("b", s_.rounded(cap.batch));
    where("t(b)", ms(step));
    where("t_pf", ms(prompt));
    where("OSL", tokens(r.osl));
    source("9");
  }

  void replicas() {
    const DemandProfile& d = slice_.demand;
    const bool batch = slice_.part->kind == ServiceKind::kBatch;
    const double sized = (batch ? d.mean.value() * 1.1 : d.sized.value()) * first_year();
    const double capacity =
        batch ? served_->cap(slice_.request, 0).requests.value() * 0.95
              : capacity_within(*served_, slice_, o_.batch_cap, rtt_of(p_, o_.mode));
    const double needed = std::max(1.0, std::ceil(sized / std::max(capacity, 1e-12) - 1e-9));
    result(s_.rounded(o_.replicas) + (o_.spares > 0 ? " + " + s_.rounded(o_.spares) : ""));
    formula("R = ⌈λ · peak · (1 + growth) / r_slo⌉ + spares");
    numbers("⌈" + rate_text(sized) + " / " + rate_text(capacity) + "⌉ = " + s_.rounded(needed));
    where("peak", s_.rounded(d.peak_to_mean));
    where("r_slo", rate_text(capacity));
    where("spares", s_.rounded(o_.spares));
    if (needed != o_.replicas)
      note(s_.say(Text::kNoteSimulated, {s_.rounded(needed), s_.rounded(o_.replicas)}));
    source("11");
  }

  void ttft() {
    const LatencyBudget& b = o_.budget;
    result(s_.milliseconds(o_.ttft_ms_p50.p50));
    formula("TTFT = rtt + queue + t_pf + t(b)");
    numbers(s_.milliseconds(b.rtt_ms) + " + " + s_.milliseconds(b.queue_ms) + " + " +
            s_.milliseconds(b.ttft_ms) + " = " +
            s_.milliseconds(b.rtt_ms + b.queue_ms + b.ttft_ms));
    where("rtt", s_.milliseconds(b.rtt_ms));
    where("queue", s_.milliseconds(b.queue_ms));
    note(s_.say(Text::kNoteTail,
                {s_.milliseconds(o_.ttft_ms_p50.p50), s_.milliseconds(o_.ttft_ms_p99.p50),
                 s_.word("tier", o_.latency_tier)}));
    source("10");
  }

  void up_time() {
    result(s_.percent(o_.availability));
    if (o_.device.empty()) {
      note(s_.say(Text::kNoteGiven));
      source("11");
      return;
    }
    // Another rented machine is there within a quarter of an hour.
    const Seconds repair = hours(o_.mode == Mode::kRent ? 0.25 : p_.mttr_hours);
    const double node = availability(kNodeMtbf, repair);
    const auto k = static_cast<int>(std::clamp(o_.replicas, 1.0, double{kNodesMax}));
    const auto m =
        static_cast<int>(std::clamp(o_.replicas + o_.spares, double(k), double{kNodesMax}));
    formula(
        "A = (1 − β·(1 − A_1)) · Σ_{i≥k} C(m,i)·A'^i·(1 − A')^(m−i),  A_1 = MTBF/(MTBF + MTTR)");
    numbers("A_1 = " + s_.rounded(in_hours(kNodeMtbf), 4) + " / (" +
            s_.rounded(in_hours(kNodeMtbf), 4) + " + " + s_.rounded(in_hours(repair)) +
            ") = " + s_.percent(node));
    where("k", std::to_string(k));
    where("m", std::to_string(m));
    row("β", s_.percent(kCommonCauseShare) + "  " + s_.word("symbol", "beta"));
    source("11");
  }

  void energy() {
    const double load = device_.tdp.value() + host_watts_of(p_, device_);
    const double idle = load * p_.idle_share;
    const double cap = served_->cap(slice_.request, limit_ms()).requests.value();
    const double nodes = o_.count / std::max(1u, o_.devices_per_replica);
    const double duty = std::clamp(
        slice_.demand.mean.value() * first_year() / std::max(1e-12, cap * nodes), 0.0, 1.0);
    result(s_.rounded(o_.energy_kwh_year, 5) + " kWh");
    formula("kWh = 8760 · PUE · [P_idle + (P_load − P_idle)·U] / 1000 · devices");
    numbers("8760 · " + s_.rounded(p_.pue) + " · [" + s_.rounded(idle) + " + " +
            s_.rounded(load - idle) + " · " + s_.rounded(duty) + "] / 1000 · " +
            s_.rounded(o_.count) + " = " +
            s_.rounded(8.760 * p_.pue * (idle + (load - idle) * duty) * o_.count, 5) + " kWh");
    where("PUE", s_.rounded(p_.pue));
    where("P_idle", s_.rounded(idle) + " W");
    where("P_load", s_.rounded(load) + " W");
    where("U", s_.percent(duty));
    source("12");
  }

  void capex() {
    result(s_.money(o_.capex));
    formula("devices · (price + host)");
    if (!o_.bom.empty()) {
      const BomLine& device = o_.bom[0];
      const BomLine* host = item("host share");
      const double each = host == nullptr ? 0 : host->unit_price;
      numbers(s_.rounded(device.count) + " · (" + s_.money(device.unit_price) + " + " +
              s_.money(each) + ") = " + s_.money(device.count * (device.unit_price + each)));
    }
    yearly("hardware");
    source("12");
  }

  void npv() {
    result(s_.money(o_.npv));
    formula("NPV = Σ flow(t) / (1 + w)^t");
    std::string sum;
    double factor = 1;
    for (std::size_t t = 0; t < o_.per_year.size(); ++t, factor *= 1 + p_.wacc) {
      sum += (t == 0 ? "" : " + ") + s_.number(o_.per_year[t], 0) +
             (t == 0 ? "" : " / " + s_.rounded(factor, 5));
    }
    numbers(sum + " = " + s_.money(o_.npv));
    where("w", s_.percent(p_.wacc));
    source("12");
  }

  // Amounts of a line by year.
  void yearly(std::string_view name) {
    for (const LedgerLine& l : o_.ledger.lines) {
      if (l.name != name) continue;
      for (std::size_t t = 0; t < l.per_year.size(); ++t)
        if (l.per_year[t].value() != 0)
          row(t == 0 ? s_.say(Text::kNow) : s_.say(Text::kYear, {std::to_string(t)}),
              s_.money(l.per_year[t].value()));
      if (l.assumed) note(s_.say(Text::kNoteAssumed));
    }
  }

  void cost_line(std::string_view wanted) {
    for (const LedgerLine& l : o_.ledger.lines) {
      if (hyphened(l.name) != wanted) continue;
      result(s_.money(line_sum(o_, l.name)) + " (" + s_.word("line", l.name) + ")");
      const auto at = std::find_if(kLineFormulas.begin(), kLineFormulas.end(),
                                   [&l](const LineFormula& f) { return f.line == l.name; });
      if (at != kLineFormulas.end()) formula(std::string(at->formula));
      yearly(l.name);
      source(at == kLineFormulas.end() ? "12" : at->section.data());
    }
  }

  void per_million() {
    double years = 0;
    for (int year = 1; year <= p_.horizon_years; ++year)
      years += growth_factor(p_.workload.growth, year);
    const RequestShape& r = slice_.request;
    const double all =
        slice_.demand.mean.value() * kSecondsPerHour * kHoursPerYear * (r.isl + r.osl) * years;
    result(s_.money(o_.per_million_tokens));
    formula("total / (λ · 3600 · 8760 · (ISL + OSL) · Σ (1 + growth)^t) · 10⁶");
    numbers(s_.money(o_.total) + " / (" + rate_text(slice_.demand.mean.value()) +
            " · 3600 · 8760 · (" + s_.rounded(r.isl) + " + " + s_.rounded(r.osl) + ") · " +
            s_.rounded(years, 4) + ") · 10⁶ = " + s_.money(all > 0 ? o_.total / all * 1e6 : 0));
    where("tokens", billions(all));
    source("12");
  }

  void staff() {
    const double fte = o_.staff_hours_year / kStaffHoursYear;
    const double first = line_sum(o_, "staff", 1);
    result(s_.money(first) + ", " + s_.rounded(o_.staff_hours_year) + " h");
    formula("FTE · cost,  FTE · 1800 h");
    numbers(s_.rounded(fte, 4) + " · " + s_.money(p_.team.loaded_cost) + " = " +
            s_.money(fte * p_.team.loaded_cost));
    where("FTE", s_.rounded(fte, 4));
    where("cost", s_.money(p_.team.loaded_cost));
    if (p_.team.staff_fte < 0) note(s_.say(Text::kNoteAssumed));
    source("12");
  }

  void hybrid() {
    result(s_.rounded(o_.hybrid_owned));
    formula("K = min { K : P(D > K) ≤ c_o / c_b }");
    if (const Reason* r = reason_by(o_, "R-BURST")) {
      for (const auto& [name, value] : r->numbers) {
        if (name == "newsvendor_replicas") numbers("K = " + s_.rounded(value));
        if (name == "peak_replicas") where("D", s_.rounded(value) + " (max)");
      }
    }
    note(s_.say(Text::kNoteAround, {s_.rounded(o_.hybrid_owned)}));
    source("13");
  }

  const Plan& plan_;
  const Problem& p_;
  const PlanOption& o_;
  Speech s_;
  Slice slice_;
  Device device_;
  Quant quant_{};
  Placement place_;
  std::optional<ServedModel> served_;
  std::string quantity_;
  std::string out_;
};

Result<const PlanOption*> option_of(const Plan& plan, std::string_view id) {
  if (id.empty()) {
    if (!plan.recommended)
      return invalid_argument("the plan recommends nothing")
          .with_hint("name an option: QUANTITY@OPTION_ID");
    const std::string& best = plan.portfolio.empty() ? *plan.recommended : plan.portfolio[0].option;
    id = best;
  }
  if (const PlanOption* o = plan.find(id)) return o;
  std::vector<std::string> ids;
  for (const PlanOption& o : plan.options) ids.push_back(o.id);
  return invalid_argument("there is no option \"" + harmless(id.substr(0, 120)) + "\"" +
                          harmless(did_you_mean(id, ids)));
}

}  // namespace

std::vector<std::string> quantities(const PlanOption& o) {
  std::vector<std::string> out;
  if (o.memory.usable.value() > 0) out = {"memory.weights", "memory.kv", "memory.total"};
  out.emplace_back("rate");
  const bool runs = !o.device.empty() && o.decode_tps.p50 > 0;
  if (runs) out.insert(out.end(), {"decode", "prefill", "throughput", "replicas"});
  if (o.ledger.lines.empty()) return out;
  out.insert(out.end(), {"ttft", "availability", "npv", "per_million_tokens", "staff"});
  if (o.energy_kwh_year > 0 && runs) out.emplace_back("energy");
  if (o.capex > 0) out.emplace_back("capex");
  if (o.mode == Mode::kHybrid) out.emplace_back("hybrid");
  for (const LedgerLine& l : o.ledger.lines) out.push_back("cost." + hyphened(l.name));
  return out;
}

Result<std::string> explain_quantity(const Plan& plan, const Problem& problem,
                                     std::string_view quantity, Language language) {
  const std::size_t at = std::min(quantity.find('@'), quantity.size());
  const std::string name = hyphened(std::string(quantity.substr(0, at)));
  HF_TRY_ASSIGN(const PlanOption* option,
                option_of(plan, quantity.substr(std::min(at + 1, quantity.size()))));
  const auto known = quantities(*option);
  if (std::find(known.begin(), known.end(), name) == known.end())
    return invalid_argument("option " + harmless(option->id) + " has no quantity \"" +
                            harmless(name.substr(0, 80)) + "\"" + did_you_mean(name, known));
  Explainer explainer(plan, problem, *option, language);
  HF_TRY(explainer.prepare());
  return explainer.run(name);
}

}  // namespace holdfast::planner
