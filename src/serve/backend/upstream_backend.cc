#include "holdfast/backend/upstream_backend.h"

#include <algorithm>
#include <atomic>
#include <mutex>

#include "engine_metrics.h"
#include "holdfast/backend/upstream_answer.h"
#include "holdfast/platform/clock.h"
#include "process_supervisor.h"
#include "transfer_loop.h"
#include "upstream_request.h"
#include "upstream_span.h"

namespace holdfast::backend {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::uint64_t kLoadingRetryMs = 2'000;
constexpr std::size_t kErrorBytesMax = 64 * 1024;
constexpr std::size_t kAnswerBytesMax = 16u << 20;

// What runs of one model, for stats().
struct Load {
  std::atomic<std::uint32_t> under_way{0};
};

std::uint64_t ns_between(Clock::time_point from, Clock::time_point to) {
  return static_cast<std::uint64_t>(std::chrono::nanoseconds(to - from).count());
}

// One generation as a transfer.
class Streaming final : public Transfer {
 public:
  Streaming(std::shared_ptr<GenerateObserver> observer, std::int64_t seed, std::string upstream,
            std::string request_id, AnswerLimits limits, UpstreamSpan span, std::string unix_path,
            const observe::Logger& logger)
      : observer_(std::move(observer)),
        seed_(seed),
        upstream_(std::move(upstream)),
        request_id_(std::move(request_id)),
        logger_(logger),
        unix_path_(std::move(unix_path)),
        span_(std::move(span)),
        answer_(limits) {}

  std::function<void()> on_end;

  Taken take(const TransferHead& head, std::string_view bytes) override {
    if (head.status != 200) {
      error_body_ += bytes.substr(0, kErrorBytesMax - error_body_.size());
      return error_body_.size() < kErrorBytesMax ? Taken::kQuiet : Taken::kAbort;
    }
    if (!head.content_type.starts_with("text/event-stream")) {
      failure_ = failure_of_answer(
          corrupt("the upstream's answer cannot be understood", "no event stream"));
      return Taken::kAbort;
    }
    auto pieces = answer_.feed(bytes);
    if (!pieces.ok()) {
      failure_ = failure_of_answer(pieces.error());
      return Taken::kAbort;
    }
    for (AnswerPiece& piece : *pieces) emit(std::move(piece));
    return pieces->empty() ? Taken::kQuiet : Taken::kProgress;
  }

  void end(TransferEnd how, const TransferHead& head) override {
    settle(how, head);
    on_end();
  }

 private:
  void emit(AnswerPiece piece) {
    start();
    observer_->on_token(
        {std::move(piece.text), std::move(piece.tokens), std::move(piece.tool_calls)});
  }

  void start() {
    if (first_token_) return;
    first_token_ = Clock::now();
    Started started;
    if (answer_.usage()) started.prompt_tokens = answer_.usage()->prompt_tokens;
    observer_->on_started(std::move(started));
  }

  void settle(TransferEnd how, const TransferHead& head) {
    if (how == TransferEnd::kCancelled) {
      span_.end(head, unix_path_, answer_, "cancelled");
      return finish(FinishReason::kCancelled);
    }
    // [DONE] or a reason is an end, however the connection then ended.
    if (head.status == 200 && !failure_ && answer_.finish() && how != TransferEnd::kDeadline) {
      span_.end(head, unix_path_, answer_, {});
      return finish(*answer_.finish());
    }
    if (how != TransferEnd::kComplete && how != TransferEnd::kAborted) {
      failure_ = failure_of_end(how);
    } else if (head.status != 200) {
      failure_ = failure_of_status(head, error_body_);
    } else if (!failure_) {
      failure_ =
          failure_of_answer(unavailable("the upstream's answer was cut", "no finish reason"));
    }
    logger_.info("upstream.failed", {{"upstream", upstream_},
                                     {"request_id", request_id_},
                                     {"status", head.status},
                                     {"why", failure_->error.to_string()}});
    span_.end(head, unix_path_, answer_, error_type(head, *failure_));
    observer_->on_error(std::move(*failure_));
  }

  void finish(FinishReason reason) {
    if (reason != FinishReason::kCancelled) start();
    Finished finished;
    finished.reason = reason;
    if (answer_.usage()) {
      finished.usage = *answer_.usage();
    } else {
      finished.usage.completion_tokens = answer_.pieces();  // a piece is a token, as a rule
    }
    const auto now = Clock::now();
    finished.timings.prefill_ns = ns_between(sent_, first_token_.value_or(now));
    finished.timings.decode_ns = ns_between(first_token_.value_or(now), now);
    finished.seed = seed_;
    observer_->on_finished(std::move(finished));
  }

