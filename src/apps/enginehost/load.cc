#include "load.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <mutex>

#include "draft.h"
#include "holdfast/base/checked.h"
#include "holdfast/base/units.h"
#include "holdfast/kernels/select.h"
#include "holdfast/platform/cpu.h"
#include "holdfast/platform/process.h"
#include "holdfast/quant/packed.h"
#include "holdfast/vault/pack_reader.h"
#include "sizing.h"

namespace holdfast::enginehost {

namespace {

// A thread reads a huge page at a time: none is written by two threads, so that each is zeroed once
// and lies on the NUMA node of its reader, and a pack's pages alternate between the team's nodes.
// Each chunk is verified while it is in the second-level cache.
constexpr std::uint64_t kChunksPerRead = platform::kLargeBufferAlignment / vault::kChunkBytes;
constexpr std::size_t kCpusMax = 4096;
// Beside an engine that computes, loading pauses for so many times the processor time that each
// thread spent on a piece. That takes a thirty-seventh of the cores; at the barriers of the others
// it holds up several times as much.
constexpr std::uint32_t kGiveWayTimes = 36;
// Keys are sent when the engine is started; who does not send them by then has died.
constexpr auto kKeyPatience = std::chrono::seconds(30);
// Bounds of the texts that all may share.
constexpr std::size_t kSharedPromptsMax = 64;
constexpr std::size_t kSharedPromptBytesMax = std::size_t{1} << 20;

Result<std::uint64_t> implied_bytes(std::uint16_t type, std::span<const std::uint64_t> dims) {
  const auto t = static_cast<quant::TensorType>(type);
  const std::uint64_t cols = dims[0];
  std::uint64_t rows = 1;
  for (std::size_t i = 1; i < dims.size(); ++i) rows *= dims[i];
  if (t == quant::TensorType::kF32) return cols * rows * sizeof(float);
  return quant::packed_bytes(t, rows, cols);
}

std::optional<platform::MemoryLock> find_memory_lock(std::string_view word) {
  using platform::MemoryLock;
  if (word == "off") return MemoryLock::kOff;
  if (word == "best-effort") return MemoryLock::kBestEffort;
  if (word == "required") return MemoryLock::kRequired;
  return std::nullopt;
}

// Reads one configuration object member by member; a member that nobody asks for is an error.
class Members {
 public:
  explicit Members(json::Object object) : object_(std::move(object)) {}

  template <typename T>
  Status number(const char* key, T& out, std::int64_t low, std::int64_t high) {
    const json::Value* v = object_.find(key);
    if (v == nullptr) return ok_status();
    if (!v->is_int() || v->as_int() < low || v->as_int() > high) {
      return invalid_argument(std::string("engine configuration: ") + key + " is out of range");
    }
    out = static_cast<T>(v->as_int());
    object_.erase(key);
    return ok_status();
  }
  Status text(const char* key, std::string& out) {
    const json::Value* v = object_.find(key);
    if (v == nullptr) return ok_status();
    if (!v->is_string())
      return invalid_argument(std::string("engine configuration: ") + key + " must be a string");
    out = v->as_string();
    object_.erase(key);
    return ok_status();
  }
  Status flag(const char* key, bool& out) {
    const json::Value* v = object_.find(key);
    if (v == nullptr) return ok_status();
    if (!v->is_bool())
      return invalid_argument(std::string("engine configuration: ") + key +
                              " must be true or false");
    out = v->as_bool();
    object_.erase(key);
    return ok_status();
  }
  Status numbers(const char* key, std::vector<int>& out, std::size_t count_max, std::int64_t high) {
    const json::Value* v = object_.find(key);
    if (v == nullptr) return ok_status();
    const auto good = [high](const json::Value& n) {
      return n.is_int() && n.as_int() >= 0 && n.as_int() <= high;
    };
    if (!v->is_array() || v->as_array().size() > count_max ||
        !std::all_of(v->as_array().begin(), v->as_array().end(), good)) {
      return invalid_argument(std::string("engine configuration: ") + key +
                              " must be a list of numbers in range");
    }
    for (const json::Value& n : v->as_array()) out.push_back(static_cast<int>(n.as_int()));
    object_.erase(key);
    return ok_status();
  }
  Status texts(const char* key, std::vector<std::string>& out, std::size_t count_max,
               std::size_t bytes_max) {
    const json::Value* v = object_.find(key);
    if (v == nullptr) return ok_status();
    const auto good = [bytes_max](const json::Value& t) {
      return t.is_string() && t.as_string().size() <= bytes_max;
    };
    if (!v->is_array() || v->as_array().size() > count_max ||
        !std::all_of(v->as_array().begin(), v->as_array().end(), good)) {
      return invalid_argument(std::string("engine configuration: ") + key +
                              " must be a list of texts within the limits");
    }
    for (const json::Value& t : v->as_array()) out.push_back(t.as_string());
    object_.erase(key);
    return ok_status();
  }
  Status nothing_left() const {
    if (object_.empty()) return ok_status();
    return invalid_argument("engine configuration: unknown member " + object_.begin()->key);
  }

