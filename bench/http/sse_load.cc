// Load on the streaming path: many event streams at once from a scripted engine, each checked for
// lost and reordered events, with the processor time of the server's threads beside it.
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <charconv>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>
#include <vector>

namespace {

using Clock = std::chrono::steady_clock;

struct Options {
  std::uint16_t port = 0;
  int pid = 0;  // of the server: its processor time is read from /proc
  int streams = 512, tokens = 500, pause_ms = 40;
};

struct Stream {
  int fd = -1;
  std::string input;
  int next = 0;  // the number that the next token must carry
  bool done = false, failed = false;
};

// Time on a processor of one thread, in seconds: the kernel counts it in nanoseconds.
double thread_seconds(const std::filesystem::path& task) {
  std::ifstream in(task / "schedstat");
  double ns = 0;
  in >> ns;
  return ns * 1e-9;
}

struct Times {
  double loop = 0, process = 0;
};
Times server_times(int pid) {
  Times out;
  const std::filesystem::path tasks = "/proc/" + std::to_string(pid) + "/task";
  std::error_code gone;
  for (const auto& task : std::filesystem::directory_iterator(tasks, gone))
    out.process += thread_seconds(task.path());
  out.loop = thread_seconds(tasks / std::to_string(pid));
  return out;
}

int connect_to(std::uint16_t port) {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(port);
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (connect(fd, reinterpret_cast<sockaddr*>(&to), sizeof to) != 0) return -1;
  const int one = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  return fd;
}

bool send_request(int fd, const Options& o) {
  const std::string body =
      R"({"model":"tiny:latest","stream":true,"messages":[{"role":"user","content":"count )" +
      std::to_string(o.tokens) + " " + std::to_string(o.pause_ms) + "\"}]}";
  const std::string text =
      "POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
      "Content-Length: " +
      std::to_string(body.size()) + "\r\n\r\n" + body;
  return send(fd, text.data(), text.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(text.size());
}

// Every token is " n" with n counting up; several may share an event.
void take_event(Stream& s, std::string_view line) {
  if (line == "data: [DONE]") {
    s.done = true;
    return;
  }
  constexpr std::string_view kContent = "\"content\":\"";
  std::size_t at = line.find(kContent);
  if (at == std::string_view::npos) {
    s.failed = s.failed || line.find("\"error\"") != std::string_view::npos;
    return;
  }
  line.remove_prefix(at + kContent.size());
  line = line.substr(0, line.find('"'));
  while (!line.empty()) {
    line.remove_prefix(1);  // the space
    int n = -1;
    const auto [end, code] = std::from_chars(line.data(), line.data() + line.size(), n);
    if (code != std::errc() || n != s.next) s.failed = true;
    ++s.next;
    line.remove_prefix(static_cast<std::size_t>(end - line.data()));
    if (s.failed) return;
  }
}

// False at the end of the stream.
bool read_stream(Stream& s) {
  char buffer[16384];
  const ssize_t n = recv(s.fd, buffer, sizeof buffer, 0);
  if (n <= 0) return false;
  s.input.append(buffer, static_cast<std::size_t>(n));
  std::size_t from = 0;
  for (std::size_t end; (end = s.input.find('\n', from)) != std::string::npos; from = end + 1) {
    const std::string_view line(s.input.data() + from, end - from);
    if (line.starts_with("data: ")) take_event(s, line);
  }
  s.input.erase(0, from);
  return !s.done && !s.failed;
}

void run(std::vector<Stream>& streams) {
  const int poller = epoll_create1(EPOLL_CLOEXEC);
  for (std::size_t i = 0; i < streams.size(); ++i) {
    epoll_event event{EPOLLIN, {}};
    event.data.u64 = i;
    epoll_ctl(poller, EPOLL_CTL_ADD, streams[i].fd, &event);
  }
  std::size_t open = streams.size();
  std::vector<epoll_event> ready(256);
  while (open > 0) {
    const int n = epoll_wait(poller, ready.data(), static_cast<int>(ready.size()), 60'000);
    if (n <= 0) break;
    for (int i = 0; i < n; ++i) {
      Stream& s = streams[ready[static_cast<std::size_t>(i)].data.u64];
      if (read_stream(s)) continue;
      epoll_ctl(poller, EPOLL_CTL_DEL, s.fd, nullptr);
      close(s.fd);
      --open;
    }
  }
  close(poller);
}

bool parse(int argc, char** argv, Options& o) {
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string_view name = argv[i];
    const std::string_view text = argv[i + 1];
    int value = 0;
    if (std::from_chars(text.data(), text.data() + text.size(), value).ec != std::errc())
      return false;
    if (name == "--port") {
      o.port = static_cast<std::uint16_t>(value);
    } else if (name == "--pid") {
      o.pid = value;
    } else if (name == "--streams") {
      o.streams = value;
    } else if (name == "--tokens") {
      o.tokens = value;
    } else if (name == "--pause-ms") {
      o.pause_ms = value;
    } else {
      return false;
    }
  }
  return o.port != 0 && o.streams > 0;
}

}  // namespace

int main(int argc, char** argv) {
  Options o;
  if (!parse(argc, argv, o)) {
    std::fprintf(stderr,
                 "usage: sse_load --port P [--pid SERVER] [--streams N] [--tokens N] "
                 "[--pause-ms N]\n");
    return 2;
  }
  std::vector<Stream> streams(static_cast<std::size_t>(o.streams));
  for (Stream& s : streams) {
    s.fd = connect_to(o.port);
    if (s.fd < 0) return 1;
  }
  const Times before = server_times(o.pid);
  const auto began = Clock::now();
  for (const Stream& s : streams) {
    if (!send_request(s.fd, o)) return 1;
  }
  run(streams);
  const std::chrono::duration<double> wall = Clock::now() - began;
  const Times after = server_times(o.pid);
  long tokens = 0, whole = 0;
  for (const Stream& s : streams) {
    tokens += s.next;
    whole += s.done && !s.failed && s.next == o.tokens ? 1 : 0;
  }
  const double per_token = 1e6 / static_cast<double>(tokens > 0 ? tokens : 1);
  std::printf("streams %d whole %ld tokens %ld wall_s %.2f tokens_per_s %.0f", o.streams, whole,
              tokens, wall.count(), static_cast<double>(tokens) / wall.count());
  if (o.pid > 0) {
    std::printf(" loop_us_per_token %.2f process_us_per_token %.2f",
                (after.loop - before.loop) * per_token,
                (after.process - before.process) * per_token);
  }
  std::printf("\n");
  return whole == o.streams ? 0 : 1;
}