  const std::shared_ptr<GenerateObserver> observer_;
  const std::int64_t seed_;
  const std::string upstream_;
  const std::string request_id_;
  const observe::Logger& logger_;
  const Clock::time_point sent_ = Clock::now();
  std::optional<Clock::time_point> first_token_;
  const std::string unix_path_;
  UpstreamSpan span_;
  UpstreamAnswer answer_;
  std::string error_body_;
  std::optional<Failure> failure_;
};

// One call with a JSON answer.
class Calling final : public Transfer {
 public:
  using Answer = std::function<void(std::variant<json::Value, Failure>)>;
  explicit Calling(Answer answer) : answer_(std::move(answer)) {}

  Taken take(const TransferHead&, std::string_view bytes) override {
    if (body_.size() + bytes.size() > kAnswerBytesMax) return Taken::kAbort;
    body_ += bytes;
    return Taken::kProgress;
  }
  void end(TransferEnd how, const TransferHead& head) override {
    if (how == TransferEnd::kAborted)
      return answer_(failure_of_answer(exhausted("the upstream's answer is too long")));
    if (how != TransferEnd::kComplete) return answer_(failure_of_end(how));
    if (head.status == 404 || head.status == 405 || head.status == 501)
      return answer_(Failure{unsupported("the engine of this model has no such function")});
    if (head.status != 200) return answer_(failure_of_status(head, body_));
    json::ParseLimits limits;
    limits.bytes_max = kAnswerBytesMax;
    limits.values_max = 8u << 20;
    auto parsed = json::parse(body_, limits);
    if (parsed.ok()) return answer_(std::move(*parsed));
    answer_(failure_of_answer(corrupt("the upstream's answer cannot be understood", "no JSON")));
  }

 private:
  const Answer answer_;
  std::string body_;
};

class Handle final : public RequestHandle {
 public:
  explicit Handle(std::function<void()> cancel) : cancel_(std::move(cancel)) {}
  ~Handle() override { cancel_(); }
  void cancel() override { cancel_(); }

 private:
  const std::function<void()> cancel_;
};

Failure not_understood() {
  return failure_of_answer(corrupt("the upstream's answer cannot be understood", "other fields"));
}

std::variant<Tokenized, Failure> tokenized_of(const json::Value& value) {
  const json::Value* tokens = value.find("tokens");
  if (tokens == nullptr || !tokens->is_array()) return not_understood();
  Tokenized out;
  for (const json::Value& token : tokens->as_array()) {
    const json::Value* id = token.is_object() ? token.find("id") : &token;
    if (id == nullptr || !id->is_int() || id->as_int() < 0 || id->as_int() > INT32_MAX)
      return not_understood();
    out.tokens.push_back(static_cast<std::int32_t>(id->as_int()));
    const json::Value* piece = token.find("piece");
    if (piece == nullptr) continue;
    if (piece->is_string()) out.pieces.push_back(piece->as_string());
    if (!piece->is_array()) continue;
    std::string bytes;  // where it is no text by itself
    for (const json::Value& byte : piece->as_array())
      bytes += static_cast<char>(byte.is_int() ? byte.as_int() & 255 : '?');
    out.pieces.push_back(std::move(bytes));
  }
  return out;
}

Done<json::Value> text_answer(const char* field, Done<std::string> done) {
  return [field, done = std::move(done)](std::variant<json::Value, Failure> result) {
    if (auto* failure = std::get_if<Failure>(&result)) return done(std::move(*failure));
    const json::Value* text = std::get<json::Value>(result).find(field);
    if (text == nullptr || !text->is_string()) return done(not_understood());
    done(text->as_string());
  };
}

}  // namespace

struct UpstreamBackend::Impl : std::enable_shared_from_this<UpstreamBackend::Impl> {
  Impl(UpstreamOptions o, const observe::Logger& l, UpstreamTracing t)
      : options(std::move(o)), logger(l), tracing(t) {}

  // "theirs" of an id; empty: not one of ours.
  std::string theirs_of(std::string_view id) const {
    for (const auto& [theirs, ours] : options.models) {
      if (ours == id) return theirs;
    }
    return {};
  }
  ModelState state() const { return process ? process->state() : ModelState::kReady; }
  EngineFacts facts_of(const std::string& ours) const;
  void call(TransferRequest request, Calling::Answer answer);
  void tell_loaded();

