#include "holdfast/cli/calibration.h"

#include <algorithm>
#include <utility>

#include "holdfast/json/json.h"

namespace holdfast::cli {

namespace {

// Far above any number of tokens, sequences or layers, far below where doubles lose integers.
constexpr std::int64_t kCountMax = std::int64_t{1} << 52;
constexpr double kRateMax = 1e18;
constexpr std::size_t kTextBytesMax = 512;

Error wrong(std::string_view where, std::string_view key, std::string_view what) {
  return invalid_argument("calibration: " + std::string(where) + std::string(key) +
                          std::string(what));
}

// Reads one object member by member; what nobody asks for is an error.
class Members {
 public:
  Members(const json::Value& value, std::string where) : value_(value), where_(std::move(where)) {}

  Status text(const char* key, std::string& out) {
    HF_TRY_ASSIGN(const json::Value* v, get(key));
    if (!v->is_string() || v->as_string().empty() || v->as_string().size() > kTextBytesMax)
      return wrong(where_, key, " must be a text of 1 to 512 bytes");
    out = v->as_string();
    return ok_status();
  }
  Status count(const char* key, std::int64_t& out, std::int64_t low) {
    HF_TRY_ASSIGN(const json::Value* v, get(key));
    if (!v->is_int() || v->as_int() < low || v->as_int() > kCountMax)
      return wrong(where_, key, " must be a whole number of at least " + std::to_string(low));
    out = v->as_int();
    return ok_status();
  }
  Status positive(const char* key, double& out) {
    HF_TRY_ASSIGN(const json::Value* v, get(key));
    if (!v->is_number() || !(v->as_double() > 0) || v->as_double() > kRateMax)
      return wrong(where_, key, " must be a number above 0");
    out = v->as_double();
    return ok_status();
  }
  Status positive_or_null(const char* key, std::optional<double>& out) {
    HF_TRY_ASSIGN(const json::Value* v, get(key));
    if (v->is_null()) return ok_status();
    return positive(key, out.emplace());
  }
  Result<const json::Array*> array(const char* key, std::size_t max) {
    HF_TRY_ASSIGN(const json::Value* v, get(key));
    if (!v->is_array()) return wrong(where_, key, " must be a list");
    if (v->as_array().size() > max)
      return exhausted("calibration: " + where_ + key + " has more than " + std::to_string(max) +
                       " entries");
    return &v->as_array();
  }
  Result<const json::Value*> get(const char* key) {
    const json::Value* v = value_.find(key);
    if (v == nullptr) return wrong(where_, key, " is missing");
    known_.emplace_back(key);
    return v;
  }
  Status nothing_left() const {
    for (const json::Member& m : value_.as_object()) {
      if (std::ranges::find(known_, m.key) == known_.end())
        return wrong(where_, m.key, " is not known");
    }
    return ok_status();
  }

