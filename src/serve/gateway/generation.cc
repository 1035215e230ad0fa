#include "generation.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "holdfast/base/utf8.h"
#include "holdfast/http/sse.h"

namespace holdfast::gateway {
namespace {

using Clock = std::chrono::steady_clock;

// Runs of one request that are with the backend at the same time: a request with 256 prompts must
// not fill the queue for everybody else.
constexpr std::size_t kRunsAtOnceMax = 8;

// Text and tokens of one frame: small against the cap on unsent bytes, also with 20 alternatives
// per token.
constexpr std::size_t kFrameTextMax = 8 * 1024;
constexpr std::size_t kFrameTokensMax = 16;

std::optional<std::uint64_t> header_number(const http::Request& request, std::string_view name) {
  const std::string_view text = request.headers.get(name);
  std::uint64_t value = 0;
  const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || code != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

// The beginning of what waits, as much as fits one frame.
ChoiceText take_part(ChoiceText& pending) {
  ChoiceText part;
  part.text_offset = pending.text_offset;
  if (pending.text.size() > kFrameTextMax) {
    const std::size_t cut =
        complete_utf8_prefix(std::string_view(pending.text).substr(0, kFrameTextMax));
    part.text = pending.text.substr(0, cut);
    pending.text.erase(0, cut);
  } else {
    part.text.swap(pending.text);
  }
  const auto count = static_cast<std::ptrdiff_t>(std::min(pending.tokens.size(), kFrameTokensMax));
  const auto end = pending.tokens.begin() + count;
  part.tokens.assign(std::make_move_iterator(pending.tokens.begin()), std::make_move_iterator(end));
  pending.tokens.erase(pending.tokens.begin(), end);
  for (const auto& token : part.tokens) pending.text_offset += count_characters(token.bytes);
  return part;
}

// What waits of calls, as much as fits one frame. The arguments that came with the first part of a
// call go into a frame of their own, as clients expect.
backend::ToolCallPart take_call_part(ChoiceText& pending) {
  backend::ToolCallPart& first = pending.tool_calls.front();
  backend::ToolCallPart part{first.call, std::move(first.id), std::move(first.name), {}};
  first.id = first.name = std::string();
  if (part.name.empty()) {
    std::size_t cut = first.arguments.size();
    if (cut > kFrameTextMax)
      cut = complete_utf8_prefix(std::string_view(first.arguments).substr(0, kFrameTextMax));
    part.arguments = first.arguments.substr(0, cut);
    first.arguments.erase(0, cut);
    pending.call_bytes -= cut;
  }
  if (first.arguments.empty()) {
    pending.tool_calls.pop_front();
    pending.call_bytes -= sizeof(backend::ToolCallPart);
  }
  return part;
}

AnswerFormat::Identity identity_of(const Gateway::Impl& gateway, const GenerationSpec& spec,
                                   const backend::ModelFacts& model, const ServiceTier& tier) {
  return {gateway.new_id(spec.api == Api::kChat ? "chatcmpl-" : "cmpl-"), gateway.unix_now(),
          spec.model.empty() ? model.id : spec.model, gateway.fingerprint(model), tier.name};
}

}  // namespace

// Brings the calls of one run to the loop's thread. The generation may only be dropped there, hence
// the destructor.
class Generation::Observer final : public backend::GenerateObserver {
 public:
  Observer(std::shared_ptr<Generation> generation, std::size_t run)
      : mailbox_(generation->gateway_->mailbox), generation_(std::move(generation)), run_(run) {}
  ~Observer() override { mailbox_->post(std::move(generation_), run_, Mailbox::Gone{}); }

  void on_started(backend::Started started) override {
    mailbox_->post(generation_, run_, std::move(started));
  }
  void on_token(backend::TokenEvent event) override {
    mailbox_->post(generation_, run_, std::move(event));
  }
  void on_finished(backend::Finished finished) override {
    mailbox_->post(generation_, run_, std::move(finished));
  }
  void on_error(backend::Failure failure) override {
    mailbox_->post(generation_, run_, std::move(failure));
  }

