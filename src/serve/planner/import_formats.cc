#include "import_formats.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <optional>
#include <set>
#include <utility>

namespace holdfast::planner {

namespace {

constexpr double kTokensMax = 1e5;  // per million
constexpr std::size_t kIdMax = 300;
constexpr double kDaysOfYear = 365.25;

std::optional<double> amount_of(const json::Value& v, double factor) {
  if (!v.is_number()) return std::nullopt;
  const double price = v.as_double() * factor;
  if (!(price >= 0 && price <= kTokensMax)) return std::nullopt;
  return price;
}

std::optional<double> amount(const json::Value& table, const char* key, double factor = 1) {
  const json::Value* v = table.find(key);
  return v == nullptr ? std::nullopt : amount_of(*v, factor);
}

std::string text(const json::Value& table, const char* key) {
  const json::Value* v = table.find(key);
  return v != nullptr && v->is_string() ? v->as_string().substr(0, kIdMax) : std::string();
}

// Without characters that a terminal or a TOML text would trip over.
std::string clean(std::string id) {
  for (char& c : id)
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = '?';
  return id;
}

struct TokenPrice {
  std::optional<double> in;
  std::optional<double> out;
  std::optional<double> cached;
};

// Collects entries; an id comes once.
class TokenBook {
 public:
  TokenBook(ImportedPrices& out, std::string_view source) : out_(out), source_(source) {}

  void add(std::string id, const TokenPrice& p, std::string_view date) {
    id = clean(std::move(id));
    if (!p.in || !p.out || id.size() < 2 || out_.book.all().size() + 3 > kPricesMax ||
        !seen_.insert(id).second) {
      ++out_.skipped;
      return;
    }
    out_.book.add(imported_price(PriceKind::kTokenIn, id, *p.in, date, source_));
    if (p.cached && *p.cached <= *p.in)
      out_.book.add(imported_price(PriceKind::kTokenInCached, id, *p.cached, date, source_));
    out_.book.add(imported_price(PriceKind::kTokenOut, id, *p.out, date, source_));
  }

