#include "holdfast/model/hyperparameters.h"

#include <cmath>
#include <initializer_list>
#include <string>
#include <utility>

#include "holdfast/base/utf8.h"
#include "holdfast/json/json.h"

namespace holdfast::model {

namespace {

constexpr std::size_t kArchitectureBytesMax = 64;
// Far above any model's (a window list of 1024 layers is 8 kB).
constexpr std::size_t kJsonBytesMax = 64u << 10;

template <typename E>
using Names = std::initializer_list<std::pair<E, std::string_view>>;

const Names<Activation> kActivationNames = {{Activation::kSilu, "silu"},
                                            {Activation::kGelu, "gelu"}};
const Names<QkNorm> kQkNormNames = {
    {QkNorm::kNone, "none"}, {QkNorm::kPerHead, "per_head"}, {QkNorm::kWhole, "whole"}};
const Names<RopeLayout> kRopeLayoutNames = {{RopeLayout::kNone, "none"},
                                            {RopeLayout::kAdjacent, "adjacent"},
                                            {RopeLayout::kHalves, "halves"}};
const Names<RopeScaling> kRopeScalingNames = {
    {RopeScaling::kNone, "none"}, {RopeScaling::kLinear, "linear"}, {RopeScaling::kYarn, "yarn"}};
const Names<RopeDivisors> kRopeDivisorsNames = {{RopeDivisors::kNone, "none"},
                                                {RopeDivisors::kFixed, "fixed"},
                                                {RopeDivisors::kByContext, "by_context"}};

Error bad_field(std::string_view name, std::string_view what) {
  return corrupt("the model's hyper-parameters are not valid",
                 std::string(name) + ": " + std::string(what));
}

// The one list of members; `visit` is called for each in canonical order: integers with their
// largest value (and smallest), floats with their range.
template <typename Rope, typename Visitor>
void visit_rope(Rope& r, Visitor& visit) {
  visit("layout", r.layout, kRopeLayoutNames);
  visit("dims", r.dims, 0u, kHeadDimMax);
  visit("base", r.base, 1e-3f, 1e12f);
  visit("scaling", r.scaling, kRopeScalingNames);
  visit("factor", r.factor, 1e-3f, 1e6f);
  visit("magnitude_factor", r.magnitude_factor, 1e-3f, 1e3f);
  visit("yarn_beta_fast", r.yarn_beta_fast, 1e-6f, 1e6f);
  visit("yarn_beta_slow", r.yarn_beta_slow, 1e-6f, 1e6f);
  visit("original_context", r.original_context, 0u, kContextMax);
  visit("divisors", r.divisors, kRopeDivisorsNames);
}

template <typename Hyper, typename Visitor>
void visit_members(Hyper& h, Visitor& visit) {
  visit("architecture", h.architecture);
  visit("n_layers", h.n_layers, 1u, kLayersMax);
  visit("n_embd", h.n_embd, 1u, kEmbeddingMax);
  visit("n_heads", h.n_heads, 1u, kHeadsMax);
  visit("n_kv_heads", h.n_kv_heads, 1u, kHeadsMax);
  visit("head_dim", h.head_dim, 1u, kHeadDimMax);
  visit("n_ff", h.n_ff, 1u, kFeedForwardMax);
  visit("n_vocab", h.n_vocab, 1u, kVocabularyMax);
  visit("context_train", h.context_train, 1u, kContextMax);
  visit("norm_eps", h.norm_eps, 0.0f, 1.0f);
  visit("activation", h.activation, kActivationNames);
  visit("tied_output", h.tied_output);
  visit("pre_norms", h.pre_norms);
  visit("post_norms", h.post_norms);
  visit("fused_qkv", h.fused_qkv);
  visit("q_bias", h.q_bias);
  visit("k_bias", h.k_bias);
  visit("v_bias", h.v_bias);
  visit("output_bias", h.output_bias);
  visit("fused_gate_up", h.fused_gate_up);
  visit("qk_norm", h.qk_norm, kQkNormNames);
  visit("rope", h.rope);
  visit("rope_local", h.rope_local);
  visit("window", h.window, 0u, kContextMax);
  visit("windowed", h.windowed);
  visit("embedding_scale", h.embedding_scale, 1e-6f, 1e6f);
  visit("attention_scale", h.attention_scale, 1e-6f, 1e6f);
  visit("residual_scale", h.residual_scale, 1e-6f, 1e6f);
  visit("logit_scale", h.logit_scale, 1e-6f, 1e6f);
  visit("attention_softcap", h.attention_softcap, 0.0f, 1e6f);
  visit("logit_softcap", h.logit_softcap, 0.0f, 1e6f);
}

class Writer {
 public:
  void operator()(const char* name, const std::string& v) { out.set(name, v); }
  void operator()(const char* name, bool v) { out.set(name, v); }
  void operator()(const char* name, std::uint32_t v, std::uint32_t, std::uint32_t) {
    out.set(name, v);
  }
  // The shortest decimal of the double is not the shortest of the float, but it is exact.
  void operator()(const char* name, float v, float, float) {
    out.set(name, static_cast<double>(v));
  }
  template <typename E>
  void operator()(const char* name, E v, const Names<E>& names) {
    for (const auto& [value, text] : names) {
      if (value == v) out.set(name, std::string(text));
    }
  }
  void operator()(const char* name, const RopeParameters& v) {
    Writer inner;
    visit_rope(v, inner);
    out.set(name, std::move(inner.out));
  }
  void operator()(const char* name, const std::vector<bool>& v) {
    json::Array items;
    for (const bool item : v) items.emplace_back(item);
    out.set(name, std::move(items));
  }

