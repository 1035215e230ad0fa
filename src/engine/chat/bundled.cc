#include "holdfast/chat/bundled.h"

#include <algorithm>
#include <array>

namespace holdfast::chat {

namespace {

// Content may be a text or a list of parts, of which these formats know only text. A literal, so
// that it can be joined with the literals below.
#define HF_TEXT_MACRO                                                                          \
  "{%- macro text(content) -%}{%- if content is string -%}{{ content }}{%- elif content is "   \
  "iterable -%}"                                                                               \
  "{%- for part in content -%}{%- if part.type == 'text' -%}{{ part.text }}{%- else -%}"       \
  "{{ raise_exception('This prompt format takes text only, not ' ~ part.type) }}{%- endif -%}" \
  "{%- endfor -%}{%- endif -%}{%- endmacro -%}"
#define HF_UNKNOWN_ROLE "{{ raise_exception('This prompt format has no role ' ~ m.role) }}"
// Formats without a place for a system message put it before the first message of the user.
#define HF_SYSTEM_FIRST                                                                            \
  "{%- set ns = namespace(system='') -%}{%- if messages and messages[0].role in ['system', "       \
  "'developer'] -%}"                                                                               \
  "{%- set ns.system = text(messages[0].content) -%}{%- set messages = messages[1:] -%}{%- endif " \
  "-%}"

// clang-format off
constexpr std::array kTemplates = {
    BundledTemplate{"alpaca", "Alpaca and models tuned on its instructions", HF_TEXT_MACRO HF_SYSTEM_FIRST
        "{{ (ns.system or 'Below is an instruction that describes a task. Write a response that appropriately"
        " completes the request.') + '\\n\\n' }}"
        "{%- for m in messages -%}"
        "{%- if m.role == 'user' -%}{{ '### Instruction:\\n' + text(m.content) + '\\n\\n' }}"
        "{%- elif m.role == 'assistant' -%}{{ '### Response:\\n' + text(m.content) + eos_token|default('') + '\\n\\n' }}"
        "{%- else -%}" HF_UNKNOWN_ROLE "{%- endif -%}{%- endfor -%}"
        "{%- if add_generation_prompt -%}{{ '### Response:\\n' }}{%- endif -%}"},
    BundledTemplate{"chatml", "Qwen, SmolLM2, Yi, Hermes and many others", HF_TEXT_MACRO
        "{%- for m in messages -%}{{ '<|im_start|>' + m.role + '\\n' + text(m.content) + '<|im_end|>\\n' }}{%- endfor -%}"
        "{%- if add_generation_prompt -%}{{ '<|im_start|>assistant\\n' }}{%- endif -%}"},
    BundledTemplate{"command-r", "Command R and Command R+ without tools", HF_TEXT_MACRO
        "{{ bos_token|default('') }}{%- for m in messages -%}"
        "{%- if m.role in ['system', 'developer'] -%}{%- set who = 'SYSTEM' -%}{%- elif m.role == 'user' -%}{%- set who = 'USER' -%}"
        "{%- elif m.role == 'assistant' -%}{%- set who = 'CHATBOT' -%}{%- else -%}" HF_UNKNOWN_ROLE "{%- endif -%}"
        "{{ '<|START_OF_TURN_TOKEN|><|' + who + '_TOKEN|>' + text(m.content)|trim + '<|END_OF_TURN_TOKEN|>' }}{%- endfor -%}"
        "{%- if add_generation_prompt -%}{{ '<|START_OF_TURN_TOKEN|><|CHATBOT_TOKEN|>' }}{%- endif -%}"},
    BundledTemplate{"deepseek", "DeepSeek V2.5, V3 and R1 without tools", HF_TEXT_MACRO HF_SYSTEM_FIRST
        "{{ bos_token|default('') + ns.system }}{%- for m in messages -%}"
        "{%- if m.role == 'user' -%}{{ '<\xEF\xBD\x9CUser\xEF\xBD\x9C>' + text(m.content) }}"
        "{%- elif m.role == 'assistant' -%}{{ '<\xEF\xBD\x9C" "Assistant\xEF\xBD\x9C>' + text(m.content) +"
        " '<\xEF\xBD\x9C" "end\xE2\x96\x81of\xE2\x96\x81sentence\xEF\xBD\x9C>' }}"
        "{%- else -%}" HF_UNKNOWN_ROLE "{%- endif -%}{%- endfor -%}"
        "{%- if add_generation_prompt -%}{{ '<\xEF\xBD\x9C" "Assistant\xEF\xBD\x9C>' }}{%- endif -%}"},
    BundledTemplate{"gemma", "Gemma, Gemma 2 and Gemma 3, text only", HF_TEXT_MACRO HF_SYSTEM_FIRST
        "{{ bos_token|default('') }}{%- for m in messages -%}"
        "{%- if m.role not in ['user', 'assistant'] -%}" HF_UNKNOWN_ROLE "{%- endif -%}"
        "{{ '<start_of_turn>' + ('model' if m.role == 'assistant' else 'user') + '\\n' }}"
        "{%- if loop.first and ns.system -%}{{ ns.system + '\\n\\n' }}{%- endif -%}"
        "{{ text(m.content)|trim + '<end_of_turn>\\n' }}{%- endfor -%}"
        "{%- if add_generation_prompt -%}{{ '<start_of_turn>model\\n' }}{%- endif -%}"},
    BundledTemplate{"granite", "Granite 3 without tools", HF_TEXT_MACRO
        "{%- for m in messages -%}{{ '<|start_of_role|>' + m.role + '<|end_of_role|>' + text(m.content) + '<|end_of_text|>\\n' }}"
        "{%- endfor -%}{%- if add_generation_prompt -%}{{ '<|start_of_role|>assistant<|end_of_role|>' }}{%- endif -%}"},
    BundledTemplate{"llama2", "Llama 2 chat", HF_TEXT_MACRO HF_SYSTEM_FIRST
        "{%- for m in messages -%}"
        "{%- if m.role == 'user' -%}{{ bos_token|default('') + '[INST] ' }}"
        "{%- if loop.first and ns.system -%}{{ '<<SYS>>\\n' + ns.system + '\\n<</SYS>>\\n\\n' }}{%- endif -%}"
        "{{ text(m.content)|trim + ' [/INST]' }}"
        "{%- elif m.role == 'assistant' -%}{{ ' ' + text(m.content)|trim + ' ' + eos_token|default('') }}"
        "{%- else -%}" HF_UNKNOWN_ROLE "{%- endif -%}{%- endfor -%}"},
    BundledTemplate{"llama3", "Llama 3, 3.1, 3.2 and 3.3 without tools", HF_TEXT_MACRO
        "{{ bos_token|default('') }}{%- for m in messages -%}"
        "{{ '<|start_header_id|>' + m.role + '<|end_header_id|>\\n\\n' + text(m.content)|trim + '<|eot_id|>' }}{%- endfor -%}"
        "{%- if add_generation_prompt -%}{{ '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}{%- endif -%}"},
    BundledTemplate{"mistral", "Mistral 7B v0.3 and Mixtral without tools", HF_TEXT_MACRO HF_SYSTEM_FIRST
        "{{ bos_token|default('') }}{%- for m in messages -%}"
        "{%- if m.role == 'user' -%}{{ '[INST] ' + (ns.system + '\\n\\n' if loop.first and ns.system else '') + text(m.content) + '[/INST]' }}"
        "{%- elif m.role == 'assistant' -%}{{ ' ' + text(m.content) + eos_token|default('') }}"
        "{%- else -%}" HF_UNKNOWN_ROLE "{%- endif -%}{%- endfor -%}"},
    BundledTemplate{"phi3", "Phi-3 and Phi-3.5", HF_TEXT_MACRO
        "{%- for m in messages -%}{%- if m.role not in ['system', 'user', 'assistant'] -%}" HF_UNKNOWN_ROLE "{%- endif -%}"
        "{{ '<|' + m.role + '|>\\n' + text(m.content) + '<|end|>\\n' }}{%- endfor -%}"
        "{%- if add_generation_prompt -%}{{ '<|assistant|>\\n' }}{%- endif -%}"},
    BundledTemplate{"phi4", "Phi-4", HF_TEXT_MACRO
        "{%- for m in messages -%}{{ '<|im_start|>' + m.role + '<|im_sep|>' + text(m.content) + '<|im_end|>' }}{%- endfor -%}"
        "{%- if add_generation_prompt -%}{{ '<|im_start|>assistant<|im_sep|>' }}{%- endif -%}"},
    BundledTemplate{"vicuna", "Vicuna 1.1 and later", HF_TEXT_MACRO HF_SYSTEM_FIRST
        "{{ bos_token|default('') + (ns.system + '\\n\\n' if ns.system else '') }}{%- for m in messages -%}"
        "{%- if m.role == 'user' -%}{{ 'USER: ' + text(m.content) + '\\n' }}"
        "{%- elif m.role == 'assistant' -%}{{ 'ASSISTANT: ' + text(m.content) + eos_token|default('') + '\\n' }}"
        "{%- else -%}" HF_UNKNOWN_ROLE "{%- endif -%}{%- endfor -%}"
        "{%- if add_generation_prompt -%}{{ 'ASSISTANT:' }}{%- endif -%}"},
    BundledTemplate{"zephyr", "Zephyr, TinyLlama chat, StableLM Zephyr", HF_TEXT_MACRO
        "{%- for m in messages -%}{%- if m.role not in ['system', 'user', 'assistant'] -%}" HF_UNKNOWN_ROLE "{%- endif -%}"
        "{{ '<|' + m.role + '|>\\n' + text(m.content) + eos_token|default('</s>') + '\\n' }}{%- endfor -%}"
        "{%- if add_generation_prompt -%}{{ '<|assistant|>\\n' }}{%- endif -%}"},
};
// clang-format on

#undef HF_SYSTEM_FIRST
#undef HF_UNKNOWN_ROLE
#undef HF_TEXT_MACRO

}  // namespace

std::span<const BundledTemplate> bundled_templates() { return kTemplates; }

std::optional<std::string_view> find_bundled(std::string_view name) {
  const auto found = std::find_if(kTemplates.begin(), kTemplates.end(),
                                  [name](const BundledTemplate& t) { return t.name == name; });
  if (found == kTemplates.end()) return std::nullopt;
  return found->source;
}

}  // namespace holdfast::chat
