// `holdfast plan prices`: the price book - what is in it, what is wrong with it, from other
// catalogues, and what changed.
#include <algorithm>
#include <cmath>

#include "../output.h"
#include "../plan_text.h"
#include "holdfast/crypto/sha256.h"
#include "holdfast/json/toml.h"
#include "holdfast/planner/import_prices.h"
#include "holdfast/planner/shipped.h"
#include "plan.h"

namespace holdfast::cli {

namespace {

using planner::Price;
using planner::PriceBook;

constexpr std::size_t kVolatilityShown = 10;

struct PricesFlags {
  std::string id;
  std::string kind;
  std::string file;
  std::string other;
  std::string format;
  std::string provider = "cloud";
  std::string out;
  std::string date;
};

std::string today_or(const std::string& date) { return date.empty() ? today() : date; }

Status check_day(const std::string& date) {
  if (date.empty() || planner::days_between(date, date)) return ok_status();
  return invalid_argument("--date: must be a date YYYY-MM-DD, and is \"" + date.substr(0, 20) +
                          "\"");
}

Result<PriceBook> read_book(const std::string& path) {
  HF_TRY_ASSIGN(const std::string text, read_text(path, planner::kImportBytesMax));
  const std::string name = path == "-" ? "standard input" : path;
  HF_TRY_ASSIGN(const json::Value document, parse_document(text, name));
  return PriceBook::parse(document, name);
}

// The user's prices before the shipped ones.
Result<PriceBook> whole_book(const Context& context, const std::string& file) {
  PlanSources sources;
  HF_TRY(add_user_files(context, sources));
  PriceBook book = PriceBook::shipped();
  book.merge(std::move(sources.inputs.extra_prices));
  if (!file.empty()) {
    HF_TRY_ASSIGN(PriceBook more, read_book(file));
    book.merge(std::move(more));
  }
  return book;
}

std::string price_text(double price) { return json::write(json::Value(price)); }

Status show(Context& context, const PricesFlags& flags, const std::string& file) {
  HF_TRY_ASSIGN(const PriceBook book, whole_book(context, file));
  Table table({"ID", "KIND", "REGION", "PRICE", "PER", "VALID FROM", "FROM"});
  json::Array list;
  for (const Price& p : book.all()) {
    const std::string_view kind = planner::price_kind_name(p.kind);
    if (!flags.id.empty() && p.id.find(flags.id) == std::string::npos) continue;
    if (!flags.kind.empty() && kind != flags.kind) continue;
    table.add({p.id, std::string(kind), p.region, price_text(p.price) + " " + p.currency, p.unit,
               p.valid_from, p.from_user ? "you" : "shipped"});
    json::Value entry = planner::price_json(p);
    entry.as_object().set("from_user", p.from_user);
    list.push_back(std::move(entry));
  }
  if (list.empty() && !flags.id.empty()) {
    std::vector<std::string> ids;
    for (const Price& p : book.all()) ids.push_back(p.id);
    return not_found("there is no price of " + flags.id + planner::did_you_mean(flags.id, ids));
  }
  print_list(context, table, list);
  return ok_status();
}

// The files that are built in are those that the manifest describes.
void check_shipped(std::vector<planner::PriceFinding>& findings, const std::string& date) {
  for (const planner::ShippedFile& f : planner::shipped_files()) {
    const auto digest = crypto::sha256(as_bytes_view(f.text));
    if (to_hex(digest) != f.sha256)
      findings.push_back(
          {std::string(f.name), "is not the file that the manifest describes", true});
    const auto age = planner::days_between(f.retrieved, date);
    if (age && *age > planner::kStaleDays)
      findings.push_back(
          {std::string(f.name), "was retrieved " + std::to_string(*age) + " days ago", false});
  }
}

Status check(Context& context, const PricesFlags& flags, const std::string& file) {
  HF_TRY(check_day(flags.date));
  const std::string date = today_or(flags.date);
  std::vector<planner::PriceFinding> findings;
  check_shipped(findings, date);
  const auto book = whole_book(context, file);
  if (book.ok()) {
    for (planner::PriceFinding& f : planner::check_prices(*book, date))
      findings.push_back(std::move(f));
  } else if (book.error().code() == ErrorCode::kInvalidArgument) {
    findings.push_back({"", book.error().client_message(), true});
  } else {
    return book.error();
  }
  std::stable_sort(findings.begin(), findings.end(),
                   [](const auto& a, const auto& b) { return a.error && !b.error; });
  Table table({"", "ID", "FINDING"});
  json::Array list;
  std::size_t errors = 0;
  for (const planner::PriceFinding& f : findings) {
    errors += f.error ? 1 : 0;
    table.add({f.error ? "error" : "warning", f.id, f.what});
    list.emplace_back(
        json::Object{{"id", f.id}, {"what", f.what}, {"level", f.error ? "error" : "warning"}});
  }
  if (!context.json() && findings.empty()) {
    print("nothing to say: " + std::to_string(book->all().size()) + " prices\n");
  } else {
    print_list(context, table, list);
  }
  if (errors > 0) context.exit_status = 1;
  return ok_status();
}

void print_volatility(const planner::ImportedPrices& imported) {
  if (imported.volatility.empty()) return;
  std::vector<planner::PriceVolatility> list = imported.volatility;
  std::stable_sort(list.begin(), list.end(),
                   [](const auto& a, const auto& b) { return a.sigma_year > b.sigma_year; });
  Table table({"ID", "KIND", "PRICES", "YEARS", "CHANGE A YEAR", "VOLATILITY"});
  for (std::size_t i = 0; i < std::min(list.size(), kVolatilityShown); ++i) {
    const planner::PriceVolatility& v = list[i];
    table.add({v.id, std::string(planner::price_kind_name(v.kind)), std::to_string(v.prices),
               fixed(v.years, 2), fixed(100 * std::expm1(v.drift_year), 0) + " %",
               fixed(v.sigma_year, 2)});
  }
  print("\n" + table.render(terminal_width()));
}

json::Object import_json(const planner::ImportedPrices& imported, const std::string& out) {
  json::Array volatility;
  for (const planner::PriceVolatility& v : imported.volatility)
    volatility.emplace_back(json::Object{{"id", v.id},
                                         {"kind", planner::price_kind_name(v.kind)},
                                         {"prices", v.prices},
                                         {"years", v.years},
                                         {"drift_year", v.drift_year},
                                         {"sigma_year", v.sigma_year}});
  json::Array unknown;
  for (const std::string& name : imported.unknown) unknown.emplace_back(name);
  return {{"prices", imported.book.all().size()},
          {"skipped", imported.skipped},
          {"unknown", std::move(unknown)},
          {"volatility", std::move(volatility)},
          {"file", out.empty() ? json::Value() : json::Value(out)}};
}

Result<std::string> book_text(const PriceBook& book, const std::string& out) {
  if (!out.ends_with(".toml"))
    return json::write(planner::price_book_json(book), {.indent = 2}) + "\n";
  std::string text = planner::price_book_toml(book);
  if (text.size() > json::kTomlBytesMax)
    return exhausted("the book is too long for TOML, which is read up to 1 MiB")
        .with_hint("write it as JSON: --out FILE.json");
  return text;
}

Status import(Context& context, const PricesFlags& flags) {
  HF_TRY(check_day(flags.date));
  const auto format = planner::find_price_format(flags.format);
  if (!format) {
    return invalid_argument("there is no format \"" + flags.format.substr(0, 40) + "\"")
        .with_hint("skypilot, litellm, genai-prices or llm-prices");
  }
  PlanSources sources;
  HF_TRY(add_user_files(context, sources));
  planner::DeviceTable devices = planner::shipped_devices();
  devices.merge(std::move(sources.inputs.extra_devices));
  HF_TRY_ASSIGN(const std::string text, read_text(flags.file, planner::kImportBytesMax));
  HF_TRY_ASSIGN(const planner::ImportedPrices imported,
                planner::import_prices(*format, text, flags.file, flags.provider,
                                       today_or(flags.date), devices));
  if (imported.book.all().empty()) {
    return invalid_argument(flags.file + ": has no price that a plan could use")
        .with_hint("is it a file of " + flags.format + "?");
  }
  HF_TRY_ASSIGN(const std::string book, book_text(imported.book, flags.out));
  if (flags.out.empty()) {
    print(book);
  } else {
    HF_TRY(write_text(flags.out, book));
  }
  if (context.json() && !flags.out.empty()) {
    print_json(import_json(imported, flags.out));
    return ok_status();
  }
  std::string said = std::to_string(imported.book.all().size()) + " prices, " +
                     std::to_string(imported.skipped) + " entries skipped";
  if (!imported.unknown.empty()) {
    said += "; no such device:";
    for (const std::string& name : imported.unknown) said += " " + name;
  }
  notice(context, said);
  if (!flags.out.empty()) print_volatility(imported);
  return ok_status();
}

Status diff(Context& context, const PricesFlags& flags) {
  HF_TRY_ASSIGN(const PriceBook before, read_book(flags.file));
  HF_TRY_ASSIGN(const PriceBook after, read_book(flags.other));
  Table table({"ID", "KIND", "REGION", "BEFORE", "AFTER", "CHANGE"});
  json::Array list;
  for (const planner::PriceDifference& d : planner::diff_prices(before, after)) {
    const auto text = [&](const std::optional<double>& v) {
      return v ? price_text(*v) + " " + d.currency : "-";
    };
    const auto value = [](const std::optional<double>& v) {
      return v ? json::Value(*v) : json::Value();
    };
    const bool both = d.before && d.after && *d.before > 0;
    table.add(
        {d.id, std::string(planner::price_kind_name(d.kind)), d.region, text(d.before),
         text(d.after),
         both ? fixed(100 * (*d.after / *d.before - 1), 1) + " %" : (d.after ? "new" : "gone")});
    list.emplace_back(json::Object{{"id", d.id},
                                   {"kind", planner::price_kind_name(d.kind)},
                                   {"region", d.region},
                                   {"currency", d.currency},
                                   {"before", value(d.before)},
                                   {"after", value(d.after)}});
  }
  if (list.empty() && !context.json()) {
    print("the books are the same\n");
  } else {
    print_list(context, table, list);
  }
  return ok_status();
}

}  // namespace

void add_plan_prices(Registrar& r, CLI::App& plan, const PlanCommandPtr& command) {
  CLI::App& prices = add_plan_leaf(plan, "prices", "The price book: show, check, import, diff");
  auto flags = std::make_shared<PricesFlags>();
  CLI::App& s = add_plan_leaf(prices, "show", "Prices that plans use, yours before the shipped");
  s.add_option("ID", flags->id, "Only ids that contain this");
  s.add_option("--kind", flags->kind, "Only this kind, such as gpu_hour or token_out");
  r.bind(s, [flags, command](Context& context) {
    return show(context, *flags, command->inputs.prices);
  });
  CLI::App& c = add_plan_leaf(prices, "check",
                              "What is wrong, doubtful or old in the book; exit 1 for an error");
  r.bind(c, [flags, command](Context& context) {
    flags->date = command->inputs.date;
    return check(context, *flags, command->inputs.prices);
  });
  CLI::App& i = add_plan_leaf(prices, "import",
                              "A price book from a catalogue's file: skypilot (CSV), litellm, "
                              "genai-prices or llm-prices (JSON)");
  i.add_option("FORMAT", flags->format, "skypilot, litellm, genai-prices or llm-prices")
      ->required();
  i.add_option("FILE", flags->file, "The catalogue's file; - is standard input")->required();
  i.add_option("--out", flags->out, "Write the book there, as TOML for .toml, else JSON")
      ->type_name("FILE");
  i.add_option("--provider", flags->provider, "Whose prices a skypilot file has")
      ->capture_default_str();
  r.bind(i, [flags, command](Context& context) {
    flags->date = command->inputs.date;
    return import(context, *flags);
  });
  CLI::App& d = add_plan_leaf(prices, "diff", "Prices that differ between two books");
  d.add_option("A", flags->file, "A price book")->required();
  d.add_option("B", flags->other, "Another")->required();
  r.bind(d, [flags](Context& context) { return diff(context, *flags); });
}

}  // namespace holdfast::cli
