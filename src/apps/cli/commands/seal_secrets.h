// Secrets of an operator for `holdfast seal`: from files, standard input or a prompt without echo.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "../context.h"
#include "holdfast/crypto/secret.h"
#include "holdfast/custody/custody.h"

namespace holdfast::cli {

struct SecretFlags {
  std::vector<std::string> passphrase_files;  // one for each factor; "-" is standard input
  std::string pin_file;
};

// From the file ("-": standard input), or where `file` is empty from a terminal without echo.
Result<crypto::Secret> read_operator_secret(const std::string& question, const std::string& file,
                                            std::size_t bytes_max);

// Owner: the command. Thread-compatible. `context` and `flags` outlive it.
class OperatorSecrets {
 public:
  OperatorSecrets(const Context& context, const SecretFlags& flags)
      : context_(context), flags_(flags) {}

  // For custody::AskSecret: an invalid descriptor where there is neither a file nor a terminal. A
  // passphrase is asked for once, and tried on every slot.
  Result<platform::UniqueFd> ask(const keyring::SlotPlan& slot, std::size_t factor);
  custody::AskSecret asker() {
    return [this](const keyring::SlotPlan& slot, std::size_t n) { return ask(slot, n); };
  }
  // For a new slot's n-th passphrase, asked for twice on a terminal. kInvalidArgument where there
  // is neither a file nor a terminal.
  Result<platform::UniqueFd> new_passphrase(std::size_t n);
  // The PIN, or an invalid descriptor where none was given.
  Result<platform::UniqueFd> pin();

 private:
  Result<const crypto::Secret*> remember(const std::string& name, crypto::Secret secret);
  Result<const crypto::Secret*> passphrase(std::size_t n);

  const Context& context_;
  const SecretFlags& flags_;
  std::map<std::string, crypto::Secret> known_;
};

}  // namespace holdfast::cli
