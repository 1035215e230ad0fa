// Texts of the files in data/, built into the program.
#pragma once

#include <string_view>

namespace holdfast::planner::data {

extern const std::string_view manifest_csv;
extern const std::string_view hardware_csv;
extern const std::string_view gpu_rent_csv;
extern const std::string_view token_prices_csv;
extern const std::string_view models_csv;
extern const std::string_view validation_csv;
extern const std::string_view validation_latency_csv;

}  // namespace holdfast::planner::data
