// Sixteen lanes of AVX2 as in avx2/vec.h, with the dot product instruction that newer processors
// without AVX-512 have (AVX-VNNI). Private to this folder.
#pragma once

#define HF_ISA avxvnni
#define HF_DPBUSD 1
#include "avx2/vec.h"
