#include "child_side.h"

#include <sys/stat.h>

#include <algorithm>
#include <new>
#include <thread>
#include <utility>

#include "holdfast/base/units.h"
#include "protocol.h"

namespace holdfast::importer {
namespace {

// The parent sends its request at once; a child whose parent does not is useless.
constexpr auto kRequestPatience = std::chrono::seconds(30);
constexpr auto kFlushPatience = std::chrono::seconds(30);
constexpr auto kProgressInterval = std::chrono::milliseconds(100);

// Code, libraries and one wave; on top of it what the metadata may take, and a stack, an arena and
// two groups of rows per thread.
constexpr std::uint64_t kAddressSpaceBase = 2 * kGiB;
constexpr std::uint64_t kMetadataBytesMax = 1 * kGiB;
constexpr std::uint64_t kAddressSpacePerThread = 320 * kMiB;

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

// Standard containers throw where the address space ends; that is a refusal like any other.
Result<std::string> work_within_memory(wire::Channel& channel, std::string_view out_of_memory,
                                       const ChildWork& work) {
  try {
    HF_TRY_ASSIGN(const std::string request, receive_request(channel));
    return work(request, channel);
  } catch (const std::bad_alloc&) {
    return exhausted(std::string(out_of_memory));
  }
}

}  // namespace

Status ProgressSender::operator()(std::uint64_t done, std::uint64_t total) {
  if (done != total && !next_.passed()) return ok_status();
  next_ = platform::Deadline::after(kProgressInterval);
  return channel_.send(wire::ImportProgress{done, total, phase_});
}

Status serve_child(platform::UniqueFd control, std::string_view role,
                   std::string_view out_of_memory, const ChildWork& work) {
  HF_TRY_ASSIGN(const auto channel, wire::Channel::open(std::move(control)));
  HF_TRY(channel->send(wire::Hello{wire::kProtocolVersion, std::string(role)}));
  auto result = work_within_memory(*channel, out_of_memory, work);
  if (result.ok()) {
    HF_TRY(channel->send(wire::ImportDone{*result}));
  } else {
    HF_TRY(channel->send(wire::make_error_reply(0, result.error())));
  }
  HF_TRY(channel->flush(platform::Deadline::after(kFlushPatience)));
  return result.ok() ? ok_status() : Status(std::move(result).error());
}

Result<std::vector<std::unique_ptr<platform::File>>> open_inherited(
    int first_fd, const std::vector<std::uint64_t>& sizes) {
  std::vector<std::unique_ptr<platform::File>> files;
  int fd = first_fd;
  for (const std::uint64_t size : sizes) {
    HF_TRY_ASSIGN(platform::File file, platform::File::from_fd(platform::UniqueFd(fd++)));
    if (file.size() != size) return corrupt("the model file changed in the meantime");
    files.push_back(std::make_unique<platform::File>(std::move(file)));
  }
  return files;
}

jail::Profile child_profile(unsigned n_inputs, std::uint64_t& source_bytes) {
  jail::Profile profile;
  profile.kind = jail::ProfileKind::kImporter;
  const int key_fd = kFirstPartFd + static_cast<int>(n_inputs) + 1;
  profile.keep_fds = {kControlFd, key_fd};
  source_bytes = 0;
  for (unsigned i = 0; i <= n_inputs; ++i) {
    const int fd = kFirstPartFd + static_cast<int>(i);
    profile.keep_fds.push_back(fd);
    struct stat info {};
    // A descriptor that is not there is noticed when it is read.
    if (::fstat(fd, &info) == 0) source_bytes += static_cast<std::uint64_t>(info.st_size);
  }
  const unsigned threads = std::max(1u, std::thread::hardware_concurrency());
  profile.address_space_bytes = kAddressSpaceBase + 4 * std::min(source_bytes, kMetadataBytesMax) +
                                threads * kAddressSpacePerThread;
  return profile;
}

}  // namespace holdfast::importer
