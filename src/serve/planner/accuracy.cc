#include "holdfast/planner/accuracy.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "holdfast/planner/efficiencies.h"
#include "holdfast/planner/shipped.h"

namespace holdfast::planner {

namespace {

std::string percent(double share) {
  return std::to_string(static_cast<long>(std::lround(share * 100))) + " %";
}

// Two digits behind the point: enough for constants that are known to a tenth.
std::string two(double value) {
  const long hundredths = std::lround(value * 100);
  const std::string rest = std::to_string(hundredths % 100);
  return std::to_string(hundredths / 100) + "." + (rest.size() < 2 ? "0" : "") + rest;
}

std::string summary_table(const std::vector<ErrorSummary>& all, std::string_view metric) {
  std::string out =
      "| class | rows | devices | mean error | median | 90 % below | inside the band |\n"
      "|---|---|---|---|---|---|---|\n";
  for (const ErrorSummary& s : all) {
    if (!s.name.starts_with(metric)) continue;
    const std::string name = s.name.substr(std::min(s.name.size(), metric.size() + 2));
    const bool total = name.starts_with("all");
    out += "| " + std::string(total ? "**" : "") + name + (total ? "**" : "") + " | " +
           std::to_string(s.rows) + " | " + std::to_string(s.devices) + " | " +
           percent(s.mean_error) + " | " + percent(s.median_error) + " | " + percent(s.p90_error) +
           " | " + percent(s.coverage) + " |\n";
  }
  return out + "\n";
}

// One device stands for its class; a processor's layers are those of its own bandwidth.
std::string constants_table() {
  const Efficiencies& e = Efficiencies::shipped();
  std::string out =
      "| class | bytes | keys and values | arithmetic | layer | 80 % band "
      "|\n|---|---|---|---|---|---|\n";
  std::vector<std::string> seen;
  for (const Device& d : shipped_devices().all()) {
    for (const char* quant : {"F16", "Q4_K_M"}) {
      for (const bool current : {false, true}) {
        const DecodeClass c = e.decode(d, *find_quant(quant), current);
        if (c.devices == 0 || std::find(seen.begin(), seen.end(), c.name) != seen.end()) continue;
        seen.push_back(c.name);
        out += "| " + c.name + " | " + two(c.efficiency.bytes_cost) + " | " +
               two(c.efficiency.kv_cost) + " | " + two(c.efficiency.flops_cost) + " | " +
               std::to_string(std::lround(c.efficiency.layer.value() * 1e6)) + " us | " +
               percent(1 - std::exp(-kZ90 * c.sigma)) + " below to " +
               percent(std::exp(kZ90 * c.sigma) - 1) + " above |\n";
      }
    }
  }
  return out + "\n";
}

}  // namespace

std::string accuracy_markdown(const std::vector<ErrorSummary>& summaries) {
  std::string out =
      "# How far the planner is off\n\n"
      "Made from the measured rows that are built into the program (`src/serve/planner/data`) by "
      "`holdfast plan validate`; a test compares this page with what the code says. Every row is "
      "predicted by constants that were fitted without any row of its device. The error is "
      "|predicted / measured - 1|; \"inside the band\" is the share of rows between the printed "
      "P10 "
      "and P90, which should be 80 %.\n\n";
  out += "## Decode, one sequence and batches\n\n" + summary_table(summaries, "decode_tps");
  out +=
      "Metal and processors err most: the rows are of few machines, some of them swapping or with "
      "many threads for a small model. Calibrate there (`holdfast bench MODEL --calibrate`).\n\n";
  out += "## Prefill\n\n" + summary_table(summaries, "prefill_tps");
  out +=
      "Contradicted rows are runs in which the same device read the same prompt at less than half "
      "the speed with 16-bit weights than with quantised ones, which need more arithmetic.\n\n";
  out += "## Most throughput of batching servers\n\n" + summary_table(summaries, "throughput_tps");
  out +=
      "## Constants of decoding\n\nCosts as multiples of the limit: 1 is all of the bandwidth; "
      "arithmetic is a multiple of 2 A / F for kernels that multiply one column.\n\n" +
      constants_table();
  return out;
}

}  // namespace holdfast::planner
