#include "holdfast/planner/problem.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>

#include "fields.h"
#include "holdfast/planner/shipped.h"
#include "inputs_digest.h"
#include "problem_parts.h"

namespace holdfast::planner {

namespace {

constexpr std::size_t kModelsLimit = 16;
constexpr std::size_t kListLimit = 64;
constexpr Range kMoneyRange{0, 1e12};
constexpr Range kShareRange{0, 1};
constexpr std::array<std::string_view, 4> kProfiles{"holdfast", "llamacpp-default",
                                                    "trtllm-default", "tuned"};

// Parses all sections into one Problem.
class Parser {
 public:
  Parser(const ProblemInputs& inputs, Problem& problem) : in_(inputs), p_(problem) {}

  Status run() {
    Fields root(&in_.document, "", p_.defaults);
    HF_TRY(circumstances(root));
    HF_TRY(parse_slo(root.table("slo"), "slo", p_.slo, true, p_.defaults));
    HF_TRY(privacy(root.table("privacy")));
    HF_TRY(budget(root.table("budget")));
    HF_TRY(models(root));
    HF_TRY(parse_workload(root.table("workload"), in_, p_));
    HF_TRY(owned(root));
    HF_TRY(sites(root));
    HF_TRY(team(root.table("team")));
    HF_TRY(preferences(root.table("preferences")));
    HF_TRY(training(root.table("training")));
    HF_TRY(data(root.table("data")));
    HF_TRY(migration(root.table("migration")));
    HF_TRY(upstreams(root));
    HF_TRY(costs(root.table("costs")));
    HF_TRY(root.finish());
    return contradictions();
  }

 private:
  Status circumstances(Fields& f) {
    p_.profile = static_cast<EngineProfile>(index_in(
        kProfiles, f.word("profile", {"holdfast", "llamacpp-default", "trtllm-default", "tuned"},
                          "holdfast", "which engine's efficiencies the rates use")));
    p_.devices = f.texts("devices");
    for (const std::string& id : p_.devices) {
      const auto known = p_.hardware.find(id);
      if (!known.ok()) return invalid_argument("devices: " + known.error().client_message());
    }
    p_.modes = f.texts("modes");
    static const std::vector<std::string> modes{"onprem", "rent", "token-api",
                                                "hybrid", "edge", "owned"};
    for (const std::string& m : p_.modes) {
      if (std::find(modes.begin(), modes.end(), m) == modes.end())
        return invalid_argument("modes: there is no mode \"" + m.substr(0, 40) + "\"" +
                                did_you_mean(m, modes));
    }
    p_.seed = static_cast<std::uint64_t>(f.number("seed", 1, {0, 9e15}, nullptr));
    p_.simulate = f.maybe_flag("simulate").value_or(true);
    return ok_status();
  }

  Status privacy(const json::Value* table) {
    Fields f(table, "privacy", p_.defaults);
    p_.label = parse_label(f, "label", Label::kNone, "which places data may go to");
    const auto categories = f.texts("categories");
    if (!categories.empty() && p_.label < Label::kRegulated) {
      // Special categories are never less than regulated, whatever was said beside them.
      p_.label = Label::kRegulated;
      p_.warnings.push_back("privacy.categories names " + categories[0].substr(0, 40) +
                            ": the data is planned for as regulated");
    }
    p_.residency = f.texts("residency");
    p_.certifications = f.texts("certifications");
    p_.retention_days_max = f.number("retention_days_max", -1, {0, 36500}, nullptr);
    p_.site_region = f.text("site_region", "");
    return f.finish();
  }

  Status budget(const json::Value* table) {
    Fields f(table, "budget", p_.defaults);
    p_.capex_max = f.number("capex_max", -1, kMoneyRange, nullptr);
    p_.opex_month_max = f.number("opex_month_max", -1, kMoneyRange, nullptr);
    const double years = f.number("horizon_years", 4, {1, 20}, "over how long costs are added up");
    HF_TRY(f.so_far());
    if (years != std::floor(years))
      return invalid_argument("budget.horizon_years: must be a whole number of years");
    p_.horizon_years = static_cast<int>(years);
    p_.wacc = f.number("wacc", 0.08, {0, 0.5}, "discount of later costs", true);
    p_.currency = f.text("currency", "USD", "all amounts");
    if (p_.currency.size() != 3 || !std::all_of(p_.currency.begin(), p_.currency.end(),
                                                [](char c) { return c >= 'A' && c <= 'Z'; })) {
      return invalid_argument(
          "budget.currency: must be a code of three capital letters, and is \"" +
          p_.currency.substr(0, 20) + "\"");
    }
    return f.finish();
  }

