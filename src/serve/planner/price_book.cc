#include "holdfast/planner/price_book.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <map>
#include <utility>

#include "holdfast/planner/csv.h"
#include "holdfast/planner/device.h"
#include "holdfast/planner/shipped.h"

namespace holdfast::planner {

namespace {

struct KindRow {
  std::string_view name;
  PriceKind kind;
  std::string_view units;  // accepted, separated by spaces; the first is meant where none is given
  double high;             // above it, the price is a mistake in the unit
};
constexpr std::array<KindRow, 12> kKinds{{
    {"purchase", PriceKind::kPurchase, "device unit", 1e8},
    {"gpu_hour", PriceKind::kGpuHour, "hour", 1e4},
    {"gpu_hour_spot", PriceKind::kGpuHourSpot, "hour", 1e4},
    {"token_in", PriceKind::kTokenIn, "Mtok 1M_tokens", 1e5},
    {"token_in_cached", PriceKind::kTokenInCached, "Mtok 1M_tokens", 1e5},
    {"token_out", PriceKind::kTokenOut, "Mtok 1M_tokens", 1e5},
    {"egress_gb", PriceKind::kEgressGb, "GB", 1e3},
    {"storage_gb_month", PriceKind::kStorageGbMonth, "GB-month GB_month", 1e3},
    {"request", PriceKind::kRequest, "1000_requests", 1e4},
    {"electricity_kwh", PriceKind::kElectricityKwh, "kWh", 10},
    {"rack_month", PriceKind::kRackMonth, "U-month U_month", 1e5},
    {"exchange_rate", PriceKind::kExchangeRate, "per_unit", 1e7},
}};

const KindRow& row_of(PriceKind kind) {
  return *std::find_if(kKinds.begin(), kKinds.end(),
                       [kind](const KindRow& r) { return r.kind == kind; });
}

std::vector<std::string> words(std::string_view text) {
  std::vector<std::string> out;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find(' '), text.size());
    out.emplace_back(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return out;
}

std::string date_text(std::chrono::sys_days day) {
  const std::chrono::year_month_day d(day);
  const auto two = [](unsigned v) { return (v < 10 ? "0" : "") + std::to_string(v); };
  return std::to_string(static_cast<int>(d.year())) + "-" + two(static_cast<unsigned>(d.month())) +
         "-" + two(static_cast<unsigned>(d.day()));
}

std::optional<std::chrono::sys_days> parse_date(std::string_view text) {
  if (text.size() != 10 || text[4] != '-' || text[7] != '-') return std::nullopt;
  int parts[3] = {0, 0, 0};
  const std::array<std::pair<int, int>, 3> spans{{{0, 4}, {5, 2}, {8, 2}}};
  for (std::size_t p = 0; p < 3; ++p) {
    for (int i = 0; i < spans[p].second; ++i) {
      const char c = text[static_cast<std::size_t>(spans[p].first + i)];
      if (c < '0' || c > '9') return std::nullopt;
      parts[p] = parts[p] * 10 + (c - '0');
    }
  }
  const std::chrono::year_month_day date(std::chrono::year(parts[0]),
                                         std::chrono::month(static_cast<unsigned>(parts[1])),
                                         std::chrono::day(static_cast<unsigned>(parts[2])));
  if (!date.ok()) return std::nullopt;
  return std::chrono::sys_days(date);
}

class EntryReader {
 public:
  EntryReader(const json::Value& entry, std::string path) : entry_(entry), path_(std::move(path)) {}

