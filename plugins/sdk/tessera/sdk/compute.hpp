// Tensor (owns device memory) and Compute (the operations of compute.h with C++ arguments), so that
// model code reads like the paper. Allocation failures throw; operations never do: their first
// failure comes out of synchronize().
#pragma once

#include <tessera/compute.h>
#include <tessera/ext/compute_graph.h>
#include <tessera/ext/draft/mlp_denoiser.h>
#include <tessera/sdk/tensor.hpp>

#include <cmath>
#include <utility>
#include <vector>

namespace tessera::sdk {

// Device memory from allocate or pack_*; move-only. Must not outlive its compute.
class Tensor {
  public:
    Tensor() = default;
    Tensor(const tessera_compute *compute, const View &view) : compute_(compute), view_(view) {}
    Tensor(Tensor &&other) noexcept
        : compute_(std::exchange(other.compute_, nullptr)), view_(std::exchange(other.view_, {})) {}
    Tensor &operator=(Tensor &&other) noexcept {
        if (this != &other) {
            reset();
            compute_ = std::exchange(other.compute_, nullptr);
            view_ = std::exchange(other.view_, {});
        }
        return *this;
    }
    Tensor(const Tensor &) = delete;
    Tensor &operator=(const Tensor &) = delete;
    ~Tensor() { reset(); }

    void reset() {
        if (compute_ != nullptr) compute_->release(compute_, &view_);
        compute_ = nullptr;
        view_ = {};
    }

    [[nodiscard]] const View &view() const { return view_; }
    operator const View &() const { return view_; }
    [[nodiscard]] std::int64_t shape(int dimension) const { return view_.shape[dimension]; }
    explicit operator bool() const { return view_.data != nullptr; }

    // As an optional argument: NULL when the tensor is empty.
    [[nodiscard]] const View *optional() const { return view_.data != nullptr ? &view_ : nullptr; }

  private:
    const tessera_compute *compute_ = nullptr;
    View view_{};
};

// Options of Compute::linear: out = residual + gate * act(x W^T + bias), and the layer norm of that
// into `normed`.
struct LinearOptions {
    const View *bias = nullptr;
    tessera_activation_kind activation = TESSERA_ACTIVATION_NONE;
    const View *gate = nullptr;
    const View *residual = nullptr;
    const View *normed = nullptr;
    const View *norm_gamma = nullptr;
    const View *norm_beta = nullptr;
    float norm_epsilon = 0.0f;
};

class Compute {
  public:
    explicit Compute(const tessera_compute *table) : table_(table) {}

    [[nodiscard]] const tessera_compute *table() const { return table_; }
    [[nodiscard]] tessera_memory memory() const { return table_->info->memory; }
    template <class Extension>
    [[nodiscard]] const Extension *extension(const char *id) const {
        return static_cast<const Extension *>(table_->get_extension(table_, id));
    }

    [[nodiscard]] Tensor allocate(Shape shape, tessera_dtype dtype = TESSERA_DTYPE_F32) const {
        View view = make_view(nullptr, dtype, {shape.begin(), shape.size()}, memory());
        check(table_->allocate(table_, &view), "allocating a tensor");
        return {table_, view};
    }
    // A device copy of host memory; the dtype stays.
    [[nodiscard]] Tensor to_device(const View &host) const {
        View view = make_view(nullptr, host.dtype,
                              {host.shape, static_cast<std::size_t>(host.rank)}, memory());
        check(table_->allocate(table_, &view), "allocating a tensor");
        Tensor tensor(table_, view);
        table_->upload(table_, &host, &tensor.view());
        return tensor;
    }
    [[nodiscard]] Tensor pack_linear(const View &host_weight, tessera_dtype precision) const {
        View packed{};
        check(table_->pack_linear(table_, &host_weight, precision, &packed), "packing a weight");
        return {table_, packed};
    }
    [[nodiscard]] Tensor pack_conv2d(const View &host_weight, tessera_dtype precision) const {
        View packed{};
        check(table_->pack_conv2d(table_, &host_weight, precision, &packed), "packing a kernel");
        return {table_, packed};
    }