  Result<std::vector<Quant>> quants(Fields& f, const ModelShape& shape) {
    std::vector<std::string> names = f.texts("quants");
    const std::string one = f.text("quant", "");
    if (!one.empty()) names.push_back(one);
    std::vector<Quant> out;
    for (const std::string& n : names) {
      const auto q = find_quant(n);
      if (!q.ok()) return invalid_argument(f.path("quant") + ": " + q.error().client_message());
      out.push_back(*q);
    }
    if (!out.empty()) return out;
    if (!shape.quant.empty()) return std::vector<Quant>{*find_quant(shape.quant)};
    p_.defaults.push_back({f.path("quant"), "F16, FP8, Q8_0, Q6_K, Q5_K_M, Q4_K_M",
                           "the cheapest of them that keeps its quality is taken", false});
    for (const char* n : {"F16", "FP8", "Q8_0", "Q6_K", "Q5_K_M", "Q4_K_M"})
      out.push_back(*find_quant(n));
    return out;
  }

  // The sizes that a table gives, over those of a known model of that name.
  Result<ModelShape> shape(Fields& f) {
    const std::string name = f.text("name", "");
    const auto params = f.maybe_number("params", {1e5, 1e14});
    const auto active = f.maybe_number("active", {1, 1e14});
    HF_TRY(f.so_far());
    if (name.empty() && !params) return f.missing("name", " (or params, with the sizes)");
    ModelShape s;
    const auto extra = find_model(in_.extra_models, name);
    const auto known = extra.ok() ? extra : find_model(shipped_models(), name);
    if (!name.empty() && known.ok()) s = *known;
    if (!known.ok() && !params)
      return invalid_argument(f.path("name") + ": " + known.error().client_message())
          .with_hint("give params (for example 8.03e9) and the sizes, or a GGUF with file");
    if (!known.ok()) {
      s = shape_from_params(name.empty() ? "model" : name, *params, active.value_or(*params));
      if (!f.has("layers"))
        p_.defaults.push_back({f.path("layers"), std::to_string(s.layers),
                               "sizes are estimated from params: give them", true});
    }
    if (params) s.params = *params;
    if (active) s.active = *active;
    if (params && !active && !s.mixture()) s.active = s.params;
    const std::array<std::pair<const char*, std::uint32_t*>, 12> sizes{
        {{"layers", &s.layers},
         {"d", &s.width},
         {"heads", &s.heads},
         {"kv_heads", &s.kv_heads},
         {"head_dim", &s.head_dim},
         {"window", &s.window},
         {"window_layers", &s.window_layers},
         {"kv_latent", &s.kv_latent},
         {"rope_dim", &s.rope_dim},
         {"experts", &s.experts},
         {"experts_used", &s.experts_used},
         {"vocab", &s.vocab}}};
    for (const auto& [key, out] : sizes)
      if (const auto v = f.maybe_number(key, {0, 1e8})) *out = static_cast<std::uint32_t>(*v);
    if (f.has("layers") && !f.has("d") && !known.ok())
      s.width =
          static_cast<std::uint32_t>(std::sqrt(s.params / (12.0 * s.layers)) / 128) * 128 + 128;
    if (f.has("window") && !f.has("window_layers")) s.window_layers = s.layers;
    const std::string attention =
        f.word("attention", {"mha", "gqa", "mqa", "mla", "ssm", "window", ""}, "", nullptr);
    if (attention == "mla") s.attention = Attention::kLatent;
    if (attention == "ssm") s.attention = Attention::kStateSpace;
    if (const auto bytes = f.maybe_number("state_bytes", {0, 1e12})) s.state_bytes = *bytes;
    if (const auto bytes = f.maybe_number("file_bytes", {1, 1e14})) s.file_bytes = Bytes(*bytes);
    f.text("file", "");
    const auto good = check_shape(s);
    if (!good.ok()) return invalid_argument(f.path("name") + ": " + good.error().client_message());
    return s;
  }

