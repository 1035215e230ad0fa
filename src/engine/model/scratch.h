// The working memory of one model: taken once, sized by the load options.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "holdfast/model/hyperparameters.h"
#include "holdfast/model/model.h"
#include "holdfast/tensor/arena.h"
#include "holdfast/tensor/attention.h"
#include "holdfast/tensor/linear.h"

namespace holdfast::model {

// What one thread has for itself.
struct ThreadScratch {
  std::span<float> attention;
  // A step of one token keeps its residual here, in every thread alike: adding and normalising it
  // again in each costs less than the barrier that sharing it would.
  std::span<float> residual;   // [1][n_embd]
  tensor::Activations normed;  // [1][n_embd]
};

// `qkv` and `attended` share memory with `feed` and `up`: a layer has read the ones, in every
// thread, before it writes the others.
struct Scratch {
  std::span<float> residual;     // [tokens][n_embd]
  tensor::Activations normed;    // [tokens][n_embd]: what linear layers read
  std::span<float> qkv;          // [tokens][q, k, v]
  tensor::Activations attended;  // [tokens][q_size]
  std::span<float> projected;    // [tokens][n_embd]: outputs of attention and feed-forward
  tensor::Activations feed;      // [tokens][n_ff]: gate, then activation(gate) * up
  std::span<float> up;           // [tokens][n_ff]
  tensor::AttentionSplit split;
  std::span<float> rope, rope_local;  // [tokens][2][pairs]: cosines, sines
  tensor::Activations final_rows;     // [logits_rows_max][n_embd]
  std::span<float> logits;            // [logits_rows_max][n_vocab]
  std::span<float> hidden;            // [hidden_rows_max][n_embd]
  std::vector<ThreadScratch> threads;

  // With a default Arena this only measures. All activations have room for both forms, so that the
  // plan depends on the hyper-parameters alone.
  static Scratch take(tensor::Arena& arena, const Hyperparameters& h, const LoadOptions& options);
};

}  // namespace holdfast::model
