#include "plan_edits.h"

#include <algorithm>
#include <charconv>
#include <string_view>

#include "holdfast/planner/csv.h"

namespace holdfast::cli {

namespace {

constexpr std::string_view kPrices = "prices.";
constexpr std::size_t kDepthMax = 8;

json::Value value_of(const std::string& text) {
  auto parsed = json::parse(text);
  return parsed.ok() ? std::move(*parsed) : json::Value(text);
}

Error bad_path(const std::string& path) {
  return invalid_argument("\"" + path.substr(0, 100) + "\" is no path of a field")
      .with_hint("such as workload.users or models[0].name");
}

struct Step {
  std::string name;
  std::vector<std::size_t> indices;
};

Result<Step> parse_step(std::string_view text, const std::string& path) {
  const std::size_t bracket = std::min(text.find('['), text.size());
  Step step{std::string(text.substr(0, bracket)), {}};
  if (step.name.empty()) return bad_path(path);
  text.remove_prefix(bracket);
  while (!text.empty()) {
    const std::size_t end = text.find(']');
    std::size_t index = 0;
    if (text[0] != '[' || end == std::string_view::npos) return bad_path(path);
    const auto [stop, error] = std::from_chars(text.data() + 1, text.data() + end, index);
    if (error != std::errc() || stop != text.data() + end) return bad_path(path);
    step.indices.push_back(index);
    text.remove_prefix(end + 1);
  }
  return step;
}

// The element of a list, which is made one longer where the index is its length.
Result<json::Value*> element(json::Value& list, std::size_t index, const std::string& path) {
  if (list.is_null()) list = json::Array();
  if (!list.is_array() || index > list.as_array().size())
    return invalid_argument(path + ": there is no element " + std::to_string(index));
  json::Array& items = list.as_array();
  if (index == items.size()) items.emplace_back();
  return &items[index];
}

Result<json::Value*> descend(json::Value& table, const Step& step, const std::string& path) {
  if (table.is_null()) table = json::Object();
  if (!table.is_object()) return invalid_argument(path + ": " + step.name + " is inside a value");
  json::Value* at = table.as_object().find(step.name);
  if (at == nullptr) at = &table.as_object().set(step.name, json::Value());
  for (const std::size_t index : step.indices) {
    HF_TRY_ASSIGN(at, element(*at, index, path));
  }
  return at;
}

Status set_field(const PlanEdit& edit, json::Value& document) {
  json::Value* at = &document;
  std::string_view rest = edit.path;
  for (std::size_t depth = 0; !rest.empty(); ++depth) {
    if (depth == kDepthMax) return bad_path(edit.path);
    const std::size_t dot = std::min(rest.find('.'), rest.size());
    if (dot + 1 == rest.size()) return bad_path(edit.path);
    HF_TRY_ASSIGN(const Step step, parse_step(rest.substr(0, dot), edit.path));
    HF_TRY_ASSIGN(at, descend(*at, step, edit.path));
    rest.remove_prefix(std::min(dot + 1, rest.size()));
  }
  if (at == &document) return bad_path(edit.path);
  *at = value_of(edit.value);
  return ok_status();
}

Status set_price(const PlanEdit& edit, const planner::PriceBook& book, PlanSources& sources) {
  const std::string name = edit.path.substr(kPrices.size());
  const std::size_t at = std::min(name.rfind('@'), name.size());
  const std::string id = name.substr(0, at);
  const std::string kind = at < name.size() ? name.substr(at + 1) : "";
  const auto amount = planner::parse_number(edit.value);
  if (!amount || *amount < 0)
    return invalid_argument(edit.path + ": must be a price, and is \"" + edit.value.substr(0, 40) +
                            "\"");
  std::vector<planner::Price> found;
  std::string kinds;
  for (const planner::Price& p : book.all()) {
    if (p.id != id) continue;
    const std::string_view its = planner::price_kind_name(p.kind);
    if (!kind.empty() && its != kind) continue;
    if (kinds.find(its) == std::string::npos) {
      kinds += (kinds.empty() ? "" : ", ") + std::string(its);
    } else if (kind.empty()) {
      continue;
    }
    found.push_back(p);
  }
  if (found.empty()) {
    std::vector<std::string> ids;
    for (const planner::Price& p : book.all()) ids.push_back(p.id);
    return invalid_argument(edit.path + ": there is no such price" + planner::did_you_mean(id, ids))
        .with_hint("`holdfast plan prices show` lists them");
  }
  if (kind.empty() && kinds.find(',') != std::string::npos)
    return invalid_argument(edit.path + ": has prices of several kinds: " + kinds)
        .with_hint("name one, as " + edit.path + "@" + kinds.substr(0, kinds.find(',')) + "=" +
                   edit.value);
  planner::PriceBook changed;
  for (planner::Price& p : found) {
    p.price = *amount;
    p.valid_from = sources.inputs.today;
    p.from_user = true;
    p.source_url = "what-if";
    changed.add(std::move(p));
  }
  sources.inputs.extra_prices.merge(std::move(changed));
  return ok_status();
}

}  // namespace

Result<PlanEdit> parse_edit(const std::string& text) {
  const std::size_t equals = text.find('=');
  if (equals == std::string::npos || equals == 0)
    return invalid_argument("\"" + text.substr(0, 100) + "\": must be path=value")
        .with_hint("such as workload.users=500");
  return PlanEdit{text.substr(0, equals), text.substr(equals + 1)};
}

Status apply_edit(const PlanEdit& edit, const planner::PriceBook& book, PlanSources& sources) {
  if (edit.path.starts_with(kPrices)) return set_price(edit, book, sources);
  return set_field(edit, sources.inputs.document);
}

}  // namespace holdfast::cli
