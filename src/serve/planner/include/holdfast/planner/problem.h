// What a plan is made for: workload, models, limits and circumstances (specification, section 3).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "holdfast/base/result.h"
#include "holdfast/json/json.h"
#include "holdfast/planner/device.h"
#include "holdfast/planner/local_efficiency.h"
#include "holdfast/planner/model_shape.h"
#include "holdfast/planner/price_book.h"

namespace holdfast::planner {

// A value that nobody gave. Every one that was used is in the report.
struct DefaultUsed {
  std::string field;
  std::string value;
  std::string effect;    // what it changes in the plan
  bool assumed = false;  // without a source: printed as such
};

// Lengths of prompts or answers, in tokens.
struct LengthSpec {
  double mean = 0;
  double cv = 1;   // of a lognormal, where no percentiles are given
  double p50 = 0;  // with p90 and p99; 0: not given
  double p90 = 0;
  double p99 = 0;
};

enum class ServiceKind : std::uint8_t { kRealtime, kInteractive, kBatch };
enum class Label : std::uint8_t { kNone, kInternal, kConfidential, kRegulated, kSecret };
std::string_view label_name(Label label);

// Limits of latency; 0: none.
struct Slo {
  double ttft_p99_ms = 0;
  double tpot_p99_ms = 0;
  double e2e_p99_ms = 0;
  double availability = 0;  // 0..1
  double control_loop_ms = 0;
};

// A part of the requests: lengths, model and limits of its own.
struct WorkloadClass {
  std::string name = "all";
  double share = 1;  // of the requests
  int priority = 0;
  ServiceKind kind = ServiceKind::kInteractive;
  LengthSpec isl;
  LengthSpec osl;
  Slo slo;
  Label label = Label::kNone;
  std::string model;  // empty: the first of models[]
};

enum class ArrivalKind : std::uint8_t { kPoisson, kBursty, kTrace };

struct ArrivalSpec {
  ArrivalKind kind = ArrivalKind::kBursty;
  double c2a = 1;
  double idc_1s = 0;
  double idc_10s = 0;
  double idc_60s = 0;
  std::string profile = "office";  // flat, diurnal, office
  double peak_to_mean = 0;         // of an hour over a week; 0: the profile's
  double weekend_share = 0;        // of a weekday's demand; below 0: the profile's
};

struct TraceRow {
  double at_s = 0;
  double isl = 0;
  double osl = 0;
};

struct Workload {
  double rate_rps = 0;  // mean over a week
  std::vector<WorkloadClass> classes;
  double prefix_share = 0;
  ArrivalSpec arrival;
  double growth_low = 0;  // per year
  double growth = 0;
  double growth_high = 0;
  std::vector<TraceRow> trace;
};

struct ModelNeed {
  ModelShape shape;
  std::vector<Quant> quants;  // that may be used
  std::string kv_type = "f16";
  double quality_loss_max = 0.05;
  double context =
      0;  // tokens per sequence that memory must hold; 0: ISL + OSL at the 99th percentile
};

struct OwnedHardware {
  Device device;
  std::uint32_t count = 1;
  double opportunity_year = 0;  // money
};

struct Sites {
  std::string name;
  std::uint32_t count = 0;
  double uplink_mbps = 0;
  double availability = 0.99;  // of the link
  double rtt_ms = 30;          // to the region
  std::uint32_t devices = 1;   // at most, of each site
  double power_w_max = 0;      // 0: no limit
};

struct Team {
  double fte = 0;             // people at hand; 0: not given
  double staff_fte = -1;      // asked-for staffing of the plan; below 0: by the number of nodes
  double onprem_level = 0.5;  // 0..1: skill
  double cloud_level = 0.5;
  double loaded_cost = 180'000;  // money per person and year
};

struct Upstream {
  std::string name;
  std::string model;
  std::string region;          // empty: not known
  double retention_days = -1;  // below 0: not known
  std::optional<bool> trains_on_data;
  std::vector<std::string> certifications;
  double price_in = -1;  // money per million tokens; below 0: from the price book
  double price_out = -1;
  double price_cached = -1;
  double availability = 0.995;
  double rtt_ms = 35;
  double ttft_ms = 400;
  double tpot_ms = 15;
};

enum class EngineProfile : std::uint8_t { kHoldfast, kLlamaCpp, kTrtLlm, kTuned };

// Measurements of the user's own machine: holdfast bench --calibrate.
struct Calibration {
  std::string device;        // that it is of; empty: every device of class cpu
  double decode_factor = 1;  // measured over predicted rate
  double prefill_factor = 1;
  double sigma = 0.07;
  std::size_t points = 0;
  // Fitted anew instead of scaled, where the measurements allow it: then the factors are not used.
  std::optional<LocalEfficiency> local = {};
};

struct Problem {
  std::string today;  // YYYY-MM-DD
  std::uint64_t seed = 1;
  Workload workload;
  std::vector<ModelNeed> models;
  Slo slo;
  Label label = Label::kNone;
  std::vector<std::string> residency;       // empty: anywhere
  std::vector<std::string> certifications;  // an upstream must have all of them
  double retention_days_max = -1;           // below 0: by the label
  std::string currency = "USD";
  double capex_max = -1;  // money; below 0: no limit
  double opex_month_max = -1;
  int horizon_years = 4;
  double wacc = 0.08;
  std::vector<OwnedHardware> owned;
  std::vector<Sites> sites;
  Team team;
  double cv_cost_max = -1;
  double lockin_max = -1;
  double predictability = 0;  // 0..1: weight of a low variation of cost
  double frontier_share = 0;  // of requests that need the newest models
  double freshness_max_gap_months = -1;
  double training_tokens = 0;
  double training_per_year = 0;
  double dataset_gb = 0;
  double ingest_gb_day = 0;
  double migration_hours = 0;
  double retraining_cost = 0;
  std::vector<Upstream> upstreams;
  EngineProfile profile = EngineProfile::kHoldfast;
  std::vector<Calibration> calibrations;
  // Costs of owning.
  double pue = 1.54;
  double electricity_kwh = 0.13;
  double life_years = 4;
  double resale = 0.15;
  double maintenance = 0.05;
  double idle_share = 0.38;  // of load power
  double host_cost = 9'000;  // money per data-centre device
  double host_watts = 225;
  double rack_unit_month = 0;
  double egress_gb = 0.09;          // money, out of a cloud
  double storage_gb_month = 0.023;  // money, of a data set in a cloud
  double commit_discount = 0;       // of rented hours, 0..1
  double api_drift = -0.30;         // per year
  double mttr_hours = 24;
  double lead_weeks = 12;
  double co2_kg_kwh = 0.35;
  std::string site_region;           // of the own premises
  std::vector<std::string> devices;  // ids to consider; empty: all
  std::vector<std::string> modes;    // to consider; empty: all
  bool simulate = true;

  DeviceTable hardware{{}};
  PriceBook prices;
  std::vector<DefaultUsed> defaults;
  std::vector<std::string> warnings;
  std::string inputs_sha256;
};

// What a document may hold besides: how the caller found the inputs.
struct ProblemInputs {
  json::Value document;                  // sections of the specification together
  std::string trace_csv;                 // TIMESTAMP,ContextTokens,GeneratedTokens; empty: none
  std::vector<Device> extra_devices;     // of --hardware
  PriceBook extra_prices;                // of --prices
  std::vector<ModelShape> extra_models;  // of the catalogue, config.json
  std::vector<Calibration> calibrations;
  std::string today;
};

// kInvalidArgument with the path of the field: unknown (with the nearest), missing, negative,
// absurd, of the wrong kind, or at odds with another.
Result<Problem> parse_problem(const ProblemInputs& inputs);

// Of a trace: rows in order of time, from 0 s. kInvalidArgument names the line.
Result<std::vector<TraceRow>> parse_trace(std::string_view csv, std::string_view name);

}  // namespace holdfast::planner
