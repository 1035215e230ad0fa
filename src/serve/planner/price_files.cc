// Price books as files, and what differs between two of them.
#include <map>
#include <tuple>

#include "holdfast/planner/import_prices.h"

namespace holdfast::planner {

namespace {

using Key = std::tuple<std::string, PriceKind, std::string>;

// What find() gives of entries that come twice is the first.
std::map<Key, const Price*> by_key(const PriceBook& book) {
  std::map<Key, const Price*> out;
  for (const Price& p : book.all()) out.try_emplace({p.id, p.kind, p.region}, &p);
  return out;
}

void append_text(std::string& out, const char* key, const std::string& value) {
  if (value.empty()) return;
  out += std::string(key) + " = ";
  // JSON's escapes are TOML's, but TOML wants DEL escaped too.
  std::string quoted;
  json::append_string(quoted, value);
  for (const char c : quoted) {
    if (c == 0x7f) {
      out += "\\u007f";
    } else {
      out += c;
    }
  }
  out += "\n";
}

}  // namespace

std::string price_book_toml(const PriceBook& book) {
  std::string out;
  for (const Price& p : book.all()) {
    out += "[[price]]\n";
    append_text(out, "id", p.id);
    append_text(out, "kind", std::string(price_kind_name(p.kind)));
    append_text(out, "region", p.region);
    append_text(out, "currency", p.currency);
    append_text(out, "unit", p.unit);
    out += "price = ";
    json::append_number(out, p.price);
    out += "\n";
    append_text(out, "valid_from", p.valid_from);
    append_text(out, "source_url", p.source_url);
    append_text(out, "retrieved", p.retrieved);
    append_text(out, "confidence", p.confidence);
    out += "\n";
  }
  return out;
}

json::Value price_book_json(const PriceBook& book) {
  json::Array out;
  for (const Price& p : book.all()) {
    json::Value entry = price_json(p);
    for (const char* key : {"region", "valid_from", "source_url", "retrieved", "confidence"}) {
      const json::Value* v = entry.find(key);
      if (v != nullptr && v->is_string() && v->as_string().empty()) entry.as_object().erase(key);
    }
    out.push_back(std::move(entry));
  }
  return json::Value(std::move(out));
}

std::vector<PriceDifference> diff_prices(const PriceBook& before, const PriceBook& after) {
  const auto a = by_key(before);
  const auto b = by_key(after);
  std::map<Key, PriceDifference> all;
  for (const auto& [key, price] : a) {
    all[key] = {price->id, price->kind, price->region, price->price, std::nullopt, price->currency};
  }
  for (const auto& [key, price] : b) {
    PriceDifference& d = all[key];
    d.id = price->id;
    d.kind = price->kind;
    d.region = price->region;
    d.after = price->price;
    d.currency = price->currency;
  }
  std::vector<PriceDifference> out;
  for (auto& [key, d] : all) {
    const bool same_currency = !d.before || !d.after || a.at(key)->currency == b.at(key)->currency;
    if (d.before == d.after && same_currency) continue;
    out.push_back(std::move(d));
  }
  return out;
}

}  // namespace holdfast::planner
