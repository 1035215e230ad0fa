// Norms, activation functions, rotation, stores and conversions. Oracles: double arithmetic within
// a computed bound for the scalar table; the scalar table, bit for bit, for every other one; the
// conversions of quant/half.h over all halves.
#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <string>

#include "holdfast/quant/half.h"
#include "kernel_test_support.h"

namespace holdfast::kernels::testing {
namespace {

constexpr std::uint32_t kLengths[] = {1, 3, 8, 15, 16, 17, 31, 48, 64, 80, 100, 576, 1537};
constexpr float kInfinity = std::numeric_limits<float>::infinity();

// Runs `op` on every table with guarded copies of a and b and expects the bits of the scalar table.
template <class Op>
void expect_same_bits(const std::vector<float>& a, const std::vector<float>& b, const Op& op) {
  const auto run = [&](const KernelTable& table) {
    Guarded<float> out(a.size());
    op(table, Guarded<float>(a), Guarded<float>(b), static_cast<std::uint32_t>(a.size()),
       out.data());
    return out;
  };
  const Guarded<float> want = run(scalar());
  for (const KernelTable* table : tables()) {
    EXPECT_TRUE(same_bits(run(*table).data(), want.data(), a.size()))
        << table->isa << " n " << a.size();
  }
}

template <class Op>
void expect_same_bits_at_all_lengths(const Op& op) {
  Random random(31);
  for (const std::uint32_t n : kLengths)
    expect_same_bits(random_floats(random, n, 3), random_floats(random, n, 3), op);
  const std::vector<float> odd = {
      0.0f,  -0.0f,  kInfinity, -kInfinity, NAN,    1e-42f, -1e-42f, 3.4e38f, -3.4e38f, 88.7f,
      88.8f, -87.4f, -103.9f,   -104.1f,    1e-20f, 0.625f, -0.625f, 0.6249f, 12.0f,    9.0f};
  expect_same_bits(odd, std::vector<float>(odd.size(), 1.5f), op);
}

// Spacing of floats at |x|.
double ulp(double x) {
  return std::max(std::ldexp(1.0, std::ilogb(static_cast<float>(std::abs(x) + 1e-300)) - 23),
                  0x1p-149);
}

std::vector<float> exp_of(const std::vector<float>& x) {
  std::vector<float> out(x.size());
  scalar().exp(x.data(), static_cast<std::uint32_t>(x.size()), out.data());
  return out;
}

TEST(VectorTest, ExpIsWithinTwoUlp) {
  std::vector<float> x;
  for (float v = -87.33f; v < 88.72f; v += 0.00731f) x.push_back(v);
  const std::vector<float> got = exp_of(x);
  double worst = 0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    const double want = std::exp(static_cast<double>(x[i]));
    worst = std::max(worst, std::abs(static_cast<double>(got[i]) - want) / ulp(want));
  }
  EXPECT_LT(worst, 2.0);
}

TEST(VectorTest, ExpAtTheEnds) {
  const std::vector<float> got =
      exp_of({0.0f, -0.0f, -kInfinity, -1000.0f, kInfinity, 1000.0f, NAN, -87.34f});
  EXPECT_EQ(got[0], 1.0f);
  EXPECT_EQ(got[1], 1.0f);
  EXPECT_EQ(got[2], 0.0f);
  EXPECT_EQ(got[3], 0.0f);
  EXPECT_EQ(got[4], kInfinity);
  EXPECT_EQ(got[5], kInfinity);
  EXPECT_TRUE(std::isnan(got[6]));
  EXPECT_EQ(got[7], 0.0f);  // no subnormal numbers
}

TEST(VectorTest, SoftcapIsCapTimesTanh) {
  for (const float cap : {1.0f, 30.0f, 50.0f}) {
    std::vector<float> x;
    for (float v = -12.0f; v < 12.0f; v += 0.0037f) x.push_back(v * cap);
    std::vector<float> got(x.size());
    scalar().softcap(x.data(), cap, static_cast<std::uint32_t>(x.size()), got.data());
    for (std::size_t i = 0; i < x.size(); ++i) {
      const double want = cap * std::tanh(static_cast<double>(x[i]) / cap);
      ASSERT_NEAR(got[i], want, 5 * ulp(want)) << x[i];  // 3 of tanh, the division and the product
    }
  }
}

TEST(VectorTest, SiluAndGeluAgreeWithDoubleArithmetic) {
  std::vector<float> gate;
  for (float v = -20.0f; v < 20.0f; v += 0.0113f) gate.push_back(v);
  const std::vector<float> up(gate.size(), 1.0f);
  std::vector<float> silu(gate.size());
  std::vector<float> gelu(gate.size());
  const auto n = static_cast<std::uint32_t>(gate.size());
  scalar().silu_mul(gate.data(), up.data(), n, silu.data());
  scalar().gelu_tanh_mul(gate.data(), up.data(), n, gelu.data());
  for (std::size_t i = 0; i < gate.size(); ++i) {
    const double g = gate[i];
    const double want_silu = g / (1 + std::exp(-g));
    // Where exp overflows the result is 0 instead of a number below |g| / FLT_MAX.
    const double overflow = std::abs(g) / std::numeric_limits<float>::max();
    EXPECT_NEAR(silu[i], want_silu, 5 * ulp(want_silu) + overflow) << g;
    // The argument 2u has relative error 4 * 2^-24, which exp turns into |2u| as much.
    const double u2 = 1.5957691216057308 * (g + 0.044715 * g * g * g);
    const double want_gelu = g / (1 + std::exp(-u2));
    EXPECT_NEAR(gelu[i], want_gelu, (6 + 4 * std::abs(u2)) * ulp(want_gelu) + overflow) << g;
  }
}

TEST(VectorTest, RmsNormAgreesWithDoubleArithmetic) {
  Random random(32);
  for (const std::uint32_t n : kLengths) {
    const std::vector<float> x = random_floats(random, n);
    const std::vector<float> w = random_floats(random, n);
    std::vector<float> got(n);
    double squares = 0;
    for (const float v : x) squares += static_cast<double>(v) * v;
    const double factor = 1 / std::sqrt(squares / n + 1e-5);
    for (const bool weighted : {true, false}) {
      scalar().rms_norm(x.data(), weighted ? w.data() : nullptr, n, 1e-5f, got.data());
      for (std::uint32_t i = 0; i < n; ++i) {
        const double want = x[i] * factor * (weighted ? w[i] : 1.0f);
        EXPECT_NEAR(got[i], want, (n / 32.0 + 12) * 0x1p-24 * std::abs(want))
            << "n " << n << " i " << i;
      }
    }
  }
}

TEST(VectorTest, SoftmaxAgreesWithDoubleArithmetic) {
  Random random(33);
  for (const std::uint32_t n : kLengths) {
    const std::vector<float> x = random_floats(random, n, 5);
    std::vector<float> got(n);
    scalar().softmax(x.data(), n, got.data());
    const float top = *std::max_element(x.begin(), x.end());
    EXPECT_EQ(scalar().max(x.data(), n), top);
    double sum = 0;
    for (const float v : x) sum += std::exp(static_cast<double>(v) - top);
    EXPECT_NEAR(scalar().sum_exp(x.data(), n, top), sum, (n / 16.0 + 8) * 0x1p-23 * sum);
    for (std::uint32_t i = 0; i < n; ++i) {
      const double want = std::exp(static_cast<double>(x[i]) - top) / sum;
      EXPECT_NEAR(got[i], want, (n / 16.0 + 40) * 0x1p-23 * want) << "n " << n << " i " << i;
    }
  }
}

TEST(VectorTest, EveryTableGivesTheSameBits) {
  using In = const Guarded<float>&;
  const auto each = [](auto op) { expect_same_bits_at_all_lengths(op); };
  each([](const KernelTable& t, In a, In b, std::uint32_t n, float* out) {
    t.add(a.data(), b.data(), n, out);
  });
  each([](const KernelTable& t, In a, In b, std::uint32_t n, float* out) {
    t.mul(a.data(), b.data(), n, out);
  });
  each([](const KernelTable& t, In a, In, std::uint32_t n, float* out) {
    t.scale(a.data(), 0.3f, n, out);
  });
  each([](const KernelTable& t, In a, In b, std::uint32_t n, float* out) {
    std::copy_n(b.data(), n, out);
    t.add_scaled(a.data(), 0.7f, n, out);
  });
  each([](const KernelTable& t, In a, In b, std::uint32_t n, float* out) {
    t.silu_mul(a.data(), b.data(), n, out);
  });
  each([](const KernelTable& t, In a, In b, std::uint32_t n, float* out) {
    t.gelu_tanh_mul(a.data(), b.data(), n, out);
  });
  each([](const KernelTable& t, In a, In, std::uint32_t n, float* out) {
    t.softcap(a.data(), 30.0f, n, out);
  });
  each(
      [](const KernelTable& t, In a, In, std::uint32_t n, float* out) { t.exp(a.data(), n, out); });
  each([](const KernelTable& t, In a, In, std::uint32_t n, float* out) {
    t.softmax(a.data(), n, out);
  });
  each([](const KernelTable& t, In a, In, std::uint32_t n, float* out) {
    out[0] = t.max(a.data(), n) + t.sum_exp(a.data(), n, 2.0f);
  });
  each([](const KernelTable& t, In a, In b, std::uint32_t n, float* out) {
    t.rms_norm(a.data(), b.data(), n, 1e-6f, out);
  });
  each([](const KernelTable& t, In a, In, std::uint32_t n, float* out) {
    t.rms_norm(a.data(), nullptr, n, 1e-6f, out);
  });
}

TEST(VectorTest, OperationsWorkInPlace) {
  Random random(34);
  const std::uint32_t n = 77;
  const std::vector<float> a = random_floats(random, n);
  const std::vector<float> b = random_floats(random, n);
  for (const KernelTable* t : tables()) {
    const auto check = [&](auto op) {
      std::vector<float> apart(n);
      std::vector<float> in_place = a;
      op(a.data(), apart.data());
      op(in_place.data(), in_place.data());
      EXPECT_TRUE(same_bits(in_place.data(), apart.data(), n)) << t->isa;
    };
    check([&](const float* x, float* out) { t->add(x, b.data(), n, out); });
    check([&](const float* x, float* out) { t->silu_mul(x, b.data(), n, out); });
    check([&](const float* x, float* out) { t->rms_norm(x, b.data(), n, 1e-5f, out); });
    check([&](const float* x, float* out) { t->softmax(x, n, out); });
  }
}

TEST(QuantizeTest, IsTheFormulaOfTheContract) {
  Random random(35);
  const std::uint32_t k = 64 * 32;
  std::vector<float> x = random_floats(random, k);
  std::fill_n(x.begin(), 32, 0.0f);
  for (std::uint32_t i = 32; i < 64; ++i)
    x[i] = i % 2 == 0 ? 127.0f : -0.5f - static_cast<float>(i);  // halves: ties
  std::vector<std::int8_t> q(k);
  std::vector<float> d(k / 32);
  std::vector<std::int32_t> s16(k / 16);
  scalar().quantize_activations(x.data(), k, q.data(), d.data(), s16.data());
  for (std::uint32_t b = 0; b < k / 32; ++b) {
    float amax = 0;
    for (std::uint32_t i = 0; i < 32; ++i) amax = std::max(amax, std::abs(x[32 * b + i]));
    EXPECT_EQ(d[b], amax / 127.0f);
    std::int32_t sums[2] = {0, 0};
    for (std::uint32_t i = 0; i < 32; ++i) {
      const float want = amax == 0 ? 0 : std::nearbyint(x[32 * b + i] * (127.0f / amax));
      EXPECT_EQ(q[32 * b + i], want) << b << " " << i;
      sums[i / 16] += q[32 * b + i];
    }
    EXPECT_EQ(s16[2 * b], sums[0]);
    EXPECT_EQ(s16[2 * b + 1], sums[1]);
  }
}

TEST(QuantizeTest, EveryTableGivesTheSameBits) {
  Random random(36);
  const std::uint32_t k = 8 * 32;
  std::vector<float> x = random_floats(random, k, 4);
  x[3] = NAN;
  x[40] = kInfinity;
  x[70] = -kInfinity;
  std::fill_n(x.begin() + 96, 32, 1e-40f);
  std::fill_n(x.begin() + 128, 32, -1e-31f);
  x[170] = 3e38f;
  x[200] = -0.0f;
  struct Outcome {
    Guarded<std::int8_t> q;
    Guarded<float> d;
    Guarded<std::int32_t> s16;
  };
  const auto run = [&](const KernelTable& table) {
    Outcome out{Guarded<std::int8_t>(k), Guarded<float>(k / 32), Guarded<std::int32_t>(k / 16)};
    table.quantize_activations(Guarded<float>(x).data(), k, out.q.data(), out.d.data(),
                               out.s16.data());
    return out;
  };
  const Outcome want = run(scalar());
  for (const KernelTable* table : tables()) {
    const Outcome got = run(*table);
    EXPECT_TRUE(std::equal(got.q.data(), got.q.data() + k, want.q.data())) << table->isa;
    EXPECT_TRUE(std::equal(got.s16.data(), got.s16.data() + k / 16, want.s16.data())) << table->isa;
    EXPECT_TRUE(same_bits(got.d.data(), want.d.data(), k / 32)) << table->isa;
    for (std::uint32_t i = 0; i < k; ++i) EXPECT_GE(got.q[i], -127) << table->isa << " " << i;
  }
}

TEST(RopeTest, RotatesPairsAndLeavesTheRest) {
  Random random(37);
  struct Case {
    std::uint32_t head_dim, n_rot;
  };
  for (const Case c :
       {Case{64, 64}, Case{96, 96}, Case{80, 32}, Case{20, 20}, Case{48, 6}, Case{128, 128}}) {
    const std::uint32_t heads = 3;
    const std::vector<float> x = random_floats(random, heads * c.head_dim);
    std::vector<float> cosine(c.n_rot / 2);
    std::vector<float> sine(c.n_rot / 2);
    for (std::uint32_t i = 0; i < c.n_rot / 2; ++i) {
      cosine[i] = std::cos(0.3f * static_cast<float>(i));
      sine[i] = std::sin(0.3f * static_cast<float>(i));
    }
    for (const bool neox : {false, true}) {
      std::vector<double> want(x.begin(), x.end());
      for (std::uint32_t h = 0; h < heads; ++h) {
        for (std::uint32_t i = 0; i < c.n_rot / 2; ++i) {
          const std::uint32_t at_a = h * c.head_dim + (neox ? i : 2 * i);
          const std::uint32_t at_b = h * c.head_dim + (neox ? i + c.n_rot / 2 : 2 * i + 1);
          const double a = x[at_a];
          const double b = x[at_b];
          want[at_a] = a * cosine[i] - b * sine[i];
          want[at_b] = a * sine[i] + b * cosine[i];
        }
      }
      std::vector<float> reference;
      for (const KernelTable* table : tables()) {
        const Guarded<float> got(x);
        (neox ? table->rope_neox : table->rope_norm)(got.data(), heads, c.head_dim, c.n_rot,
                                                     Guarded<float>(cosine).data(),
                                                     Guarded<float>(sine).data());
        for (std::size_t i = 0; i < x.size(); ++i)
          EXPECT_NEAR(got[i], want[i], 1e-6) << table->isa << " " << i;
        if (reference.empty()) reference.assign(got.data(), got.data() + got.size());
        EXPECT_TRUE(same_bits(got.data(), reference.data(), x.size())) << table->isa;
      }
    }
  }
}

TEST(ConversionTest, EveryHalfAndBfloat) {
  std::vector<std::uint16_t> all(65536);
  for (std::size_t i = 0; i < all.size(); ++i) all[i] = static_cast<std::uint16_t>(i);
  for (const KernelTable* table : tables()) {
    std::vector<float> f16(all.size());
    std::vector<float> bf16(all.size());
    table->f16_to_f32(all.data(), 65536, f16.data());
    table->bf16_to_f32(all.data(), 65536, bf16.data());
    for (std::size_t i = 0; i < all.size(); ++i) {
      const float want[2] = {quant::f16_to_f32(all[i]), quant::bf16_to_f32(all[i])};
      ASSERT_TRUE(same_bits(&f16[i], &want[0], 1)) << table->isa << " " << i;
      ASSERT_TRUE(same_bits(&bf16[i], &want[1], 1)) << table->isa << " " << i;
    }
  }
}

TEST(ConversionTest, FloatsToHalvesRoundToEven) {
  Random random(38);
  std::vector<float> x;
  for (int i = 0; i < 20000; ++i) {
    const float any = std::bit_cast<float>(static_cast<std::uint32_t>(random()));
    if (!std::isnan(any)) x.push_back(any);
    // Around every half: itself, the tie above it and that tie's neighbours.
    const float half = quant::f16_to_f32(static_cast<std::uint16_t>(random() % 0x7bff));
    const float next = quant::f16_to_f32(static_cast<std::uint16_t>(quant::f32_to_f16(half) + 1));
    const float tie = (half + next) / 2;
    for (const float v : {half, tie, std::nextafter(tie, 0.0f), std::nextafter(tie, kInfinity)})
      x.push_back(-v);
  }
  for (const KernelTable* table : tables()) {
    std::vector<std::uint16_t> got(x.size());
    table->f32_to_f16(x.data(), static_cast<std::uint32_t>(x.size()), got.data());
    for (std::size_t i = 0; i < x.size(); ++i)
      ASSERT_EQ(got[i], quant::f32_to_f16(x[i])) << table->isa << " " << x[i];
  }
}

TEST(ConversionTest, RestsDoNotTouchTheirNeighbours) {
  for (const KernelTable* table : tables()) {
    for (std::uint32_t n = 1; n < 40; ++n) {
      const Guarded<std::uint16_t> halves(n, 0x3c00);
      const Guarded<float> floats(n);
      table->f16_to_f32(halves.data(), n, floats.data());
      for (std::uint32_t i = 0; i < n; ++i) EXPECT_EQ(floats[i], 1.0f);
      table->bf16_to_f32(halves.data(), n, floats.data());
      table->f32_to_f16(floats.data(), n, halves.data());
    }
  }
}

}  // namespace
}  // namespace holdfast::kernels::testing