 private:
  const std::shared_ptr<Mailbox> mailbox_;
  std::shared_ptr<Generation> generation_;
  const std::size_t run_;
};

void Generation::receive(std::size_t run, Mailbox::Event& event) {
  if (auto* token = std::get_if<backend::TokenEvent>(&event)) {
    on_token(run, std::move(*token));
  } else if (auto* started = std::get_if<backend::Started>(&event)) {
    on_started(run, std::move(*started));
  } else if (auto* finished = std::get_if<backend::Finished>(&event)) {
    on_finished(run, std::move(*finished));
  } else if (const auto* failure = std::get_if<backend::Failure>(&event)) {
    on_run_failure(run, *failure);
  }
}

Generation::Generation(std::shared_ptr<Gateway::Impl> gateway, RequestPtr request, WriterPtr writer,
                       GenerationSpec spec, backend::ModelFacts model, backend::Caller caller,
                       identity::Reservation reservation)
    : gateway_(std::move(gateway)),
      request_(std::move(request)),
      writer_(std::move(writer)),
      spec_(std::move(spec)),
      model_(std::move(model)),
      caller_(std::move(caller)),
      reservation_(std::move(reservation)),
      tier_(service_tier(*caller_of(*request_), spec_)),
      format_(spec_.api, identity_of(*gateway_, spec_, model_, tier_), spec_.want_logprobs,
              spec_.include_usage, spec_.older_functions),
      trace_(*gateway_, *request_, spec_, model_, format_.id()),
      inter_token_(gateway_->metrics.inter_token.with({gateway_->metrics.model_label(model_.id)})),
      deadline_(gateway_->env.loop),
      ping_(gateway_->env.loop) {
  for (std::size_t prompt = 0; prompt < spec_.prompts.size(); ++prompt) {
    for (std::uint32_t i = 0; i < spec_.best_of; ++i) {
      Run run;
      run.prompt = prompt;
      run.choice = static_cast<std::uint32_t>(prompt) * spec_.best_of + i;
      runs_.push_back(std::move(run));
    }
  }
}

Generation::~Generation() = default;

// The server's deadline must come before the client's, or the client sees a broken connection
// instead of an error.
std::chrono::milliseconds Generation::time_allowed() const {
  using std::chrono::milliseconds;
  milliseconds out = gateway_->options.deadline;
  const auto shorten = [&](std::uint64_t ms) {
    if (ms < static_cast<std::uint64_t>(out.count()))
      out = milliseconds(static_cast<std::int64_t>(ms));
  };
  if (const auto ms = header_number(*request_, "x-holdfast-deadline-ms"))
    shorten(std::max<std::uint64_t>(*ms, 1));
  if (const auto seconds = header_number(*request_, "x-stainless-timeout");
      seconds && *seconds < 1'000'000) {
    shorten(std::max<std::uint64_t>(*seconds * 1000, 1000) - 500);
  }
  return out;
}

void Generation::start() {
  const auto self = shared_from_this();
  gateway_->active.insert(self);
  request_->body = std::string();
  writer_->on_disconnect([weak = weak_from_this()](http::Disconnect) {
    if (const auto generation = weak.lock()) generation->end();
  });
  writer_->on_drain([weak = weak_from_this()] {
    if (const auto generation = weak.lock()) generation->pump();
  });
  const std::chrono::milliseconds allowed = time_allowed();
  deadline_at_ = Clock::now() + allowed;
  deadline_.start(allowed, [weak = weak_from_this()] {
    if (const auto generation = weak.lock()) generation->fail(deadline_exceeded());
  });
  wrote_ = Clock::now();
  arm_ping(gateway_->options.ping_interval);
  if (spec_.echo) {
    echo_next_prompt(0);
  } else {
    launch();
  }
}

// Prompts that came as tokens are turned into text one after the other, then the runs start.
void Generation::echo_next_prompt(std::size_t prompt) {
  if (done_) return;
  if (prompt == spec_.prompts.size()) return launch();
  const backend::Prompt& source = spec_.prompts[prompt];
  if (const auto* text = std::get_if<backend::TextPrompt>(&source)) {
    echoes_.push_back(text->text);
    return echo_next_prompt(prompt + 1);
  }
  const auto* tokens = std::get_if<backend::TokenPrompt>(&source);
  if (tokens == nullptr) return fail(internal_api_error());
  auto done = [weak = weak_from_this(),
               prompt](std::variant<std::string, backend::Failure> result) {
    const auto self = weak.lock();
    if (!self || self->done_) return;
    if (const auto* failure = std::get_if<backend::Failure>(&result))
      return self->on_failure(*failure);
    self->echoes_.push_back(std::move(std::get<std::string>(result)));
    self->echo_next_prompt(prompt + 1);
  };
  gateway_->env.backend.detokenize(model_.id, tokens->tokens,
                                   on_loop_result<std::string>(gateway_, writer_, std::move(done)));
}

backend::GenerateRequest Generation::request_of(const Run& run) const {
  backend::GenerateRequest out;
  out.model = model_.id;
  out.caller = caller_;
  out.priority = tier_.priority;
  out.deadline = deadline_at_;
  out.wait_for_load = spec_.wait_for_load;
  out.request_id = request_->id;
  out.trace = trace_.link();
  out.follow_up = &run != &runs_.front();
  out.prompt = spec_.prompts[run.prompt];
  out.sampling = spec_.sampling;
  // Choices of one prompt must differ; the first is what n = 1 would give.
  if (out.sampling.seed) {
    const std::uint64_t seed =
        static_cast<std::uint64_t>(*out.sampling.seed) + run.choice % spec_.best_of;
    out.sampling.seed = static_cast<std::int64_t>(seed);
  }
  out.max_tokens = spec_.max_tokens;
  out.stop = spec_.stop;
  out.response_format = spec_.response_format;
  out.want_logprobs = spec_.want_logprobs || spec_.best_of > spec_.n;
  out.top_logprobs = spec_.top_logprobs;
  out.want_prompt_logprobs = spec_.echo && spec_.want_logprobs;
  out.keep_alive = spec_.keep_alive;
  return out;
}

void Generation::launch() {
  trace_.launched();
  while (!done_ && launched_ < runs_.size() && running_ < kRunsAtOnceMax) {
    const std::size_t index = launched_++;
    ++running_;
    ++open_runs_;
    auto observer = std::make_shared<Observer>(shared_from_this(), index);
    runs_[index].handle =
        gateway_->env.backend.generate(request_of(runs_[index]), std::move(observer));
    // Refused: its failure is on the way to this thread, and the others would only be cancelled.
    if (!runs_[index].handle) break;
  }
}

void Generation::on_started(std::size_t index, backend::Started started) {
  runs_[index].prompt_tokens = started.prompt_tokens;
  if (done_) return;
  Run& run = runs_[index];
  run.started = true;
  if (spec_.stream) {
    open_stream();
    write(format_.first_frame(run.choice));
  }
  if (spec_.echo) {
    add(run, echoes_[run.prompt], std::move(started.prompt));
    pump();
  }
}

void Generation::add(Run& run, std::string_view text, std::vector<backend::TokenInfo> tokens) {
  ChoiceText& into = spec_.stream ? run.pending : run.text;
  into.text += text;
  for (backend::TokenInfo& token : tokens) {
    if (!std::isnan(token.logprob)) {
      run.logprob_sum += token.logprob;
      ++run.logprob_count;
    }
    if (spec_.want_logprobs) into.tokens.push_back(std::move(token));
  }
}

// In a stream parts are kept as they come, in fewer where they go on with the one before.
void Generation::add_call_part(Run& run, backend::ToolCallPart part) {
  if (spec_.older_functions && part.call > 0) return;  // that form has room for one
  if (!part.name.empty() && part.id.empty()) part.id = gateway_->new_id("call_");
  auto& into = spec_.stream ? run.pending.tool_calls : run.text.tool_calls;
  if (!spec_.stream) {
    if (!part.name.empty()) return into.push_back(std::move(part));
    HF_CHECK(part.call < into.size());
    into[part.call].arguments += part.arguments;
    return;
  }
  run.pending.call_bytes += part.arguments.size();
  if (part.name.empty() && !into.empty() && into.back().call == part.call) {
    into.back().arguments += part.arguments;
    return;
  }
  run.pending.call_bytes += sizeof part;
  into.push_back(std::move(part));
}

void Generation::on_token(std::size_t index, backend::TokenEvent event) {
  ++runs_[index].tokens;
  if (done_) return;
  Run& run = runs_[index];
  const std::int64_t now_ns = gateway_->env.clock.monotonic_ns();
  if (run.first_token_s < 0) {
    run.first_token_s = elapsed_s();
  } else {
    inter_token_.observe(static_cast<double>(now_ns - run.last_token_ns) * 1e-9);
  }
  run.last_token_ns = now_ns;
  add(run, event.text, std::move(event.tokens));
  for (backend::ToolCallPart& part : event.tool_calls) add_call_part(run, std::move(part));
  if (!spec_.stream) return;
  pump();
  const std::size_t backlog_bytes = run.pending.text.size() + run.pending.call_bytes;
  if (!done_ && backlog_bytes > gateway_->options.backlog_bytes_max) {
    abandon();
  }
}

void Generation::on_finished(std::size_t index, backend::Finished finished) {
  Run& run = runs_[index];
  run.finished = true;
  run.end = std::move(finished);
  // A prompt counts once, and not at all where it was never begun.
  const bool counts_prompt = index % spec_.best_of == 0 && run.prompt_tokens > 0;
  run_ended(run.end.usage.completion_tokens + (counts_prompt ? run.end.usage.prompt_tokens : 0));
  // Counted also when the client has gone: the work was done.
  gateway_->metrics.finished(model_.id, run.end, {run.first_token_s, elapsed_s()},
                             static_cast<double>(spec_.max_tokens.value_or(0)), trace_.trace_id(),
                             static_cast<double>(gateway_->unix_now()));
  if (done_) return;
  --running_;
  ++completed_;
  if (run.end.reason == backend::FinishReason::kCancelled) {
    // Not by us, or this would be done: the model was unloaded or the server stops.
    fail(overloaded("draining", "The model was unloaded while it answered.", 1000));
    return;
  }
  launch();
  if (spec_.stream) {
    open_stream();
    pump();
  } else if (completed_ == runs_.size()) {
    send_whole();
    end();
  }
}

// The engine counts a run that failed no more; what was seen of it is what it took. A request that
// was refused took nothing.
void Generation::on_run_failure(std::size_t index, const backend::Failure& failure) {
  const Run& run = runs_[index];
  const bool counts_prompt = index % spec_.best_of == 0;
  run_ended(run.tokens + (counts_prompt ? run.prompt_tokens : 0));
  on_failure(failure);
}

void Generation::run_ended(std::uint64_t tokens) {
  reservation_.use(tokens);
  if (--open_runs_ == 0 && (done_ || launched_ == runs_.size())) reservation_.settle();
}

void Generation::on_failure(const backend::Failure& failure) {
  if (done_) return;
  ApiError error = from_failure(failure, spec_.prompt_param());
  if (failure.kind == backend::FailureKind::kModelNotFound)
    error = gateway_->unknown_model(caller_of(*request_), model_.id);
  if (failure.kind == backend::FailureKind::kUnknownToken && spec_.sampling.logit_bias.empty())
    error.param = "prompt";
  if (failure.kind == backend::FailureKind::kOverloaded) {
    gateway_->metrics.rejected(failure.error.detail());
    if (gateway_->options.overload_status == 429)
      error = rate_limited(error.code, error.message, error.retry_after_ms);
  }
  // A request that cannot be served is an ordinary end; a server that cannot serve is not.
  const auto level = error.status >= 500 ? observe::LogLevel::kWarn : observe::LogLevel::kInfo;
  gateway_->env.logger.log(level, "generation.failed",
                           {{"request_id", request_->id},
                            {"model", model_.id},
                            {"code", error.code},
                            {"detail", failure.error.detail()}});
  fail(error);
}

void Generation::fail(const ApiError& error) {
  if (done_) return;
  error_code_ = error.code;
  if (writer_->stream_started()) {
    // No [DONE]: a client must not take the part for the whole.
    gateway_->metrics.errors.with({error.code}).add();
    writer_->write(http::sse_frame(error_body(error, Surface::kOpenAi, request_->id)));
    writer_->finish_and_close();
  } else {
    gateway_->send_error(*request_, *writer_, error);
  }
  end();
}

void Generation::abandon() {
  if (done_) return;
  writer_->abort();
  end();
}

// Streaming.

void Generation::open_stream() {
  if (writer_->stream_started()) return;
  writer_->start_stream(200,
                        {{"Content-Type", "text/event-stream; charset=utf-8"},
                         {"Cache-Control", "no-store"},
                         {"X-Accel-Buffering", "no"}},
                        std::string(http::kSsePing));
}

// The timer is not moved with every frame: when it fires it looks how long the silence has been.
void Generation::arm_ping(std::chrono::milliseconds after) {
  if (!spec_.stream) return;
  ping_.start(after, [weak = weak_from_this()] {
    const auto self = weak.lock();
    if (self && !self->done_) self->ping();
  });
}

void Generation::ping() {
  const auto interval = gateway_->options.ping_interval;
  const auto silent = std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now() - wrote_);
  if (silent < interval) return arm_ping(interval - silent);
  open_stream();
  write(http::kSsePing);
  arm_ping(interval);
}

void Generation::write(std::string_view frame) {
  if (frame.empty()) return;
  writer_->write(frame);
  wrote_ = Clock::now();
}

// One frame of what waits. Text goes before calls.
void Generation::write_next(Run& run) {
  ChoiceText& pending = run.pending;
  if (!pending.text.empty() || !pending.tokens.empty()) {
    const ChoiceText part = take_part(pending);
    std::string& frame = gateway_->frame;
    frame.clear();
    format_.append_delta_frame(frame, run.choice, part);
    write(frame);
  } else {
    write(format_.tool_call_frame(run.choice, take_call_part(pending)));
  }
}

// Sends what has come while the reader takes it; what it does not take yet is merged into fewer,
// larger frames.
void Generation::pump() {
  if (!spec_.stream || done_ || !writer_->stream_started()) return;
  for (Run& run : runs_) {
    while (!run.pending.empty()) {
      if (!writer_->writable()) return;
      write_next(run);
    }
    if (run.finished && !run.finish_sent) {
      run.finish_sent = true;
      write(format_.finish_frame(run.choice, run.end.reason));
    }
  }
  if (completed_ == runs_.size()) complete();
}

void Generation::complete() {
  const bool all_sent =
      std::all_of(runs_.begin(), runs_.end(), [](const Run& r) { return r.finish_sent; });
  if (!all_sent) return;
  if (spec_.include_usage) writer_->write(format_.usage_frame(usage_object(total_usage())));
  writer_->write("data: [DONE]\n\n");
  writer_->finish();
  end();
}

// Whole answers.

// Of each prompt the n likeliest by mean log probability, or all.
std::vector<const Generation::Run*> Generation::chosen_runs() const {
  std::vector<const Run*> out;
  const auto score = [](const Run* run) {
    return run->logprob_count == 0 ? 0.0
                                   : run->logprob_sum / static_cast<double>(run->logprob_count);
  };
  for (std::size_t first = 0; first < runs_.size(); first += spec_.best_of) {
    std::vector<const Run*> group;
    for (std::size_t i = 0; i < spec_.best_of; ++i) group.push_back(&runs_[first + i]);
    if (spec_.best_of > spec_.n) {
      std::stable_sort(group.begin(), group.end(),
                       [&](const Run* a, const Run* b) { return score(a) > score(b); });
    }
    out.insert(out.end(), group.begin(), group.begin() + spec_.n);
  }
  return out;
}

// A prompt counts once, whatever n is.
backend::Usage Generation::total_usage() const {
  backend::Usage out;
  for (std::size_t i = 0; i < runs_.size(); ++i) {
    const backend::Usage& usage = runs_[i].end.usage;
    out.completion_tokens += usage.completion_tokens;
    out.reasoning_tokens += usage.reasoning_tokens;
    if (i % spec_.best_of == 0) {
      out.prompt_tokens += usage.prompt_tokens;
      out.cached_tokens += usage.cached_tokens;
    }
  }
  return out;
}

json::Object Generation::detail() const {
  const backend::Finished& end = runs_.front().end;
  const auto ms = [](std::uint64_t ns) { return static_cast<double>(ns) / 1e6; };
  const double decode_s = static_cast<double>(end.timings.decode_ns) * 1e-9;
  return {{"route", "local"},
          {"queue_ms", ms(end.timings.queue_ns)},
          {"prefill_ms", ms(end.timings.prefill_ns)},
          {"decode_ms", ms(end.timings.decode_ns)},
          {"tokens_per_s", decode_s > 0 ? end.usage.completion_tokens / decode_s : 0.0},
          {"seed", end.seed}};
}

void Generation::send_whole() {
  json::Object body = format_.body();
  json::Array choices;
  for (const Run* run : chosen_runs()) {
    choices.push_back(
        format_.choice(static_cast<std::uint32_t>(choices.size()), run->text, run->end.reason));
  }
  body.set("choices", std::move(choices));
  body.set("usage", usage_object(total_usage()));
  if (request_->headers.get("x-holdfast-detail") == "1") body.set("holdfast", detail());
  gateway_->send_json(*writer_, std::move(body));
}

double Generation::elapsed_s() const {
  const std::chrono::duration<double> elapsed = request_->age();
  return elapsed.count();
}

// A client that left before the end is an error of type "cancelled".
void Generation::end_trace() {
  TraceEnd end;
  end.usage = total_usage();
  end.error_code = error_code_;
  if (end.error_code.empty() && completed_ != runs_.size()) end.error_code = "cancelled";
  if (runs_.front().finished) end.first_run = &runs_.front().end;
  for (const Run& run : runs_) {
    if (run.finished) end.finish_reasons.emplace_back(backend::finish_reason_name(run.end.reason));
  }
  trace_.end(end);
}

// Whatever still runs is cancelled: dropping a handle does that.
void Generation::end() {
  if (done_) return;
  done_ = true;
  deadline_.cancel();
  ping_.cancel();
  const backend::Usage usage = total_usage();
  gateway_->env.logger.info("generation.end", {{"request_id", request_->id},
                                               {"model", model_.id},
                                               {"prompt_tokens", usage.prompt_tokens},
                                               {"completion_tokens", usage.completion_tokens},
                                               {"complete", completed_ == runs_.size()},
                                               {"seconds", elapsed_s()}});
  end_trace();
  for (Run& run : runs_) run.handle.reset();
  reservation_.leave();
  if (open_runs_ == 0) reservation_.settle();
  gateway_->active.erase(shared_from_this());
}

}  // namespace holdfast::gateway