 private:
  json::Object object_;
};

class PayloadTensors final : public model::TensorProvider {
 public:
  PayloadTensors(const vault::PackReader& pack, ByteView payload)
      : pack_(pack), payload_(payload) {}

  Result<model::LoadedTensor> get(std::string_view name) override {
    const vault::TensorEntry* t = pack_.tensor(name);
    if (t == nullptr) return not_found("the model has no tensor " + std::string(name));
    model::LoadedTensor out;
    out.type = static_cast<quant::TensorType>(t->type);
    out.cols = t->dims[0];
    out.rows = 1;
    for (std::size_t i = 1; i < t->n_dims; ++i) out.rows *= t->dims[i];
    out.bytes = payload_.subspan(t->offset, t->length);
    return out;
  }

 private:
  const vault::PackReader& pack_;
  ByteView payload_;
};

// Verifies a pack's payload in memory, and reads it into there first, decrypting, if that is not
// the file itself. Any number of threads may help.
class PayloadReader {
 public:
  PayloadReader(const vault::PackReader& pack, Payload& payload) : pack_(pack), payload_(payload) {}

  // Has chunks up to `end` done next, with those that were not done yet. Not while threads help.
  void extend(std::uint64_t end) { end_ = end; }
  // Does chunks until all have been taken; one piece of them where other engines compute.
  void help(const platform::BusyMark& mark) {
    do {
      std::uint64_t begin = next_.load(std::memory_order_relaxed);
      std::uint64_t count = 0;
      do {
        if (begin >= end_) return;
        count = std::min(kChunksPerRead, end_ - begin);
      } while (!next_.compare_exchange_weak(begin, begin + count, std::memory_order_relaxed));
      const Status s = read(begin, count);
      if (s.ok()) continue;
      const std::lock_guard lock(mutex_);
      if (!failure_) failure_ = s.error();
      next_ = end_;
    } while (!mark.others_busy());
  }
  // Once nobody helps any more.
  bool done() const { return next_ >= end_; }
  // Once nobody helps any more.
  Status result() const { return failure_ ? Status(*failure_) : ok_status(); }

 private:
  Status read(std::uint64_t begin, std::uint64_t count) {
    const std::uint64_t at = begin * vault::kChunkBytes;
    const std::uint64_t bytes = count * vault::kChunkBytes;
    if (payload_.buffer.size() > 0) {
      return pack_.read_chunks(begin, payload_.buffer.bytes().subspan(at, bytes));
    }
    return pack_.verify_chunks(begin, payload_.mapping.view().subspan(at, bytes));
  }

  const vault::PackReader& pack_;
  Payload& payload_;
  std::atomic<std::uint64_t> next_{0};
  std::uint64_t end_ = 0;
  std::mutex mutex_;
  std::optional<Error> failure_;
};

ByteView object_view(const vault::PackReader& pack, vault::ObjectKind kind, ByteView payload) {
  const vault::ObjectEntry* o = pack.index().find_object(kind);
  return o == nullptr ? ByteView() : payload.subspan(o->offset, o->length);
}

// The steps of loading one model, in order.
class Loader {
 public:
  enum class Role : std::uint8_t { kMain, kDraft };
  explicit Loader(const LoadConfig& config, Role role = Role::kMain,
                  const LoadedModel* draft = nullptr)
      : config_(config), role_(role), draft_(draft), loaded_(std::make_unique<LoadedModel>()) {}