  Result<Price> read() const {
    if (!entry_.is_object()) return invalid_argument(path_ + ": must be a table");
    static const std::vector<std::string> fields{
        "id",    "kind",       "region",     "currency",  "unit",
        "price", "valid_from", "source_url", "retrieved", "confidence"};
    for (const json::Member& m : entry_.as_object()) {
      if (std::find(fields.begin(), fields.end(), m.key) == fields.end())
        return invalid_argument(path_ + "." + m.key + ": unknown field" +
                                did_you_mean(m.key, fields));
    }
    Price p;
    p.from_user = true;
    HF_TRY_ASSIGN(p.id, text("id", true));
    HF_TRY_ASSIGN(const std::string kind, text("kind", true));
    HF_TRY_ASSIGN(p.kind, find_kind(kind));
    HF_TRY_ASSIGN(p.region, text("region", false));
    HF_TRY_ASSIGN(p.source_url, text("source_url", false));
    HF_TRY_ASSIGN(p.confidence, text("confidence", false));
    HF_TRY_ASSIGN(p.valid_from, date("valid_from"));
    HF_TRY_ASSIGN(p.retrieved, date("retrieved"));
    HF_TRY_ASSIGN(const std::string currency, text("currency", false));
    if (!currency.empty()) p.currency = currency;
    if (p.currency.size() != 3 || !std::all_of(p.currency.begin(), p.currency.end(),
                                               [](char c) { return c >= 'A' && c <= 'Z'; })) {
      return invalid_argument(path_ +
                              ".currency: must be a code of three capital letters (USD, "
                              "EUR, BRL), and is \"" +
                              p.currency.substr(0, 20) + "\"");
    }
    HF_TRY(read_unit(p));
    HF_TRY(read_price(p));
    return p;
  }

 private:
  Result<std::string> text(const char* key, bool needed) const {
    const json::Value* v = entry_.find(key);
    if (v == nullptr && !needed) return std::string();
    if (v == nullptr) return invalid_argument(path_ + "." + key + ": is missing");
    if (!v->is_string() || v->as_string().size() > 1000 || (needed && v->as_string().empty()))
      return invalid_argument(path_ + "." + key + ": must be a text");
    return v->as_string();
  }

  Result<std::string> date(const char* key) const {
    HF_TRY_ASSIGN(std::string value, text(key, false));
    if (value.empty() || parse_date(value)) return value;
    return invalid_argument(path_ + "." + key + ": must be a date YYYY-MM-DD, and is \"" +
                            value.substr(0, 20) + "\"");
  }

  Result<PriceKind> find_kind(const std::string& word) const {
    std::vector<std::string> names;
    for (const KindRow& r : kKinds) {
      if (r.name == word) return r.kind;
      names.emplace_back(r.name);
    }
    return invalid_argument(path_ + ".kind: there is no kind \"" + word.substr(0, 40) + "\"" +
                            did_you_mean(word, names));
  }

  Status read_unit(Price& p) const {
    const KindRow& row = row_of(p.kind);
    const auto accepted = words(row.units);
    HF_TRY_ASSIGN(p.unit, text("unit", false));
    if (p.unit.empty()) p.unit = accepted[0];
    if (std::find(accepted.begin(), accepted.end(), p.unit) != accepted.end()) return ok_status();
    return invalid_argument(path_ + ".unit: prices of kind " + std::string(row.name) + " are per " +
                            accepted[0] + ", not per \"" + p.unit.substr(0, 40) + "\"");
  }

  Status read_price(Price& p) const {
    const json::Value* v = entry_.find("price");
    const double high = row_of(p.kind).high;
    if (v == nullptr) return invalid_argument(path_ + ".price: is missing");
    const bool positive = p.kind == PriceKind::kExchangeRate;
    if (!v->is_number() || v->as_double() < 0 || (positive && v->as_double() == 0) ||
        v->as_double() > high) {
      return invalid_argument(path_ + ".price: must be a number from 0 to " +
                              std::to_string(static_cast<std::int64_t>(high)) + " per " + p.unit);
    }
    p.price = v->as_double();
    return ok_status();
  }

