// Random planning problems, and what must hold of every plan.
#pragma once

#include <cmath>
#include <set>
#include <string>

#include "holdfast/json/json.h"
#include "holdfast/planner/random.h"
#include "holdfast/planner/shipped.h"

namespace holdfast::planner {

inline bool all_finite_and_positive(const json::Value& v, std::string& where) {
  if (v.is_null()) return true;
  if (v.is_array()) {
    for (const json::Value& e : v.as_array())
      if (!all_finite_and_positive(e, where)) return false;
  }
  if (v.is_object()) {
    for (const json::Member& m : v.as_object()) {
      // Resale is income; a mirror of it stands in the years. Memory that is short is negative too.
      static const std::set<std::string> signed_fields{
          "per_year", "amount", "irr", "free_bytes", "numbers", "lines", "escalator"};
      if (signed_fields.contains(m.key)) continue;
      if (!all_finite_and_positive(m.value, where)) {
        where = m.key + "." + where;
        return false;
      }
    }
  }
  if (v.is_number()) return std::isfinite(v.as_double()) && v.as_double() >= 0;
  return true;
}

// A random problem, sometimes absurd; with `devices` above 0 on so many devices alone.
inline std::string random_problem(Random& r, int devices) {
  const auto pick = [&r](std::initializer_list<const char*> list) {
    return std::string(
        list.begin()[static_cast<std::size_t>(r.uniform() * static_cast<double>(list.size()))]);
  };
  const auto log_uniform = [&r](double low, double high) {
    return std::to_string(low * std::pow(high / low, r.uniform()));
  };
  std::string out = "simulate = false\n";
  // A few devices instead of all: the same code over less of it.
  for (int i = 0; i < devices; ++i) {
    const auto& all = shipped_devices().all();
    const auto& id =
        all[static_cast<std::size_t>(r.uniform() * static_cast<double>(all.size()))].id;
    out += (i == 0 ? "devices = [\"" : ", \"") + id + "\"";
  }
  if (devices > 0) out += "]\n";
  if (r.uniform() < 0.3)
    out +=
        "profile = \"" + pick({"holdfast", "llamacpp-default", "trtllm-default", "tuned"}) + "\"\n";
  out += "[workload]\nrate_rps = " + log_uniform(1e-6, 1e3) + "\nisl = " + log_uniform(1, 4000) +
         "\nosl = " + log_uniform(1, 2000) + "\n";
  out += "prefix_share = " + std::to_string(0.99 * r.uniform()) + "\n";
  out += "growth = " + std::to_string(-0.5 + 2 * r.uniform()) + "\n";
  out += "arrival = {profile = \"" + pick({"flat", "diurnal", "office"}) + "\"}\n";
  out += "[[models]]\nname = \"" +
         pick({"llama-3.2-1b", "llama-3.1-8b", "mixtral-8x7b", "llama-3.3-70b", "gpt-oss-120b",
               "deepseek-v3", "gemma-3-270m", "falcon-mamba-7b"}) +
         "\"\n";
  if (r.uniform() < 0.5)
    out += "quant = \"" + pick({"F16", "FP8", "Q8_0", "Q4_K_M", "MXFP4"}) + "\"\n";
  out += "[slo]\navailability = " + std::to_string(0.9999 * r.uniform()) + "\n";
  if (r.uniform() < 0.5) out += "ttft_p99_ms = " + log_uniform(50, 60000) + "\n";
  if (r.uniform() < 0.5) out += "tpot_p99_ms = " + log_uniform(5, 1000) + "\n";
  out += "[budget]\nhorizon_years = " + std::to_string(1 + static_cast<int>(r.uniform() * 10)) +
         "\nwacc = " + std::to_string(0.3 * r.uniform()) + "\n";
  if (r.uniform() < 0.3)
    out += "[[sites]]\ncount = " + std::to_string(1 + static_cast<int>(r.uniform() * 100)) + "\n";
  if (r.uniform() < 0.3)
    out += "[[owned]]\ndevice = \"" +
           pick({"nvidia-rtx4090-24", "apple-m4-10c", "cpu-epyc9654-1s"}) + "\"\n";
  out += "[privacy]\nlabel = \"" +
         pick({"none", "internal", "confidential", "regulated", "secret"}) + "\"\n";
  return out;
}

}  // namespace holdfast::planner
