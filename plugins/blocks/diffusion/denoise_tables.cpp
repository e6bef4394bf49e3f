// Tables of denoising chains.
#include "blocks/diffusion/denoise_tables.hpp"

#include "blocks/sequence/deadline.hpp"

#include <algorithm>
#include <set>

namespace tessera::blocks {

// A chain of `count` steps runs through the times that respace_to keeps for it, and a time's
// embedding depends on nothing else: the times of all chains that the run may need are embedded
// once, each distinct one in a row, and `prepare` gathers the rows of one chain. Guidance holds
// where a time's share of the trained ones, t / (T - 1), lies in the interval: both are known now,
// so that a set only looks them up.
DenoiseTables::DenoiseTables(const sdk::Compute &compute, const TokenHead &head,
                             const DiffusionSettings &settings, std::span<const int> counts)
    : compute_(compute) {
    std::map<int, std::vector<std::int32_t>> kept;
    std::set<std::int32_t> distinct;
    for (const int count : counts) {
        const auto &times = kept[count] = respace_to(settings.denoise_steps, count);
        distinct.insert(times.begin(), times.end());
    }
    const std::vector<std::int32_t> all(distinct.begin(), distinct.end());
    const bool wanted = blocks::is_guided(settings.guidance);
    for (auto &[count, times] : kept) {
        Table &table = tables_[count];
        std::reverse(times.begin(), times.end()); // running order
        for (const std::int32_t time : times) {
            const double share = static_cast<double>(time) / (kTrainSteps - 1);
            const bool inside = share >= settings.guidance_low && share <= settings.guidance_high;
            table.rows.push_back(static_cast<std::int32_t>(
                std::lower_bound(all.begin(), all.end(), time) - all.begin()));
            table.guided.push_back(inside);
            table.guided_count += wanted && inside ? 1 : 0;
        }
        std::reverse(times.begin(), times.end());
        guided_ = guided_ || table.guided_count > 0;
        most_steps_ = std::max(most_steps_, table.size());
        table.reverse =
            reverse_steps(settings.integrator, cosine_tables(std::move(times)), settings.eta,
                          settings.temperature, head.shape().prediction, settings.tokens);
    }
    if (all.empty()) return; // nothing is to be denoised
    all_times_ = head.time_table(compute, all);
    times_ = compute_.allocate({most_steps_, head.shape().width});
    step_guidance_.reserve(static_cast<std::size_t>(most_steps_));
}

double DenoiseTables::work(int count, double rows, double flops_of_a_row) const {
    const Table &t = table(count);
    return t.guided_count * head_work(2.0 * rows, flops_of_a_row) +
           (t.size() - t.guided_count) * head_work(rows, flops_of_a_row);
}

void DenoiseTables::prepare(int count, double guidance, DenoiseSet &set) {
    const Table &t = table(count);
    const std::int64_t width = times_.view().shape[1];
    const sdk::View times = sdk::slice(times_.view(), 0, 0, t.size());
    compute_.gather_rows(sdk::reshape(all_times_, {1, all_times_.view().shape[0], width}),
                         sdk::host_view(t.rows.data(), {1, t.size()}),
                         sdk::reshape(times, {1, t.size(), width}));
    set.time = times;
    set.steps = t.reverse.steps;
    set.memory = t.reverse.memory;
    set.clean = t.reverse.clean;
    set.guidance = static_cast<float>(guidance);
    set.step_guidance = {};
    if (!guided_ || t.guided_count == t.size()) return;
    step_guidance_.clear();
    for (const bool guided : t.guided) step_guidance_.push_back(guided ? set.guidance : 1.0f);
    set.step_guidance = step_guidance_;
}

} // namespace tessera::blocks
