// The weights of one model, checked and laid out for the graph.
#pragma once

#include <span>
#include <vector>

#include "holdfast/base/result.h"
#include "holdfast/model/hyperparameters.h"
#include "holdfast/model/model.h"
#include "holdfast/tensor/linear.h"
#include "holdfast/tensor/rope.h"

namespace holdfast::model {

using Vector = std::span<const float>;  // empty where the model has none

struct LayerWeights {
  Vector attn_norm;
  tensor::LinearWeights q, k, v;  // slices of one matrix where the file fuses them
  Vector q_bias, k_bias, v_bias;
  Vector q_norm, k_norm;
  tensor::LinearWeights attn_output;
  Vector attn_output_bias;
  Vector post_attention_norm;
  Vector ffn_norm;
  tensor::LinearWeights gate, up, down;
  Vector post_ffw_norm;
};

// Views of memory that the provider owns. Value.
struct Weights {
  tensor::LinearWeights embedding;
  std::vector<LayerWeights> layers;
  Vector output_norm;
  tensor::LinearWeights output;  // the embedding where they are tied
  tensor::RopeTable rope;
  tensor::RopeTable rope_local;
};

// kNotFound for a missing tensor; kCorrupt for one of another shape or size, or a vector that is
// not finite; kUnsupported for a matrix that no kernel multiplies.
Result<Weights> load_weights(const Hyperparameters& hyper, TensorProvider& provider,
                             std::uint32_t context_length);

}  // namespace holdfast::model
