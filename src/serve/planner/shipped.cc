#include "holdfast/planner/shipped.h"

#include <algorithm>
#include <array>
#include <utility>

#include "holdfast/base/check.h"
#include "holdfast/planner/csv.h"
#include "shipped_data.h"

namespace holdfast::planner {

namespace {

std::vector<ShippedFile> read_manifest() {
  const std::array<std::pair<std::string_view, std::string_view>, 6> texts{
      {{"hardware.csv", data::hardware_csv},
       {"gpu_rent.csv", data::gpu_rent_csv},
       {"token_prices.csv", data::token_prices_csv},
       {"models.csv", data::models_csv},
       {"validation.csv", data::validation_csv},
       {"validation_latency.csv", data::validation_latency_csv}}};
  static const CsvTable manifest = *CsvTable::parse(data::manifest_csv, "manifest.csv");
  std::vector<ShippedFile> files;
  for (std::size_t row = 0; row < manifest.rows(); ++row) {
    const std::string_view name = manifest.text(row, "file");
    const auto* at =
        std::find_if(texts.begin(), texts.end(), [name](const auto& t) { return t.first == name; });
    HF_CHECK(at != texts.end());
    files.push_back({name, at->second, manifest.text(row, "retrieved"),
                     manifest.text(row, "sha256"), manifest.text(row, "source")});
  }
  return files;
}

}  // namespace

std::span<const ShippedFile> shipped_files() {
  static const std::vector<ShippedFile> files = read_manifest();
  return files;
}

const ShippedFile& shipped_file(std::string_view name) {
  for (const ShippedFile& f : shipped_files())
    if (f.name == name) return f;
  HF_CHECK(false);
}

const DeviceTable& shipped_devices() {
  static const DeviceTable table(
      *parse_devices(shipped_file("hardware.csv").text, "hardware.csv", false));
  return table;
}

const std::vector<ModelShape>& shipped_models() {
  static const std::vector<ModelShape> models =
      *parse_models(shipped_file("models.csv").text, "models.csv");
  return models;
}

std::string letters_and_digits(std::string_view name) {
  std::string out;
  for (const char c : name) {
    if (c >= 'A' && c <= 'Z') out += static_cast<char>(c - 'A' + 'a');
    if ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9')) out += c;
  }
  return out;
}

Result<ModelShape> find_model(const std::vector<ModelShape>& models, std::string_view name) {
  std::vector<std::string> names;
  for (const ModelShape& m : models) {
    if (m.id == name || letters_and_digits(m.id) == letters_and_digits(name)) return m;
    names.push_back(m.id);
  }
  return not_found("there is no model \"" + std::string(name.substr(0, 80)) + "\"" +
                   did_you_mean(name, names));
}

}  // namespace holdfast::planner