  Status run() {
    HF_TRY_ASSIGN(platform::File file,
                  platform::File::from_fd(platform::UniqueFd(config_.pack_fd)));
    HF_TRY_ASSIGN(std::optional<vault::ContentKeys> keys, receive_keys());
    // Until it ends with this function, the reader is the only owner of the keys.
    HF_TRY_ASSIGN(const vault::PackReader pack,
                  vault::PackReader::open(file, implied_bytes, std::move(keys)));
    loaded_->seal = pack.header().seal;
    HF_TRY_ASSIGN(const Bytes config_object, pack.read_object(vault::ObjectKind::kConfig));
    HF_TRY_ASSIGN(const model::Hyperparameters hyper,
                  model::from_json(as_string_view(config_object)));
    HF_TRY(plan(pack, hyper));
    HF_TRY_ASSIGN(loaded_->kernels,
                  kernels::select_kernels(platform::CpuFeatures::detect(), config_.isa));
    HF_TRY_ASSIGN(loaded_->team,
                  tensor::ThreadTeam::create(config_.threads, config_.usable_cpus, config_.cpus));
    HF_TRY(read_payload(pack, file));
    HF_TRY(read_texts(pack));
    PayloadTensors tensors(pack, loaded_->payload.view());
    if (role_ == Role::kMain) {
      const kvcache::KvLayout layout = model::kv_layout(hyper, config_.kv_type);
      HF_TRY_ASSIGN(loaded_->cache,
                    kvcache::PagedKvCache::create(layout, pages_, nullptr, config_.memory_lock));
      loaded_->memory_locked = loaded_->payload.buffer.locked() && loaded_->cache->locked();
      const std::uint64_t kept =
          config_.prefix_bytes_max == 0 ? kPrefixBytesDefault : config_.prefix_bytes_max;
      if (config_.prefix_cache) {
        loaded_->prefix_pages =
            std::min<std::uint64_t>(pages_, kept / kvcache::PagedKvCache::page_bytes(layout));
      }
    }
    HF_TRY_ASSIGN(loaded_->model, model::Model::load(hyper, tensors, options_));
    if (static_cast<std::uint32_t>(loaded_->tokenizer->vocab_size()) > hyper.n_vocab) {
      return corrupt("the vocabulary has more entries than the model has logits");
    }
    return ok_status();
  }

  std::unique_ptr<LoadedModel> take() { return std::move(loaded_); }
  std::uint64_t limit_bytes() const { return limit_bytes_; }
  std::uint64_t needed_bytes() const { return needed_bytes_; }

 private:
  Result<std::optional<vault::ContentKeys>> receive_keys() const {
    if (config_.keys_fd < 0) return std::optional<vault::ContentKeys>();
    const platform::UniqueFd socket(config_.keys_fd);
    HF_TRY_ASSIGN(
        vault::ContentKeys keys,
        vault::receive_content_keys(socket.get(), platform::Deadline::after(kKeyPatience)));
    return std::optional(std::move(keys));
  }

  Status plan(const vault::PackReader& pack, const model::Hyperparameters& hyper) {
    std::uint64_t weights = 0;
    for (const vault::TensorEntry& t : pack.index().tensors) weights += t.length;
    const std::uint64_t kept = pack.payload_bytes() - weights;
    if (role_ == Role::kDraft) {
      HF_TRY_ASSIGN(loaded_->plan, draft_plan(config_, hyper, weights));
      options_ = load_options(config_, config_.context);
      return ok_status();
    }
    auto decided = footprint::fit(fit_request(config_, hyper, weights, beside(draft_)),
                                  scratch_of(config_, hyper));
    if (footprint::NoFit* refused = std::get_if<footprint::NoFit>(&decided)) {
      limit_bytes_ = refused->limit_bytes;
      needed_bytes_ = refused->needed_bytes;
      return std::move(refused->error);
    }
    const auto& fit = std::get<footprint::Fit>(decided);
    options_ = load_options(config_, fit.context);
    pages_ = fit.pages;
    loaded_->plan = fit.plan;
    loaded_->plan.process_bytes = process_bytes(config_, fit, kept);
    loaded_->context_reduced = fit.reduced;
    return ok_status();
  }

