// The generated pages of docs/reference that are not about commands.
#include "holdfast/base/error.h"
#include "holdfast/cli/cli.h"
#include "holdfast/config/settings.h"
#include "holdfast/gateway/gateway.h"
#include "holdfast/json/json.h"
#include "holdfast/observe/metrics.h"
#include "holdfast/router/router.h"

namespace holdfast::cli {

namespace {

std::string kind_name(config::SettingKind kind) {
  switch (kind) {
    case config::SettingKind::kText:
      return "text";
    case config::SettingKind::kFlag:
      return "true or false";
    case config::SettingKind::kInteger:
      return "number";
    case config::SettingKind::kSize:
      return "size";
    case config::SettingKind::kDuration:
      return "duration";
    case config::SettingKind::kChoice:
      return "one of";
    case config::SettingKind::kList:
      return "list";
    case config::SettingKind::kMap:
      return "table";
  }
  return "";
}

std::string default_of(const config::SettingInfo& info) {
  switch (info.kind) {
    case config::SettingKind::kList:
      return "`[]`";
    case config::SettingKind::kMap:
      return "`{}`";
    case config::SettingKind::kFlag:
    case config::SettingKind::kInteger:
      return "`" + std::string(info.default_text) + "`";
    default:
      return "`\"" + std::string(info.default_text) + "\"`";
  }
}

// "0.001 0.005 0.01".
std::string bounds_text(const std::vector<double>& bounds) {
  const auto number = [](double value) {
    std::string out;
    json::append_number(out, value);
    return out;
  };
  std::string out;
  for (const double bound : bounds) out += (out.empty() ? "" : " ") + number(bound);
  return out;
}

}  // namespace

std::string settings_markdown() {
  std::string out =
      "# Settings\n\n"
      "Generated from the table in the code. Settings come from, later ones winning: the defaults, "
      "`holdfast.toml`,\n`conf.d/*.toml` beside it in the order of their names, the environment "
      "(`HOLDFAST_<SECTION>_<KEY>`), and flags\n(`--section.key VALUE`). `holdfast config show` "
      "tells where each value came from, `holdfast config path` which\nfile is read. Sizes take "
      "`KiB MiB GiB`, durations `ms s m h d`. A running server reads its "
      "configuration again on SIGHUP and on\n`POST /holdfast/v1/config/reload`: settings of class "
      "`live` change at once, the others at the next start.\n";
  std::string_view section;
  for (const config::SettingInfo& info : config::setting_table()) {
    if (info.section != section) {
      section = info.section;
      out += "\n## " + std::string(section) +
             "\n\n| key | type | default | reload | meaning |\n|---|---|---|---|---|\n";
    }
    std::string type = kind_name(info.kind);
    if (!info.range.empty()) type += " `" + std::string(info.range) + "`";
    out += "| `" + std::string(info.key) + "` | " + type + " | " + default_of(info) + " | " +
           std::string(info.reload) + " | " + std::string(info.text) + " |\n";
  }
  return out;
}

std::string metrics_markdown() {
  observe::Registry registry;
  observe::register_process_metrics(registry);
  gateway::Gateway::declare_metrics(registry);
  router::Router::declare_metrics(registry);
  std::string out =
      "# Metrics\n\n"
      "Generated from the table in the code. `GET /metrics` gives them as Prometheus text 0.0.4, "
      "or "
      "as OpenMetrics 1.0 where\n`Accept` prefers `application/openmetrics-text`; then the times "
      "of "
      "traced requests carry exemplars with `trace_id`.\n\n"
      "With `metrics.vllm_names = false` the names begin with `holdfast_` instead of `vllm:`. With "
      "`metrics.vllm_old_names = true`\n`vllm:kv_cache_usage_perc` is also called "
      "`vllm:gpu_cache_usage_perc`. More than `metrics.model_name_max` models share\nthe label "
      "`_other`. No label holds a user, a key, a tenant or a text.\n\n"
      "| name | kind | labels | meaning |\n|---|---|---|---|\n";
  std::string buckets;
  for (const observe::MetricDescription& d : registry.describe()) {
    std::string labels;
    for (const std::string& label : d.label_names)
      labels += (labels.empty() ? "`" : " `") + label + "`";
    const std::string text = d.alias_of.empty() ? d.help : "The same as `" + d.alias_of + "`.";
    out += "| `" + d.name + "` | " + std::string(d.kind) + " | " + labels + " | " + text + " |\n";
    if (d.kind == "histogram" && d.alias_of.empty())
      buckets += "| `" + d.name + "` | " + bounds_text(d.upper_bounds) + " |\n";
  }
  return out + "\n## Buckets\n\n| histogram | upper bounds, besides `+Inf` |\n|---|---|\n" +
         buckets;
}

std::string errors_markdown() {
  std::string out =
      "# Errors\n\n"
      "Generated from the table in the code. A command that fails prints `error: ...` and, where "
      "there is something to\ndo, `hint: ...` on standard error; with `--json` one object "
      "`{\"error\":{\"code\",\"message\",\"hint\",\"request_id\"}}`.\nA command that was ended by "
      "Ctrl-C exits with 130, by SIGTERM with 143.\n\n"
      "| code | exit status | HTTP status | meaning |\n|---|---|---|---|\n";
#define HF_ERROR(name, number, http, exit, text) \
  out += "| `" #name "` | " #exit " | " #http " | " text " |\n";
#include "holdfast/base/errors.def"
#undef HF_ERROR
  return out;
}

}  // namespace holdfast::cli
