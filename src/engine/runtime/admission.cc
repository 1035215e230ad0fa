// Who runs, and on which pages.
#include <algorithm>

#include "engine_impl.h"

namespace holdfast::runtime {

namespace {

constexpr std::size_t kPageTokens = kvcache::PagedKvCache::kPageTokens;

}  // namespace

// An operator's prompt is one domain for all; a caller's cannot be named like it.
std::string_view Engine::Impl::domain_of(const Sequence& s, std::size_t page) {
  return page < s.shared_pages ? "shared" : std::string_view(s.own_domain);
}

kvcache::PrefixCache::PageTokens Engine::Impl::page_tokens(const Sequence& s,
                                                           std::size_t page) const {
  return kvcache::PrefixCache::PageTokens(s.request.tokens.data() + page * kPageTokens,
                                          kPageTokens);
}

// Pages that can come from the cache. The last token is computed in any case: its row is what the
// answer begins with.
std::size_t Engine::Impl::reusable_pages(const Sequence& s) const {
  const bool every_row =
      s.request.generate && s.request.generate->want_prompt_logprobs && !s.started;
  return s.reuses && !every_row ? (s.prefill_end - 1) / kPageTokens : 0;
}

std::vector<kvcache::PrefixCache::Node> Engine::Impl::known_pages(const Sequence& s) const {
  std::vector<kvcache::PrefixCache::Node> nodes;
  kvcache::PrefixCache::Node at = kvcache::PrefixCache::kRoot;
  for (std::size_t page = 0; page < reusable_pages(s); ++page) {
    const auto next = prefixes.find(at, domain_of(s, page), page_tokens(s, page));
    if (!next) break;
    nodes.push_back(at = *next);
  }
  return nodes;
}

std::size_t Engine::Impl::pages_lacking(const Sequence& s) const {
  return s.pages_needed - std::min(parts.cache.pages(*s.slot).size(), s.pages_needed);
}

PageClaim Engine::Impl::claim_of(const Sequence& s) const {
  PageClaim claim;
  const std::size_t have = parts.cache.pages(*s.slot).size();
  for (std::size_t page = 0; page < have; ++page)
    claim.pages.push_back(parts.cache.page_of(*s.slot, page * kPageTokens));
  claim.need = pages_lacking(s);
  return claim;
}

std::vector<PageClaim> Engine::Impl::claims() const {
  std::vector<PageClaim> out;
  for (const Sequence* s : running) out.push_back(claim_of(*s));
  return out;
}

// Pages that it will probably have when it ends: answers are taken to be as long as those before.
std::size_t Engine::Impl::pages_expected(const Sequence& s) const {
  if (!s.request.generate) return s.pages_needed;
  const std::size_t more = std::max(answer_tokens_mean, s.generated + double{kPageTokens});
  const std::size_t tokens = s.prompt_tokens + static_cast<std::size_t>(more);
  return std::min(s.pages_needed, kvcache::PagedKvCache::pages_for(tokens));
}

// Whether it can run beside the others. Most answers end long before they must, so not all that it
// may ever need has to be there: enough for what all probably need, and so much that all can end in
// any case (page_grants.h).
bool Engine::Impl::fits(const Sequence& s, bool beside_own) const {
  const kvcache::PagedKvCache& cache = parts.cache;
  const std::vector<kvcache::PrefixCache::Node> known = known_pages(s);
  std::size_t taken = cache.pages_in_use();
  for (const kvcache::PrefixCache::Node node : known)
    taken += cache.in_use(prefixes.page(node)) ? 0 : 1;
  const std::size_t places = std::size_t{options.sequences_max} + options.guests_max;
  const std::size_t aside = beside_own ? cache.pages_total() * options.guests_max / places : 0;
  if (taken + aside > cache.pages_total()) return false;
  const std::size_t available = cache.pages_total() - taken - aside;

  std::size_t needed = s.pages_needed - known.size();
  std::size_t expected = pages_expected(s) - std::min(known.size(), pages_expected(s));
  for (const Sequence* r : running) {
    const std::size_t have = cache.pages(*r->slot).size();
    needed += pages_lacking(*r);
    expected += pages_expected(*r) - std::min(have, pages_expected(*r));
  }
  if (needed <= available) return true;
  if (expected > available) return false;
  std::vector<PageClaim> all = claims();
  PageClaim& own = all.emplace_back();
  for (const kvcache::PrefixCache::Node node : known) own.pages.push_back(prefixes.page(node));
  own.need = s.pages_needed - known.size();
  return all_can_end(available, all, cache.pages_total());
}

void Engine::Impl::admit() {
  const Scheduler::Fits fit = [this](RequestId id, bool beside_own) {
    return fits(*sequences.at(id), beside_own);
  };
  while (true) {
    const Scheduler::Action action = scheduler.next(fit);
    if (action.kind == Scheduler::Action::Kind::kNone) return;
    Sequence& s = *sequences.at(action.id);
    if (action.kind == Scheduler::Action::Kind::kPreempt) {
      preempt(s);
      continue;
    }
    auto slot = parts.cache.open();
    if (!slot.ok()) return;
    s.slot = *slot;
    running.push_back(&s);
    start(s);
    s.prompt_left = s.prefill_end - s.computed;
    scheduler.admitted(action.id, s.prompt_left);
  }
}

void Engine::Impl::start(Sequence& s) {
  const bool first_time = s.admitted_ns == 0;
  if (first_time) s.admitted_ns = now_ns();
  catch_up(s);
  if (!s.request.generate || !first_time) return;
  if (reusable_pages(s) > 0) totals.prefix_queries += s.prompt_tokens;
  Generate& g = *s.request.generate;
  for (const std::int32_t token : s.request.tokens) s.sampler->accept(token);
  s.decoder = std::make_unique<tokenizer::StreamDecoder>(
      parts.tokenizer,
      tokenizer::StreamDecoder::Options{.unparse_special = false, .at_text_start = g.text_start});
  s.stops.emplace(std::move(g.stops));
}

// What it has answered stays said; when its turn comes again, it reads its prompt and that, and
// goes on.
void Engine::Impl::preempt(Sequence& s) {
  release(s);
  std::erase(running, &s);
  s.computed = 0;
  s.prefill_end = s.request.tokens.size();
  s.pages_indexed = 0;
  s.node = kvcache::PrefixCache::kRoot;
  s.index_full = false;
  if (!s.started) s.prompt_outputs.clear();
  scheduler.preempted(s.request.id);
  ++totals.preemptions;
}

// Takes the next pages of its prompt from the cache as far as they are there: when it is admitted,
// and later those that another request has computed meanwhile.
void Engine::Impl::catch_up(Sequence& s) {
  const std::size_t pages = reusable_pages(s);
  while (!s.index_full && s.pages_indexed < pages && s.computed == s.pages_indexed * kPageTokens) {
    const auto next =
        prefixes.find(s.node, domain_of(s, s.pages_indexed), page_tokens(s, s.pages_indexed));
    if (!next) return;
    // One that nobody else holds is as good as a new one: there may be more urgent needs for it.
    if (!parts.cache.in_use(prefixes.page(*next))) {
      PageGrants grants = grants_of_step();
      if (!grants.take(claim_number(s), 1)) return;
    }
    parts.cache.adopt(*s.slot, prefixes.page(*next));
    prefixes.used(*next);
    s.node = *next;
    ++s.pages_indexed;
    s.computed += kPageTokens;
    if (s.generated == 0) s.cached_tokens += kPageTokens;
    totals.prefix_hits += s.generated == 0 ? kPageTokens : 0;
  }
}

// Leaves the pages that are complete for those who come after. Where another was quicker, its page
// takes the place of the own one: both hold the same bits.
void Engine::Impl::index_pages(Sequence& s) {
  while (s.keeps && !s.index_full && (s.pages_indexed + 1) * kPageTokens <= s.computed) {
    const std::size_t page = s.pages_indexed;
    const std::string_view domain = domain_of(s, page);
    const auto tokens = page_tokens(s, page);
    auto node = prefixes.find(s.node, domain, tokens);
    if (node) {
      parts.cache.replace(*s.slot, page * kPageTokens, prefixes.page(*node));
    } else {
      node =
          prefixes.insert(s.node, domain, tokens, parts.cache.page_of(*s.slot, page * kPageTokens));
    }
    s.index_full = !node;
    if (!node) return;
    s.node = *node;
    ++s.pages_indexed;
  }
}

}  // namespace holdfast::runtime
