// Weights from a file to a device, strictly: a network's load function runs twice, first to compare
// the whole file with what the network expects, then to pack tensor by tensor.
#pragma once

#include <tessera/sdk/compute.hpp>
#include <tessera/sdk/host.hpp>

#include <functional>
#include <set>
#include <string>
#include <vector>

namespace tessera::blocks {

// A linear layer or convolution on the device: packed weight and bias (out).
struct Linear {
    sdk::Tensor weight;
    sdk::Tensor bias;
};

// How the first dimension of a tensor is divided among several layers.
struct RowRange {
    std::int64_t first = 0;
    std::int64_t count = 0;
};

class WeightLoader {
  public:
    // Told before each tensor how many of the file's are loaded; false ends loading with CANCELLED.
    using Progress = std::function<bool(int done, int total)>;

    // `progress` may be empty.
    WeightLoader(const sdk::Weights &weights, const sdk::Compute &compute, Progress progress = {});

    // Runs `load(*this)` twice: to check (all getters return empty tensors), then to load. Between
    // the two it throws a Failure that lists every missing, misshapen and unknown tensor by name.
    template <class Load>
    auto run(Load &&load) {
        checking_ = true;
        static_cast<void>(load(*this));
        finish_check();
        checking_ = false;
        return load(*this);
    }

    [[nodiscard]] bool checking() const { return checking_; }
    // For parts that a file may lack as a whole.
    [[nodiscard]] bool has(const std::string &name) const {
        return weights_.find(name).has_value();
    }
    [[nodiscard]] const sdk::Compute &compute() const { return compute_; }

    // A tensor as float32 on the device. Loading any tensor rejects NaN and infinity by its name.
    [[nodiscard]] sdk::Tensor vector(const std::string &name, sdk::Shape shape);
    // The same with leading ones dropped: (1, rows, width) in the file, (rows, width) here.
    [[nodiscard]] sdk::Tensor table(const std::string &name, sdk::Shape file_shape,
                                    sdk::Shape shape);
    // A tensor as float32 on the host; empty while checking.
    [[nodiscard]] std::vector<float> numbers(const std::string &name, sdk::Shape shape);
    // `prefix`.weight (out, in) packed in `precision`, and `prefix`.bias (out) when `bias` is set.
    // Here and below, what the file has in f16 is packed as f16 in the place of float32, which
    // changes no bit of a result and halves the memory where a device holds f16.
    [[nodiscard]] Linear linear(const std::string &prefix, std::int64_t out, std::int64_t in,
                                tessera_dtype precision, bool bias = true);
    // The same layer cut into several by rows of the weight.
    [[nodiscard]] std::vector<Linear> split_linear(const std::string &prefix, std::int64_t out,
                                                   std::int64_t in, tessera_dtype precision,
                                                   std::span<const RowRange> ranges);
    // `prefix`.weight (out, in, kernel, kernel) and `prefix`.bias (out).
    [[nodiscard]] Linear conv(const std::string &prefix, std::int64_t out, std::int64_t in,
                              std::int64_t kernel, tessera_dtype precision);
    // One kernel a channel: `prefix`.weight (channels, 1, kernel, kernel), which lies on the device
    // as (kernel, kernel, channels) in float32, and `prefix`.bias (channels).
    [[nodiscard]] Linear depthwise(const std::string &prefix, std::int64_t channels,
                                   std::int64_t kernel);

    // A 1x1 convolution, `prefix`.weight (out, in, 1, 1), as a linear layer over pixels.
    [[nodiscard]] Linear pointwise(const std::string &prefix, std::int64_t out, std::int64_t in,
                                   tessera_dtype precision);

  private:
    [[nodiscard]] std::optional<sdk::View> take(const std::string &name,
                                                std::span<const std::int64_t> shape);
    [[nodiscard]] sdk::Tensor upload_float(const sdk::View &view,
                                           std::span<const std::int64_t> shape);
    void finish_check();

    const sdk::Weights &weights_;
    const sdk::Compute &compute_;
    Progress progress_;
    int loaded_ = 0;
    bool checking_ = false;
    std::set<std::string> wanted_;
    std::vector<std::string> problems_;
};

} // namespace tessera::blocks