  // The vocabulary comes first in a pack, and getting it ready takes about as long as reading the
  // rest of a small model: one thread of the team does that and then helps the others.
  Status read_payload(const vault::PackReader& pack, const platform::File& file) {
    Payload& payload = loaded_->payload;
    // The file of a sealed pack holds ciphertext: there is nothing in it to map.
    loaded_->load = pack.sealed() ? LoadMode::kRead : config_.load;
    if (loaded_->load == LoadMode::kMap && config_.memory_lock == platform::MemoryLock::kRequired) {
      return invalid_argument("memory.lock = \"required\": a mapped model cannot be locked")
          .with_hint("set engine.load = \"read\"");
    }
    if (loaded_->load == LoadMode::kMap) {
      HF_TRY_ASSIGN(payload.mapping, platform::MappedFile::map(file, pack.header().data_off(),
                                                               pack.payload_bytes()));
    } else {
      HF_TRY_ASSIGN(payload.buffer, platform::LargeBuffer::allocate(pack.payload_bytes(), nullptr,
                                                                    {.lock = config_.memory_lock}));
    }
    std::uint64_t objects_end = 0;
    for (const vault::ObjectEntry& o : pack.index().objects)
      objects_end = std::max(objects_end, o.offset + o.length);
    PayloadReader reader(pack, payload);
    reader.extend(
        std::min(pack.payload_chunks(),
                 round_up(objects_end, kChunksPerRead * vault::kChunkBytes) / vault::kChunkBytes));
    HF_TRY(read_beside_others(reader, [](tensor::Worker&) {}));
    const ByteView object = object_view(pack, vault::ObjectKind::kTokenizer, payload.view());
    if (object.empty()) return corrupt("the model pack has no tokenizer");
    Result<std::unique_ptr<tokenizer::Tokenizer>> tokenizer = internal_error("not loaded");
    reader.extend(pack.payload_chunks());
    HF_TRY(read_beside_others(reader, [&](tensor::Worker& worker) {
      if (worker.index() + 1 == worker.count()) tokenizer = tokenizer::Tokenizer::load(object);
    }));
    HF_TRY_ASSIGN(loaded_->tokenizer, std::move(tokenizer));
    return ok_status();
  }

  // What the reader was told to do, on all threads, one piece at a time where other engines
  // compute; each thread calls `first` before its first piece.
  template <typename First>
  Status read_beside_others(PayloadReader& reader, First first) {
    const platform::BusyMark& mark = *config_.mark;
    for (bool begun = false; !begun || !reader.done(); begun = true) {
      const auto before = platform::own_cpu_time();
      loaded_->team->run([&](tensor::Worker& worker) {
        if (!begun) first(worker);
        reader.help(mark);
      });
      const auto worked = (platform::own_cpu_time() - before) / loaded_->team->size();
      if (!reader.done()) mark.give_way(worked, kGiveWayTimes);
    }
    return reader.result();
  }

  Status read_texts(const vault::PackReader& pack) {
    const ByteView payload = loaded_->payload.view();
    const ByteView metadata = object_view(pack, vault::ObjectKind::kMetadata, payload);
    if (!metadata.empty()) {
      HF_TRY_ASSIGN(loaded_->metadata, json::parse(as_string_view(metadata)));
    }
    loaded_->template_text = config_.template_text;
    if (loaded_->template_text.empty()) {
      loaded_->template_text =
          as_string_view(object_view(pack, vault::ObjectKind::kTemplate, payload));
    }
    if (loaded_->template_text.empty()) return ok_status();
    auto parsed = chat::Template::parse(loaded_->template_text);
    if (parsed.ok()) {
      loaded_->chat_template.emplace(std::move(parsed).value());
    } else {
      loaded_->template_error = parsed.error();
    }
    return ok_status();
  }

