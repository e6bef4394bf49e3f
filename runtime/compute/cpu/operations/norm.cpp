#include "compute/cpu/operations/norm.hpp"

#include "compute/cpu/ops.hpp"
#include "compute/cpu/rows.hpp"

#include <cmath>

namespace tessera::cpu {

namespace {

// One group_norm call: statistics of pixel blocks, joined per group, then applied.
struct GroupNorm {
    Cpu &cpu;
    const tessera_tensor &x;
    const tessera_tensor &gamma;
    const tessera_tensor &beta;
    const tessera_tensor &out;
    std::int64_t groups;
    float epsilon;
    tessera_activation_kind activation;

    std::int64_t channels = x.shape[3];
    std::int64_t blocks_per_row = (x.shape[2] + kNormBlockPixels - 1) / kNormBlockPixels;
    // Pixels come in rows of any stride; a gapless image is one row.
    std::int64_t rows = x.shape[1];
    std::int64_t row_pixels = x.shape[2];
    float *block_mean = nullptr;    // (batch, blocks, channels)
    float *block_squares = nullptr; // (batch, blocks, channels)
    float *mean = nullptr;          // (batch, channels), as are scale and offset
    float *scale = nullptr;
    float *offset = nullptr;

    bool prepare();
    void measure(std::int64_t block) const;
    void join(std::int64_t group) const;
    void apply(std::int64_t block) const;

    [[nodiscard]] std::int64_t blocks() const { return rows * blocks_per_row; } // per image
    [[nodiscard]] std::int64_t block_pixels(std::int64_t block) const {
        return std::min(kNormBlockPixels, row_pixels - block % blocks_per_row * kNormBlockPixels);
    }
    // First element of a block of one image of x or out.
    [[nodiscard]] float *block_at(const tessera_tensor &tensor, std::int64_t block) const {
        const std::int64_t in_image = block % blocks();
        return data_of(tensor) + block / blocks() * tensor.stride[0] +
               in_image / blocks_per_row * tensor.stride[1] +
               in_image % blocks_per_row * kNormBlockPixels * tensor.stride[2];
    }
};

// True when the rows of every image follow each other without a gap.
bool rows_join(const tessera_tensor &tensor) {
    return tensor.shape[1] == 1 || tensor.stride[1] == tensor.shape[2] * tensor.stride[2];
}

bool GroupNorm::prepare() {
    if (rows_join(x) && rows_join(out)) {
        row_pixels = x.shape[1] * x.shape[2];
        rows = 1;
    }
    blocks_per_row = (row_pixels + kNormBlockPixels - 1) / kNormBlockPixels;
    const std::int64_t measured = x.shape[0] * blocks() * channels;
    const std::int64_t joined = x.shape[0] * channels;
    block_mean = cpu.scratch<float>(Scratch::kA, 2 * measured);
    mean = cpu.scratch<float>(Scratch::kB, 3 * joined);
    if (block_mean == nullptr || mean == nullptr) return false;
    block_squares = block_mean + measured;
    scale = mean + joined;
    offset = scale + joined;
    return true;
}

void GroupNorm::measure(std::int64_t block) const {
    cpu.kernels().norm.channel_statistics(block_at(x, block), block_pixels(block), x.stride[2],
                                          channels, block_mean + block * channels,
                                          block_squares + block * channels);
}

// Joins blocks and channels (Chan, Golub, LeVeque 1983) in double, in a fixed order.
void GroupNorm::join(std::int64_t group) const {
    const std::int64_t image = group / groups;
    const std::int64_t width = channels / groups;
    const std::int64_t first = group % groups * width;
    double count = 0;
    double total_mean = 0;
    double squares = 0;
    for (std::int64_t block = 0; block < blocks(); ++block) {
        // The channels of a block have one count, so that they join without a division each.
        const auto pixels = static_cast<double>(block_pixels(block));
        const std::int64_t at = (image * blocks() + block) * channels + first;
        double mean_sum = 0;
        for (std::int64_t c = 0; c < width; ++c)
            mean_sum += static_cast<double>(block_mean[at + c]);
        const double mean_here = mean_sum / static_cast<double>(width);
        double squares_here = 0;
        for (std::int64_t c = 0; c < width; ++c) {
            const double away = static_cast<double>(block_mean[at + c]) - mean_here;
            squares_here += static_cast<double>(block_squares[at + c]) + pixels * away * away;
        }
        const double count_here = pixels * static_cast<double>(width);
        const double difference = mean_here - total_mean;
        const double share = count_here / (count + count_here);
        total_mean += difference * share;
        squares += squares_here + difference * difference * count * share;
        count += count_here;
    }
    const double deviation = std::sqrt(squares / count + static_cast<double>(epsilon));
    for (std::int64_t c = first; c < first + width; ++c) {
        const std::int64_t at = image * channels + c;
        mean[at] = static_cast<float>(total_mean);
        // What rounding the mean to float loses goes into the offset.
        const double factor = static_cast<double>(data_of(gamma)[c]) / deviation;
        scale[at] = static_cast<float>(factor);
        offset[at] = static_cast<float>(static_cast<double>(data_of(beta)[c]) -
                                        (total_mean - static_cast<double>(mean[at])) * factor);
    }
}

void GroupNorm::apply(std::int64_t block) const {
    const std::int64_t at = block / blocks() * channels;
    cpu.kernels().norm.normalise(block_at(x, block), block_pixels(block), x.stride[2], channels,
                                 mean + at, scale + at, offset + at, activation,
                                 block_at(out, block), out.stride[2]);
}

} // namespace

void layer_norm(Cpu &cpu, const tessera_tensor &x, const tessera_tensor *gamma,
                const tessera_tensor *beta, float epsilon, const tessera_tensor &out) {
    const auto kernel = cpu.kernels().norm.layer_norm;
    const float *factor = gamma != nullptr ? data_of(*gamma) : nullptr;
    const float *term = beta != nullptr ? data_of(*beta) : nullptr;
    for_each_row<2>(cpu, out, {&x, &out}, [&](const auto &at, std::int64_t width) {
        kernel(data_of(x) + at[0], factor, term, width, epsilon, data_of(out) + at[1]);
    });
}

void rms_norm(Cpu &cpu, const tessera_tensor &x, const tessera_tensor *gamma, float epsilon,
              const tessera_tensor &out) {
    const auto kernel = cpu.kernels().norm.rms_norm;
    const float *factor = gamma != nullptr ? data_of(*gamma) : nullptr;
    for_each_row<2>(cpu, out, {&x, &out}, [&](const auto &at, std::int64_t width) {
        kernel(data_of(x) + at[0], factor, width, epsilon, data_of(out) + at[1]);
    });
}

void group_norm(Cpu &cpu, const tessera_tensor &x, std::uint32_t groups,
                const tessera_tensor &gamma, const tessera_tensor &beta, float epsilon,
                tessera_activation_kind activation, const tessera_tensor &out) {
    GroupNorm norm{cpu, x, gamma, beta, out, groups, epsilon, activation};
    if (!norm.prepare()) return;
    const std::int64_t blocks = x.shape[0] * norm.blocks();
    cpu.pool().run([&](Region &region) {
        region.for_each(blocks, [&](std::int64_t block) { norm.measure(block); });
        region.for_each(x.shape[0] * norm.groups, [&](std::int64_t group) { norm.join(group); });
        region.for_each(blocks, [&](std::int64_t block) { norm.apply(block); });
    });
}

} // namespace tessera::cpu
