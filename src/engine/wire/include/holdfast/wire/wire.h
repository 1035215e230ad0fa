// Everything of engine/wire: frames, messages and the channel.
#pragma once

#include "holdfast/wire/channel.h"
#include "holdfast/wire/frame.h"
#include "holdfast/wire/messages.h"
