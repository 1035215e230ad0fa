// What a way of running costs under a scenario: one function for the report, the draws and the
// sensitivity.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "holdfast/planner/cost.h"
#include "holdfast/planner/demand.h"
#include "holdfast/planner/ledger.h"
#include "holdfast/planner/plan.h"
#include "holdfast/planner/serving.h"

namespace holdfast::planner {

// Of one person.
inline constexpr double kStaffHoursYear = 1'800;

// Multipliers of inputs, 1 each for the plan itself.
struct Scenario {
  double speed = 1;   // of the engine
  double demand = 1;  // requests
  double isl = 1;
  double osl = 1;
  double buy = 1;
  double rent = 1;
  double token = 1;
  double electricity = 1;
  double staff = 1;
  double growth = 0;  // added to the yearly growth
  double drift = 0;   // added to the yearly drift of token prices
  std::optional<double> wacc;
  std::optional<double> life_years;
  double pue = 1;
  double maintenance = 1;
};

// Prices of a token API, in money per million tokens.
struct TokenPrices {
  std::string id;      // of the entry
  std::string region;  // of the entry; empty: not known
  double in = 0;
  double cached = 0;
  double out = 0;
  double request = 0;  // money per thousand requests
};

// A candidate with everything its cost depends on. Built once, evaluated many times.
struct Candidate {
  Mode mode{};
  std::string workload_class;
  const ModelNeed* model = nullptr;
  std::shared_ptr<const ServedModel> served;  // null for token APIs
  RequestShape request;
  DemandProfile demand;
  double c2a = 1;
  double tpot_max_ms = 0;
  double capacity_rps = 0;  // of one replica within the limits of latency, at speed 1
  double cap_rps = 0;       // of one replica, flat out
  double batch = 0;
  double spares = 0;
  bool sunk = false;  // owned already
  double owned_devices = 0;
  double opportunity_year = 0;
  double buy_price = 0;   // of one device
  double host_price = 0;  // of one device's share
  double host_watts = 0;
  double rent_price = 0;                // money per device hour
  std::optional<TokenPrices> tokens;    // of the API, or of the burst lane
  std::optional<TokenPrices> frontier;  // for the share that needs the newest models
  std::string provider;
  double api_availability = 0.995;
  double api_rtt_ms = 0;
  double api_ttft_ms = 0;
  double api_tpot_ms = 0;
  double hybrid_owned = 0;
  bool burst_by_rent = false;
  std::uint32_t site_count = 0;    // of edge
  std::uint32_t site_devices = 0;  // per site
  double staff_fte = 0;
  double data_out_gb_year = 0;  // what leaves with each year's requests besides text
  std::string device() const { return served ? served->place().device.id : ""; }
};

// Replicas that the year needs (1 is the first), under the scenario.
double replicas_in_year(const Candidate& c, const Problem& p, const Scenario& s, int year);

// Costs over the horizon. Lines whose default is assumed say so.
Ledger candidate_ledger(const Candidate& c, const Problem& p, const Scenario& s);
double npv_of(const Ledger& ledger, double wacc);
// Both at once, without names and lists: what draws use.
double candidate_npv(const Candidate& c, const Problem& p, const Scenario& s);

// Full-time equivalents that running it takes (specification, section 12), by skill.
double staff_fte(Mode mode, double nodes, double sites, const Team& team);

// Machines that so many devices are: eight data-centre devices share a host.
double hosts_of(const Device& device, double devices);

// What stands around so many devices at one place, and what each piece costs: assumed.
struct Surroundings {
  double hosts = 0;
  double network_cards = 0;
  double switches = 0;
  double disk_price = 0;  // of each host
  double ups_price = 0;   // of all together
  double price() const;
};
inline constexpr double kNetworkCardPrice = 400;
inline constexpr double kSwitchPrice = 2'000;
Surroundings surroundings_of(const Candidate& c, double devices);

// The first purchase, piece by piece; its sum is the ledger's.
std::vector<BomLine> bill_of_materials(const Candidate& c, double devices);

// Energy at the wall in the first year.
Energy candidate_energy(const Candidate& c, const Problem& p, const Scenario& s, int year);

}  // namespace holdfast::planner
