#include "holdfast/keyring/keyring_file.h"

#include <gtest/gtest.h>
