// conv2d and group_norm of the CPU backend at the autoencoder's sizes, next to oneDNN in the same
// run. Prints medians and the spread between the quartiles; ratios above 1 mean that ours is
// faster. Arguments: [threads (1)] [repetitions (7)] [largest side (128)].
#include "sleeping_peer.hpp"

#include "compute/registry.hpp"
#include "tests/compute/harness.hpp"
#include "tests/compute/onednn/onednn.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <ctime>
#include <functional>
#include <string>
#include <vector>

namespace tessera::testing {
namespace {

struct Times {
    std::vector<double> ms;
    [[nodiscard]] double quantile(double at) {
        std::sort(ms.begin(), ms.end());
        return ms[static_cast<std::size_t>(at * static_cast<double>(ms.size() - 1))];
    }
    [[nodiscard]] double median() { return quantile(0.5); }
    [[nodiscard]] double spread() { return (quantile(0.75) - quantile(0.25)) / median(); }
};

// One thread is timed in CPU time, which other programs disturb little; more threads in wall time.
double now_ms(bool wall) {
    timespec time{};
    clock_gettime(wall ? CLOCK_MONOTONIC : CLOCK_THREAD_CPUTIME_ID, &time);
    return static_cast<double>(time.tv_sec) * 1e3 + static_cast<double>(time.tv_nsec) * 1e-6;
}

// Runs the contestants in turn, so that disturbances meet them alike.
std::vector<Times> race(const std::vector<std::function<void()>> &contestants, int repetitions,
                        bool wall) {
    std::vector<Times> times(contestants.size());
    for (int i = -1; i < repetitions; ++i) { // the first round warms up
        for (std::size_t c = 0; c < contestants.size(); ++c) {
            if (!contestants[c]) continue;
            const double start = now_ms(wall);
            contestants[c]();
            if (i >= 0) times[c].ms.push_back(now_ms(wall) - start);
        }
    }
    return times;
}

std::vector<float> floats(const Array &array) { return {array.values.begin(), array.values.end()}; }

struct Options {
    unsigned threads;
    int repetitions;
    std::int64_t largest_side;
};

struct ConvRow {
    std::int64_t side, in, out;
    std::int64_t kernel = 3;
    std::int64_t stride = 1; // 2: padded right and bottom only, as the encoder does
};

OneDnnConvShape onednn_shape(const ConvRow &row) {
    const std::int64_t before = row.stride == 2 ? 0 : row.kernel / 2;
    const std::int64_t after = row.kernel / 2;
    return {1,          row.side, row.side, row.in, row.out, row.kernel,
            row.stride, before,   before,   after,  after};
}

void print_row(const ConvRow &row, std::vector<Times> &times) {
    const std::int64_t out_side = row.side / row.stride;
    const double gflop = 2e-9 * static_cast<double>(row.kernel * row.kernel * out_side * out_side *
                                                    row.in * row.out);
    const double ours = times[0].median();
    fmt::print("conv {}x{} /{}  {:3} px {:3} -> {:3}  ours {:8.2f} ms ({:2.0f} %), {:4.0f} GFLOP/s "
               "direct-equivalent   oneDNN direct {:8.2f} ms, ratio {:.2f}",
               row.kernel, row.kernel, row.stride, row.side, row.in, row.out, ours,
               100 * times[0].spread(), gflop / ours * 1e3, times[1].median(),
               times[1].median() / ours);
    if (!times[2].ms.empty()) {
        fmt::print("   oneDNN Winograd {:8.2f} ms, ratio {:.2f}", times[2].median(),
                   times[2].median() / ours);
    }
    fmt::print("   ours exact {:8.2f} ms, {:.2f} of ours\n", times[3].median(),
               times[3].median() / ours);
}

void bench_conv(const tessera_compute &compute, const Options &options, const ConvRow &row) {
    const OneDnnConvShape shape = onednn_shape(row);
    const double fan_in = static_cast<double>(row.in * row.kernel * row.kernel);
    const Array x = random_array({1, row.side, row.side, row.in}, 1);
    const Array weight =
        random_array({row.out, row.in, row.kernel, row.kernel}, 2, 1 / std::sqrt(fan_in));
    const Array bias = random_array({row.out}, 3);
    const DeviceTensor input(compute, x);
    const DeviceTensor bias_tensor(compute, bias);
    const std::int64_t out_side = row.side / row.stride;
    const DeviceTensor result(compute, Shape{1, out_side, out_side, row.out});
    const PackedWeight packed(compute, weight, TESSERA_DTYPE_F32);
    tessera_conv2d conv{};
    conv.struct_size = sizeof conv;
    conv.stride = static_cast<std::uint32_t>(row.stride);
    conv.pad_top = conv.pad_left = static_cast<std::uint32_t>(shape.pad_top);
    conv.pad_bottom = conv.pad_right = static_cast<std::uint32_t>(shape.pad_bottom);
    conv.bias = bias_tensor.view();
    tessera_conv2d exact = conv;
    exact.exact = 1;
    const auto oracle = [&](OneDnnAlgorithm algorithm) {
        return OneDnnConv::create(shape, algorithm, static_cast<int>(options.threads), floats(x),
                                  floats(weight), floats(bias));
    };
    const auto direct = oracle(OneDnnAlgorithm::kDirect);
    const auto winograd =
        row.kernel == 3 && row.stride == 1 ? oracle(OneDnnAlgorithm::kWinograd) : nullptr;
    std::vector<Times> times = race(
        {[&] { compute.conv2d(&compute, input.view(), packed.view(), &conv, result.view()); },
         [&] { direct->run(); },
         winograd ? std::function<void()>([&] { winograd->run(); }) : nullptr,
         [&] { compute.conv2d(&compute, input.view(), packed.view(), &exact, result.view()); }},
        options.repetitions, options.threads > 1);
    if (compute.synchronize(&compute) == TESSERA_OK) print_row(row, times);
}

void bench_group_norm(const tessera_compute &compute, const Options &options, std::int64_t side,
                      std::int64_t channels) {
    const DeviceTensor x(compute, random_array({1, side, side, channels}, 1));
    const DeviceTensor out(compute, Shape{1, side, side, channels});
    const DeviceTensor copy(compute, Shape{1, side, side, channels});
    const DeviceTensor gamma(compute, random_array({channels}, 2));
    const DeviceTensor beta(compute, random_array({channels}, 3));
    std::vector<Times> times =
        race({[&] {
                  compute.group_norm(&compute, x.view(), 32, gamma.view(), beta.view(), 1e-6F,
                                     TESSERA_ACTIVATION_SILU, out.view());
              },
              [&] { compute.copy(&compute, x.view(), copy.view()); }},
             options.repetitions, options.threads > 1);
    fmt::print(
        "group_norm + SiLU  {:3} px {:3} channels  ours {:8.2f} ms ({:3.0f} %)   a copy of it "
        "{:8.2f} ms, ratio {:.2f}\n",
        side, channels, times[0].median(), 100 * times[0].spread(), times[1].median(),
        times[1].median() / times[0].median());
}

int run(const Options &options) {
    const auto opened = Compute::open("cpu", {.threads = options.threads});
    if (!opened) {
        fmt::print(stderr, "{}\n", opened.error().message);
        return 1;
    }
    const tessera_compute &compute = *opened->table();
    fmt::print("{}; {} repetitions\n", compute.info->device, options.repetitions);
    const ConvRow rows[] = {{16, 512, 512},        {32, 512, 256},       {32, 256, 256},
                            {64, 256, 256},        {128, 256, 128},      {128, 128, 128},
                            {256, 128, 128},       {64, 64, 64},         {256, 64, 64},
                            {128, 128, 128, 3, 2}, {64, 256, 256, 3, 2}, {16, 512, 512, 1},
                            {128, 256, 128, 1},    {256, 3, 128},        {16, 16, 512},
                            {128, 128, 3},         {256, 128, 3}};
    for (const ConvRow &row : rows)
        if (row.side <= options.largest_side) bench_conv(compute, options, row);
    for (const ConvRow &row : rows) {
        if (row.side <= options.largest_side && row.in == row.out && row.kernel == 3 &&
            row.stride == 1)
            bench_group_norm(compute, options, row.side, row.in);
    }
    return 0;
}

} // namespace
} // namespace tessera::testing

int main(int argc, char **argv) {
    tessera::bench::let_idle_threads_sleep(argv);
    const auto argument = [&](int index, int fallback) {
        return argc > index ? std::atoi(argv[index]) : fallback;
    };
    return tessera::testing::run({static_cast<unsigned>(std::max(1, argument(1, 1))),
                                  std::max(1, argument(2, 7)), argument(3, 128)});
}
