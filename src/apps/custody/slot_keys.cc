#include "holdfast/custody/slot_keys.h"

#include <csignal>

#include "holdfast/base/check.h"
#include "holdfast/keyholder/link.h"
#include "holdfast/platform/process.h"

namespace holdfast::custody {
namespace {

using keyring::FactorKind;

// A passphrase of the greatest cost takes seconds, a token that asks its owner for a touch longer.
constexpr auto kOpenerPatience = std::chrono::seconds(120);
constexpr auto kSendPatience = std::chrono::seconds(5);
// As apps/slotopener reads them.
constexpr int kReplyFd = 3;
constexpr int kKeyFd = 4;
constexpr int kSecretFd = 5;

}  // namespace

Result<SlotKeys> SlotKeys::create(std::string program, SlotDevices devices) {
  HF_TRY_ASSIGN(platform::SocketPair pair, platform::make_socket_pair());
  return SlotKeys(std::move(program), std::move(devices), std::move(pair));
}

Result<Bytes> SlotKeys::run(FactorKind kind, std::vector<std::string> arguments, int secret_fd) {
  HF_TRY_ASSIGN(platform::SocketPair reply, platform::make_socket_pair());
  platform::SpawnOptions spawn;
  spawn.program = program_;
  spawn.argv = {"holdfast-slot-opener"};
  spawn.argv.insert(spawn.argv.end(), arguments.begin(), arguments.end());
  if (kind == FactorKind::kTpm2) spawn.environment = {"TSS2_LOG=all+NONE"};  // errors are told here
  if (kind == FactorKind::kPkcs11) spawn.environment = devices_.token_environment;
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

Status SlotKeys::open(const keyring::SlotId& slot, const keyring::Factor& factor, int secret_fd,
                      bool automatic) {
  std::string device = factor.kind == FactorKind::kTpm2 ? devices_.tcti : "";
  if (factor.kind == FactorKind::kPkcs11 && automatic) device = "automatic";
  HF_TRY(run(factor.kind,
             {"open", std::string(keyring::factor_kind_name(factor.kind)), to_hex(slot),
              to_hex(factor.params), std::move(device)},
             secret_fd));
  return ok_status();
}

Result<keyring::Factor> SlotKeys::enrol(const keyring::SlotId& slot, FactorKind kind,
                                        const std::string& hint, int secret_fd) {
  HF_TRY_ASSIGN(Bytes params,
                run(kind,
                    {"enrol", std::string(keyring::factor_kind_name(kind)), to_hex(slot), hint,
                     kind == FactorKind::kTpm2 ? devices_.tcti : std::string()},
                    secret_fd));
  return keyring::Factor{kind, std::move(params)};
}

Result<platform::UniqueFd> secret_socket(ByteView secret) {
  HF_CHECK(secret.size() <= 4096);
  HF_TRY_ASSIGN(platform::SocketPair pair, platform::make_socket_pair());
  HF_TRY(keyholder::send_secret(pair.ours.get(), secret, platform::Deadline::after(kSendPatience)));
  return std::move(pair.theirs);  // the other end closes here: that is the secret's end
}

}  // namespace holdfast::custody
