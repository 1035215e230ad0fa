// The splitting rules by name. The regular expression that each pass stands for is written beside
// it in rules.cc.
#pragma once

#include "pre_tokenizer.h"

namespace holdfast::tokenizer {

namespace passes {
#define HF_PASS(name) void name(const Stretch& stretch, std::vector<std::uint32_t>& ends);
HF_PASS(gpt2)
HF_PASS(llama3)
HF_PASS(minicpm5)
HF_PASS(qwen2)
HF_PASS(qwen35)
HF_PASS(ufakzeka)
HF_PASS(bailing)
HF_PASS(seed_coder)
HF_PASS(exaone_moe)
HF_PASS(tekken)
HF_PASS(gpt4o)
HF_PASS(granite)
HF_PASS(aya)
HF_PASS(youtu_main)
HF_PASS(deepseek3_main)
HF_PASS(spark_main)
HF_PASS(one_digit)
HF_PASS(three_digits)
HF_PASS(digit_run)
HF_PASS(digits_from_right)
HF_PASS(ascii_triples)
HF_PASS(falcon_punctuation)
HF_PASS(default_punctuation)
HF_PASS(bloom)
HF_PASS(each_newline)
HF_PASS(newline_runs)
HF_PASS(space_letters)
HF_PASS(space_punctuation)
HF_PASS(deepseek_latin)
HF_PASS(deepseek_signs)
HF_PASS(trailing_space)
HF_PASS(deepseek_cjk)
HF_PASS(han_kana)
HF_PASS(youtu_cjk)
HF_PASS(afmoe_cjk)
#undef HF_PASS
}  // namespace passes

#define HF_RULE(name, ...) inline constexpr SplitPass name[] = {__VA_ARGS__};
HF_RULE(kGpt2Rule, passes::gpt2)
HF_RULE(kDefaultRule, passes::default_punctuation, passes::gpt2, passes::digit_run,
        passes::ascii_triples)
HF_RULE(kFalconRule, passes::falcon_punctuation, passes::gpt2, passes::ascii_triples)
HF_RULE(kStarcoderRule, passes::one_digit, passes::gpt2)
HF_RULE(kLlama3Rule, passes::llama3)
HF_RULE(kMinicpm5Rule, passes::three_digits, passes::minicpm5)
HF_RULE(kQwen2Rule, passes::qwen2)
HF_RULE(kQwen35Rule, passes::qwen35)
HF_RULE(kUfakzekaRule, passes::ufakzeka)
HF_RULE(kLagunaRule, passes::newline_runs, passes::qwen2)
HF_RULE(kBailingRule, passes::bailing)
HF_RULE(kSeedCoderRule, passes::seed_coder)
HF_RULE(kExaoneMoeRule, passes::exaone_moe)
HF_RULE(kTekkenRule, passes::tekken)
HF_RULE(kGpt4oRule, passes::gpt4o)
HF_RULE(kGraniteRule, passes::granite)
HF_RULE(kTinyAyaRule, passes::digits_from_right, passes::aya)
HF_RULE(kYoutuRule, passes::youtu_cjk, passes::youtu_main)
HF_RULE(kBloomRule, passes::bloom)
HF_RULE(kVikingRule, passes::bloom, passes::one_digit)
HF_RULE(kDeepseekLlmRule, passes::each_newline, passes::deepseek_latin, passes::deepseek_signs,
        passes::trailing_space, passes::deepseek_cjk, passes::digit_run)
HF_RULE(kDeepseekCoderRule, passes::each_newline, passes::space_letters, passes::space_punctuation,
        passes::deepseek_cjk, passes::one_digit)
HF_RULE(kDeepseek3Rule, passes::three_digits, passes::han_kana, passes::deepseek3_main)
HF_RULE(kSparkRule, passes::three_digits, passes::han_kana, passes::spark_main, passes::one_digit)
HF_RULE(kAfmoeRule, passes::digits_from_right, passes::afmoe_cjk, passes::deepseek3_main)
#undef HF_RULE

}  // namespace holdfast::tokenizer
