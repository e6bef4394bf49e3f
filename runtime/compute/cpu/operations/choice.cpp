// Softmax, the largest of each row, draws by logits, and rows that hold what is not finite.
#include "compute/cpu/ops.hpp"
#include "compute/cpu/rows.hpp"
#include "compute/normal_numbers.hpp"
#include "compute/operands.hpp"

#include <algorithm>
#include <atomic>
#include <bit>
#include <cmath>
#include <cstring>
#include <functional>

namespace tessera::cpu {
namespace {

constexpr std::int32_t kNone = -1;

// body(row, thread) for rows [0, count) of `width` numbers.
template <class Body>
void for_each_of(Cpu &cpu, std::int64_t count, std::int64_t width, Body &&body) {
    const std::int64_t rows_of_piece = std::max<std::int64_t>(1, kPieceElements / width);
    cpu.pool().run([&](Region &region) {
        region.for_each((count + rows_of_piece - 1) / rows_of_piece, [&](std::int64_t piece) {
            const std::int64_t end = std::min(count, (piece + 1) * rows_of_piece);
            for (std::int64_t row = piece * rows_of_piece; row < end; ++row)
                body(row, region.thread_index());
        });
    });
}

std::int32_t largest(const float *x, std::int64_t width) {
    std::int64_t best = 0;
    for (std::int64_t i = 0; i < width; ++i) {
        if (std::isnan(x[i])) return kNone;
        if (x[i] > x[best]) best = i;
    }
    return static_cast<std::int32_t>(best);
}

// The number in [0, 1) that a row draws.
float drawn(const tessera_random &random, std::int64_t row) {
    const tessera_tensor &index = *random.index;
    const auto *at = static_cast<const std::int32_t *>(index.data) + row * index.stride[0];
    const PhiloxCounter words =
        philox({random.stream, static_cast<std::uint32_t>(at[0]),
                static_cast<std::uint32_t>(at[index.stride[1]]), random.first_draw},
               philox_key(random.seed));
    return static_cast<float>(words[0] >> 8U) * 0x1p-24F;
}

// One call of choose; `work` is a thread's own, two rows of numbers.
struct Choice {
    Cpu &cpu;
    const tessera_choice &options;
    const tessera_random random;
    std::int64_t width;

    [[nodiscard]] std::int32_t of(const float *x, std::int64_t row, float *work) const {
        const std::int32_t best = largest(x, width);
        if (options.temperature == 0.0F || best == kNone) return best;
        if (!std::isfinite(x[best])) return kNone;
        float *weights = work;
        float *sorted = work + width;
        cpu.kernels().attention.scale(x, width, 1.0F / options.temperature, weights);
        if (options.top_k != 0 && options.top_k < width) keep_largest(x, sorted, weights);
        (void)cpu.kernels().attention.softmax(weights, width, KeyFilter{});
        if (options.top_p > 0.0F && options.top_p < 1.0F) keep_likeliest(weights, sorted);
        return pick(weights, drawn(random, row));
    }

  private:
    // What is less than the k-th largest gets no weight.
    void keep_largest(const float *x, float *sorted, float *scores) const {
        std::copy_n(x, width, sorted);
        std::nth_element(sorted, sorted + (options.top_k - 1), sorted + width, std::greater<>());
        const float least = sorted[options.top_k - 1];
        for (std::int64_t i = 0; i < width; ++i)
            if (x[i] < least) scores[i] = -INFINITY;
    }

    // The same for what is less than the last of those that reach top_p together.
    void keep_likeliest(float *weights, float *sorted) const {
        const float *end = std::copy_if(weights, weights + width, sorted,
                                        [](float weight) { return weight > 0.0F; });
        const std::int64_t count = end - sorted;
        std::sort(sorted, sorted + count, std::greater<>());
        double total = 0;
        for (std::int64_t i = 0; i < count; ++i) total += static_cast<double>(sorted[i]);
        const double wanted = total * static_cast<double>(options.top_p);
        double reached = 0;
        std::int64_t last = 0;
        for (; last < count; ++last) {
            reached += static_cast<double>(sorted[last]);
            if (reached >= wanted) break;
        }
        const float least = sorted[std::min(last, count - 1)];
        for (std::int64_t i = 0; i < width; ++i)
            if (weights[i] < least) weights[i] = 0.0F;
    }

    [[nodiscard]] std::int32_t pick(const float *weights, float u) const {
        double total = 0;
        for (std::int64_t i = 0; i < width; ++i) total += static_cast<double>(weights[i]);
        const double target = total * static_cast<double>(u);
        double sum = 0;
        std::int64_t last = 0; // that has a weight
        for (std::int64_t i = 0; i < width; ++i) {
            sum += static_cast<double>(weights[i]);
            if (weights[i] > 0.0F) last = i;
            if (sum > target) return static_cast<std::int32_t>(i);
        }
        return static_cast<std::int32_t>(last);
    }
};

bool is_finite(const float *x, std::int64_t width) {
    constexpr std::uint32_t kExponent = 0x7f800000U;
    std::uint32_t bad = 0;
    for (std::int64_t i = 0; i < width; ++i) {
        std::uint32_t bits = 0;
        std::memcpy(&bits, x + i, sizeof bits);
        bad |= (bits & kExponent) == kExponent ? 1U : 0U;
    }
    return bad == 0;
}

} // namespace

void softmax(Cpu &cpu, const tessera_tensor &x, float scale, const tessera_tensor &out) {
    const AttentionKernels &kernels = cpu.kernels().attention;
    for_each_row<2>(cpu, out, {&x, &out}, [&](const auto &at, std::int64_t width) {
        float *to = data_of(out) + at[1];
        kernels.scale(data_of(x) + at[0], width, scale, to);
        const float share = kernels.softmax(to, width, KeyFilter{});
        kernels.scale(to, width, share, to);
    });
}

void argmax(Cpu &cpu, const tessera_tensor &x, const tessera_tensor &out) {
    const auto rows = operands::as_rows(x);
    auto *to = static_cast<std::int32_t *>(out.data);
    for_each_of(cpu, rows->count, rows->width, [&](std::int64_t row, unsigned) {
        to[row] = largest(data_of(x) + row * rows->stride, rows->width);
    });
}

void choose(Cpu &cpu, const tessera_tensor &x, const tessera_choice &options,
            const tessera_tensor &out) {
    const auto rows = operands::as_rows(x);
    auto *work = cpu.scratch<float>(Scratch::kA, cpu.pool().thread_count() * 2 * rows->width);
    if (work == nullptr) return;
    const Choice choice{cpu, options, operations::copy_options(options.random), rows->width};
    auto *to = static_cast<std::int32_t *>(out.data);
    for_each_of(cpu, rows->count, rows->width, [&](std::int64_t row, unsigned thread) {
        to[row] = choice.of(data_of(x) + row * rows->stride, row,
                            work + std::int64_t{thread} * 2 * rows->width);
    });
}

void first_not_finite(Cpu &cpu, const tessera_tensor &x, const tessera_tensor &out) {
    const RowOffsets offsets(x, x);
    const std::int64_t rows = row_count(x);
    const std::int64_t width = row_width(x);
    std::atomic<std::int64_t> first{rows};
    for_each_of(cpu, rows, width, [&](std::int64_t row, unsigned) {
        if (is_finite(data_of(x) + offsets(row), width)) return;
        std::int64_t before = first.load();
        while (row < before && !first.compare_exchange_weak(before, row)) {
        }
    });
    *static_cast<std::int32_t *>(out.data) = static_cast<std::int32_t>(first.load());
}

} // namespace tessera::cpu
