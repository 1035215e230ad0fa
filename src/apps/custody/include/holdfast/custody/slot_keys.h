// Runs slot openers (apps/slotopener), one process per factor, and collects the keys on a socket
// for the key holder. This process sees no key and, of files and credentials, no secret.
#pragma once

#include <string>
#include <vector>

#include "holdfast/base/result.h"
#include "holdfast/keyring/keyring_file.h"
#include "holdfast/platform/socket.h"

namespace holdfast::custody {

// How openers reach what holds keys outside this machine's files.
struct SlotDevices {
  std::string tcti = "device:/dev/tpmrm0";     // the TPM, as TSS names it
  std::vector<std::string> token_environment;  // "NAME=value" that modules of tokens read
};

// The keys of one or more factors, in the order in which they were opened; passed to the holder
// with one request.
class SlotKeys {
 public:
  static Result<SlotKeys> create(std::string program, SlotDevices devices);

  // From a stored factor and its secret; `secret_fd` -1 for kinds without one. kDenied and whatever
  // the kind's device answers.
  // `automatic`: nobody is there who could correct a PIN.
  Status open(const keyring::SlotId& slot, const keyring::Factor& factor, int secret_fd,
              bool automatic);
  // A new factor: its key is added, its description returned. `hint` as apps/slotopener says.
  Result<keyring::Factor> enrol(const keyring::SlotId& slot, keyring::FactorKind kind,
                                const std::string& hint, int secret_fd);
  // What is passed to the holder.
  int fd() const { return pair_.theirs.get(); }

 private:
  SlotKeys(std::string program, SlotDevices devices, platform::SocketPair pair)
      : program_(std::move(program)), devices_(std::move(devices)), pair_(std::move(pair)) {}
  Result<Bytes> run(keyring::FactorKind kind, std::vector<std::string> arguments, int secret_fd);

  std::string program_;
  SlotDevices devices_;
  platform::SocketPair pair_;
};

// A socket from which the secret can be read once, to its end. Precondition: at most 4096 bytes.
Result<platform::UniqueFd> secret_socket(ByteView secret);

}  // namespace holdfast::custody
