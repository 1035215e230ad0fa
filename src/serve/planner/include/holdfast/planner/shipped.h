// The data that is built into the program: src/serve/planner/data.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "holdfast/base/result.h"
#include "holdfast/planner/device.h"
#include "holdfast/planner/model_shape.h"

namespace holdfast::planner {

struct ShippedFile {
  std::string_view name;  // "hardware.csv"
  std::string_view text;
  std::string_view retrieved;  // YYYY-MM-DD
  std::string_view sha256;     // as data/manifest.csv says
  std::string_view source;
};

// In the order of data/manifest.csv.
std::span<const ShippedFile> shipped_files();
// Precondition: there is such a file.
const ShippedFile& shipped_file(std::string_view name);

// Parsed once. The data is checked by the tests, so these cannot fail.
const DeviceTable& shipped_devices();
const std::vector<ModelShape>& shipped_models();

// In lower case: what is left of a name when people and providers write it differently.
std::string letters_and_digits(std::string_view name);

// By id or by a name that differs in case or separators alone ("Llama 3.1 8B"). kNotFound with the
// nearest ids.
Result<ModelShape> find_model(const std::vector<ModelShape>& models, std::string_view name);

}  // namespace holdfast::planner
