// Secrets of an operator for `holdfast seal`: from files, standard input or a prompt without echo.
#pragma once

#include <map>
#include <span>
#include <string>
#include <vector>

#include "../command.h"
#include "holdfast/crypto/secret.h"
#include "holdfast/custody/custody.h"

namespace holdfast::cli {

struct SecretFlags {
  std::vector<std::string> passphrase_files;  // one for each factor; "-" is standard input
  std::string pin_file;
};

// SLOT=FILE, or SLOT where its secret is asked for on a terminal.
using ApproverFlags = std::vector<std::string>;

// From the file ("-": standard input), or where `file` is empty from a terminal without echo.
Result<crypto::Secret> read_operator_secret(const std::string& question, const std::string& file,
                                            std::size_t bytes_max);

// A beginning of the id that only one slot has, or the whole of it.
Result<keyring::SlotPlan> find_slot(custody::Custody& c, const std::string& id);

Result<std::vector<custody::Approver>> read_approvers(custody::Custody& c,
                                                      const ApproverFlags& flags);
// The persons of --approver agree to the change that follows. Nothing where none is given: the
// change itself is refused then, where it needs any.
Status approve(custody::Custody& c, const ApproverFlags& flags);
// Adds `--approver` to a command that needs two persons under dual control.
void add_approver_flag(CLI::App& c, ApproverFlags& flags);

// Owner: the command. Thread-compatible. `flags` outlives it.
class OperatorSecrets {
 public:
  explicit OperatorSecrets(const SecretFlags& flags) : flags_(flags) {}

  // For custody::AskSecret: an invalid descriptor where there is neither a file nor a terminal. A
  // passphrase is asked for once, and tried on every slot.
  Result<platform::UniqueFd> ask(const keyring::SlotPlan& slot, std::size_t factor);
  custody::AskSecret asker() {
    return [this](const keyring::SlotPlan& slot, std::size_t n) { return ask(slot, n); };
  }
  // The secrets of these persons' slots, in the order of their factors: not asked for again.
  Status know(std::span<const custody::Approver> approvers);
  // For a new slot's n-th passphrase, asked for twice on a terminal. kInvalidArgument where there
  // is neither a file nor a terminal.
  Result<platform::UniqueFd> new_passphrase(std::size_t n);
  // The PIN of --pin-file, or an invalid descriptor where none was given.
  Result<platform::UniqueFd> pin();
  // Where there is no --pin-file, asks on a terminal; no answer is no PIN.
  Result<platform::UniqueFd> pin_of(const std::string& what);

 private:
  Result<const crypto::Secret*> remember(const std::string& name, crypto::Secret secret);
  Result<const crypto::Secret*> passphrase(std::size_t n);

  const SecretFlags& flags_;
  std::map<std::string, crypto::Secret> known_;
  std::map<keyring::SlotId, std::vector<crypto::Secret>> of_slots_;
};

}  // namespace holdfast::cli