  Status models(Fields& root) {
    const auto tables = root.tables("models", kModelsLimit);
    HF_TRY(root.so_far());
    if (tables.empty())
      return root.missing("models", ": name at least one model")
          .with_hint("[[models]] with name = \"llama-3.1-8b\"");
    std::size_t index = 0;
    for (const json::Value* t : tables) {
      Fields f(t, "models[" + std::to_string(index++) + "]", p_.defaults);
      ModelNeed need;
      HF_TRY_ASSIGN(need.shape, shape(f));
      HF_TRY_ASSIGN(need.quants, quants(f, need.shape));
      need.kv_type = f.text("kv_type", "f16", "memory of keys and values");
      HF_TRY(kv_element_bytes(need.kv_type).ok()
                 ? ok_status()
                 : Status(invalid_argument(f.path("kv_type") +
                                           ": must be one of f16, bf16, q8_0, fp8, q4_0")));
      need.quality_loss_max =
          f.number("quality_loss_max", 0.05, {0, 10}, "which quantisations are good enough");
      if (const auto least = f.maybe_number("min_quality", {0, 1}))
        need.quality_loss_max = std::min(need.quality_loss_max, 1 - *least);
      need.context = f.number("context", 0, {0, 1e8}, nullptr);
      HF_TRY(f.finish());
      p_.models.push_back(std::move(need));
    }
    return ok_status();
  }

  Status owned(Fields& root) {
    std::size_t index = 0;
    for (const json::Value* t : root.tables("owned", kListLimit)) {
      Fields f(t, "owned[" + std::to_string(index++) + "]", p_.defaults);
      OwnedHardware o;
      const std::string id = f.text("device", "");
      HF_TRY(f.so_far());
      if (id.empty()) return f.missing("device");
      const auto device = p_.hardware.find(id);
      if (!device.ok())
        return invalid_argument(f.path("device") + ": " + device.error().client_message());
      o.device = *device;
      o.count = static_cast<std::uint32_t>(f.number("count", 1, {1, 4096}, nullptr));
      o.opportunity_year = f.number("opportunity_year", 0, kMoneyRange, nullptr);
      HF_TRY(f.finish());
      p_.owned.push_back(std::move(o));
    }
    return ok_status();
  }

  Status sites(Fields& root) {
    std::size_t index = 0;
    for (const json::Value* t : root.tables("sites", kListLimit)) {
      Fields f(t, "sites[" + std::to_string(index++) + "]", p_.defaults);
      Sites s;
      s.name = f.text("name", "");
      s.count = static_cast<std::uint32_t>(f.number("count", 1, {1, 1e6}, nullptr));
      s.uplink_mbps = f.number("uplink_mbps", 20, {0, 1e6}, "time that updates take", true);
      s.availability =
          f.number("availability", 0.99, kShareRange, "whether the cloud is there", true);
      s.devices = static_cast<std::uint32_t>(f.number("devices", 1, {1, 1024}, nullptr));
      s.rtt_ms = f.number("rtt_ms", 30, {0, 1e5}, "latency budget of remote options", true);
      s.power_w_max = f.number("power_w_max", 0, {1, 1e6}, nullptr);
      HF_TRY(f.finish());
      p_.sites.push_back(std::move(s));
    }
    return ok_status();
  }

  Status team(const json::Value* table) {
    Fields f(table, "team", p_.defaults);
    Team& t = p_.team;
    t.fte = f.number("fte", 0, {0, 1e5}, nullptr);
    t.staff_fte = f.number("staff_fte", -1, {0, 1e5},
                           "0.1 for one machine, 0.5 up to four nodes, 1 per 20", true);
    const double level =
        f.number("level", 0.5, kShareRange, table == nullptr ? "staff hours" : nullptr, true);
    t.onprem_level = f.number("onprem_level", level, kShareRange, nullptr);
    t.cloud_level = f.number("cloud_level", level, kShareRange, nullptr);
    const double usual = p_.currency == "EUR" ? 90'000 : 180'000;
    t.loaded_cost = f.number("loaded_cost", usual, {0, 1e7}, "cost of staff", true);
    return f.finish();
  }

