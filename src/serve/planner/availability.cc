#include "holdfast/planner/availability.h"

#include <algorithm>
#include <cmath>
#include <string>

namespace holdfast::planner {
namespace {

Error bad(const char* field) {
  return Error(ErrorCode::kInvalidArgument, std::string(field) + " is out of range");
}

bool is_share(double value) { return value >= 0 && value <= 1; }

Status check(const Redundancy& redundancy) {
  if (redundancy.needed < 1 || redundancy.needed > kNodesMax) return bad("needed");
  if (redundancy.present < redundancy.needed || redundancy.present > kNodesMax) {
    return bad("present");
  }
  const double mtbf = redundancy.mtbf.value();
  const double repair = redundancy.repair.value();
  if (!std::isfinite(mtbf) || mtbf <= 0) return bad("mtbf");
  if (!std::isfinite(repair) || repair < 0) return bad("mttr");
  if (!is_share(redundancy.common_cause_share)) return bad("common_cause_share");
  if (!is_share(redundancy.site)) return bad("site availability");
  if (!is_share(redundancy.router)) return bad("router availability");
  return ok_status();
}

// x^n with 0^0 = 1, as a logarithm.
double log_power(double x, int n) { return n == 0 ? 0 : n * std::log(x); }

}  // namespace

double availability(Seconds mtbf, Seconds repair) { return mtbf / (mtbf + repair); }

double k_of_n_unavailability(int needed, int present, double node) {
  double log_choose = 0;
  double down = 0;
  for (int up = 0; up < needed; ++up) {
    down += std::exp(log_choose + log_power(node, up) + log_power(1 - node, present - up));
    log_choose += std::log(static_cast<double>(present - up) / (up + 1));
  }
  return std::fmin(down, 1);
}

Result<double> system_availability(const Redundancy& redundancy) {
  HF_TRY(check(redundancy));
  const double down = 1 - availability(redundancy.mtbf, redundancy.repair);
  const double common = redundancy.common_cause_share * down;
  const double alone = down - common;
  const double machines =
      1 - k_of_n_unavailability(redundancy.needed, redundancy.present, 1 - alone);
  return redundancy.site * redundancy.router * (1 - common) * machines;
}

Result<std::optional<int>> machines_for(Redundancy redundancy, double target) {
  if (!is_share(target)) return bad("availability");
  for (int present = redundancy.needed; present <= kNodesMax; ++present) {
    redundancy.present = present;
    HF_TRY_ASSIGN(const double reached, system_availability(redundancy));
    if (reached >= target) return std::optional<int>(present);
    // Another machine that changes nothing: the rest is not the machines' fault.
    redundancy.present = std::min(present + 1, kNodesMax);
    HF_TRY_ASSIGN(const double more, system_availability(redundancy));
    if (more <= reached) break;
  }
  return std::optional<int>();
}

}  // namespace holdfast::planner
