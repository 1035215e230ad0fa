// From devices, rents and token prices to candidates of each mode, and the reasons against the
// rest.
#pragma once

#include <string>
#include <vector>

#include "economics.h"
#include "holdfast/planner/plan.h"

namespace holdfast::planner {

// A part of the workload with its model: what a candidate serves.
struct Slice {
  const WorkloadClass* part = nullptr;
  const ModelNeed* model = nullptr;
  RequestShape request;
  DemandProfile demand;
  double c2a = 1;
  Burstiness burstiness;
};

// A candidate, or what is known of one that was removed.
struct Found {
  Candidate candidate;
  std::vector<Reason> reasons;
  bool removed = false;
  std::string device;  // also where there is no candidate
  std::string quant;
  std::string provider;
  Mode mode{};
  MemoryNeed memory;  // of a removed one that does not fit
};

// All modes that the problem asks for. kInvalidArgument for prices without an exchange rate.
Result<std::vector<Found>> find_candidates(const Problem& problem, const Slice& slice,
                                           const Efficiencies& efficiencies,
                                           std::vector<Price>& prices_used);

// Requests per second that a replica serves within the limits of latency; 0: none at all.
double capacity_within(const ServedModel& served, const Slice& slice, double batch, double rtt_ms);

// Milliseconds between a caller and a mode.
double rtt_of(const Problem& problem, Mode mode);

// Watts of what stands around one device, under load.
double host_watts_of(const Problem& problem, const Device& device);

// Whether data with this label may go there, by R-RES, R-ZDR and R-CERT: the reason against it.
struct Place {
  bool own = false;            // the organisation's own premises
  std::string region;          // empty: not known
  double retention_days = -1;  // below 0: not known
  std::optional<bool> trains_on_data;
  std::vector<std::string> certifications;
  bool keeps_requests = false;  // a token API, as opposed to a rented machine
};
std::optional<Reason> reason_against(const Problem& problem, Label label, const Place& place);

std::string gigabytes_text(Bytes bytes);

}  // namespace holdfast::planner