  const UpstreamOptions options;
  const observe::Logger& logger;
  const UpstreamTracing tracing;
  std::string unix_path;  // of a service at a unix socket
  const std::int64_t began = platform::unix_seconds(platform::system_clock().wall_time());
  std::map<std::string, Load, std::less<>> loads;  // by our id; the map does not change
  std::unique_ptr<TransferLoop> loop;
  std::unique_ptr<ProcessSupervisor> process;

  std::mutex mutex;                                                // of what follows
  std::vector<std::pair<std::string, Done<EngineFacts>>> to_tell;  // when it is ready or failed
};

EngineFacts UpstreamBackend::Impl::facts_of(const std::string& ours) const {
  EngineFacts out;
  out.model = ours;
  out.state = state();
  out.isa = process ? "process" : "openai";
  out.pid = process ? process->pid() : 0;
  out.restarts = process ? process->restarts() : 0;
  out.context_length = options.context_length;
  out.slots = options.concurrency;
  const std::uint32_t under_way = loads.find(ours)->second.under_way;
  out.running = std::min(under_way, options.concurrency);
  out.waiting = under_way - out.running;
  out.speculation = "off";
  return out;
}

void UpstreamBackend::Impl::call(TransferRequest request, Calling::Answer answer) {
  loop->start(std::move(request), std::make_shared<Calling>(std::move(answer)));
  if (process) process->want();  // after it waits, so that a failed start is told to it
}

void UpstreamBackend::Impl::tell_loaded() {
  std::vector<std::pair<std::string, Done<EngineFacts>>> now;
  {
    const std::lock_guard lock(mutex);
    now.swap(to_tell);
  }
  for (auto& [model, done] : now) {
    if (state() == ModelState::kReady) {
      done(facts_of(model));
    } else {
      done(Failure{internal_error("the upstream could not be started", options.name),
                   FailureKind::kUpstream});
    }
  }
}

Result<std::unique_ptr<UpstreamBackend>> UpstreamBackend::create(UpstreamOptions options,
                                                                 const observe::Logger& logger,
                                                                 UpstreamTracing tracing) {
  TransferOptions t;
  t.bearer = options.bearer;
  t.ca_file = options.ca_file;
  t.concurrency = options.concurrency;
  t.connect_timeout = options.connect_timeout;
  t.first_token_timeout = options.first_token_timeout;
  t.idle_timeout = options.idle_timeout;
  t.timeout = options.timeout;
  if (!options.process) {
    HF_TRY_ASSIGN(const UpstreamAddress address, parse_upstream_url(options.url));
    if (!address.local && !options.egress_allowed) {
      return invalid_argument("upstream." + options.name +
                              " leaves this machine, which policy.egress"
                              " = \"deny\" forbids")
          .with_hint("set policy.egress = \"listed\" to allow the upstreams of the settings");
    }
    t.root = address.root;
    t.unix_path = address.unix_path;
  }
  auto impl = std::make_shared<Impl>(std::move(options), logger, tracing);
  impl->unix_path = t.unix_path;
  for (const auto& [theirs, ours] : impl->options.models) impl->loads[ours];
  impl->loop = std::make_unique<TransferLoop>(std::move(t), !impl->options.process);
  if (impl->options.process) {
    Impl* raw = impl.get();  // ends its supervisor before itself
    impl->process = std::make_unique<ProcessSupervisor>(
        impl->options.name, *impl->options.process, logger,
        ProcessSupervisor::Callbacks{[raw](const std::string& root) {
                                       raw->loop->open(root);
                                       raw->tell_loaded();
                                     },
                                     [raw] {
                                       raw->loop->close();
                                       raw->loop->refuse_waiting();
                                     },
                                     [raw] {
                                       raw->loop->refuse_waiting();
                                       raw->tell_loaded();
                                     }});
  }
  return std::unique_ptr<UpstreamBackend>(new UpstreamBackend(std::move(impl)));
}

UpstreamBackend::~UpstreamBackend() {
  impl_->process.reset();
  impl_->loop.reset();
  impl_->tell_loaded();
}

std::vector<ModelFacts> UpstreamBackend::models() {
  std::vector<ModelFacts> out;
  for (const auto& [theirs, ours] : impl_->options.models) {
    ModelFacts facts;
    facts.id = ours;
    facts.created = impl_->began;
    facts.context_length = impl_->options.context_length;
    facts.capabilities = {"completion", "tools"};
    facts.has_chat_template = true;
    facts.constrained = true;
    facts.state = impl_->state();
    out.push_back(std::move(facts));
  }
  return out;
}

