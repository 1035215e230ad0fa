// usage: api_fake_server [ADDRESS:PORT]
// The HTTP API over a scripted backend, for tests with real clients: prints its URL, ends with its
// standard input. A byte there before that makes it drain as `holdfast serve` does after SIGTERM.
// Traces go where OTEL_* variables say.
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <functional>
#include <optional>
#include <thread>

#include "fake_backend.h"
#include "holdfast/config/settings.h"
#include "holdfast/gateway/gateway.h"
#include "holdfast/platform/signals.h"

// Arguments: the address (default: a free port of 127.0.0.1), and the greatest number of
// connections (default 4096).
int main(int argc, char** argv) {
  using namespace holdfast;
  platform::ignore_sigpipe();
  const config::Environment environment = config::process_environment();
  http::EventLoop loop;
  gateway::testing_support::FakeBackend backend;
  observe::Registry metrics;
  observe::register_process_metrics(metrics);
  observe::FdLogSink sink(STDERR_FILENO);
  const observe::Logger logger(sink, platform::system_clock(), {observe::LogLevel::kWarn, {}});
  platform::SystemEntropy entropy;
  auto trace = gateway::trace_options(
      [&](std::string_view name) { return config::lookup(environment, name); }, "0.0.0");
  if (!trace.ok()) {
    std::fprintf(stderr, "%s\n", trace.error().to_string().c_str());
    return 2;
  }
  std::optional<gateway::Tracing> tracing;
  if (trace->has_value()) tracing.emplace(std::move(**trace), logger);
  gateway::Gateway gateway({loop, backend, metrics, logger, platform::system_clock(), entropy,
                            tracing ? &*tracing : nullptr},
                           {});
  http::ServerOptions options;
  options.access = gateway::Gateway::access_options({"holdfast.internal"}, {});
  if (argc > 2) options.connections_max = std::strtoul(argv[2], nullptr, 10);
  http::Server server(loop, options, gateway.hooks());
  const auto bound = server.listen_tcp(argc > 1 ? argv[1] : "127.0.0.1:0");
  if (!bound.ok()) {
    std::fprintf(stderr, "%s\n", bound.error().to_string().c_str());
    return 1;
  }
  std::printf("http://%s\n", bound->c_str());
  std::fflush(stdout);
  http::Timer timer(loop);
  std::function<void()> end_when_idle = [&] {
    if (gateway.active_generations() > 0)
      return timer.start(std::chrono::milliseconds(20), end_when_idle);
    server.drain();
    timer.start(std::chrono::milliseconds(50), [&] {
      server.close_all();
      loop.stop();
    });
  };
  std::thread waiter([&] {
    char byte = 0;
    if (read(STDIN_FILENO, &byte, 1) > 0) {
      loop.post([&] {
        gateway.begin_drain();
        end_when_idle();
      });
      return;
    }
    loop.post([&] {
      gateway.begin_drain();
      gateway.end_generations();
      server.close_all();
      loop.stop();
    });
  });
  loop.run();
  waiter.join();
  return 0;
}
