#include "holdfast/enginehost/host.h"

#include <array>
#include <condition_variable>
#include <cstdio>
#include <deque>
#include <functional>
#include <mutex>
#include <numeric>
#include <thread>

#include "draft.h"
#include "holdfast/jail/egress.h"
#include "holdfast/jail/jail.h"
#include "holdfast/kernels/select.h"
#include "holdfast/model/importance.h"
#include "holdfast/platform/clock.h"
#include "holdfast/platform/cpu.h"
#include "holdfast/platform/entropy.h"
#include "holdfast/platform/secret_memory.h"
#include "holdfast/runtime/engine.h"
#include "holdfast/runtime/prompt.h"
#include "load.h"
#include "shared_prompts.h"
#include "wire_sink.h"

namespace holdfast::enginehost {

namespace {

// A conversation nests deeper than an API body by the gateway's own wrapping.
constexpr std::size_t kChatDepthMax = 64;

// What the receiving thread hands to the engine's loop.
struct Command {
  enum class Kind : std::uint8_t { kSubmit, kCancel, kStats, kStop };
  Kind kind = Kind::kStop;
  runtime::RequestId id = 0;
  runtime::Request request;
  WireSink::Wants wants;
};

class CommandQueue {
 public:
  void push(Command command) {
    const std::lock_guard lock(mutex_);
    queue_.push_back(std::move(command));
    changed_.notify_one();
  }
  // All that is queued; waits for the first if `wait`.
  std::deque<Command> take(bool wait) {
    std::unique_lock lock(mutex_);
    if (wait) changed_.wait(lock, [this] { return !queue_.empty(); });
    return std::exchange(queue_, {});
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Command> queue_;
};

runtime::Generate to_generate(const wire::Submit& m) {
  const wire::SamplingParams& from = m.sampling;
  runtime::Generate g;
  g.max_tokens = from.max_tokens.value_or(0);
  g.stops = from.stop;
  g.ignore_eos = from.ignore_eos;
  g.want_logprobs = from.logprobs.has_value();
  g.top_logprobs = std::min(from.logprobs.value_or(0), sampler::kTopLogprobsMax);
  g.want_prompt_logprobs = from.echo;
  sampler::SamplingParams& to = g.sampling;
  to.temperature = static_cast<float>(from.temperature);
  to.top_k = static_cast<std::int32_t>(std::min<std::uint32_t>(from.top_k, 1u << 30));
  to.top_p = static_cast<float>(from.top_p);
  to.min_p = static_cast<float>(from.min_p);
  to.typical_p = static_cast<float>(from.typical_p);
  to.repeat_penalty = static_cast<float>(from.repeat_penalty);
  to.presence_penalty = static_cast<float>(from.presence_penalty);
  to.frequency_penalty = static_cast<float>(from.frequency_penalty);
  to.repeat_last_n = from.repeat_last_n;
  to.seed = from.seed;
  for (const wire::LogitBias& b : from.logit_bias)
    to.logit_bias.push_back({b.token, static_cast<float>(b.bias)});
  return g;
}

runtime::Scheduling to_scheduling(const wire::Scheduling& from) {
  runtime::Scheduling to;
  to.tenant = from.tenant;
  to.weight = from.weight;
  to.priority = static_cast<runtime::Priority>(from.priority);
  to.cache_domain = from.cache_domain;
  to.keep_prompt = from.keep_prompt;
  if (from.deadline_ms) {
    const auto now = static_cast<std::uint64_t>(platform::system_clock().monotonic_ns());
    to.deadline_ns = now + std::uint64_t{*from.deadline_ms} * 1'000'000;
  }
  return to;
}

std::uint64_t draw_seed() {
  std::array<std::byte, sizeof(std::uint64_t)> bytes{};
  ignore_error(platform::fill_random(bytes), "the seed only makes collisions hard to aim at");
  return load_le<std::uint64_t>(bytes.data());
}

runtime::Evaluate::Kind to_kind(wire::EvaluateKind kind) {
  switch (kind) {
    case wire::EvaluateKind::kScore:
      return runtime::Evaluate::Kind::kScore;
    case wire::EvaluateKind::kEmbedding:
      return runtime::Evaluate::Kind::kHidden;
    case wire::EvaluateKind::kImportance:
      return runtime::Evaluate::Kind::kImportance;
    case wire::EvaluateKind::kLogits:
    case wire::EvaluateKind::kPooled:
      break;
  }
  return runtime::Evaluate::Kind::kLogits;
}

// Answers requests on the receiving thread: what needs no forward pass at once, the rest through
// the queue.
class Receiver {
 public:
  Receiver(wire::Channel& channel, const LoadedModel& loaded, CommandQueue& queue)
      : channel_(channel), loaded_(loaded), queue_(queue) {}

