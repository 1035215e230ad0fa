#include "holdfast/importer/import_child.h"

#include <memory>
#include <vector>

#include "convert.h"
#include "holdfast/wire/wire.h"
#include "protocol.h"

namespace holdfast::importer {
namespace {

// The parent sends its request at once; a child whose parent does not is useless.
constexpr auto kRequestPatience = std::chrono::seconds(30);
constexpr auto kFlushPatience = std::chrono::seconds(30);
constexpr auto kProgressInterval = std::chrono::milliseconds(100);

Result<std::string> receive_request(wire::Channel& channel) {
  HF_TRY_ASSIGN(auto message, channel.receive(platform::Deadline::after(kRequestPatience)));
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

}  // namespace

Status run_import(platform::UniqueFd control) {
  HF_TRY_ASSIGN(const auto channel, wire::Channel::open(std::move(control)));
  auto result = convert_inherited(*channel);
  if (result.ok()) {
    HF_TRY(channel->send(wire::ImportDone{encode_result(*result)}));
  } else {
    HF_TRY(channel->send(wire::make_error_reply(0, result.error())));
  }
  HF_TRY(channel->flush(platform::Deadline::after(kFlushPatience)));
  return result.ok() ? ok_status() : Status(std::move(result).error());
}

}  // namespace holdfast::importer
