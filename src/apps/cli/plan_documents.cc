#include "plan_documents.h"

#include <algorithm>
#include <array>
#include <optional>
#include <utility>

#include "holdfast/json/toml.h"
#include "holdfast/planner/csv.h"
#include "holdfast/planner/shipped.h"
#include "holdfast/platform/clock.h"
#include "holdfast/platform/filesystem.h"
#include "output.h"
#include "plan_calibration.h"
#include "plan_models.h"
#include "standard_input.h"

namespace holdfast::cli {

namespace {

constexpr std::uint64_t kDocumentBytesMax = std::uint64_t{32} << 20;
// A plan looks at each device; somebody else's request must not take minutes of this machine.
constexpr std::size_t kRequestDevicesMax = 256;

// "[{", "[ ]": a list in JSON; "[[price]]", "[workload]": TOML.
bool looks_like_json(std::string_view text) {
  const std::size_t at = text.find_first_not_of(" \t\r\n");
  if (at == std::string_view::npos) return false;
  if (text[at] == '{') return true;
  const std::size_t next = text.find_first_not_of(" \t\r\n", at + 1);
  return text[at] == '[' && next != std::string_view::npos &&
         (text[next] == '{' || text[next] == ']');
}

bool is_json(std::string_view text, std::string_view name) {
  if (name.ends_with(".json")) return true;
  return !name.ends_with(".toml") && looks_like_json(text);
}

Result<json::Value> read_document(const std::string& path) {
  HF_TRY_ASSIGN(const std::string text, read_text(path, kDocumentBytesMax));
  return parse_document(text, path == "-" ? "standard input" : path);
}

std::string file_stem(const std::string& path) {
  const std::string name(platform::base_name(path));
  const std::string folder(platform::base_name(platform::parent_path(path)));
  // A config.json has the name of its folder.
  const std::string& text = name == "config.json" && folder != "." ? folder : name;
  return text.substr(0, std::min(text.rfind('.'), text.size()));
}

Status merge(json::Value document, const std::string& path, json::Object& into,
             std::map<std::string, std::string>& from) {
  if (!document.is_object())
    return invalid_argument(path + ": must be a document with tables such as [workload]");
  for (const json::Member& m : document.as_object()) {
    const auto [known, added] = from.emplace(m.key, path);
    if (!added) {
      return invalid_argument(m.key + ": is in two documents, " + known->second + " and " + path)
          .with_hint("keep it in one of them");
    }
    into.set(m.key, m.value);
  }
  return ok_status();
}

// Takes "price" or "prices" out of the document: a book that came with it.
Status take_prices(json::Object& document, planner::PriceBook& into) {
  for (const char* key : {"price", "prices"}) {
    const json::Value* list = document.find(key);
    if (list == nullptr) continue;
    HF_TRY_ASSIGN(planner::PriceBook book, planner::PriceBook::parse(*list, key));
    into.merge(std::move(book));
    document.erase(key);
  }
  return ok_status();
}

// The text under `key`, taken out of the document; empty if it is not there.
Result<std::string> take_text(json::Object& document, const char* key) {
  const json::Value* v = document.find(key);
  if (v == nullptr) return std::string();
  if (!v->is_string()) return invalid_argument(std::string(key) + ": must be a text");
  std::string text = v->as_string();
  document.erase(key);
  return text;
}

Status check_date(const std::string& date, const char* field) {
  if (planner::days_between(date, date)) return ok_status();
  return invalid_argument(std::string(field) + ": must be a date YYYY-MM-DD, and is \"" +
                          date.substr(0, 20) + "\"");
}

Error at_path(const std::string& path, const Error& error) {
  return {error.code(), path + ": " + error.client_message(), error.to_string()};
}

bool is_known(const PlanSources& sources, const std::string& name) {
  return planner::find_model(sources.inputs.extra_models, name).ok() ||
         planner::find_model(planner::shipped_models(), name).ok();
}

// Replaces `file` by what the file's header says.
Status expand_file(json::Object& model, const std::string& path, PlanSources& sources) {
  const json::Value* file = model.find("file");
  if (!file->is_string() || file->as_string().empty())
    return invalid_argument(path + ".file: must be the path of a GGUF or config.json file");
  const json::Value* named = model.find("name");
  const std::string name = named != nullptr && named->is_string() && !named->as_string().empty()
                               ? named->as_string()
                               : file_stem(file->as_string());
  auto sized = model_from_file(file->as_string(), name);
  if (!sized.ok()) return at_path(path + ".file", sized.error());
  planner::ModelShape* const shape = &sized->shape;
  model.erase("file");
  model.set("name", name);
  if (shape->file_bytes && !model.contains("file_bytes"))
    model.set("file_bytes", shape->file_bytes->value());
  sources.inputs.extra_models.insert(sources.inputs.extra_models.begin(), std::move(*shape));
  return ok_status();
}

// Models with files, and names that only the store knows.
Status expand_models(const Context& context, bool files_allowed, PlanSources& sources) {
  json::Value* list = sources.inputs.document.as_object().find("models");
  if (list == nullptr || !list->is_array()) return ok_status();
  std::size_t index = 0;
  for (json::Value& entry : list->as_array()) {
    const std::string path = "models[" + std::to_string(index++) + "]";
    if (!entry.is_object()) continue;
    json::Object& model = entry.as_object();
    if (model.contains("file") && !files_allowed)
      return invalid_argument(path + ".file: files of the server are not read for a request");
    if (model.contains("file")) {
      HF_TRY(expand_file(model, path, sources));
      continue;
    }
    const json::Value* name = model.find("name");
    if (name == nullptr || !name->is_string() || model.contains("params")) continue;
    if (is_known(sources, name->as_string())) continue;
    auto sized = model_from_store(context, name->as_string());
    if (sized.ok()) {
      sources.inputs.extra_models.push_back(std::move(sized->shape));
    } else if (sized.error().code() != ErrorCode::kNotFound &&
               sized.error().code() != ErrorCode::kInvalidArgument) {
      return at_path(path + ".name", sized.error());
    }
  }
  return ok_status();
}

// The file of DATA_DIR/planner, or nullopt.
Result<std::optional<std::string>> user_file(const Context& context, const char* name) {
  platform::PosixFileSystem fs;
  const std::string path = context.data_dir + "/planner/" + name;
  if (!fs.exists(path)) return std::optional<std::string>();
  HF_TRY_ASSIGN(std::string text, read_text(path, kDocumentBytesMax));
  return std::optional(std::move(text));
}

std::string counted(const char* name, std::size_t n, const char* what) {
  return std::string(name) + " (" + what + ": " + std::to_string(n) + ")";
}

// Rows that have the id of an earlier one replace it.
void add_devices(std::vector<planner::Device> devices, planner::ProblemInputs& inputs) {
  planner::DeviceTable table(std::move(inputs.extra_devices));
  table.merge(std::move(devices));
  inputs.extra_devices = table.all();
}

Status add_flag_files(const Context& context, const PlanFlags& flags, PlanSources& out) {
  if (!flags.hardware.empty()) {
    HF_TRY_ASSIGN(const std::string csv, read_text(flags.hardware, planner::kCsvBytesMax));
    HF_TRY_ASSIGN(auto devices, planner::parse_devices(csv, flags.hardware, true));
    add_devices(std::move(devices), out.inputs);
  }
  if (!flags.prices.empty()) {
    HF_TRY_ASSIGN(const json::Value document, read_document(flags.prices));
    HF_TRY_ASSIGN(planner::PriceBook book, planner::PriceBook::parse(document, flags.prices));
    out.inputs.extra_prices.merge(std::move(book));
  }
  if (!flags.trace.empty()) {
    HF_TRY_ASSIGN(out.inputs.trace_csv, read_text(flags.trace, planner::kCsvBytesMax));
  }
  if (!flags.calibration.empty()) {
    HF_TRY_ASSIGN(const std::string text, read_text(flags.calibration, kCalibrationBytesMax));
    out.inputs.calibrations.clear();
    HF_TRY(add_calibration(text, flags.calibration, shapes_of_store(context), out.inputs));
  }
  return ok_status();
}

}  // namespace

ShapeOf shapes_of_store(const Context& context) {
  return [&context](const std::string& name) -> std::optional<planner::ModelShape> {
    auto sized = model_from_store(context, name);
    if (!sized.ok() || sized->shape.estimated) return std::nullopt;
    return std::move(sized->shape);
  };
}

Result<std::string> read_text(const std::string& path, std::uint64_t bytes_max) {
  if (path == "-") return read_standard_input();
  platform::PosixFileSystem fs;
  HF_TRY_ASSIGN(const Bytes bytes, platform::read_file(fs, path, bytes_max));
  return std::string(as_string_view(bytes));
}

Status write_text(const std::string& path, std::string_view text) {
  platform::PosixFileSystem fs;
  return platform::write_file_atomic(fs, path, as_bytes_view(text), 0644);
}

Result<json::Value> parse_document(std::string_view text, const std::string& name) {
  if (!is_json(text, name)) return json::parse_toml(text, name);
  json::ParseLimits limits;
  limits.bytes_max = kDocumentBytesMax;
  limits.values_max = std::size_t{4} << 20;
  auto parsed = json::parse(text, limits);
  if (parsed.ok()) return parsed;
  Error error(parsed.error().code(), name + ": " + parsed.error().client_message());
  return error;
}

Status add_user_files(const Context& context, PlanSources& sources) {
  planner::ProblemInputs& in = sources.inputs;
  const std::string folder = context.data_dir + "/planner/";
  HF_TRY_ASSIGN(const auto hardware, user_file(context, "hardware.csv"));
  if (hardware) {
    HF_TRY_ASSIGN(in.extra_devices,
                  planner::parse_devices(*hardware, folder + "hardware.csv", true));
    sources.user_files.push_back(counted("hardware.csv", in.extra_devices.size(), "devices"));
  }
  // A long book is JSON; the one in TOML goes before it.
  for (const char* name : {"prices.json", "prices.toml"}) {
    HF_TRY_ASSIGN(const auto prices, user_file(context, name));
    if (!prices) continue;
    HF_TRY_ASSIGN(const json::Value document, parse_document(*prices, folder + name));
    HF_TRY_ASSIGN(planner::PriceBook book, planner::PriceBook::parse(document, folder + name));
    sources.user_files.push_back(counted(name, book.all().size(), "prices"));
    in.extra_prices.merge(std::move(book));
  }
  HF_TRY_ASSIGN(const auto models, user_file(context, "models.csv"));
  if (models) {
    HF_TRY_ASSIGN(in.extra_models, planner::parse_models(*models, folder + "models.csv"));
    sources.user_files.push_back(counted("models.csv", in.extra_models.size(), "models"));
  }
  HF_TRY_ASSIGN(const auto calibration, user_file(context, "calibration.json"));
  if (calibration) {
    HF_TRY(
        add_calibration(*calibration, folder + "calibration.json", shapes_of_store(context), in));
    sources.user_files.push_back(counted("calibration.json", in.calibrations.size(), "machines"));
  }
  return ok_status();
}

Result<PlanSources> read_plan_sources(const Context& context, const PlanFlags& flags) {
  PlanSources out;
  const std::array<const std::string*, 7> paths{
      &flags.workload, &flags.models,   &flags.constraints, &flags.prices,
      &flags.trace,    &flags.hardware, &flags.calibration};
  if (std::count_if(paths.begin(), paths.end(), [](auto* p) { return *p == "-"; }) > 1)
    return invalid_argument("only one document can be read from standard input");
  out.inputs.today = flags.date.empty() ? today() : flags.date;
  HF_TRY(check_date(out.inputs.today, "--date"));
  HF_TRY(add_user_files(context, out));
  json::Object document;
  for (const std::string* path : {&flags.workload, &flags.models, &flags.constraints}) {
    if (path->empty()) continue;
    HF_TRY_ASSIGN(json::Value part, read_document(*path));
    HF_TRY(merge(std::move(part), *path, document, out.file_of_table));
  }
  HF_TRY(take_prices(document, out.inputs.extra_prices));
  HF_TRY(add_flag_files(context, flags, out));
  if (flags.seed) document.set("seed", *flags.seed);
  out.inputs.document = std::move(document);
  HF_TRY(expand_models(context, true, out));
  return out;
}

Status expand_plan_models(const Context& context, PlanSources& sources) {
  return expand_models(context, true, sources);
}

Result<PlanSources> plan_sources_of_request(const Context& context, json::Value body) {
  if (!body.is_object()) return invalid_argument("the body must be an object");
  PlanSources out;
  HF_TRY(add_user_files(context, out));
  out.user_files.clear();
  json::Object document = std::move(body.as_object());
  HF_TRY_ASSIGN(out.inputs.today, take_text(document, "date"));
  if (out.inputs.today.empty()) out.inputs.today = today();
  HF_TRY(check_date(out.inputs.today, "date"));
  HF_TRY_ASSIGN(out.inputs.trace_csv, take_text(document, "trace_csv"));
  HF_TRY_ASSIGN(const std::string hardware, take_text(document, "hardware_csv"));
  if (!hardware.empty()) {
    HF_TRY_ASSIGN(auto devices, planner::parse_devices(hardware, "hardware_csv", true));
    if (devices.size() > kRequestDevicesMax)
      return invalid_argument("hardware_csv: more than " + std::to_string(kRequestDevicesMax) +
                              " devices");
    add_devices(std::move(devices), out.inputs);
  }
  HF_TRY(take_prices(document, out.inputs.extra_prices));
  out.inputs.document = std::move(document);
  HF_TRY(expand_models(context, false, out));
  return out;
}

Result<planner::Problem> problem_of(const PlanSources& sources) {
  auto problem = planner::parse_problem(sources.inputs);
  if (problem.ok() || !problem.error().hint().empty()) return problem;
  const std::string& message = problem.error().client_message();
  const auto file = sources.file_of_table.find(message.substr(0, message.find_first_of(".[: ")));
  if (file == sources.file_of_table.end()) return problem;
  Error error = problem.error();
  return std::move(error).with_hint("it is in " + file->second);
}

}  // namespace holdfast::cli
