// The generated pages of docs/reference that are not about commands.
#include "holdfast/base/error.h"
#include "holdfast/cli/cli.h"
#include "holdfast/config/settings.h"

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
