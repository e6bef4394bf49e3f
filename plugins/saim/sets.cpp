// SAIM as a generator of sets of tokens: its network, what draws tokens, its orders.
#include "saim/network.hpp"

#include "blocks/sequence/order.hpp"
#include "blocks/shell/diffusion_sampler.hpp"

#include <algorithm>
#include <numeric>
#include <utility>

namespace tessera::saim {
namespace {

// Tokens as the prediction head expects them.
class Expectation final : public blocks::TokenSampler {
  public:
    Expectation(const sdk::Compute &compute, const SaimModel &model, std::int64_t max_rows)
        : compute_(compute), model_(model) {
        const SaimConfig &c = model.config;
        hidden_ = compute_.allocate({max_rows, std::max<std::int64_t>(c.head_hidden, 1)});
        tokens_ = compute_.allocate({max_rows, c.token_width()});
    }

    [[nodiscard]] bool is_guided() const override { return false; }
    [[nodiscard]] double work(int, double rows) const override { return rows * flops_of_a_row(); }
    void begin(const blocks::TokenSet &set) override { set_ = set; }
    [[nodiscard]] double next_flops() const override {
        return static_cast<double>(set_.rows) * flops_of_a_row();
    }
    bool run_unit() override {
        model_.predict(compute_, set_.conditions, sdk::slice(hidden_.view(), 0, 0, set_.rows),
                       tokens());
        return true;
    }
    [[nodiscard]] sdk::View tokens() const override {
        return sdk::slice(tokens_.view(), 0, 0, set_.rows);
    }

  private:
    [[nodiscard]] double flops_of_a_row() const {
        const SaimConfig &c = model_.config;
        const double width = static_cast<double>(c.width);
        const double hidden = static_cast<double>(c.head_hidden);
        const double out = static_cast<double>(c.token_width());
        return hidden > 0.0 ? 2.0 * hidden * (width + out) : 2.0 * width * out;
    }

    sdk::Compute compute_;
    const SaimModel &model_;
    sdk::Tensor hidden_, tokens_;
    blocks::TokenSet set_;
};

// Steps from each token to the nearest known one, along rows, columns and diagonals; nothing known:
// all the same.
std::vector<std::int64_t> distances(const blocks::RunSpec &spec) {
    const std::int64_t columns = spec.grid.columns, tokens = spec.grid.tokens();
    std::vector<std::int64_t> far(static_cast<std::size_t>(tokens), tokens);
    for (std::int64_t a = 0; a < tokens; ++a) {
        for (std::int64_t b = 0; b < static_cast<std::int64_t>(spec.known.size()); ++b) {
            if (spec.known[static_cast<std::size_t>(b)] == 0) continue;
            const std::int64_t step =
                std::max(std::abs(a / columns - b / columns), std::abs(a % columns - b % columns));
            far[static_cast<std::size_t>(a)] = std::min(far[static_cast<std::size_t>(a)], step);
        }
    }
    return far;
}

} // namespace

std::unique_ptr<blocks::SetNetwork> SaimSets::network(const sdk::Compute &compute,
                                                      const blocks::RunSpec &spec,
                                                      std::int64_t batch) const {
    return std::make_unique<Network>(compute, model_, spec, batch);
}

std::unique_ptr<blocks::TokenSampler> SaimSets::sampler(const sdk::Compute &compute,
                                                        blocks::SamplerSpec spec) const {
    if (expects_) return std::make_unique<Expectation>(compute, model_, spec.max_rows);
    return std::make_unique<blocks::DiffusionSampler>(compute, *model_.sampler, nullptr,
                                                      std::move(spec));
}

// Last generated first.
std::vector<std::int32_t> SaimSets::order(const blocks::RunSpec &spec, int image) const {
    std::vector<std::int32_t> order = blocks::SetModel::order(spec, image);
    const auto known =
        std::count_if(spec.known.begin(), spec.known.end(), [](std::uint8_t k) { return k != 0; });
    const auto unknown_end = order.end() - known;
    std::sort(unknown_end, order.end(), std::greater<>());
    if (order_ == Order::kRaster) std::sort(order.begin(), unknown_end, std::greater<>());
    if (order_ == Order::kInward) {
        const std::vector<std::int64_t> far = distances(spec);
        std::stable_sort(order.begin(), unknown_end, [&](std::int32_t a, std::int32_t b) {
            return far[static_cast<std::size_t>(a)] > far[static_cast<std::size_t>(b)];
        });
    }
    return order;
}

} // namespace tessera::saim