  json::Object out;
};

// Reads members in canonical order; the first one that is missing, of another type or out of range
// is the error.
class Reader {
 public:
  Reader(const json::Object& object, std::string prefix)
      : object_(object), prefix_(std::move(prefix)) {}

  void operator()(const char* name, std::string& v) {
    if (const json::Value* m = member(name, &json::Value::is_string, "a string"))
      v = m->as_string();
  }
  void operator()(const char* name, bool& v) {
    if (const json::Value* m = member(name, &json::Value::is_bool, "a boolean")) v = m->as_bool();
  }
  void operator()(const char* name, std::uint32_t& v, std::uint32_t, std::uint32_t) {
    const json::Value* m = member(name, &json::Value::is_int, "an integer");
    if (m == nullptr) return;
    if (m->as_int() < 0 || m->as_int() > UINT32_MAX) return fail(name, "is out of range");
    v = static_cast<std::uint32_t>(m->as_int());
  }
  void operator()(const char* name, float& v, float, float) {
    if (const json::Value* m = member(name, &json::Value::is_number, "a number")) {
      v = static_cast<float>(m->as_double());
    }
  }
  template <typename E>
  void operator()(const char* name, E& v, const Names<E>& names) {
    const json::Value* m = member(name, &json::Value::is_string, "a string");
    if (m == nullptr) return;
    for (const auto& [value, text] : names) {
      if (text == m->as_string()) {
        v = value;
        return;
      }
    }
    fail(name, "has an unknown value");
  }
  void operator()(const char* name, RopeParameters& v) {
    const json::Value* m = member(name, &json::Value::is_object, "an object");
    if (m == nullptr) return;
    Reader inner(m->as_object(), prefix_ + name + ".");
    visit_rope(v, inner);
    Status status = inner.finish();
    if (status_.ok() && !status.ok()) status_ = std::move(status);
  }
  void operator()(const char* name, std::vector<bool>& v) {
    const json::Value* m = member(name, &json::Value::is_array, "an array");
    if (m == nullptr) return;
    v.clear();
    for (const json::Value& item : m->as_array()) {
      if (!item.is_bool()) return fail(name, "must be an array of booleans");
      v.push_back(item.as_bool());
    }
  }

  // The first error, or kCorrupt if the object has members that nobody asked for.
  Status finish() {
    if (status_.ok() && object_.size() != seen_) fail("", "has unknown members");
    return std::move(status_);
  }

 private:
  const json::Value* member(const char* name, bool (json::Value::*is)() const,
                            std::string_view type) {
    const json::Value* v = object_.find(name);
    if (v == nullptr) {
      fail(name, "is missing");
      return nullptr;
    }
    ++seen_;
    if ((v->*is)()) return v;
    fail(name, "must be " + std::string(type));
    return nullptr;
  }
  void fail(std::string_view name, std::string_view what) {
    if (status_.ok()) status_ = bad_field(prefix_ + std::string(name), what);
  }