  void run() {
    while (true) {
      auto message = channel_.receive();
      if (!message.ok() || !message->has_value() ||
          std::holds_alternative<wire::Shutdown>(**message))
        break;
      std::visit([this](auto& m) { handle(m); }, **message);
    }
    queue_.push({});
  }

 private:
  void send(const wire::Message& m) {
    ignore_error(channel_.send(m), "a gone gateway ends the loop");
  }
  void refuse(std::uint64_t id, const Error& error,
              runtime::FailureKind kind = runtime::FailureKind::kOther) {
    send(to_reply(id, {error, kind, 0, 0}));
  }

  Result<chat::Rendered> render(const std::string& chat_json) const;
  Result<std::vector<std::int32_t>> prompt_tokens(wire::Submit& m) const;

  void handle(wire::Submit& m);
  void handle(wire::Evaluate& m);
  void handle(wire::Tokenize& m);
  void handle(wire::Detokenize& m);
  void handle(wire::Render& m);
  void handle(wire::Cancel& m) { queue_.push({Command::Kind::kCancel, m.request, {}, {}}); }
  void handle(wire::Stats& m) { queue_.push({Command::Kind::kStats, m.request, {}, {}}); }
  template <typename Other>
  void handle(Other& m) {
    if constexpr (requires { m.request; })
      refuse(m.request, invalid_argument("this message is not for an engine"));
  }