  const LoadConfig& config_;
  Role role_;
  const LoadedModel* draft_;
  std::unique_ptr<LoadedModel> loaded_;
  model::LoadOptions options_;
  std::size_t pages_ = 0;
  std::uint64_t limit_bytes_ = 0;
  std::uint64_t needed_bytes_ = 0;
};

}  // namespace

Result<LoadConfig> parse_load_config(std::string_view json_text) {
  HF_TRY_ASSIGN(json::Value value, json::parse(json_text));
  if (!value.is_object()) return invalid_argument("engine configuration: not an object");
  Members m(std::move(value.as_object()));
  LoadConfig c;
  std::string kv_type = "f16";
  std::string load = "read";
  std::string memory_lock = "best-effort";
  HF_TRY(m.number("pack_fd", c.pack_fd, 4, 1023));
  HF_TRY(m.number("keys_fd", c.keys_fd, 4, 1023));
  HF_TRY(m.number("threads", c.threads, 1, tensor::ThreadTeam::kThreadsMax));
  HF_TRY(m.number("usable_cpus", c.usable_cpus, 1, 65536));
  HF_TRY(m.numbers("cpus", c.cpus, kCpusMax, 65535));
  HF_TRY(m.text("load", load));
  HF_TRY(m.text("memory_lock", memory_lock));
  HF_TRY(m.number("context", c.context, 0, model::kContextMax));
  HF_TRY(m.number("kv_tokens", c.kv_tokens, 0, std::int64_t{1} << 40));
  HF_TRY(m.number("kv_bytes_max", c.kv_bytes_max, 0, std::int64_t{1} << 60));
  HF_TRY(m.text("kv_type", kv_type));
  HF_TRY(m.text("isa", c.isa));
  HF_TRY(m.number("batch_max", c.batch_max, 1, 1024));
  HF_TRY(m.number("prefill_chunk", c.prefill_chunk, 1, model::kContextMax));
  HF_TRY(m.number("queue_max", c.queue_max, 1, 65536));
  HF_TRY(m.flag("prefix_cache", c.prefix_cache));
  HF_TRY(m.number("prefix_bytes_max", c.prefix_bytes_max, 0, std::int64_t{1} << 60));
  HF_TRY(m.texts("shared_prompts", c.shared_prompts, kSharedPromptsMax, kSharedPromptBytesMax));
  HF_TRY(m.number("logits_rows", c.logits_rows, 0, 65536));
  HF_TRY(m.flag("hidden_states", c.hidden_states));
  HF_TRY(m.text("template", c.template_text));
  HF_TRY(m.number("memory_limit_bytes", c.memory_limit_bytes, 0, std::int64_t{1} << 60));
  HF_TRY(m.number("draft_pack_fd", c.draft_pack_fd, 4, 1023));
  HF_TRY(m.number("draft_keys_fd", c.draft_keys_fd, 4, 1023));
#ifdef HOLDFAST_TEST_HOOKS
  HF_TRY(m.number("test_token_delay_ms", c.test_token_delay_ms, 0, 10'000));
#endif
  int board_fd = -1;
  std::uint32_t board_place = 0;
  HF_TRY(m.number("board_fd", board_fd, 4, 1023));
  HF_TRY(m.number("board_place", board_place, 0, platform::kBusyPlacesMax - 1));
  std::string speculation = "off";
  HF_TRY(m.text("speculation", speculation));
  HF_TRY_ASSIGN(c.speculation, parse_speculation(speculation));
  HF_TRY(m.nothing_left());
  const std::optional<kvcache::KvType> type = kernels::find_kv_type(kv_type);
  if (!type) return invalid_argument("unsupported kv_type " + kv_type);
  c.kv_type = *type;
  if (board_fd >= 0) {
    HF_TRY_ASSIGN(*c.mark, platform::BusyMark::attach(board_fd, board_place));
  }
  if (load != "read" && load != "mmap") return invalid_argument("unsupported load " + load);
  c.load = load == "mmap" ? LoadMode::kMap : LoadMode::kRead;
  const std::optional<platform::MemoryLock> lock = find_memory_lock(memory_lock);
  if (!lock) return invalid_argument("unsupported memory_lock " + memory_lock);
  c.memory_lock = *lock;
  return c;
}

std::variant<std::unique_ptr<LoadedModel>, LoadFailure> load_model(const LoadConfig& config) {
  std::unique_ptr<LoadedModel> draft;
  if (config.speculation.source == runtime::SpeculationOptions::Source::kModel) {
    const LoadConfig own = draft_load_config(config);
    Loader loader(own, Loader::Role::kDraft);
    if (const Status status = loader.run(); !status.ok()) {
      Error error = status.error();
      error.add_context("draft model");
      return LoadFailure{std::move(error), 0, 0};
    }
    draft = loader.take();
  }
  Loader loader(config, Loader::Role::kMain, draft.get());
  Status status = loader.run();
  if (!status.ok())
    return LoadFailure{std::move(status).error(), loader.limit_bytes(), loader.needed_bytes()};
  std::unique_ptr<LoadedModel> loaded = loader.take();
  if (draft) status = join_draft(*loaded, std::move(draft));
  if (!status.ok()) return LoadFailure{std::move(status).error(), 0, 0};
  return loaded;
}

}  // namespace holdfast::enginehost
