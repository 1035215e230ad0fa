// One request that generates: its runs on the backend, and the answer that they become.
#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "answer.h"
#include "gateway_impl.h"
#include "generation_trace.h"
#include "mailbox.h"

namespace holdfast::gateway {

// Owned by the gateway's active set until it has answered. Everything runs on the loop's thread;
// the backend's calls arrive there through its observers.
class Generation : public std::enable_shared_from_this<Generation> {
 public:
  Generation(std::shared_ptr<Gateway::Impl> gateway, RequestPtr request, WriterPtr writer,
             GenerationSpec spec, backend::ModelFacts model, backend::Caller caller,
             identity::Reservation reservation);
  ~Generation();

  void start();
  // Ends it from outside: deadline, shutdown.
  void fail(const ApiError& error);
  // Cuts the connection, so that the answer cannot be taken for whole.
  void abandon();
  // From the mailbox.
  void receive(std::size_t run, Mailbox::Event& event);

 private:
  class Observer;

  // One prompt answered once.
  struct Run {
    std::size_t prompt = 0;
    std::uint32_t choice = 0;
    std::unique_ptr<backend::RequestHandle> handle;
    ChoiceText text;     // whole answer so far
    ChoiceText pending;  // not sent yet
    bool started = false, finished = false, finish_sent = false;
    backend::Finished end;
    std::int64_t last_token_ns = 0;
    double first_token_s = -1;
    std::uint32_t prompt_tokens = 0, tokens = 0;  // seen so far
    double logprob_sum = 0;
    std::uint64_t logprob_count = 0;
  };

  void echo_next_prompt(std::size_t prompt);
  void launch();
  backend::GenerateRequest request_of(const Run& run) const;
  void on_started(std::size_t run, backend::Started started);
  void on_token(std::size_t run, backend::TokenEvent event);
  void on_finished(std::size_t run, backend::Finished finished);
  void on_run_failure(std::size_t run, const backend::Failure& failure);
  void on_failure(const backend::Failure& failure);
  void add(Run& run, std::string_view text, std::vector<backend::TokenInfo> tokens);
  void add_call_part(Run& run, backend::ToolCallPart part);
  void write_next(Run& run);
  void open_stream();
  void pump();
  void write(std::string_view frame);
  void complete();
  void send_whole();
  std::vector<const Run*> chosen_runs() const;
  backend::Usage total_usage() const;
  json::Object detail() const;
  std::chrono::milliseconds time_allowed() const;
  double elapsed_s() const;
  void end_trace();
  void end();
  void run_ended(std::uint64_t tokens);
  void arm_ping(std::chrono::milliseconds after);
  void ping();

  std::shared_ptr<Gateway::Impl> gateway_;
  RequestPtr request_;
  WriterPtr writer_;
  GenerationSpec spec_;
  backend::ModelFacts model_;
  backend::Caller caller_;
  // Settled when no run is left, or with this object: whatever happens, nothing stays reserved.
  identity::Reservation reservation_;
  ServiceTier tier_;
  AnswerFormat format_;
  std::vector<Run> runs_;
  std::vector<std::string> echoes_;  // text of each prompt
  std::size_t launched_ = 0, running_ = 0, completed_ = 0;
  GenerationTrace trace_;
  std::string error_code_;           // of the answer, if it failed
  observe::Histogram& inter_token_;  // looked up once: every token counts there
  http::Timer deadline_, ping_;
  std::chrono::steady_clock::time_point wrote_{};  // the last frame
  bool done_ = false;
  std::chrono::steady_clock::time_point deadline_at_;
  std::size_t open_runs_ = 0;  // with the backend
};

}  // namespace holdfast::gateway