  const json::Object& object_;
  std::string prefix_;
  std::size_t seen_ = 0;
  Status status_;
};

// Checks each member alone.
class RangeCheck {
 public:
  explicit RangeCheck(std::string prefix) : prefix_(std::move(prefix)) {}

  void operator()(const char* name, const std::string& v) {
    if (v.empty() || v.size() > kArchitectureBytesMax || !is_valid_utf8(v)) {
      fail(name, "must be a short name");
    }
  }
  void operator()(const char*, bool) {}
  void operator()(const char* name, std::uint32_t v, std::uint32_t min, std::uint32_t max) {
    if (v < min || v > max) {
      fail(name, std::to_string(v) + " is not between " + std::to_string(min) + " and " +
                     std::to_string(max));
    }
  }
  void operator()(const char* name, float v, float min, float max) {
    // Written so that NaN fails. Zero of a softcap means none, so ranges from 0 include it.
    if (!(std::fabs(v) >= min && v <= max) || v < 0.0f) {
      fail(name, std::to_string(v) + " is out of range");
    }
  }
  template <typename E>
  void operator()(const char* name, E v, const Names<E>& names) {
    for (const auto& entry : names) {
      if (entry.first == v) return;
    }
    fail(name, "has an unknown value");
  }
  void operator()(const char* name, const RopeParameters& v) {
    RangeCheck inner(prefix_ + name + ".");
    visit_rope(v, inner);
    if (status.ok()) status = std::move(inner.status);
  }
  void operator()(const char*, const std::vector<bool>&) {}

  Status status;

 private:
  void fail(std::string_view name, std::string_view what) {
    if (status.ok()) status = bad_field(prefix_ + std::string(name), what);
  }

  std::string prefix_;
};

Status check_rope(const RopeParameters& r, std::uint32_t head_dim, std::string_view name) {
  if (r.layout == RopeLayout::kNone) return ok_status();
  if (r.dims == 0 || r.dims % 2 != 0 || r.dims > head_dim) {
    return bad_field(name, "dims must be even, above 0 and at most head_dim");
  }
  const bool needs_original =
      r.scaling == RopeScaling::kYarn || r.divisors == RopeDivisors::kByContext;
  if (needs_original && r.original_context == 0) {
    return bad_field(name, "original_context must be above 0");
  }
  if (r.scaling == RopeScaling::kYarn && r.base <= 1.0f) {
    return bad_field(name, "base must be above 1");
  }
  return ok_status();
}

}  // namespace

Status validate(const Hyperparameters& hyper) {
  RangeCheck check("");
  visit_members(hyper, check);
  HF_TRY(std::move(check.status));
  if (hyper.n_heads % hyper.n_kv_heads != 0) {
    return bad_field("n_kv_heads", "must divide n_heads");
  }
  if (hyper.windowed.size() != hyper.n_layers) {
    return bad_field("windowed", "must have one element per layer");
  }
  if (hyper.fused_qkv && (hyper.k_bias != hyper.q_bias || hyper.v_bias != hyper.q_bias)) {
    return bad_field("q_bias", "fused queries, keys and values have one bias");
  }
  bool any_window = false;
  for (const bool w : hyper.windowed) any_window |= w;
  if (any_window != (hyper.window > 0)) {
    return bad_field("window", "must be above 0 if and only if a layer has a window");
  }
  HF_TRY(check_rope(hyper.rope, hyper.head_dim, "rope"));
  return check_rope(hyper.rope_local, hyper.head_dim, "rope_local");
}

std::string to_json(const Hyperparameters& hyper) {
  Writer writer;
  visit_members(hyper, writer);
  return json::write(json::Value(std::move(writer.out)));
}

Result<Hyperparameters> from_json(std::string_view text) {
  json::ParseLimits limits;
  limits.bytes_max = kJsonBytesMax;
  limits.depth_max = 4;
  limits.values_max = kLayersMax + 256;
  auto parsed = json::parse(text, limits);
  if (!parsed.ok()) {
    return corrupt("the model's hyper-parameters are not valid", parsed.error().to_string());
  }
  if (!parsed->is_object()) return bad_field("", "must be an object");
  Hyperparameters hyper;
  Reader reader(parsed->as_object(), "");
  visit_members(hyper, reader);
  HF_TRY(reader.finish());
  HF_TRY(validate(hyper));
  if (to_json(hyper) != text) return bad_field("", "is not in canonical form");
  return hyper;
}

}  // namespace holdfast::model