  Status preferences(const json::Value* table) {
    Fields f(table, "preferences", p_.defaults);
    p_.predictability = f.number("predictability", 0, kShareRange, nullptr);
    p_.cv_cost_max = f.number("cv_cost_max", -1, {0, 100}, nullptr);
    p_.lockin_max = f.number("lockin_max", -1, {0, 1000}, nullptr);
    p_.freshness_max_gap_months = f.number("freshness_max_gap_months", -1, {0, 240}, nullptr);
    p_.frontier_share = f.number("frontier_share", 0, kShareRange, nullptr);
    return f.finish();
  }

  Status training(const json::Value* table) {
    Fields f(table, "training", p_.defaults);
    p_.training_tokens = f.number("tokens", 0, {0, 1e15}, nullptr);
    p_.training_per_year = f.number("cadence", p_.training_tokens > 0 ? 1 : 0, {0, 1000}, nullptr);
    return f.finish();
  }

  Status data(const json::Value* table) {
    Fields f(table, "data", p_.defaults);
    p_.dataset_gb = f.number("dataset_gb", 0, {0, 1e9}, nullptr);
    p_.ingest_gb_day = f.number("ingest_gb_day", 0, {0, 1e9}, nullptr);
    return f.finish();
  }

  Status migration(const json::Value* table) {
    Fields f(table, "migration", p_.defaults);
    p_.migration_hours = f.number("hours", 0, {0, 1e7}, nullptr);
    p_.retraining_cost = f.number("retraining_cost", 0, kMoneyRange, nullptr);
    return f.finish();
  }

  Status upstreams(Fields& root) {
    std::size_t index = 0;
    for (const json::Value* t : root.tables("upstreams", kListLimit)) {
      Fields f(t, "upstreams[" + std::to_string(index++) + "]", p_.defaults);
      Upstream u;
      u.name = f.text("name", "");
      HF_TRY(f.so_far());
      if (u.name.empty()) return f.missing("name");
      u.model = f.text("model", "");
      u.region = f.text("region", "");
      u.retention_days = f.number("retention_days", -1, {0, 36500}, nullptr);
      u.trains_on_data = f.maybe_flag("trains_on_data");
      u.certifications = f.texts("certifications");
      u.price_in = f.number("price_in", -1, {0, 1e5}, nullptr);
      u.price_out = f.number("price_out", -1, {0, 1e5}, nullptr);
      u.price_cached = f.number("price_cached", -1, {0, 1e5}, nullptr);
      u.availability =
          f.number("availability", 0.995, kShareRange, "availability of that option", true);
      u.rtt_ms = f.number("rtt_ms", 35, {0, 1e5}, nullptr);
      u.ttft_ms = f.number("ttft_ms", 400, {0, 1e6}, nullptr);
      u.tpot_ms = f.number("tpot_ms", 15, {0, 1e6}, nullptr);
      HF_TRY(f.finish());
      if ((u.price_in < 0) != (u.price_out < 0))
        return invalid_argument(f.path("price_out") +
                                ": price_in and price_out must be given together");
      p_.upstreams.push_back(std::move(u));
    }
    return ok_status();
  }