 private:
  const json::Value& value_;
  std::string where_;
  std::vector<std::string> known_;
};

Result<CalibratedMachine> parse_machine(const json::Value& value) {
  CalibratedMachine m;
  if (!value.is_object()) return wrong("", "machine", " must be an object");
  Members members(value, "machine.");
  HF_TRY(members.text("cpu", m.cpu));
  HF_TRY(members.count("threads", m.threads, 1));
  HF_TRY(members.text("isa", m.isa));
  HF_TRY(members.count("memory_bytes", m.memory_bytes, 1));
  HF_TRY(members.positive("bandwidth_bytes_per_s", m.bandwidth_bytes_per_s));
  HF_TRY(members.positive("int8_ops_per_s", m.int8_ops_per_s));
  HF_TRY(members.positive("f32_ops_per_s", m.f32_ops_per_s));
  HF_TRY(members.positive_or_null("disk_read_bytes_per_s", m.disk_read_bytes_per_s));
  HF_TRY(members.nothing_left());
  return m;
}

Result<CalibrationPoint> parse_point(const json::Value& value, const std::string& where) {
  if (!value.is_object()) return wrong(where, "", " must be an object");
  CalibrationPoint p;
  std::string kind;
  Members members(value, where + ".");
  HF_TRY(members.text("kind", kind));
  if (kind != "prefill" && kind != "decode")
    return wrong(where, ".kind", " must be prefill or decode");
  p.prefill = kind == "prefill";
  HF_TRY(members.count("tokens", p.tokens, 1));
  HF_TRY(members.count("batch", p.batch, 1));
  HF_TRY(members.count("depth", p.depth, 0));
  HF_TRY(members.positive("tokens_per_s", p.tokens_per_s));
  HF_TRY(members.nothing_left());
  return p;
}

Result<CalibratedModel> parse_model(const json::Value& value, const std::string& where) {
  if (!value.is_object()) return wrong(where, "", " must be an object");
  CalibratedModel m;
  Members members(value, where + ".");
  HF_TRY(members.text("name", m.name));
  HF_TRY(members.count("params", m.params, 1));
  HF_TRY(members.count("weights_bytes", m.weights_bytes, 1));
  HF_TRY(members.count("layers", m.layers, 1));
  HF_TRY(members.text("quant", m.quant));
  HF_TRY(members.text("kv_type", m.kv_type));
  HF_TRY(members.positive("start_s", m.start_s));
  HF_TRY_ASSIGN(const json::Array* points, members.array("points", kCalibrationPointsMax));
  HF_TRY(members.nothing_left());
  for (std::size_t i = 0; i < points->size(); ++i) {
    HF_TRY_ASSIGN(CalibrationPoint p,
                  parse_point((*points)[i], where + ".points[" + std::to_string(i) + "]"));
    m.points.push_back(p);
  }
  return m;
}

json::Value to_json(const CalibratedModel& m) {
  json::Array points;
  for (const CalibrationPoint& p : m.points) {
    points.emplace_back(json::Object{{"kind", p.prefill ? "prefill" : "decode"},
                                     {"tokens", p.tokens},
                                     {"batch", p.batch},
                                     {"depth", p.depth},
                                     {"tokens_per_s", p.tokens_per_s}});
  }
  return json::Object{
      {"name", m.name},       {"params", m.params},         {"weights_bytes", m.weights_bytes},
      {"layers", m.layers},   {"quant", m.quant},           {"kv_type", m.kv_type},
      {"start_s", m.start_s}, {"points", std::move(points)}};
}

json::Value to_json(const CalibratedMachine& m) {
  return json::Object{
      {"cpu", m.cpu},
      {"threads", m.threads},
      {"isa", m.isa},
      {"memory_bytes", m.memory_bytes},
      {"bandwidth_bytes_per_s", m.bandwidth_bytes_per_s},
      {"int8_ops_per_s", m.int8_ops_per_s},
      {"f32_ops_per_s", m.f32_ops_per_s},
      {"disk_read_bytes_per_s",
       m.disk_read_bytes_per_s ? json::Value(*m.disk_read_bytes_per_s) : json::Value(nullptr)}};
}

void sort_by_name(std::vector<CalibratedModel>& models) {
  std::ranges::sort(models, {}, &CalibratedModel::name);
}

}  // namespace

bool CalibratedMachine::same_as(const CalibratedMachine& other) const {
  return cpu == other.cpu && threads == other.threads && isa == other.isa;
}

Result<Calibration> parse_calibration(std::string_view text) {
  json::ParseLimits limits;
  limits.bytes_max = kCalibrationBytesMax;
  limits.depth_max = 8;
  HF_TRY_ASSIGN(const json::Value root, json::parse(text, limits));
  if (!root.is_object()) return invalid_argument("calibration: the file must hold an object");
  Members members(root, "");
  std::string schema;
  HF_TRY(members.text("schema", schema));
  if (schema != kCalibrationSchema)
    return invalid_argument("calibration: the schema is not " + std::string(kCalibrationSchema));
  Calibration c;
  HF_TRY_ASSIGN(const json::Value* machine, members.get("machine"));
  HF_TRY_ASSIGN(c.machine, parse_machine(*machine));
  HF_TRY(members.text("date", c.date));
  HF_TRY_ASSIGN(const json::Array* models, members.array("models", kCalibratedModelsMax));
  HF_TRY(members.nothing_left());
  for (std::size_t i = 0; i < models->size(); ++i) {
    HF_TRY_ASSIGN(CalibratedModel m,
                  parse_model((*models)[i], "models[" + std::to_string(i) + "]"));
    c.models.push_back(std::move(m));
  }
  sort_by_name(c.models);
  const auto twice = std::ranges::adjacent_find(c.models, {}, &CalibratedModel::name);
  if (twice != c.models.end()) return wrong("models: ", twice->name, " is there twice");
  return c;
}

std::string write_calibration(const Calibration& c) {
  std::vector<CalibratedModel> sorted = c.models;
  sort_by_name(sorted);
  json::Array models;
  for (const CalibratedModel& m : sorted) models.push_back(to_json(m));
  const json::Value root = json::Object{{"schema", std::string(kCalibrationSchema)},
                                        {"machine", to_json(c.machine)},
                                        {"date", c.date},
                                        {"models", std::move(models)}};
  return json::write(root, {.indent = 2}) + "\n";
}

Calibration with_model(const std::optional<Calibration>& known, CalibratedMachine machine,
                       std::string date, CalibratedModel model) {
  Calibration out;
  if (known && known->machine.same_as(machine)) {
    out.models = known->models;
    // Another model's file may have been too small to tell.
    if (!machine.disk_read_bytes_per_s)
      machine.disk_read_bytes_per_s = known->machine.disk_read_bytes_per_s;
  }
  out.machine = std::move(machine);
  out.date = std::move(date);
  std::erase_if(out.models, [&](const CalibratedModel& m) { return m.name == model.name; });
  out.models.push_back(std::move(model));
  sort_by_name(out.models);
  return out;
}

}  // namespace holdfast::cli
