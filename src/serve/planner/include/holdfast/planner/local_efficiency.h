// Efficiencies of one machine from its own measurements: what `holdfast bench --calibrate` is for.
#pragma once

#include <cstddef>
#include <span>
#include <utility>
#include <vector>

#include "holdfast/base/result.h"
#include "holdfast/planner/device.h"
#include "holdfast/planner/model_shape.h"
#include "holdfast/planner/rates.h"

namespace holdfast::planner {

// One measured speed. Decode: `batch` sequences together make `tokens_per_s`, with `depth` tokens
// in each on average. Prefill: a prompt of `tokens`.
struct CalibrationPoint {
  ModelShape model;
  Bytes weights;
  double kv_element_bytes = 2;
  bool prefill = false;
  double tokens = 0;
  double batch = 1;
  double depth = 0;
  double tokens_per_s = 0;
};

struct LocalEfficiency {
  DecodeEfficiency decode;
  std::vector<std::pair<double, double>> eta;  // [tokens, share of the prefill peak], ascending
  double decode_sigma = 0.07;                  // of the residuals, 0.05 to 0.5
  double prefill_sigma = 0.07;
  std::size_t points = 0;

  // Between the measured lengths in the logarithm, constant beyond them. Precondition: not empty.
  double eta_at(double tokens) const;
};

// As prefill_time() of one device, but of the matrices of the layers alone: a prompt looks its
// embeddings up and needs one row of the output matrix, which in small models are most of the
// parameters. What eta of a LocalEfficiency is a share of.
Seconds local_prefill_time(const ModelShape& shape, double tokens, const Device& device,
                           double eta);

inline constexpr std::size_t kCalibrationPointsMax = 100'000;

// Least squares on relative errors of 3 % around the class's constants; eta is the median at each
// length. kInvalidArgument without decode or prefill points, or with a speed that is not positive.
Result<LocalEfficiency> fit_local(const Device& device, std::span<const CalibrationPoint> points);

// What the fit predicts for a point, tokens per second.
double predict_point(const LocalEfficiency& fit, const Device& device,
                     const CalibrationPoint& point);

}  // namespace holdfast::planner