  Status costs(const json::Value* table) {
    Fields f(table, "costs", p_.defaults);
    p_.pue = f.number("pue", 1.54, {1, 3}, "energy around the machines");
    const Price* book =
        p_.prices.find(PriceKind::kElectricityKwh, p_.site_region.empty() ? "own" : p_.site_region);
    double usual = p_.currency == "EUR" ? 0.20 : 0.13;
    if (book != nullptr) {
      HF_TRY_ASSIGN(usual, p_.prices.amount(*book, p_.currency));
    }
    p_.electricity_kwh =
        f.number("electricity_kwh", usual, {0, 10}, "cost of energy", book == nullptr);
    p_.life_years = f.number("life_years", 4, {1, 15}, "when hardware is bought again");
    p_.resale = f.number("resale", 0.15, kShareRange, "what hardware brings back", true);
    p_.maintenance =
        f.number("maintenance", 0.05, kShareRange, "upkeep of hardware per year", true);
    p_.idle_share = f.number("idle_share", 0.38, kShareRange, "energy while idle");
    p_.host_cost = f.number("host_cost", 9'000, kMoneyRange, "host of a data-centre device", true);
    p_.host_watts = f.number("host_watts", 225, {0, 1e5}, "energy of the host", true);
    const Price* rack = p_.prices.find(PriceKind::kRackMonth, "own");
    double rack_price = 30;
    if (rack != nullptr) {
      HF_TRY_ASSIGN(rack_price, p_.prices.amount(*rack, p_.currency));
    }
    p_.rack_unit_month = f.number("rack_unit_month", rack_price, kMoneyRange,
                                  "space of rack machines", rack == nullptr);
    HF_TRY_ASSIGN(const double egress, book_or(PriceKind::kEgressGb, 0.09));
    p_.egress_gb = f.number("egress_gb", egress, {0, 100}, "data that leaves a cloud", true);
    HF_TRY_ASSIGN(const double storage, book_or(PriceKind::kStorageGbMonth, 0.023));
    p_.storage_gb_month = f.number("storage_gb_month", storage, {0, 100},
                                   p_.dataset_gb > 0 ? "data set in a cloud" : nullptr, true);
    p_.commit_discount = f.number("commit_discount", 0, kShareRange, nullptr);
    p_.api_drift =
        f.number("api_drift", -0.30, {-0.9, 2}, "prices of token APIs in later years", true);
    p_.mttr_hours = f.number("mttr_hours", 24, {0, 8760}, "availability of machines", true);
    p_.lead_weeks = f.number("lead_weeks", 12, {0, 104}, "when hardware must be ordered", true);
    p_.co2_kg_kwh = f.number("co2_kg_kwh", 0.35, {0, 5}, "emissions", true);
    return f.finish();
  }

  // The first price of a kind in the book, in the plan's currency.
  Result<double> book_or(PriceKind kind, double otherwise) const {
    for (const Price& p : p_.prices.all())
      if (p.kind == kind) return p_.prices.amount(p, p_.currency);
    return otherwise;
  }

  Status contradictions() const {
    for (const WorkloadClass& c : p_.workload.classes) {
      const double least = c.slo.tpot_p99_ms > 0 && c.slo.e2e_p99_ms > 0 ? c.slo.e2e_p99_ms : 0;
      if (least > 0 && c.slo.control_loop_ms > 0 && c.slo.control_loop_ms > least * 1000)
        return invalid_argument("slo.control_loop_ms: is far above slo.e2e_p99_ms");
      for (const ModelNeed& m : p_.models) {
        const double needed = c.isl.mean + c.osl.mean;
        if (m.shape.context_max > 0 && needed > m.shape.context_max)
          return invalid_argument("workload.isl: a request has " + number_text(needed) +
                                  " tokens on average, and " + m.shape.id + " reads at most " +
                                  std::to_string(m.shape.context_max));
      }
    }
    return ok_status();
  }

  const ProblemInputs& in_;
  Problem& p_;
};

}  // namespace

std::string_view label_name(Label label) { return kLabels[static_cast<std::size_t>(label)]; }

Result<Problem> parse_problem(const ProblemInputs& inputs) {
  Problem p;
  p.today = inputs.today;
  p.hardware = shipped_devices();
  p.prices = PriceBook::shipped();
  for (const Device& d : inputs.extra_devices)
    for (std::string& s : suspicious(d, shipped_devices().all()))
      p.warnings.push_back(std::move(s));
  p.hardware.merge(inputs.extra_devices);
  p.prices.merge(inputs.extra_prices);
  p.calibrations = inputs.calibrations;
  HF_TRY(Parser(inputs, p).run());
  p.inputs_sha256 = inputs_digest(inputs, p);
  return p;
}

}  // namespace holdfast::planner