    // A kernel of depthwise_conv2d from (channels, 1, height, width) F32, as PyTorch has it.
    [[nodiscard]] Tensor depthwise_kernel(const View &host_weight) const {
        if (host_weight.rank != 4 || host_weight.shape[1] != 1) {
            throw Failure(Status::kInvalidArgument, "a depthwise kernel is " +
                                                        shape_text(host_weight) +
                                                        "; expected (channels, 1, height, width)");
        }
        View turned = host_weight;
        turned.rank = 3;
        for (int i = 0; i < 3; ++i) {
            turned.shape[i] = host_weight.shape[i == 2 ? 0 : i + 2];
            turned.stride[i] = host_weight.stride[i == 2 ? 0 : i + 2];
        }
        turned.shape[3] = 1;
        turned.stride[3] = 0;
        return to_device(turned);
    }

    // A table for `rotary`: angle(position, pair) in radians.
    template <class Angle>
    [[nodiscard]] Tensor rotary_turns(std::int64_t positions, std::int64_t pairs,
                                      const Angle &angle) const {
        std::vector<float> table(static_cast<std::size_t>(2 * positions * pairs));
        for (std::int64_t p = 0; p < positions; ++p) {
            float *row = table.data() + 2 * p * pairs;
            for (std::int64_t k = 0; k < pairs; ++k) {
                const double turn = angle(p, k);
                row[k] = static_cast<float>(std::cos(turn));
                row[pairs + k] = static_cast<float>(std::sin(turn));
            }
        }
        return to_device(host_view(table.data(), {positions, 2 * pairs}));
    }

    void upload(const View &host, const View &out) const { table_->upload(table_, &host, &out); }
    void download(const View &x, const View &host_out) const {
        table_->download(table_, &x, &host_out);
    }
    void synchronize() const { check(table_->synchronize(table_), "running on the device"); }

