#include "holdfast/custody/slot_keys.h"

#include <csignal>

#include "holdfast/base/check.h"
#include "holdfast/keyholder/link.h"
#include "holdfast/platform/process.h"

namespace holdfast::custody {
namespace {

// A passphrase of the greatest cost takes seconds, a token that asks its owner for a touch longer.
constexpr auto kOpenerPatience = std::chrono::seconds(120);
constexpr auto kSendPatience = std::chrono::seconds(5);
// As apps/slotopener reads them.
constexpr int kReplyFd = 3;
constexpr int kKeyFd = 4;
constexpr int kSecretFd = 5;

}  // namespace

Result<SlotKeys> SlotKeys::create(std::string program) {
  HF_TRY_ASSIGN(platform::SocketPair pair, platform::make_socket_pair());
  return SlotKeys(std::move(program), std::move(pair));
}

Result<Bytes> SlotKeys::run(std::vector<std::string> arguments, int secret_fd) {
  HF_TRY_ASSIGN(platform::SocketPair reply, platform::make_socket_pair());
  platform::SpawnOptions spawn;
  spawn.program = program_;
  spawn.argv = {"holdfast-slot-opener"};
  spawn.argv.insert(spawn.argv.end(), arguments.begin(), arguments.end());
  spawn.fds = {{reply.theirs.get(), kReplyFd}, {pair_.ours.get(), kKeyFd}};
  if (secret_fd >= 0) spawn.fds.push_back({secret_fd, kSecretFd});
  auto child = platform::Process::spawn(spawn);
  if (!child.ok()) return std::move(child).error().add_context("start the slot opener");
  reply.theirs.reset();
  auto frame =
      keyholder::receive_frame(reply.ours.get(), platform::Deadline::after(kOpenerPatience));
  if (!frame.ok()) {
    return unavailable("the slot opener ended without an answer", frame.error().to_string())
        .with_hint("try again; if memory is short, lower keyring.argon2_memory");
  }
  return keyholder::decode_reply(frame->bytes);
}

Status SlotKeys::open(const keyring::SlotId& slot, const keyring::Factor& factor, int secret_fd) {
  HF_TRY(run({"open", std::string(keyring::factor_kind_name(factor.kind)), to_hex(slot),
              to_hex(factor.params)},
             secret_fd));
  return ok_status();
}

Result<keyring::Factor> SlotKeys::enrol(const keyring::SlotId& slot, keyring::FactorKind kind,
                                        const std::string& hint, int secret_fd) {
  HF_TRY_ASSIGN(
      Bytes params,
      run({"enrol", std::string(keyring::factor_kind_name(kind)), to_hex(slot), hint}, secret_fd));
  return keyring::Factor{kind, std::move(params)};
}

Result<platform::UniqueFd> secret_socket(ByteView secret) {
  HF_CHECK(secret.size() <= 4096);
  HF_TRY_ASSIGN(platform::SocketPair pair, platform::make_socket_pair());
  HF_TRY(keyholder::send_secret(pair.ours.get(), secret, platform::Deadline::after(kSendPatience)));
  return std::move(pair.theirs);  // the other end closes here: that is the secret's end
}

}  // namespace holdfast::custody