  wire::Channel& channel_;
  const LoadedModel& loaded_;
  CommandQueue& queue_;
};

Result<chat::Rendered> Receiver::render(const std::string& chat_json) const {
  if (!loaded_.chat_template) {
    if (loaded_.template_error) return *loaded_.template_error;
    return unsupported("the model has no chat template")
        .with_hint(
            "give one by name with --template (chatml, llama3, gemma, ...), or use plain "
            "completions");
  }
  json::ParseLimits limits;
  limits.bytes_max = wire::kTextBytesMax;
  limits.depth_max = kChatDepthMax;
  HF_TRY_ASSIGN(const json::Value chat, json::parse(chat_json, limits));
  chat::RenderInput input;
  if (const json::Value* v = chat.find("messages")) input.messages = *v;
  if (const json::Value* v = chat.find("tools")) input.tools = *v;
  if (const json::Value* v = chat.find("template_arguments"); v != nullptr && v->is_object())
    input.extra = v->as_object();
  if (const json::Value* v = chat.find("add_generation_prompt"); v != nullptr && v->is_bool()) {
    input.add_generation_prompt = v->as_bool();
  }
  input.now.unix_seconds = platform::unix_seconds(platform::system_clock().wall_time());
  runtime::set_template_tokens(*loaded_.tokenizer, input);
  return loaded_.chat_template->render(input);
}

Result<std::vector<std::int32_t>> Receiver::prompt_tokens(wire::Submit& m) const {
  switch (m.kind) {
    case wire::PromptKind::kTokens:
      return std::move(m.tokens);
    case wire::PromptKind::kText:
      return runtime::encode_text(*loaded_.tokenizer, m.text);
    case wire::PromptKind::kChat: {
      HF_TRY_ASSIGN(const chat::Rendered rendered, render(m.text));
      return runtime::encode_chat(*loaded_.tokenizer, rendered);
    }
  }
  return invalid_argument("unknown kind of prompt");
}

void Receiver::handle(wire::Submit& m) {
  const runtime::Scheduling scheduling = to_scheduling(m.scheduling);
  auto tokens = prompt_tokens(m);
  if (!tokens.ok()) {
    const bool raised = chat::raised_by_template(tokens.error());
    return refuse(m.request, tokens.error(),
                  raised ? runtime::FailureKind::kTemplate : runtime::FailureKind::kOther);
  }
  Command c{Command::Kind::kSubmit, m.request, {}, {}};
  c.request.id = m.request;
  c.request.tokens = std::move(*tokens);
  c.request.generate = to_generate(m);
  c.request.scheduling = scheduling;
  c.wants.logprobs = m.sampling.logprobs.has_value();
  c.wants.margins = m.want_margins;
  queue_.push(std::move(c));
}

void Receiver::handle(wire::Evaluate& m) {
  if (m.kind == wire::EvaluateKind::kPooled) {
    return refuse(m.request, unsupported("unsupported: this model declares no pooling"));
  }
  runtime::Evaluate e;
  e.kind = to_kind(m.kind);
  e.score_from = m.score_from;
  const bool of_positions =
      e.kind == runtime::Evaluate::Kind::kLogits || e.kind == runtime::Evaluate::Kind::kHidden;
  if (of_positions && !m.tokens.empty()) {
    if (m.choice == wire::PositionChoice::kList) e.positions = m.positions;
    if (m.choice == wire::PositionChoice::kLast)
      e.positions = {static_cast<std::uint32_t>(m.tokens.size() - 1)};
    if (m.choice == wire::PositionChoice::kAll) {
      e.positions.resize(m.tokens.size());
      std::iota(e.positions.begin(), e.positions.end(), 0u);
    }
  }
  Command c{Command::Kind::kSubmit, m.request, {}, {}};
  c.request.id = m.request;
  c.request.tokens = std::move(m.tokens);
  c.wants.positions = e.positions;
  if (e.kind == runtime::Evaluate::Kind::kImportance) {
    c.wants.positions.resize(model::activation_slots(loaded_.model->hyperparameters()).size());
    std::iota(c.wants.positions.begin(), c.wants.positions.end(), 0u);
  }
  c.request.evaluate = std::move(e);
  queue_.push(std::move(c));
}

void Receiver::handle(wire::Tokenize& m) {
  auto tokens = loaded_.tokenizer->encode(m.text, {m.add_special, m.parse_special});
  if (!tokens.ok()) return refuse(m.request, tokens.error());
  wire::Tokens answer{m.request, std::move(*tokens), {}};
  if (m.with_pieces) {
    for (const std::int32_t id : answer.tokens)
      answer.pieces.emplace_back(loaded_.tokenizer->token_bytes(id));
  }
  send(answer);
}

void Receiver::handle(wire::Detokenize& m) {
  auto text = loaded_.tokenizer->decode(m.tokens, {m.remove_special, m.unparse_special});
  if (!text.ok()) return refuse(m.request, text.error(), runtime::FailureKind::kUnknownToken);
  send(wire::Text{m.request, std::move(*text)});
}

void Receiver::handle(wire::Render& m) {
  auto rendered = render(m.chat_json);
  if (!rendered.ok()) {
    const bool raised = chat::raised_by_template(rendered.error());
    return refuse(m.request, rendered.error(),
                  raised ? runtime::FailureKind::kTemplate : runtime::FailureKind::kOther);
  }
  send(wire::Rendered{m.request, rendered->text()});
}

std::string stats_json(const runtime::EngineStats& s) {
  return json::write(json::Object{{"running", s.running},
                                  {"waiting", s.waiting},
                                  {"pages_total", s.pages_total},
                                  {"pages_used", s.pages_used},
                                  {"pages_kept", s.pages_kept},
                                  {"prefix_queries", s.prefix_queries},
                                  {"prefix_hits", s.prefix_hits},
                                  {"prefix_evictions", s.prefix_evictions},
                                  {"preemptions", s.preemptions},
                                  {"pauses", s.pauses},
                                  {"steps", s.steps},
                                  {"prompt_tokens", s.prompt_tokens},
                                  {"generated_tokens", s.generated_tokens},
                                  {"draft_tokens", s.draft_tokens},
                                  {"draft_accepted", s.draft_accepted}});
}

std::string ready_json(const LoadedModel& loaded, const LoadConfig& config,
                       const json::Value& sandbox) {
  const model::Hyperparameters& h = loaded.model->hyperparameters();
  return json::write(
      json::Object{{"architecture", h.architecture},
                   {"vocab", h.n_vocab},
                   {"context", loaded.model->options().context_length},
                   {"context_reduced", loaded.context_reduced},
                   {"embedding", h.n_embd},
                   {"isa", std::string(loaded.kernels->isa)},
                   {"threads", config.threads},
                   {"cpus", json::Array(config.cpus.begin(), config.cpus.end())},
                   {"load", loaded.load == LoadMode::kMap ? "mmap" : "read"},
                   {"sealed", loaded.seal ? std::string(crypto::aead_algorithm_name(*loaded.seal))
                                          : std::string("no")},
                   {"memory_locked", loaded.memory_locked},
                   {"kv_type", kernels::kv_type_name(config.kv_type)},
                   {"weights_bytes", loaded.plan.weights_bytes},
                   {"kv_bytes", loaded.plan.kv_bytes},
                   {"scratch_bytes", loaded.plan.scratch_bytes},
                   {"process_bytes", loaded.plan.process_bytes},
                   {"batch_max", config.batch_max},
                   {"prefix_pages", loaded.prefix_pages},
                   {"kv_pages", loaded.cache->pages_total()},
                   {"kv_page_tokens", kernels::kPageTokens},
                   {"speculation", std::string(speculation_name(config.speculation))},
                   {"has_template", loaded.chat_template.has_value()},
                   {"adds_bos", loaded.tokenizer->adds_bos()},
                   {"bos", loaded.tokenizer->bos().value_or(-1)},
                   {"eos", loaded.tokenizer->eos().value_or(-1)},
                   {"metadata", loaded.metadata},
                   {"sandbox", sandbox}});
}

// Makes what the engine can do exactly known: answers that run together bring one token each in
// that time, and what wakes it late is not taken for the cost of a prompt. Nothing in a release.
std::function<double()> token_delay(const LoadConfig& config) {
  if (config.test_token_delay_ms == 0) return {};
  return [delay = std::chrono::milliseconds(config.test_token_delay_ms)] {
    // The jail has no call to sleep with; nobody ever notifies.
    std::mutex mutex;
    std::condition_variable never;
    std::unique_lock lock(mutex);
    const auto begin = std::chrono::steady_clock::now();
    never.wait_until(lock, begin + delay, [] { return false; });
    const auto late = std::chrono::steady_clock::now() - begin - delay;
    return std::chrono::duration<double>(late).count();
  };
}

// The engine's loop: commands, then a step, until the receiver says stop.
void serve(wire::Channel& channel, LoadedModel& loaded, const LoadConfig& config) {
  WireSink sink(channel);
  runtime::EngineParts parts{*loaded.model, *loaded.team,      *loaded.kernels,
                             *loaded.cache, *loaded.tokenizer, platform::system_clock()};
  if (loaded.draft) {
    parts.draft_model = loaded.draft->model.get();
    parts.draft_cache = loaded.draft->cache.get();
  }
  const bool guesses = config.speculation.source != runtime::SpeculationOptions::Source::kNone;
  const std::uint32_t decoding = config.places() + (guesses ? config.speculation.tokens_max : 0);
  runtime::EngineOptions options;
  options.sequences_max = config.batch_max;
  options.guests_max = config.guests_max();
  options.prefill_chunk = loaded.model->options().batch_tokens_max - decoding;
  options.queue_max = config.queue_max;
  options.prefix_pages_max = loaded.prefix_pages;
  options.prefix_seed = draw_seed();
  options.shared_prefixes = shared_prefixes(loaded, config.shared_prompts);
  options.speculation = config.speculation;
  options.beside_answers = token_delay(config);
  runtime::Engine engine(parts, options, sink);
  CommandQueue queue;
  Receiver receiver(channel, loaded, queue);
  std::thread receiving([&receiver] { receiver.run(); });
  // Not earlier: threads inherit the place of the one that starts them.
  ignore_error(loaded.team->place_caller(), "the team was placed on the same processors");
  bool stopping = false;
  while (!stopping && !sink.broken()) {
    for (Command& c : queue.take(engine.idle())) {
      switch (c.kind) {
        case Command::Kind::kSubmit:
          if (sink.expect(c.id, std::move(c.wants))) engine.submit(std::move(c.request));
          break;
        case Command::Kind::kCancel:
          engine.cancel(c.id);
          break;
        case Command::Kind::kStats:
          ignore_error(channel.send(wire::StatsReply{c.id, stats_json(engine.stats())}),
                       "seen by the next send");
          break;
        case Command::Kind::kStop:
          stopping = true;
          break;
      }
    }
    if (stopping) break;
    config.mark->set_busy(!engine.idle());
    engine.step();
    if (engine.idle()) config.mark->set_busy(false);
  }
  channel.shut_down();
  receiving.join();
}

int refuse_load(wire::Channel& channel, const LoadFailure& failure) {
  wire::ErrorReply reply = wire::make_error_reply(0, failure.error);
  if (failure.error.code() == ErrorCode::kExhausted && failure.needed_bytes > 0) {
    reply.reason = static_cast<std::uint8_t>(wire::ErrorReason::kDoesNotFit);
    reply.limit = failure.limit_bytes;
    reply.actual = failure.needed_bytes;
  }
  ignore_error(channel.send(reply), "the gateway sees the exit");
  ignore_error(channel.flush(platform::Deadline::after(std::chrono::seconds(1))),
               "the gateway sees the exit");
  return error_code_exit_status(failure.error.code());
}

json::Value sandbox_json(const jail::JailReport& report) {
  json::Object layers;
  for (const jail::LayerState& l : report.layers) {
    layers.set(std::string(jail::layer_name(l.layer)),
               l.applied ? json::Value(true) : json::Value(l.reason));
  }
  return layers;
}

// Keys of a model and of its draft, with their copies. Further ones lie in locked pages.
constexpr std::size_t kSecretPieces = 16;

// Descriptors that the gateway hands over: the pack, the draft model's pack where there is one, and
// the memory in which engines show that they compute.
constexpr int kPackFd = 4;
constexpr int kDraftPackFd = 5;
constexpr int kBoardFd = 6;
// Sockets that bring the keys of sealed packs.
constexpr int kKeysFd = 7;
constexpr int kDraftKeysFd = 8;

jail::Profile engine_profile(std::vector<int> keep_fds) {
  jail::Profile profile;
  profile.kind = jail::ProfileKind::kEngine;
  profile.keep_fds = std::move(keep_fds);
  return profile;
}

// Nothing falls back in silence.
void say_what_fell_back(const LoadConfig& config, const LoadedModel& loaded) {
  if (config.load == LoadMode::kMap && loaded.load == LoadMode::kRead) {
    std::fputs("holdfast-engine: engine.load = \"mmap\": a sealed model is read instead\n", stderr);
  }
  if (config.memory_lock == platform::MemoryLock::kBestEffort && !loaded.memory_locked &&
      loaded.seal) {
    std::fputs(
        "holdfast-engine: the weights of a sealed model are not locked in memory: the limit on "
        "locked memory is too low (LimitMEMLOCK=, ulimit -l)\n",
        stderr);
  }
}

// Receives Load, loads, and says Ready. Nothing is returned where it failed: the gateway was told.
std::unique_ptr<LoadedModel> load(wire::Channel& channel, const jail::JailReport& report,
                                  LoadConfig& config, int& exit_status) {
  auto message = channel.receive();
  if (!message.ok() || !message->has_value()) return nullptr;
  const auto* request = std::get_if<wire::Load>(&**message);
  auto parsed = request == nullptr
                    ? Result<LoadConfig>(invalid_argument("the first message must be Load"))
                    : parse_load_config(request->config_json);
  if (!parsed.ok()) {
    exit_status = refuse_load(channel, {parsed.error(), 0, 0});
    return nullptr;
  }
  config = std::move(*parsed);
  auto loaded = load_model(config);
  if (auto* failure = std::get_if<LoadFailure>(&loaded)) {
    exit_status = refuse_load(channel, *failure);
    return nullptr;
  }
  auto model = std::get<std::unique_ptr<LoadedModel>>(std::move(loaded));
  say_what_fell_back(config, *model);
  ignore_error(channel.send(wire::Ready{ready_json(*model, config, sandbox_json(report))}),
               "seen by the next receive");
  return model;
}

}  // namespace

int probe_engine(std::string_view attempt, std::string_view targets) {
  return jail::answer_egress_probe(attempt, targets, [](std::vector<int> keep_fds) {
    return jail::enter_jail(engine_profile(std::move(keep_fds))).ok();
  });
}

int run_engine(const HostOptions& options) {
  // Asks for registers by a system call that the jail refuses; what it found is kept.
  platform::CpuFeatures::detect();
  const jail::Profile profile =
      engine_profile({options.control_fd, kPackFd, kDraftPackFd, kBoardFd, kKeysFd, kDraftKeysFd});
  // While there are privileges to do so.
  platform::raise_locked_memory_limit();
  platform::reserve_secret_memory(kSecretPieces);
  const auto report = jail::enter_jail(profile);
  if (!report.ok()) {
    std::fprintf(stderr, "holdfast-engine: %s\n", report.error().to_string().c_str());
    return error_code_exit_status(report.error().code());
  }
  auto channel = wire::Channel::open(platform::UniqueFd(options.control_fd));
  if (!channel.ok()) return error_code_exit_status(channel.error().code());
  ignore_error((*channel)->send(wire::Hello{}), "seen by the next receive");
  LoadConfig config;
  int exit_status = 0;
  const std::unique_ptr<LoadedModel> model = load(**channel, *report, config, exit_status);
  if (model) serve(**channel, *model, config);
  return exit_status;
}

}  // namespace holdfast::enginehost
