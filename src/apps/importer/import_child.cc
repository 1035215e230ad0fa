#include "holdfast/importer/import_child.h"

#include <sys/stat.h>

#include <algorithm>
#include <memory>
#include <new>
#include <thread>
#include <vector>

#include "convert.h"
#include "holdfast/base/units.h"
#include "holdfast/jail/jail.h"
#include "holdfast/wire/wire.h"
#include "protocol.h"

namespace holdfast::importer {
namespace {

// The parent sends its request at once; a child whose parent does not is useless.
constexpr auto kRequestPatience = std::chrono::seconds(30);
constexpr auto kFlushPatience = std::chrono::seconds(30);
constexpr auto kProgressInterval = std::chrono::milliseconds(100);

Result<std::string> receive_request(wire::Channel& channel) {
  const auto deadline = platform::Deadline::after(kRequestPatience);
  HF_TRY_ASSIGN(auto hello, channel.receive(deadline));
  if (!hello || !std::holds_alternative<wire::Hello>(*hello)) {
    return unavailable("the parent did not say hello");
  }
  HF_TRY_ASSIGN(auto message, channel.receive(deadline));
  if (!message) return unavailable("the parent went away before it asked for anything");
  auto* request = std::get_if<wire::ImportRequest>(&*message);
  if (request == nullptr) return corrupt("an import request was expected");
  return std::move(request->request_json);
}

// At most some ten messages a second, and the last one always.
class ProgressSender {
 public:
  explicit ProgressSender(wire::Channel& channel) : channel_(channel) {}

  Status operator()(std::uint64_t done, std::uint64_t total) {
    if (done != total && !next_.passed()) return ok_status();
    next_ = platform::Deadline::after(kProgressInterval);
    return channel_.send(wire::ImportProgress{done, total, "converting"});
  }

 private:
  wire::Channel& channel_;
  platform::Deadline next_ = platform::Deadline::after(std::chrono::nanoseconds(0));
};

Result<ConvertResult> convert_inherited(wire::Channel& channel) {
  HF_TRY_ASSIGN(const std::string text, receive_request(channel));
  HF_TRY_ASSIGN(const ConvertOptions options, decode_request(text));
  std::vector<std::unique_ptr<platform::File>> files;
  std::vector<const platform::ByteSource*> parts;
  int fd = kFirstPartFd;
  for (const SourceFile& described : options.files) {
    HF_TRY_ASSIGN(platform::File file, platform::File::from_fd(platform::UniqueFd(fd++)));
    if (file.size() != described.size) return corrupt("the model file changed during the import");
    files.push_back(std::make_unique<platform::File>(std::move(file)));
    parts.push_back(files.back().get());
  }
  HF_TRY_ASSIGN(platform::File out, platform::File::from_fd(platform::UniqueFd(fd)));
  ProgressSender sender(channel);
  return convert(parts, out, options,
                 [&](std::uint64_t done, std::uint64_t total) { return sender(done, total); });
}

// Types that grow most in a pack are those of 1.6 bits, stored as bytes with scales: 6.4 times.
constexpr std::uint64_t kPackGrowthMax = 8;
constexpr std::uint64_t kPackOverheadBytes = 256 * kMiB;  // tokenizer tables, index, rounding

// Code, libraries and one wave; on top of it what the metadata may take, and a stack, an arena and
// two groups of rows per thread.
constexpr std::uint64_t kAddressSpaceBase = 2 * kGiB;
constexpr std::uint64_t kMetadataBytesMax = 1 * kGiB;
constexpr std::uint64_t kAddressSpacePerThread = 320 * kMiB;

// A thread packs at least this much per second on any machine that can run a model.
constexpr std::uint64_t kPackBytesPerCpuSecond = 16 * kMiB;
constexpr std::chrono::seconds kCpuTimeBase{60};

jail::Profile import_profile(unsigned n_parts) {
  jail::Profile profile;
  profile.kind = jail::ProfileKind::kImporter;
  profile.keep_fds = {kControlFd};
  std::uint64_t source_bytes = 0;
  for (unsigned i = 0; i <= n_parts; ++i) {
    const int fd = kFirstPartFd + static_cast<int>(i);
    profile.keep_fds.push_back(fd);
    struct stat info {};
    // A descriptor that is not there is noticed when it is read.
    if (::fstat(fd, &info) == 0) source_bytes += static_cast<std::uint64_t>(info.st_size);
  }
  const unsigned threads = std::max(1u, std::thread::hardware_concurrency());
  profile.address_space_bytes = kAddressSpaceBase + 4 * std::min(source_bytes, kMetadataBytesMax) +
                                threads * kAddressSpacePerThread;
  profile.cpu_time = kCpuTimeBase + std::chrono::seconds(source_bytes / kPackBytesPerCpuSecond);
  profile.file_bytes_max = kPackGrowthMax * source_bytes + kPackOverheadBytes;
  return profile;
}

// Standard containers throw where the address space ends; that is a refusal like any other.
Result<ConvertResult> convert_within_memory(wire::Channel& channel) {
  try {
    return convert_inherited(channel);
  } catch (const std::bad_alloc&) {
    return exhausted("not enough memory to import the model");
  }
}

}  // namespace

Status run_import_jailed(unsigned n_parts) {
  HF_TRY_ASSIGN(const jail::JailReport report, jail::enter_jail(import_profile(n_parts)));
  return run_import(platform::UniqueFd(kControlFd));
}

Status run_import(platform::UniqueFd control) {
  HF_TRY_ASSIGN(const auto channel, wire::Channel::open(std::move(control)));
  HF_TRY(channel->send(wire::Hello{wire::kProtocolVersion, "importer"}));
  auto result = convert_within_memory(*channel);
  if (result.ok()) {
    HF_TRY(channel->send(wire::ImportDone{encode_result(*result)}));
  } else {
    HF_TRY(channel->send(wire::make_error_reply(0, result.error())));
  }
  HF_TRY(channel->flush(platform::Deadline::after(kFlushPatience)));
  return result.ok() ? ok_status() : Status(std::move(result).error());
}

}  // namespace holdfast::importer
