// The bytes as a settings file, and as the text of one setting. Settings that load are shown as
// TOML
// (`config show`), which loads again as the same settings.
#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "holdfast/config/settings.h"

namespace {

using holdfast::config::LoadInput;
using holdfast::config::Setting;
using holdfast::config::Settings;

// A settings file in memory: a million of them on a disk would be slow.
class MemoryFile {
 public:
  MemoryFile() : descriptor_(memfd_create("settings", MFD_CLOEXEC)) {
    if (descriptor_ < 0) std::abort();
    path_ = "/proc/self/fd/" + std::to_string(descriptor_);
  }
  void set(std::string_view text) {
    if (ftruncate(descriptor_, 0) != 0 ||
        pwrite(descriptor_, text.data(), text.size(), 0) != static_cast<ssize_t>(text.size()))
      std::abort();
  }
  const std::string& path() const { return path_; }

 private:
  int descriptor_;
  std::string path_;
};

auto load_file(std::string_view text) {
  static MemoryFile file;
  file.set(text);
  return Settings::load(LoadInput{.environment = {}, .config_path = file.path(), .flags = {}});
}

std::string file_of(const Settings& settings) {
  std::string out, section;
  std::size_t i = 0;
  for (const auto& info : holdfast::config::setting_table()) {
    if (info.section != section) out += "[" + (section = info.section) + "]\n";
    out += std::string(info.key) + " = " + settings.to_toml(static_cast<Setting>(i++)) + "\n";
  }
  for (const auto& upstream : settings.upstreams()) {
    out += "[upstream." + upstream.name + "]\n";
    for (const auto& [key, value] : upstream.shown()) {
      if (key == "credential") continue;  // hidden
      out += key + " = " + value + "\n";
    }
  }
  return out;
}

void check(const Settings& settings) {
  const auto again = load_file(file_of(settings));
  if (!again.ok() || file_of(*again) != file_of(settings)) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  if (const auto settings = load_file(text); settings.ok()) check(*settings);
  // Variables and flags hold any bytes, a file only what TOML allows: no second reading here.
  const auto table = holdfast::config::setting_table();
  const std::string name = table[size % table.size()].name();
  const auto flag = Settings::load(
      LoadInput{.environment = {}, .config_path = {}, .flags = {{name, std::string(text)}}});
  if (flag.ok() && file_of(*flag).empty()) std::abort();
  return 0;
}