    void linear(const View &x, const View &weight, const LinearOptions &options,
                const View &out) const {
        tessera_linear c{};
        c.struct_size = sizeof c;
        c.activation = options.activation;
        c.bias = options.bias;
        c.gate = options.gate;
        c.residual = options.residual;
        c.normed = options.normed;
        c.norm_gamma = options.norm_gamma;
        c.norm_beta = options.norm_beta;
        c.norm_epsilon = options.norm_epsilon;
        table_->linear(table_, &x, &weight, &c, &out);
    }
    void attention(const View &query, const View &key, const View &value, tessera_attention options,
                   const View &out) const {
        options.struct_size = sizeof options;
        table_->attention(table_, &query, &key, &value, &options, &out);
    }
    void conv2d(const View &x, const View &weight, tessera_conv2d options, const View &out) const {
        options.struct_size = sizeof options;
        table_->conv2d(table_, &x, &weight, &options, &out);
    }
    // Any of `options` but its size; NULL tensors are absent.
    void depthwise_conv2d(const View &x, const View &kernel, tessera_depthwise_conv2d options,
                          const View &out) const {
        options.struct_size = sizeof options;
        table_->depthwise_conv2d(table_, &x, &kernel, &options, &out);
    }
    void rotary(const View &x, const View &turns, tessera_rotary options, const View &out) const {
        options.struct_size = sizeof options;
        table_->rotary(table_, &x, &turns, &options, &out);
    }
    void rms_norm(const View &x, const View *gamma, float epsilon, const View &out) const {
        table_->rms_norm(table_, &x, gamma, epsilon, &out);
    }
    void layer_norm(const View &x, const View *gamma, const View *beta, float epsilon,
                    const View &out) const {
        table_->layer_norm(table_, &x, gamma, beta, epsilon, &out);
    }
    void group_norm(const View &x, std::uint32_t groups, const View &gamma, const View &beta,
                    float epsilon, tessera_activation_kind activation, const View &out) const {
        table_->group_norm(table_, &x, groups, &gamma, &beta, epsilon, activation, &out);
    }
    void fill(float value, const View &out) const { table_->fill(table_, value, &out); }
    void copy(const View &x, const View &out) const { table_->copy(table_, &x, &out); }
    void scale_offset(const View &x, float scale, float offset, const View &out) const {
        table_->scale_offset(table_, &x, scale, offset, &out);
    }
    void add(const View &a, const View &b, const View &out) const {
        table_->add(table_, &a, &b, &out);
    }
    void activate(const View &x, tessera_activation_kind kind, const View &out) const {
        table_->activate(table_, &x, kind, &out);
    }
    void modulate(const View &x, const View &shift, const View &scale, const View &out) const {
        table_->modulate(table_, &x, &shift, &scale, &out);
    }
    void gather_rows(const View &x, const View &index, const View &out) const {
        table_->gather_rows(table_, &x, &index, &out);
    }
    void scatter_rows(const View &x, const View &index, const View &out) const {
        table_->scatter_rows(table_, &x, &index, &out);
    }
    void pixel_shuffle(const View &x, std::uint32_t factor, const View &out) const {
        table_->pixel_shuffle(table_, &x, factor, &out);
    }
    void pixel_unshuffle(const View &x, std::uint32_t factor, const View &out) const {
        table_->pixel_unshuffle(table_, &x, factor, &out);
    }
    void to_rgba8(const View &x, const View &out) const { table_->to_rgba8(table_, &x, &out); }
    void normal(tessera_random random, const View &out) const {
        random.struct_size = sizeof random;
        table_->normal(table_, &random, &out);
    }
    void guide(const View &conditional, const View &unconditional, float scale,
               std::uint32_t guided_width, const View &out) const {
        table_->guide(table_, &conditional, &unconditional, scale, guided_width, &out);
    }
    // A step as the denoise chain has it: the prediction in the place of the clean estimate.
    void reverse_step(const View &x, const View &model, const View *noise,
                      const tessera_reverse_step &step, const View &out) const {
        tessera_reverse options{};
        options.clean_model = 1;
        options.state_scale = step.x_scale;
        options.clean_scale = step.model_scale;
        options.noise_scale = step.noise_scale;
        options.logvar_base = step.logvar_base;
        options.logvar_slope = step.logvar_slope;
        options.noise = noise;
        reverse_step(x, model, options, out);
    }
    void reverse_step(const View &x, const View &model, tessera_reverse options,
                      const View &out) const {
        options.struct_size = sizeof options;
        table_->reverse_step(table_, &x, &model, &options, &out);
    }
    void softmax(const View &x, float scale, const View &out) const {
        table_->softmax(table_, &x, scale, &out);
    }
    void argmax(const View &x, const View &out) const { table_->argmax(table_, &x, &out); }
    void choose(const View &x, tessera_choice options, const View &out) const {
        options.struct_size = sizeof options;
        table_->choose(table_, &x, &options, &out);
    }
    void first_not_finite(const View &x, const View &out) const {
        table_->first_not_finite(table_, &x, &out);
    }

  private:
    const tessera_compute *table_;
};

// A sequence of operations, recorded once and replayed (ext/compute_graph.h). Move-only.
class Graph {
  public:
    Graph() = default;
    // Runs `calls`, which stays where it is, and remembers the operations that it makes.
    template <class Calls>
    Graph(const Compute &compute, Calls &calls)
        : compute_(compute.table()),
          table_(compute.extension<tessera_ext_compute_graph>(TESSERA_EXT_COMPUTE_GRAPH)) {
        if (table_ == nullptr) {
            throw Failure(Status::kUnsupported, "the device has no " TESSERA_EXT_COMPUTE_GRAPH);
        }
        const auto run = [](void *context) { (*static_cast<Calls *>(context))(); };
        check(table_->record(compute_, run, &calls, &graph_), "recording operations");
    }
    Graph(Graph &&other) noexcept
        : compute_(other.compute_), table_(other.table_),
          graph_(std::exchange(other.graph_, nullptr)) {}
    Graph &operator=(Graph &&other) noexcept {
        std::swap(compute_, other.compute_);
        std::swap(table_, other.table_);
        std::swap(graph_, other.graph_);
        return *this;
    }
    Graph(const Graph &) = delete;
    Graph &operator=(const Graph &) = delete;
    ~Graph() {
        if (graph_ != nullptr) table_->destroy(compute_, graph_);
    }

    void replay() const { table_->replay(compute_, graph_); }
    explicit operator bool() const { return graph_ != nullptr; }

  private:
    const tessera_compute *compute_ = nullptr;
    const tessera_ext_compute_graph *table_ = nullptr;
    tessera_graph *graph_ = nullptr;
};

} // namespace tessera::sdk