Stats UpstreamBackend::stats() {
  Stats out;
  if (impl_->process) out.engine_restarts_total = impl_->process->restarts();
  if (impl_->process && impl_->process->pid() == 0) return out;
  for (const auto& [ours, load] : impl_->loads) out.engines.push_back(impl_->facts_of(ours));
  if (impl_->process)
    out.scraped =
        engine_metrics(impl_->process->metrics(), impl_->options.name, impl_->options.models);
  return out;
}

std::vector<RouteFacts> UpstreamBackend::routes() {
  if (!impl_->process) return {};
  RouteFacts out;
  const ModelState state = impl_->process->state();
  out.health = state == ModelState::kCold      ? "stopped"
               : state == ModelState::kLoading ? "starting"
                                               : std::string(model_state_name(state));
  return {std::move(out)};
}

std::unique_ptr<RequestHandle> UpstreamBackend::generate(
    GenerateRequest request, std::shared_ptr<GenerateObserver> observer) {
  const std::string theirs = impl_->theirs_of(request.model);
  auto sent = upstream_request(request, theirs);
  if (auto* failure = std::get_if<Failure>(&sent)) {
    observer->on_error(std::move(*failure));
    return nullptr;
  }
  if (impl_->process && !request.wait_for_load && impl_->state() != ModelState::kReady) {
    impl_->process->want();
    Failure loading{unavailable("the model is being loaded"), FailureKind::kModelLoading};
    loading.retry_after_ms = kLoadingRetryMs;
    observer->on_error(std::move(loading));
    return nullptr;
  }
  UpstreamSpan span(request, theirs, impl_->tracing);
  std::get<TransferRequest>(sent).headers = span.headers();
  auto streaming = std::make_shared<Streaming>(
      std::move(observer), request.sampling.seed.value_or(0), impl_->options.name,
      request.request_id, answer_limits(request), std::move(span), impl_->unix_path, impl_->logger);
  Load& load = impl_->loads.find(request.model)->second;
  ++load.under_way;
  streaming->on_end = [impl = impl_, &load] { --load.under_way; };
  const std::uint64_t number =
      impl_->loop->start(std::get<TransferRequest>(std::move(sent)), std::move(streaming));
  if (impl_->process) impl_->process->want();
  return std::make_unique<Handle>(impl_->loop->canceller(number));
}

void UpstreamBackend::tokenize(TokenizeRequest request, Done<Tokenized> done) {
  json::Object body{{"content", std::move(request.text)},
                    {"add_special", request.add_special},
                    {"with_pieces", request.with_pieces}};
  TransferRequest call;
  call.path = "/tokenize";
  call.body = json::write(body);
  impl_->call(std::move(call), [done = std::move(done)](std::variant<json::Value, Failure> result) {
    if (auto* failure = std::get_if<Failure>(&result)) return done(std::move(*failure));
    done(tokenized_of(std::get<json::Value>(result)));
  });
}

void UpstreamBackend::detokenize(std::string, std::vector<std::int32_t> tokens,
                                 Done<std::string> done) {
  json::Array list;
  for (const std::int32_t token : tokens) list.emplace_back(token);
  TransferRequest call;
  call.path = "/detokenize";
  call.body = json::write(json::Object{{"tokens", std::move(list)}});
  impl_->call(std::move(call), text_answer("content", std::move(done)));
}

void UpstreamBackend::render(std::string, ChatPrompt prompt, Done<std::string> done) {
  json::Object body{{"messages", std::move(prompt.messages)}};
  if (!prompt.tools.is_null()) body.set("tools", std::move(prompt.tools));
  if (!prompt.template_arguments.empty())
    body.set("chat_template_kwargs", std::move(prompt.template_arguments));
  TransferRequest call;
  call.path = "/apply-template";
  call.body = json::write(body);
  impl_->call(std::move(call), text_answer("prompt", std::move(done)));
}

void UpstreamBackend::load(std::string model, std::optional<std::chrono::milliseconds>,
                           Done<EngineFacts> done) {
  if (impl_->state() == ModelState::kReady) return done(impl_->facts_of(model));
  {
    const std::lock_guard lock(impl_->mutex);
    impl_->to_tell.emplace_back(std::move(model), std::move(done));
  }
  impl_->process->want();
}

void UpstreamBackend::unload(std::string, Done<std::monostate> done) {
  if (impl_->process) impl_->process->stop();
  done(std::monostate());
}

}  // namespace holdfast::backend
