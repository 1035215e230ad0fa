#include "inputs_digest.h"

#include <optional>
#include <utility>

#include "canonical.h"

namespace holdfast::planner {

namespace {

// Numbers with all their digits: two inputs that differ in the last bit may differ in the plan.
json::Value number_or_null(std::optional<double> value) {
  return value ? json::Value(*value) : json::Value(nullptr);
}

template <typename Quantity>
json::Value number_or_null(const std::optional<Quantity>& value) {
  return value ? json::Value(value->value()) : json::Value(nullptr);
}

json::Value of(const Device& d) {
  return json::Array{d.id,
                     d.vendor,
                     std::string(device_class_name(d.device_class)),
                     d.memory.value(),
                     d.bandwidth.value(),
                     d.fp16.value(),
                     number_or_null(d.int8),
                     number_or_null(d.fp8),
                     number_or_null(d.fp4),
                     d.tdp.value(),
                     d.link.value(),
                     number_or_null(d.buy_low),
                     number_or_null(d.buy),
                     number_or_null(d.buy_high),
                     number_or_null(d.rent_hour),
                     number_or_null(d.rent_hour_spot),
                     d.source,
                     d.confidence,
                     d.note,
                     d.from_user};
}

json::Value of(const ModelShape& m) {
  return json::Array{m.id,
                     m.params,
                     m.active,
                     m.layers,
                     m.width,
                     m.ff_width,
                     m.vocab,
                     m.heads,
                     m.kv_heads,
                     m.head_dim,
                     static_cast<int>(m.attention),
                     m.kv_latent,
                     m.rope_dim,
                     m.window,
                     m.window_layers,
                     m.experts,
                     m.experts_used,
                     m.state_bytes,
                     m.context_max,
                     m.quant,
                     number_or_null(m.file_bytes),
                     m.licence,
                     m.released,
                     m.source,
                     m.estimated};
}

json::Value of(const LocalEfficiency& l) {
  json::Array eta;
  for (const auto& [tokens, share] : l.eta) eta.push_back(json::Array{tokens, share});
  return json::Array{l.decode.bytes_cost,
                     l.decode.kv_cost,
                     l.decode.flops_cost,
                     l.decode.layer.value(),
                     l.decode.batch_flops_cost,
                     l.decode.sequence.value(),
                     l.decode.split.value(),
                     l.decode.expert_reuse,
                     std::move(eta),
                     l.decode_sigma,
                     l.prefill_sigma};
}

json::Value of(const Calibration& c) {
  return json::Array{c.device, c.decode_factor, c.prefill_factor,
                     c.sigma,  c.points,        c.local ? of(*c.local) : json::Value(nullptr)};
}

template <typename Rows>
json::Value each(const Rows& rows) {
  json::Array out;
  for (const auto& row : rows) out.push_back(of(row));
  return out;
}

}  // namespace

std::string inputs_digest(const ProblemInputs& inputs, const Problem& problem) {
  json::Array prices;
  for (const Price& p : problem.prices.all()) prices.push_back(price_json(p));
  return sha256_hex(canonical(json::Array{inputs.document, inputs.today, inputs.trace_csv,
                                          std::move(prices), each(problem.hardware.all()),
                                          each(inputs.extra_models), each(inputs.calibrations)}));
}

}  // namespace holdfast::planner
