// NativeBackend over a store with tiny models, with real engine children.
#pragma once

#include <gtest/gtest.h>
#include <signal.h>

#include <filesystem>
#include <fstream>
#include <optional>
#include <thread>

#include "holdfast/backend/native_backend.h"
#include "recorder.h"
#include "tiny_store.h"

namespace holdfast::backend::testing {

inline constexpr std::uint32_t kContext = 4096;

class NativeBackendTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!golden_files_exist()) GTEST_SKIP() << "no golden files";
    store_.emplace();
    options_.engine_program = HOLDFAST_ENGINE;
    options_.engine_config =
        json::Object{{"threads", 1}, {"context", std::int64_t{kContext}}, {"batch_max", 4}};
    options_.memory_limit_bytes = std::uint64_t{2} << 30;
    options_.restart_backoff = std::chrono::milliseconds(20);
  }
  void start() { backend_ = std::make_unique<NativeBackend>(options_, store_->catalog); }

  static GenerateRequest request(std::optional<std::uint32_t> max_tokens = 24) {
    GenerateRequest r;
    r.model = "tiny";
    r.prompt = TokenPrompt{{60, 163, 308, 271, 124, 279, 281}};
    r.sampling.temperature = 0;
    r.sampling.ignore_eos = true;
    r.max_tokens = max_tokens;
    return r;
  }
  // Runs to the end, however it ends.
  std::shared_ptr<Recorder> run(GenerateRequest r) {
    auto recorder = std::make_shared<Recorder>();
    const auto handle = backend_->generate(std::move(r), recorder);
    EXPECT_TRUE(recorder->wait_end());
    return recorder;
  }
  struct Run {
    std::shared_ptr<Recorder> recorder = std::make_shared<Recorder>();
    std::unique_ptr<RequestHandle> handle;
  };
  Run begin(GenerateRequest r) {
    Run run;
    run.handle = backend_->generate(std::move(r), run.recorder);
    return run;
  }
  static GenerateRequest for_model(const std::string& model,
                                   std::optional<std::uint32_t> max_tokens = 4) {
    GenerateRequest r = request(max_tokens);
    r.model = model;
    return r;
  }
  EngineFacts load(const std::string& model,
                   std::optional<std::chrono::milliseconds> keep_alive = {}) {
    Answer<EngineFacts> answer;
    backend_->load(model, keep_alive, answer.done());
    return answer.value();
  }
  Failure load_failure(const std::string& model) {
    Answer<EngineFacts> answer;
    backend_->load(model, {}, answer.done());
    return answer.failure();
  }
  void unload(const std::string& model) {
    Answer<std::monostate> answer;
    backend_->unload(model, answer.done());
    answer.value();
  }
  std::optional<EngineFacts> engine(const std::string& id) {
    for (EngineFacts& f : backend_->stats().engines) {
      if (f.model == id) return std::move(f);
    }
    return std::nullopt;
  }
  // The requests that a model counts; the last release comes just after the last callback.
  bool becomes_idle(const std::string& id) {
    return eventually([&] {
      const auto f = engine(id);
      return !f || f->running + f->waiting == 0;
    });
  }
  static bool eventually(const std::function<bool()>& condition) {
    for (int i = 0; i < 3000; ++i) {
      if (condition()) return true;
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    return false;
  }
  // An engine program that notes its process id in `starts`, and begins when the gate is open.
  void use_gate() {
    const std::string path = store_->dir + "/gate.sh";
    std::ofstream(path) << "#!/bin/sh\necho $$ >> " << starts_path() << "\nwhile [ ! -e "
                        << store_->dir << "/open ]; do sleep 0.02; done\nexec " << HOLDFAST_ENGINE
                        << " \"$@\"\n";
    std::filesystem::permissions(path, std::filesystem::perms::owner_all);
    options_.engine_program = path;
  }
  void open_gate() { std::ofstream(store_->dir + "/open") << "open"; }
  void close_gate() { std::filesystem::remove(store_->dir + "/open"); }
  std::string starts_path() const { return store_->dir + "/starts"; }
  // Process ids of the engines that were started, oldest first.
  std::vector<pid_t> starts() const {
    std::vector<pid_t> pids;
    std::ifstream in(starts_path());
    for (pid_t pid = 0; in >> pid;) pids.push_back(pid);
    return pids;
  }
  static bool gone(std::int64_t pid) { return ::kill(static_cast<pid_t>(pid), 0) != 0; }

  std::optional<TinyStore> store_;
  NativeBackendOptions options_;
  std::unique_ptr<NativeBackend> backend_;
};

}  // namespace holdfast::backend::testing
