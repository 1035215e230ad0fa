// What an opener was asked for, and what it makes of it; the kinds of slots share it.
#pragma once

#include <optional>
#include <string>

#include "holdfast/keyring/keyring_file.h"
#include "holdfast/keyring/root_key.h"
#include "holdfast/slotopener/opener.h"

namespace holdfast::slotopener {

struct Request {
  bool enrol = false;
  keyring::FactorKind kind = keyring::FactorKind::kPassphrase;
  keyring::SlotId slot{};
  Bytes params;      // open
  std::string hint;  // enrol
  std::string device;
  bool has_secret = false;  // a descriptor with one came along
};

struct Opened {
  keyring::FactorKey key;
  Bytes params;  // enrol
};

// A passphrase or a PIN: as typed, or as the first line of a file. kInvalidArgument for none.
Result<crypto::Secret> read_line(std::string_view what);

// Gives up what every opener can: core dumps, being looked into, new privileges.
Status harden();
// Then everything but the three descriptors and `device_fd` (-1: none).
Status confine(int device_fd);

// Each connects to its device, confines itself as far as the device allows, and reads its PIN after
// that.
Result<Opened> use_tpm(const Request& request);
Result<Opened> use_token(const Request& request);

}  // namespace holdfast::slotopener