 private:
  ImportedPrices& out_;
  std::string_view source_;
  std::set<std::string> seen_;
};

// A number, or {"base": number, "tiers": [...]}.
std::optional<double> genai_amount(const json::Value& prices, const char* key) {
  const json::Value* v = prices.find(key);
  if (v == nullptr) return std::nullopt;
  const json::Value* base = v->find("base");
  return amount_of(base == nullptr ? *v : *base, 1);
}

// Of several prices the last whose start has come; those for hours of the day are left out.
const json::Value* genai_current(const json::Value& prices, std::string_view date) {
  if (prices.is_object()) return &prices;
  if (!prices.is_array()) return nullptr;
  const json::Value* best = nullptr;
  std::string best_start;
  for (const json::Value& entry : prices.as_array()) {
    const json::Value* constraint = entry.find("constraint");
    std::string start;
    if (constraint != nullptr && !constraint->is_null()) {
      start = text(*constraint, "start_date");
      if (start.empty()) continue;
      const auto age = days_between(start, date);
      if (!age || *age < 0) continue;
    }
    const json::Value* its = entry.find("prices");
    if (its == nullptr || (best != nullptr && start < best_start)) continue;
    best = its;
    best_start = start;
  }
  return best;
}

// One price of a history; dates may be unknown.
struct Period {
  TokenPrice price;
  std::string from;
  bool current = false;
};

// From the oldest: unknown dates first.
void sort_periods(std::vector<Period>& periods) {
  std::stable_sort(periods.begin(), periods.end(), [](const Period& a, const Period& b) {
    return a.current != b.current ? b.current : a.from < b.from;
  });
}

std::optional<PriceVolatility> volatility_of(const std::string& id, PriceKind kind,
                                             const std::vector<Period>& periods,
                                             std::string_view date) {
  PriceVolatility out{id, kind, 0, 0, 0, 0};
  std::vector<double> prices;
  std::string first;
  for (const Period& p : periods) {
    const auto& price = kind == PriceKind::kTokenIn ? p.price.in : p.price.out;
    if (!price || *price <= 0) continue;
    prices.push_back(*price);
    if (first.empty()) first = p.from;
  }
  const auto days = days_between(first, date);
  if (prices.size() < 2 || !days || *days <= 0) return std::nullopt;
  double squares = 0;
  for (std::size_t i = 1; i < prices.size(); ++i)
    squares += std::pow(std::log(prices[i] / prices[i - 1]), 2);
  out.prices = prices.size();
  out.years = *days / kDaysOfYear;
  out.drift_year = std::log(prices.back() / prices.front()) / out.years;
  out.sigma_year = std::sqrt(squares / out.years);
  return out;
}

using Histories = std::map<std::string, std::vector<Period>>;

Status add_period(const json::Value& entry, const std::string& id, std::string_view name,
                  Histories& histories) {
  Period p;
  p.price = {amount(entry, "input"), amount(entry, "output"), amount(entry, "input_cached")};
  p.from = text(entry, "from_date");
  if (!p.from.empty() && !days_between(p.from, p.from))
    return invalid_argument(std::string(name) + ": " + id.substr(0, 100) +
                            ": from_date must be YYYY-MM-DD");
  const json::Value* to = entry.find("to_date");
  p.current = to == nullptr || to->is_null();
  histories[id].push_back(std::move(p));
  return ok_status();
}

Status read_history(const json::Value& root, std::string_view name, Histories& histories) {
  if (const json::Value* prices = root.find("prices"); prices != nullptr && prices->is_array()) {
    for (const json::Value& entry : prices->as_array()) {
      HF_TRY(add_period(entry, text(entry, "vendor") + "/" + text(entry, "id"), name, histories));
    }
    return ok_status();
  }
  const json::Value* models = root.find("models");
  if (models == nullptr || !models->is_array())
    return invalid_argument(std::string(name) + ": has neither \"prices\" nor \"models\"");
  for (const json::Value& model : models->as_array()) {
    const json::Value* history = model.find("price_history");
    if (history == nullptr || !history->is_array()) continue;
    for (const json::Value& entry : history->as_array()) {
      HF_TRY(add_period(entry, text(root, "vendor") + "/" + text(model, "id"), name, histories));
    }
  }
  return ok_status();
}

}  // namespace

Result<ImportedPrices> from_litellm(const json::Value& root, std::string_view name,
                                    std::string_view date) {
  if (!root.is_object())
    return invalid_argument(std::string(name) + ": must be an object with an entry per model");
  constexpr double kMillion = 1e6;
  ImportedPrices out;
  TokenBook tokens(out, "LiteLLM model_prices_and_context_window.json");
  for (const json::Member& m : root.as_object()) {
    const std::string mode = text(m.value, "mode");
    if (m.key == "sample_spec" ||
        (!mode.empty() && mode != "chat" && mode != "completion" && mode != "responses")) {
      ++out.skipped;
      continue;
    }
    const std::string provider = text(m.value, "litellm_provider");
    const std::string key = m.key.substr(0, kIdMax);
    const bool prefixed = provider.empty() || key.starts_with(provider + "/");
    tokens.add(prefixed ? key : provider + "/" + key,
               {amount(m.value, "input_cost_per_token", kMillion),
                amount(m.value, "output_cost_per_token", kMillion),
                amount(m.value, "cache_read_input_token_cost", kMillion)},
               date);
  }
  return out;
}

Result<ImportedPrices> from_genai_prices(const json::Value& root, std::string_view name,
                                         std::string_view date) {
  if (!root.is_array())
    return invalid_argument(std::string(name) + ": must be a list of providers");
  ImportedPrices out;
  TokenBook tokens(out, "pydantic/genai-prices");
  for (const json::Value& provider : root.as_array()) {
    const std::string id = text(provider, "id");
    const json::Value* models = provider.find("models");
    if (id.empty() || models == nullptr || !models->is_array())
      return invalid_argument(std::string(name) + ": a provider has no id or no models");
    for (const json::Value& model : models->as_array()) {
      const json::Value* prices = model.find("prices");
      const json::Value* current = prices == nullptr ? nullptr : genai_current(*prices, date);
      const std::string model_id = text(model, "id");
      if (current == nullptr || model_id.empty()) {
        ++out.skipped;
        continue;
      }
      tokens.add(id + "/" + model_id,
                 {genai_amount(*current, "input_mtok"), genai_amount(*current, "output_mtok"),
                  genai_amount(*current, "cache_read_mtok")},
                 date);
    }
  }
  return out;
}

Result<ImportedPrices> from_llm_prices(const json::Value& root, std::string_view name,
                                       std::string_view date) {
  Histories histories;
  HF_TRY(read_history(root, name, histories));
  ImportedPrices out;
  TokenBook tokens(out, "simonw/llm-prices");
  for (auto& [id, periods] : histories) {
    sort_periods(periods);
    const Period& now = periods.back();
    tokens.add(id, now.price, now.from.empty() ? date : std::string_view(now.from));
    for (const PriceKind kind : {PriceKind::kTokenIn, PriceKind::kTokenOut})
      if (auto v = volatility_of(clean(id), kind, periods, date))
        out.volatility.push_back(std::move(*v));
  }
  return out;
}

}  // namespace holdfast::planner
