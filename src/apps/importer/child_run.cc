#include "child_run.h"

#include <chrono>
#include <csignal>
#include <utility>

#include "holdfast/platform/filesystem.h"
#include "holdfast/platform/process.h"
#include "holdfast/platform/socket.h"
#include "holdfast/wire/wire.h"
#include "protocol.h"

namespace holdfast::importer {
namespace {

// How soon a cancelled child ends.
constexpr auto kCancelPoll = std::chrono::milliseconds(100);
// A child that has sent its result has nothing left to do.
constexpr auto kExitPatience = std::chrono::seconds(10);

Error unexpected(const ChildRun& run) {
  return internal_error("the " + std::string(run.name) + " process sent an unexpected message");
}

Result<platform::Process> start(const ChildRun& run, const platform::UniqueFd& control) {
  platform::SpawnOptions spawn;
  spawn.program = run.program;
  if (spawn.program.empty()) {
    HF_TRY_ASSIGN(const std::string self, platform::own_executable_path());
    spawn.program = platform::join_path(platform::parent_path(self), "holdfast-engine");
  }
  spawn.argv = {"holdfast-engine", run.mode, std::to_string(run.inputs.size())};
  spawn.fds.push_back({control.get(), kControlFd});
  int fd = kFirstPartFd;
  for (const int input : run.inputs) spawn.fds.push_back({input, fd++});
  spawn.fds.push_back({run.output, fd++});
  if (run.key >= 0) spawn.fds.push_back({run.key, fd});
  spawn.parent_death_signal = SIGKILL;
  return platform::Process::spawn(spawn);
}

Result<std::string> follow(const ChildRun& run, wire::Channel& channel, platform::Process& child) {
  bool hello = false;  // the child's jail is closed
  while (true) {
    if (run.cancel != nullptr && *run.cancel) {
      return cancelled("the " + std::string(run.name) + " was cancelled");
    }
    auto message = channel.receive(platform::Deadline::after(kCancelPoll));
    if (!message.ok() && message.error().code() == ErrorCode::kDeadline) continue;
    if (!message.ok() || !*message) break;
    if (!hello) {
      hello = std::holds_alternative<wire::Hello>(**message);
      if (hello) continue;
      return unexpected(run);
    }
    if (const auto* progress = std::get_if<wire::ImportProgress>(&**message)) {
      if (run.on_progress) run.on_progress(progress->done_bytes, progress->total_bytes);
    } else if (const auto* error = std::get_if<wire::ErrorReply>(&**message)) {
      return wire::to_error(*error);
    } else if (auto* done = std::get_if<wire::ImportDone>(&**message)) {
      return std::move(done->result_json);
    } else {
      return unexpected(run);
    }
  }
  HF_TRY_ASSIGN(const auto status, child.wait(platform::Deadline::after(kExitPatience)));
  return internal_error(
      "the " + std::string(run.name) + " process ended without a result",
      status ? status->describe() : std::string("it closed its connection and still runs"));
}

}  // namespace

Result<std::string> run_child(const ChildRun& run) {
  HF_TRY_ASSIGN(platform::SocketPair pair, platform::make_socket_pair());
  HF_TRY_ASSIGN(platform::Process child, start(run, pair.theirs));
  pair.theirs.reset();  // the child holds the only other end
  HF_TRY_ASSIGN(const auto channel, wire::Channel::open(std::move(pair.ours)));
  // A child that died already is noticed when its answer is read.
  ignore_error(channel->send(wire::Hello{wire::kProtocolVersion, "holdfast"}),
               "reading tells more");
  ignore_error(channel->send(wire::ImportRequest{run.request_json}), "reading tells more");
  return follow(run, *channel, child);
}

}  // namespace holdfast::importer
