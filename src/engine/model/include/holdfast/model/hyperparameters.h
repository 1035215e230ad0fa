// Hyperparameters: everything about a model's graph that is not a weight; the typed object stored
// in a model pack.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "holdfast/base/result.h"

namespace holdfast::model {

enum class Activation : std::uint8_t { kSilu, kGelu };
// Norms of queries and keys: over each head, or over all heads of a token together.
enum class QkNorm : std::uint8_t { kNone, kPerHead, kWhole };
// Which elements of a head turn together: (2i, 2i+1), or (i, i + dims/2).
enum class RopeLayout : std::uint8_t { kNone, kAdjacent, kHalves };
enum class RopeScaling : std::uint8_t { kNone, kLinear, kYarn };
// Tensors that divide the frequencies: none, rope_freqs, or the pair rope_factors_long and
// rope_factors_short, of which the context length chosen at load takes one.
enum class RopeDivisors : std::uint8_t { kNone, kFixed, kByContext };

struct RopeParameters {
  RopeLayout layout = RopeLayout::kNone;
  std::uint32_t dims = 0;  // of each head; even
  float base = 10000.0f;
  RopeScaling scaling = RopeScaling::kNone;
  float factor = 1.0f;            // linear, yarn: positions are stretched by this
  float magnitude_factor = 1.0f;  // multiplies cosines and sines
  float yarn_beta_fast = 32.0f;
  float yarn_beta_slow = 1.0f;
  std::uint32_t original_context =
      0;  // yarn, kByContext: the context that the model was first trained on
  RopeDivisors divisors = RopeDivisors::kNone;

  friend bool operator==(const RopeParameters&, const RopeParameters&) = default;
};

// Written at import, read at load, both times checked against the limits below. Value.
// Thread-compatible.
struct Hyperparameters {
  std::string architecture;  // general.architecture

  std::uint32_t n_layers = 0;
  std::uint32_t n_embd = 0;
  std::uint32_t n_heads = 0;
  std::uint32_t n_kv_heads = 0;
  std::uint32_t head_dim = 0;  // floats per head of queries, keys and values
  std::uint32_t n_ff = 0;
  std::uint32_t n_vocab = 0;
  std::uint32_t context_train = 0;  // tokens

  float norm_eps = 1e-5f;  // of all (root mean square) norms
  Activation activation = Activation::kSilu;

  // Which parts the graph has.
  bool tied_output = false;  // the output head is the embedding matrix
  bool pre_norms = true;     // attn_norm and ffn_norm
  bool post_norms = false;   // post_attention_norm and post_ffw_norm
  bool fused_qkv = false;    // attn_qkv instead of attn_q, attn_k, attn_v
  bool q_bias = false;       // of attn_qkv when fused
  bool k_bias = false;
  bool v_bias = false;
  bool output_bias = false;    // attn_output
  bool fused_gate_up = false;  // ffn_up holds gate and up
  QkNorm qk_norm = QkNorm::kNone;

  RopeParameters rope;         // of layers that see everything
  RopeParameters rope_local;   // of layers with a window
  std::uint32_t window = 0;    // positions that a windowed layer sees, itself included
  std::vector<bool> windowed;  // [n_layers]

  float embedding_scale = 1.0f;
  float attention_scale = 1.0f;    // multiplies query . key
  float residual_scale = 1.0f;     // multiplies what attention and feed-forward add
  float logit_scale = 1.0f;        // multiplies logits
  float attention_softcap = 0.0f;  // 0: none
  float logit_softcap = 0.0f;      // 0: none

  std::uint32_t q_size() const { return n_heads * head_dim; }
  std::uint32_t kv_size() const { return n_kv_heads * head_dim; }
  std::uint32_t qkv_size() const { return q_size() + 2 * kv_size(); }

  friend bool operator==(const Hyperparameters&, const Hyperparameters&) = default;
};

// Limits of what import and load accept, so that no later size can overflow.
inline constexpr std::uint32_t kLayersMax = 1024;
inline constexpr std::uint32_t kEmbeddingMax = 1u << 17;
inline constexpr std::uint32_t kHeadsMax = 1024;
inline constexpr std::uint32_t kHeadDimMax = 1024;
inline constexpr std::uint32_t kFeedForwardMax = 1u << 20;
inline constexpr std::uint32_t kVocabularyMax = 1u << 21;
inline constexpr std::uint32_t kContextMax = 1u << 27;

// kCorrupt, naming the field, if a number is out of its limits or two of them contradict each
// other.
Status validate(const Hyperparameters& hyper);

// Canonical JSON (docs/formats/hyperparameters.md): all members, in one order, shortest numbers;
// equal values give equal bytes.
std::string to_json(const Hyperparameters& hyper);
// The inverse, validated. kCorrupt for anything that to_json would not have written, unknown
// members included.
Result<Hyperparameters> from_json(std::string_view text);

}  // namespace holdfast::model
