// Several textures in one job of their model: which, and what that means for turns.
#include "api/runtime.hpp"

#include <algorithm>
#include <new>

namespace tessera::api {
namespace {

// Of all textures in one job: the memory that it takes grows with them.
constexpr std::uint64_t kMostPixels = std::uint64_t{1024} * 1024;

} // namespace

// All that may not differ in one job, as text.
Company company_of(const ModelFacts &facts, const Order &order) {
    if (!facts.batch || !order.inputs.empty()) return {&facts, {}, 0};
    const auto plan = plan_of(facts, order);
    if (!plan || plan->width != 0) return {&facts, {}, 0}; // its own error, or windows
    Company company{&facts, fmt::format("{}", order.preview_every), 0};
    const auto all = facts.params.descriptions();
    for (std::size_t i = 0; i < all.size(); ++i) {
        if (may_differ(facts.batch, all[i])) continue;
        company.values += fmt::format("\n{} {}", plan->values.value(i), plan->values.text(i));
    }
    const auto side = [&](const char *key, std::uint32_t native) {
        const double chosen = facts.sizes ? plan->values.value_of(key, native) : native;
        return static_cast<std::uint64_t>(std::max(chosen, 1.0));
    };
    company.pixels = side(TESSERA_KEY_WIDTH, facts.width) * side(TESSERA_KEY_HEIGHT, facts.height);
    return company;
}

// A run of it is about to begin.
void Runtime::claim(Texture &texture) {
    texture.run_job = texture.job;
    texture.stop = false;
    texture.waits = false;
    texture.state = TextureState::kRunning;
}

// Who may begin in one job with it, by weight and age: of its priority, so that nobody waits for
// something less urgent.
std::vector<std::shared_ptr<Texture>> Runtime::mates_of(Texture &texture) const {
    const Model &model = *texture.model;
    std::vector<std::shared_ptr<Texture>> mates;
    const auto company = [&](Texture &other) -> const Company & {
        if (other.company.facts != model.facts.get()) {
            other.company = company_of(*model.facts, other.order);
        }
        return other.company;
    };
    if (model.batch < 2 || texture.apart || company(texture).values.empty()) return mates;
    for (const auto &[id, other] : textures_) {
        const bool fits = id != texture.id && other->model.get() == &model && other->waits &&
                          other->run_job == 0 && !other->apart &&
                          other->priority == texture.priority && may_have_turn(*other);
        if (fits && company(*other).values == texture.company.values) mates.push_back(other);
    }
    std::stable_sort(mates.begin(), mates.end(),
                     [](const auto &a, const auto &b) { return a->weight > b->weight; });
    const std::uint64_t room = kMostPixels / std::max<std::uint64_t>(1, texture.company.pixels);
    const std::uint64_t most =
        std::min<std::uint64_t>(model.batch, std::max<std::uint64_t>(1, room));
    if (mates.size() > most - 1) mates.resize(most - 1);
    return mates;
}

// Without memory for all, those that there is memory for.
void Runtime::claim_mates(Turn &turn) const {
    try {
        const auto mates = mates_of(*turn.texture);
        turn.mates.reserve(mates.size());
        for (const auto &texture : mates) {
            turn.mates.push_back({texture, texture->order, texture->job});
            claim(*texture);
        }
    } catch (const std::bad_alloc &) { // the others have a turn of their own
    }
}

// Whoever is in one job has its turns in common.
void Runtime::note_turn(const Turn &turn) {
    const std::uint64_t group = turn.run != nullptr ? turn.run->group() : turn.number;
    turn.texture->last_turn = turn.model->last_turn = turns_;
    for (const Mate &mate : turn.mates) mate.texture->last_turn = turns_;
    for (const auto &[id, run] : turn.model->runs) {
        const auto at = textures_.find(id);
        if (run->group() == group && at != textures_.end()) at->second->last_turn = turns_;
    }
}

} // namespace tessera::api
