// The HTTP API over a scripted backend, for tests with real clients: prints its URL, ends with its
// standard input.
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <thread>

#include "fake_backend.h"
#include "holdfast/gateway/gateway.h"
#include "holdfast/platform/signals.h"

// Arguments: the greatest number of connections (default 4096).
int main(int argc, char** argv) {
  using namespace holdfast;
  platform::ignore_sigpipe();
  http::EventLoop loop;
  gateway::testing_support::FakeBackend backend;
  observe::Registry metrics;
  observe::FdLogSink sink(STDERR_FILENO);
  const observe::Logger logger(sink, platform::system_clock(), {observe::LogLevel::kWarn, {}});
  platform::SystemEntropy entropy;
  gateway::Gateway gateway({loop, backend, metrics, logger, platform::system_clock(), entropy}, {});
  http::ServerOptions options;
  options.access = gateway::Gateway::access_options({}, {});
  if (argc > 1) options.connections_max = std::strtoul(argv[1], nullptr, 10);
  http::Server server(loop, options, gateway.hooks());
  const auto bound = server.listen_tcp("127.0.0.1:0");
  if (!bound.ok()) {
    std::fprintf(stderr, "%s\n", bound.error().to_string().c_str());
    return 1;
  }
  std::printf("http://%s\n", bound->c_str());
  std::fflush(stdout);
  std::thread waiter([&] {
    char byte = 0;
    while (read(STDIN_FILENO, &byte, 1) > 0) {
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