  const json::Value& entry_;
  std::string path_;
};

bool same_entry(const Price& a, const Price& b) {
  return a.id == b.id && a.kind == b.kind && a.region == b.region;
}

Price shipped_price(PriceKind kind, std::string id, double price, std::string_view date,
                    std::string_view source) {
  Price p;
  p.id = std::move(id);
  p.kind = kind;
  p.unit = words(row_of(kind).units)[0];
  p.price = price;
  p.valid_from = date;
  p.retrieved = date;
  p.source_url = source;
  p.confidence = "B";
  return p;
}

void add_devices(PriceBook& book) {
  const std::string_view date = shipped_file("hardware.csv").retrieved;
  for (const Device& d : shipped_devices().all()) {
    if (d.buy) {
      Price p = shipped_price(PriceKind::kPurchase, d.id, *d.buy, date, "street estimate");
      p.confidence = "C";
      book.add(std::move(p));
    }
  }
}

// An empty cell is no price. The cells are checked by the tests.
std::optional<double> cell(const CsvTable& t, std::size_t row, std::string_view column) {
  return parse_number(t.text(row, column));
}

void add_rents(PriceBook& book) {
  const ShippedFile& file = shipped_file("gpu_rent.csv");
  static const CsvTable table = *CsvTable::parse(file.text, file.name);
  for (std::size_t row = 0; row < table.rows(); ++row) {
    if (table.text(row, "device").empty()) continue;
    const std::string id =
        std::string(table.text(row, "provider")) + "/" + std::string(table.text(row, "device"));
    const auto date = table.text(row, "valid_from");
    const auto source = table.text(row, "source");
    if (const auto p = cell(table, row, "usd_per_gpu_hour_ondemand"))
      book.add(shipped_price(PriceKind::kGpuHour, id, *p, date, source));
    if (const auto p = cell(table, row, "usd_per_gpu_hour_spot"))
      book.add(shipped_price(PriceKind::kGpuHourSpot, id, *p, date, source));
  }
  // Prices of hardware.csv for devices that no provider's row names.
  const std::string_view date = shipped_file("hardware.csv").retrieved;
  for (const Device& d : shipped_devices().all()) {
    if (d.rent_hour && book.find(PriceKind::kGpuHour, d.id) == nullptr) {
      Price p = shipped_price(PriceKind::kGpuHour, "market/" + d.id, *d.rent_hour, date, d.note);
      p.confidence = "C";
      book.add(std::move(p));
    }
  }
}

void add_tokens(PriceBook& book) {
  const ShippedFile& file = shipped_file("token_prices.csv");
  static const CsvTable table = *CsvTable::parse(file.text, file.name);
  for (std::size_t row = 0; row < table.rows(); ++row) {
    const std::string id =
        std::string(table.text(row, "provider")) + "/" + std::string(table.text(row, "model"));
    const auto source = table.text(row, "source");
    const std::array<std::pair<const char*, PriceKind>, 3> columns{
        {{"usd_in_per_mtok", PriceKind::kTokenIn},
         {"usd_out_per_mtok", PriceKind::kTokenOut},
         {"usd_cached_in_per_mtok", PriceKind::kTokenInCached}}};
    for (const auto& [column, kind] : columns) {
      if (const auto p = cell(table, row, column))
        book.add(shipped_price(kind, id, *p, file.retrieved, source));
    }
  }
}

bool id_matches(std::string_view entry, std::string_view id) {
  if (entry == id) return true;
  return entry.size() > id.size() && entry.ends_with(id) &&
         entry[entry.size() - id.size() - 1] == '/';
}

}  // namespace

std::string_view price_kind_name(PriceKind kind) { return row_of(kind).name; }

const PriceBook& PriceBook::shipped() {
  static const PriceBook book = [] {
    PriceBook made;
    add_devices(made);
    add_rents(made);
    add_tokens(made);
    return made;
  }();
  return book;
}

Result<PriceBook> PriceBook::parse(const json::Value& document, std::string_view name) {
  const json::Value* list = document.is_array() ? &document : document.find("price");
  if (list == nullptr || !list->is_array()) {
    return invalid_argument(std::string(name) +
                            ": must be a list of prices, or tables [[price]] in TOML");
  }
  if (document.is_object()) {
    for (const json::Member& m : document.as_object())
      if (m.key != "price")
        return invalid_argument(std::string(name) + ": unknown field " + m.key.substr(0, 40) +
                                "; did you mean price?");
  }
  if (list->as_array().size() > kPricesMax)
    return exhausted(std::string(name) + ": more than " + std::to_string(kPricesMax) + " prices");
  PriceBook book;
  std::size_t index = 0;
  for (const json::Value& entry : list->as_array()) {
    const EntryReader reader(entry, std::string(name) + ": price[" + std::to_string(index++) + "]");
    HF_TRY_ASSIGN(Price p, reader.read());
    book.add(std::move(p));
  }
  return book;
}

void PriceBook::merge(PriceBook other) {
  const auto replaced = [&other](const Price& mine) {
    return std::any_of(other.prices_.begin(), other.prices_.end(),
                       [&mine](const Price& theirs) { return same_entry(mine, theirs); });
  };
  std::vector<Price> all = other.prices_;
  for (Price& p : prices_)
    if (!replaced(p)) all.push_back(std::move(p));
  prices_ = std::move(all);
}

const Price* PriceBook::find(PriceKind kind, std::string_view id) const {
  for (const Price& p : prices_)
    if (p.kind == kind && id_matches(p.id, id)) return &p;
  return nullptr;
}

std::vector<const Price*> PriceBook::find_all(PriceKind kind, std::string_view id) const {
  std::vector<const Price*> out;
  for (const Price& p : prices_)
    if (p.kind == kind && id_matches(p.id, id)) out.push_back(&p);
  return out;
}

Result<double> PriceBook::amount(const Price& price, std::string_view currency) const {
  if (price.currency == currency) return price.price;
  for (const Price& rate : prices_) {
    if (rate.kind != PriceKind::kExchangeRate) continue;
    if (rate.id == price.currency && rate.currency == currency) return price.price * rate.price;
    if (rate.id == currency && rate.currency == price.currency) return price.price / rate.price;
  }
  return invalid_argument("price " + price.id + " is in " + price.currency + ", and the plan in " +
                          std::string(currency))
      .with_hint("add a price of kind exchange_rate with id \"" + price.currency +
                 "\" and currency \"" + std::string(currency) + "\"");
}

json::Value price_json(const Price& p) {
  json::Object out{{"id", p.id},
                   {"kind", price_kind_name(p.kind)},
                   {"region", p.region},
                   {"currency", p.currency},
                   {"unit", p.unit},
                   {"price", p.price},
                   {"valid_from", p.valid_from},
                   {"source_url", p.source_url},
                   {"retrieved", p.retrieved},
                   {"confidence", p.confidence}};
  return json::Value(std::move(out));
}

std::optional<int> days_between(std::string_view earlier, std::string_view later) {
  const auto a = parse_date(earlier);
  const auto b = parse_date(later);
  if (!a || !b) return std::nullopt;
  return static_cast<int>((*b - *a).count());
}

std::string add_days(std::string_view date, int days) {
  return date_text(parse_date(date).value_or(std::chrono::sys_days()) + std::chrono::days(days));
}

std::vector<PriceFinding> check_prices(const PriceBook& book, std::string_view today) {
  std::vector<PriceFinding> out;
  std::map<std::string_view, int> stale;
  for (const Price& p : book.all()) {
    const auto age = days_between(p.valid_from, today);
    if (!age && p.kind != PriceKind::kExchangeRate)
      out.push_back({p.id, std::string(price_kind_name(p.kind)) + " has no date", false});
    if (age && *age < 0)
      out.push_back({p.id, "is valid from " + p.valid_from + ", which is in the future", false});
    if (age && *age > kStaleDays) stale[price_kind_name(p.kind)] += 1;
    const auto partner = [&](PriceKind kind) -> const Price* {
      for (const Price& other : book.all())
        if (other.kind == kind && other.id == p.id && other.currency == p.currency) return &other;
      return nullptr;
    };
    if (p.kind == PriceKind::kGpuHourSpot) {
      const Price* demand = partner(PriceKind::kGpuHour);
      if (demand != nullptr && p.price > demand->price)
        out.push_back({p.id, "spot costs more than on demand", true});
    }
    if (p.kind == PriceKind::kTokenInCached) {
      const Price* in = partner(PriceKind::kTokenIn);
      if (in != nullptr && p.price > in->price)
        out.push_back({p.id, "cached input costs more than input", true});
    }
    if (p.kind == PriceKind::kTokenIn && partner(PriceKind::kTokenOut) == nullptr)
      out.push_back({p.id, "has a price of input and none of output", true});
  }
  for (const auto& [kind, count] : stale) {
    out.push_back(
        {std::string(kind),
         std::to_string(count) + " prices are older than " + std::to_string(kStaleDays) + " days",
         false});
  }
  return out;
}

}  // namespace holdfast::planner
