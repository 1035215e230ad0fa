// The name that git gives to a file's content, as hubs state it for small files. SHA-1: it finds
// damage and mix-ups, and is no proof against an attacker.
#pragma once

#include <string>

#include "holdfast/base/bytes.h"

namespace holdfast::crypto {

// 40 hexadecimal digits: SHA-1 of "blob <length>\0" and the content. Thread-safe.
std::string git_blob_id(ByteView content);

}  // namespace holdfast::crypto
