#include "reference.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>

namespace tessera::reference {

namespace {

std::int64_t element_count(const Shape &shape) {
    std::int64_t count = 1;
    for (const std::int64_t extent : shape) count *= extent;
    return count;
}

// The element of b that belongs to flat element i of a, when b is repeated to a's shape.
double repeated(const Array &b, const Shape &shape, std::int64_t i) {
    std::int64_t offset = 0;
    std::int64_t stride = 1;
    for (size_t back = 0; back < shape.size(); ++back) {
        const std::int64_t extent = shape[shape.size() - 1 - back];
        const std::int64_t position = i % extent;
        i /= extent;
        if (back >= b.shape.size()) continue;
        const std::int64_t b_extent = b.shape[b.shape.size() - 1 - back];
        offset += b_extent == 1 ? 0 : position * stride;
        stride *= b_extent;
    }
    return b[offset];
}

std::int64_t rank_of(const Indices *rank, std::int64_t batch, std::int64_t count, std::int64_t i) {
    if (rank == nullptr) return i;
    const bool per_batch = static_cast<std::int64_t>(rank->size()) > count;
    return (*rank)[static_cast<size_t>(per_batch ? batch * count + i : i)];
}

bool sees(const AttentionOptions &options, std::int64_t query, std::int64_t query_rank,
          std::int64_t key, std::int64_t key_rank) {
    if (key < options.sink_count) return true;
    if (options.sink_isolated && query < options.sink_count) return false;
    switch (options.rule) {
    case TESSERA_RANK_LESS_OR_EQUAL:
        return key_rank <= query_rank;
    case TESSERA_RANK_LESS:
        return key_rank < query_rank;
    case TESSERA_RANK_EQUAL:
        return key_rank == query_rank;
    default:
        return true;
    }
}

} // namespace

Array::Array(Shape wanted, double value)
    : shape(std::move(wanted)), values(static_cast<size_t>(element_count(shape)), value) {}

double activation(tessera_activation_kind kind, double x) {
    switch (kind) {
    case TESSERA_ACTIVATION_GELU_ERF:
        return x / 2 * (1 + std::erf(x / std::numbers::sqrt2));
    case TESSERA_ACTIVATION_GELU_TANH:
        return x / 2 *
               (1 + std::tanh(std::sqrt(2 / std::numbers::pi) * (x + 0.044715 * x * x * x)));
    case TESSERA_ACTIVATION_SILU:
        return x / (1 + std::exp(-x));
    default:
        return x;
    }
}

Product linear(const Array &x, const Array &weight, const LinearOptions &options) {
    const std::int64_t in = x.width();
    const std::int64_t out = weight.shape[0];
    Shape shape = x.shape;
    shape.back() = out;
    Product result{Array(shape), Array(shape)};
    for (std::int64_t row = 0; row < x.rows(); ++row) {
        for (std::int64_t column = 0; column < out; ++column) {
            double sum = options.bias != nullptr ? (*options.bias)[column] : 0.0;
            double magnitude = std::abs(sum);
            for (std::int64_t i = 0; i < in; ++i) {
                sum += x.at(row, i) * weight.at(column, i);
                magnitude += std::abs(x.at(row, i) * weight.at(column, i));
            }
            sum = activation(options.activation, sum);
            if (options.gate != nullptr) {
                const std::int64_t repeat = x.rows() / options.gate->rows();
                sum *= options.gate->at(row / repeat, column);
                magnitude *= std::abs(options.gate->at(row / repeat, column));
            }
            if (options.residual != nullptr) {
                sum += options.residual->at(row, column);
                magnitude += std::abs(options.residual->at(row, column));
            }
            result.value.at(row, column) = sum;
            result.magnitude.at(row, column) = magnitude;
        }
    }
    return result;
}

Product attention(const Array &query, const Array &key, const Array &value,
                  const AttentionOptions &options) {
    const std::int64_t queries = query.shape[1];
    const std::int64_t keys = key.shape[1];
    const std::int64_t heads = query.shape[2];
    const std::int64_t width = query.shape[3];
    const double scale =
        options.scale != 0.0 ? options.scale : 1 / std::sqrt(static_cast<double>(width));
    Product result{Array(query.shape), Array(query.shape)};
    std::vector<double> weight(static_cast<size_t>(keys));
    std::vector<char> seen(static_cast<size_t>(keys));
    for (std::int64_t flat = 0; flat < query.shape[0] * queries * heads; ++flat) {
        const std::int64_t b = flat / (queries * heads);
        const std::int64_t i = flat / heads % queries;
        const std::int64_t h = flat % heads;
        const std::int64_t query_rank = options.query_rank != nullptr
                                            ? rank_of(options.query_rank, b, queries, i)
                                            : options.first_query + i;
        double largest = -INFINITY;
        bool sees_any = false;
        for (std::int64_t j = 0; j < keys; ++j) {
            double score = -INFINITY;
            seen[static_cast<size_t>(j)] =
                sees(options, i, query_rank, j, rank_of(options.key_rank, b, keys, j));
            if (seen[static_cast<size_t>(j)]) {
                sees_any = true;
                score = 0;
                for (std::int64_t d = 0; d < width; ++d)
                    score += query.at(b, i, h, d) * key.at(b, j, h, d);
                score *= scale;
            }
            weight[static_cast<size_t>(j)] = score;
            if (std::isnan(score) || score > largest) largest = score; // NaN then stays
        }
        if (!sees_any) continue; // zeros
        double total = 0;
        for (double &w : weight) total += (w = std::exp(w - largest));
        for (std::int64_t d = 0; d < width; ++d) {
            for (std::int64_t j = 0; j < keys; ++j) {
                if (!seen[static_cast<size_t>(j)]) continue; // 0 times anything
                const double term = weight[static_cast<size_t>(j)] / total * value.at(b, j, h, d);
                result.value.at(b, i, h, d) += term;
                result.magnitude.at(b, i, h, d) += std::abs(term);
            }
        }
    }
    return result;
}

namespace {

// x[b][y][x][c] of conv2d's input as the kernel sees it: silu, upsampling, padding, in that order.
double padded_input(const Array &x, const ConvOptions &options, std::int64_t b, std::int64_t row,
                    std::int64_t column, std::int64_t channel) {
    const std::int64_t height = x.shape[1] * options.upsample;
    const std::int64_t width = x.shape[2] * options.upsample;
    if (options.circular) {
        row = (row % height + height) % height;
        column = (column % width + width) % width;
    }
    if (row < 0 || row >= height || column < 0 || column >= width) return 0.0;
    return activation(options.input_activation,
                      x.at(b, row / options.upsample, column / options.upsample, channel));
}

} // namespace

Product conv2d(const Array &x, const Array &weight, const ConvOptions &o) {
    const std::int64_t out_channels = weight.shape[0];
    const std::int64_t kernel_height = weight.shape[2];
    const std::int64_t kernel_width = weight.shape[3];
    const std::int64_t height =
        (x.shape[1] * o.upsample + o.pad_top + o.pad_bottom - kernel_height) / o.stride + 1;
    const std::int64_t width =
        (x.shape[2] * o.upsample + o.pad_left + o.pad_right - kernel_width) / o.stride + 1;
    const Shape shape{x.shape[0], height, width, out_channels};
    Product result{Array(shape), Array(shape)};
    for (std::int64_t flat = 0; flat < result.value.size(); ++flat) {
        const std::int64_t channel = flat % out_channels;
        const std::int64_t column = flat / out_channels % width;
        const std::int64_t row = flat / out_channels / width % height;
        const std::int64_t b = flat / out_channels / width / height;
        double sum = o.bias != nullptr ? (*o.bias)[channel] : 0.0;
        double magnitude = std::abs(sum);
        for (std::int64_t ky = 0; ky < kernel_height; ++ky) {
            for (std::int64_t kx = 0; kx < kernel_width; ++kx) {
                for (std::int64_t in = 0; in < x.shape[3]; ++in) {
                    const double term = padded_input(x, o, b, row * o.stride + ky - o.pad_top,
                                                     column * o.stride + kx - o.pad_left, in) *
                                        weight.at(channel, in, ky, kx);
                    sum += term;
                    magnitude += std::abs(term);
                }
            }
        }
        sum = activation(o.activation, sum);
        if (o.residual != nullptr) {
            sum += (*o.residual)[flat];
            magnitude += std::abs((*o.residual)[flat]);
        }
        result.value[flat] = sum;
        result.magnitude[flat] = magnitude;
    }
    return result;
}

Array layer_norm(const Array &x, const Array *gamma, const Array *beta, double epsilon) {
    Array result(x.shape);
    const auto width = static_cast<double>(x.width());
    for (std::int64_t row = 0; row < x.rows(); ++row) {
        double mean = 0;
        double variance = 0;
        for (std::int64_t i = 0; i < x.width(); ++i) mean += x.at(row, i) / width;
        for (std::int64_t i = 0; i < x.width(); ++i)
            variance += (x.at(row, i) - mean) * (x.at(row, i) - mean) / width;
        for (std::int64_t i = 0; i < x.width(); ++i) {
            const double unit = (x.at(row, i) - mean) / std::sqrt(variance + epsilon);
            result.at(row, i) = gamma != nullptr ? unit * (*gamma)[i] + (*beta)[i] : unit;
        }
    }
    return result;
}

Array group_norm(const Array &x, std::int64_t groups, const Array &gamma, const Array &beta,
                 double epsilon, tessera_activation_kind kind) {
    Array result(x.shape);
    const std::int64_t pixels = x.shape[1] * x.shape[2];
    const std::int64_t channels = x.shape[3];
    const std::int64_t group_width = channels / groups;
    const auto count = static_cast<double>(pixels * group_width);
    for (std::int64_t flat = 0; flat < x.shape[0] * groups; ++flat) {
        const std::int64_t start = flat / groups * pixels * channels + flat % groups * group_width;
        double mean = 0;
        double variance = 0;
        for (std::int64_t p = 0; p < pixels; ++p)
            for (std::int64_t c = 0; c < group_width; ++c)
                mean += x[start + p * channels + c] / count;
        for (std::int64_t p = 0; p < pixels; ++p)
            for (std::int64_t c = 0; c < group_width; ++c)
                variance += std::pow(x[start + p * channels + c] - mean, 2) / count;
        for (std::int64_t p = 0; p < pixels; ++p) {
            for (std::int64_t c = 0; c < group_width; ++c) {
                const std::int64_t i = start + p * channels + c;
                const std::int64_t channel = flat % groups * group_width + c;
                const double unit = (x[i] - mean) / std::sqrt(variance + epsilon);
                result[i] = activation(kind, unit * gamma[channel] + beta[channel]);
            }
        }
    }
    return result;
}

Array scale_offset(const Array &x, double scale, double offset) {
    Array result = x;
    for (double &value : result.values) value = value * scale + offset;
    return result;
}

Array add(const Array &a, const Array &b) {
    Array result = a;
    for (std::int64_t i = 0; i < a.size(); ++i) result[i] += repeated(b, a.shape, i);
    return result;
}

Array activate(const Array &x, tessera_activation_kind kind) {
    Array result = x;
    for (double &value : result.values) value = activation(kind, value);
    return result;
}

Array modulate(const Array &x, const Array &shift, const Array &scale) {
    Array result = x;
    for (std::int64_t i = 0; i < x.size(); ++i)
        result[i] = x[i] * (1 + repeated(scale, x.shape, i)) + repeated(shift, x.shape, i);
    return result;
}

namespace {

std::int64_t row_index(const Indices &index, std::int64_t batch, std::int64_t count,
                       std::int64_t i) {
    const bool per_batch = static_cast<std::int64_t>(index.size()) > count;
    return index[static_cast<size_t>(per_batch ? batch * count + i : i)];
}

} // namespace

Array gather_rows(const Array &x, const Indices &index, std::int64_t count) {
    const std::int64_t rows = x.shape[1];
    Array result({x.shape[0], count, x.width()});
    for (std::int64_t b = 0; b < x.shape[0]; ++b)
        for (std::int64_t i = 0; i < count; ++i)
            for (std::int64_t c = 0; c < x.width(); ++c)
                result.at(b * count + i, c) = x.at(b * rows + row_index(index, b, count, i), c);
    return result;
}

Array scatter_rows(const Array &x, const Indices &index, const Array &into) {
    const std::int64_t rows = into.shape[1];
    const std::int64_t count = x.shape[1];
    Array result = into;
    for (std::int64_t b = 0; b < x.shape[0]; ++b)
        for (std::int64_t i = 0; i < count; ++i)
            for (std::int64_t c = 0; c < x.width(); ++c)
                result.at(b * rows + row_index(index, b, count, i), c) = x.at(b * count + i, c);
    return result;
}

namespace {

// Calls visit(flat index in (b, h, w, c r r), flat index in (b, h r, w r, c)).
template <class Visit>
void for_each_pixel_pair(const Shape &packed, std::int64_t factor, Visit visit) {
    const std::int64_t channels = packed[3] / (factor * factor);
    std::int64_t i = 0;
    for (std::int64_t b = 0; b < packed[0]; ++b)
        for (std::int64_t y = 0; y < packed[1]; ++y)
            for (std::int64_t x = 0; x < packed[2]; ++x)
                for (std::int64_t c = 0; c < channels; ++c)
                    for (std::int64_t dy = 0; dy < factor; ++dy)
                        for (std::int64_t dx = 0; dx < factor; ++dx) {
                            const std::int64_t row = b * packed[1] * factor + y * factor + dy;
                            const std::int64_t pixel = row * packed[2] * factor + x * factor + dx;
                            visit(i++, pixel * channels + c);
                        }
}

} // namespace

Array pixel_shuffle(const Array &x, std::int64_t factor) {
    Array result(
        {x.shape[0], x.shape[1] * factor, x.shape[2] * factor, x.shape[3] / (factor * factor)});
    for_each_pixel_pair(x.shape, factor, [&](std::int64_t packed, std::int64_t spread) {
        result[spread] = x[packed];
    });
    return result;
}

Array pixel_unshuffle(const Array &x, std::int64_t factor) {
    Array result(
        {x.shape[0], x.shape[1] / factor, x.shape[2] / factor, x.shape[3] * factor * factor});
    for_each_pixel_pair(result.shape, factor, [&](std::int64_t packed, std::int64_t spread) {
        result[packed] = x[spread];
    });
    return result;
}

std::vector<std::uint8_t> to_rgba8(const Array &x) {
    const std::int64_t pixels = x.rows();
    std::vector<std::uint8_t> result(static_cast<size_t>(pixels * 4), 255);
    for (std::int64_t p = 0; p < pixels; ++p) {
        for (std::int64_t c = 0; c < 3; ++c) {
            const double value = (x.at(p, x.width() == 1 ? 0 : c) + 1) / 2 * 255;
            const double clipped = std::isnan(value) ? 0.0 : std::clamp(value, 0.0, 255.0);
            result[static_cast<size_t>(p * 4 + c)] =
                static_cast<std::uint8_t>(std::nearbyint(clipped)); // half to even
        }
    }
    return result;
}

// Philox 4x32-10 (Salmon, Moraes, Dror, Shaw: Parallel random numbers, as easy as 1, 2, 3. 2011).
std::array<std::uint32_t, 4> philox(std::array<std::uint32_t, 4> counter,
                                    std::array<std::uint32_t, 2> key) {
    for (int round = 0; round < 10; ++round) {
        const std::uint64_t a = std::uint64_t{0xD2511F53} * counter[0];
        const std::uint64_t b = std::uint64_t{0xCD9E8D57} * counter[2];
        counter = {static_cast<std::uint32_t>(b >> 32U) ^ counter[1] ^ key[0],
                   static_cast<std::uint32_t>(b),
                   static_cast<std::uint32_t>(a >> 32U) ^ counter[3] ^ key[1],
                   static_cast<std::uint32_t>(a)};
        key = {key[0] + 0x9E3779B9U, key[1] + 0xBB67AE85U};
    }
    return counter;
}

Array normal(std::uint64_t seed, std::uint32_t stream, std::uint32_t first_draw,
             const Indices &index, std::int64_t width) {
    const auto rows = static_cast<std::int64_t>(index.size() / 2);
    Array result({rows, width});
    const std::array<std::uint32_t, 2> key{static_cast<std::uint32_t>(seed),
                                           static_cast<std::uint32_t>(seed >> 32U)};
    for (std::int64_t row = 0; row < rows; ++row) {
        for (std::int64_t e = 0; e < width; ++e) {
            const auto words =
                philox({stream, static_cast<std::uint32_t>(index[static_cast<size_t>(2 * row)]),
                        static_cast<std::uint32_t>(index[static_cast<size_t>(2 * row + 1)]),
                        first_draw + static_cast<std::uint32_t>(e / 4)},
                       key);
            // Components 0 and 1 come from the first two words, 2 and 3 from the others.
            const auto pair = static_cast<size_t>(e % 4 / 2 * 2);
            const double u = ((words[pair] >> 9U) + 0.5) * 0x1p-23;
            const double angle = 2 * std::numbers::pi * (words[pair + 1] >> 8U) * 0x1p-24;
            const double radius = std::sqrt(-2 * std::log(u));
            result.at(row, e) = radius * (e % 2 == 0 ? std::cos(angle) : std::sin(angle));
        }
    }
    return result;
}

Array guide(const Array &conditional, const Array &unconditional, double scale,
            std::int64_t guided_width) {
    Array result = conditional;
    for (std::int64_t row = 0; row < result.rows(); ++row) {
        for (std::int64_t i = 0; i < guided_width; ++i) {
            const double u = unconditional.at(row, i);
            result.at(row, i) = u + scale * (conditional.at(row, i) - u);
        }
    }
    return result;
}

Array reverse_step(const Array &x, const Array &model, const Array *noise,
                   const tessera_reverse_step &step) {
    const std::int64_t d = x.width();
    Array result = x;
    for (std::int64_t row = 0; row < x.rows(); ++row) {
        for (std::int64_t i = 0; i < d; ++i) {
            const double variance = model.width() == 2 * d ? model.at(row, d + i) : 0.0;
            double value = static_cast<double>(step.x_scale) * x.at(row, i) +
                           static_cast<double>(step.model_scale) * model.at(row, i);
            if (step.noise_scale != 0.0F) {
                const double logvar = static_cast<double>(step.logvar_base) +
                                      static_cast<double>(step.logvar_slope) * variance;
                value += static_cast<double>(step.noise_scale) * std::exp(logvar / 2) *
                         noise->at(row, i);
            }
            result.at(row, i) = value;
        }
    }
    return result;
}

} // namespace tessera::reference
