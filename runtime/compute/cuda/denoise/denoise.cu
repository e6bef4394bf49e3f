// "tessera.mlp-denoiser.draft/1": the diffusion head of MAR. The condition embedding is made once
// per set and the modulations of many steps in one product per layer; then the steps run, a few in
// one unit of about a millisecond, in one of two ways that agree within the rounding of bf16:
//
// - the persistent kernel (persistent.cuh), where the blocks' products are bf16, the device
//   has cooperative launches and tensor cores for bf16 (capability 8.0), and a tile of rows fits
//   into shared memory. Never by the number of rows: their bits must not depend on it.
// - else, or with the option denoise_graphs, CUDA graphs, made once per shape. A step of MAR-B
//   is 26 launches in them; the host launches 16 graphs for 100 steps (12 of 8 steps, 4 of one), so
//   1,024 for 64 sets, and 10 to 18 other kernels and products for a set.
#include "compute/cuda/denoise/kernels.cuh"
#include "compute/cuda/denoise/persistent.cuh"
#include "compute/cuda/denoise/plan.hpp"
#include "compute/cuda/denoise/steps.cuh"
#include "compute/cuda/kernels/linear.cuh"
#include "compute/cuda/ops.hpp"
#include "compute/operands.hpp"
#include "compute/table_denoise.hpp"

#include <algorithm>
#include <map>
#include <tuple>

namespace tessera::cuda {
namespace {

constexpr std::size_t kKeptGraphs = 64;

struct Layer {
    PackedWeight weight;
    const float *bias = nullptr;
    [[nodiscard]] bool is_bf16() const { return weight.dtype == TESSERA_DTYPE_BF16; }
};

} // namespace

// What a tessera_mlp_denoiser_chain of this backend points to.
class DenoiseChain {
  public:
    static Result<std::unique_ptr<DenoiseChain>> create(Cuda &cuda,
                                                        const tessera_mlp_denoiser_network &network,
                                                        std::uint32_t max_rows,
                                                        std::uint32_t max_steps, bool guided);
    ~DenoiseChain();
    DenoiseChain(const DenoiseChain &) = delete;
    DenoiseChain &operator=(const DenoiseChain &) = delete;

    void begin(const tessera_mlp_denoiser_set &set);
    void advance(std::uint32_t first_step, std::uint32_t count, const tessera_tensor &x,
                 const tessera_tensor *model_out);

  private:
    struct Block {
        const float *gamma, *beta;
        Layer mlp_in, mlp_out, ada;
    };
    // Tokens, network rows and steps of a captured graph.
    using GraphKey = std::tuple<std::int64_t, std::int64_t, std::int32_t>;

    explicit DenoiseChain(Cuda &cuda) : cuda_(cuda) {}
    Result<> take_network(const tessera_mlp_denoiser_network &network);
    Result<Layer> layer(const tessera_mlp_denoiser_linear &linear) const;
    Result<> allocate_all();
    Result<> plan_persistent();
    template <class T>
    Result<> allocate(T *&memory, std::int64_t count);
    Result<> allocate(Feed &feed, std::int64_t rows, std::initializer_list<const Layer *> layers);

    [[nodiscard]] bool is_guided(std::uint32_t step) const {
        return guided_set_ && guided_steps_[step];
    }
    [[nodiscard]] std::int64_t network_rows(std::uint32_t step) const {
        return is_guided(step) ? 2 * rows_ : rows_;
    }
    [[nodiscard]] NormLayer norm_layer(std::size_t block) const;
    [[nodiscard]] StepShape shape(std::int64_t network_rows, std::int32_t offset) const;
    void upload_steps(const tessera_mlp_denoiser_set &set);
    // `bias`: that of the layer, or NULL for the plain product.
    void multiply(const Layer &layer, const Feed &from, std::int64_t rows, const float *bias,
                  float *out, std::int64_t out_stride);
    void open_chunk(std::uint32_t step);
    void record_step(std::int64_t network_rows, std::int32_t offset);
    [[nodiscard]] Finish finish() const;
    void run_graph(std::int64_t network_rows, std::int32_t steps);
    // Both run at most `left` steps from the next one on, and return how many.
    [[nodiscard]] std::uint32_t run_graphs(std::uint32_t left);
    [[nodiscard]] std::uint32_t run_persistent(std::uint32_t left);

    Cuda &cuda_;
    std::vector<Block> blocks_;
    Layer input_, condition_, final_ada_, final_;
    float epsilon_ = 0;
    std::int64_t width_ = 0, token_width_ = 0, condition_width_ = 0;
    std::uint32_t max_rows_ = 0, max_steps_ = 0;
    bool guided_ = false;

    // The set.
    bool guided_set_ = false;
    std::vector<bool> guided_steps_;
    std::int64_t rows_ = 0;
    std::uint32_t step_count_ = 0, next_step_ = 0;
    std::uint32_t chunk_begin_ = 0, chunk_end_ = 0; // steps whose modulations are there
    tessera_tensor time_{};
    ChainState begin_state_{};
    std::vector<StepEntry> entries_;
    float *x_ = nullptr; // what the state points to, once a chunk is open
    std::int64_t x_stride_ = 0;

    // Device memory.
    std::vector<void *> memory_;
    ChainState *state_ = nullptr;
    StepEntry *steps_ = nullptr;     // (max steps)
    std::int32_t *index_ = nullptr;  // (max rows, 2)
    Feed condition_in_;              // (network rows, condition_width)
    float *condition_out_ = nullptr; // (network rows, width)
    Feed activated_;                 // (chunk rows, width): silu(time + cond_embed)
    float *modulations_ = nullptr;   // (chunk rows, modulation stride)
    float *hidden_ = nullptr;        // (network rows, width)
    Feed normal_;                    // (network rows, width)
    Feed inner_;                     // (network rows, width)
    float *sums_ = nullptr;          // (network rows, width)
    float *kept_ = nullptr;          // (2, max rows, token_width)
    float *model_out_ = nullptr;     // (max rows, 2 token_width)
    std::int64_t chunk_rows_ = 0, sums_stride_ = 0;
    std::int64_t block_modulation_ = 0, modulation_stride_ = 0; // elements of a block, of all
    std::map<GraphKey, cudaGraphExec_t> graphs_;

    bool ran_uncaptured_ = false;

    // The persistent kernel; state_->step stays 0 with it, and launches say which steps they make.
    unsigned grid_ = 0; // its blocks of threads; 0: graphs
    PersistentNetwork persistent_{};
};

// ---- creation ----

Result<Layer> DenoiseChain::layer(const tessera_mlp_denoiser_linear &linear) const {
    const PackedWeight *weight = cuda_.find(*linear.weight);
    if (weight == nullptr) {
        return make_error(Status::kInvalidArgument,
                          "weight {} was not packed by pack_linear of this compute",
                          shape_text(*linear.weight));
    }
    return Layer{*weight, data_of(*linear.bias)};
}

Result<> DenoiseChain::take_network(const tessera_mlp_denoiser_network &network) {
    const auto take = [this](Layer &to, const tessera_mlp_denoiser_linear &from) -> Result<> {
        const auto made = layer(from);
        if (!made) return made.error();
        to = *made;
        return {};
    };
    epsilon_ = network.epsilon;
    TESSERA_TRY(take(input_, network.input));
    TESSERA_TRY(take(condition_, network.condition));
    TESSERA_TRY(take(final_ada_, network.final_ada));
    TESSERA_TRY(take(final_, network.final));
    for (std::uint32_t i = 0; i < network.block_count; ++i) {
        const tessera_mlp_denoiser_block &from = network.blocks[i];
        Block block{data_of(*from.gamma), data_of(*from.beta), {}, {}, {}};
        TESSERA_TRY(take(block.mlp_in, from.mlp_in));
        TESSERA_TRY(take(block.mlp_out, from.mlp_out));
        TESSERA_TRY(take(block.ada, from.ada));
        blocks_.push_back(block);
    }
    width_ = input_.weight.columns;
    token_width_ = input_.weight.inner;
    condition_width_ = condition_.weight.inner;
    return {};
}

template <class T>
Result<> DenoiseChain::allocate(T *&memory, std::int64_t count) {
    const auto made = cuda_.allocate(static_cast<std::size_t>(count) * sizeof(T));
    if (!made) return made.error();
    memory_.push_back(*made);
    memory = static_cast<T *>(*made);
    return {};
}

// In each precision that one of the layers takes.
Result<> DenoiseChain::allocate(Feed &feed, std::int64_t rows,
                                std::initializer_list<const Layer *> layers) {
    for (const Layer *layer : layers) {
        const std::int64_t stride = layer->weight.stride;
        if (layer->is_bf16() && feed.bf16 == nullptr) {
            TESSERA_TRY(allocate(feed.bf16, rows * stride));
            feed.bf16_stride = stride;
        } else if (!layer->is_bf16() && feed.f32 == nullptr) {
            TESSERA_TRY(allocate(feed.f32, rows * stride));
            feed.f32_stride = stride;
        }
    }
    return {};
}

Result<> DenoiseChain::allocate_all() {
    const std::int64_t rows = static_cast<std::int64_t>(max_rows_) * (guided_ ? 2 : 1);
    chunk_rows_ = std::max(rows, kChunkRows);
    block_modulation_ = padded_columns(3 * width_);
    modulation_stride_ =
        static_cast<std::int64_t>(blocks_.size()) * block_modulation_ + padded_columns(2 * width_);
    sums_stride_ = padded_columns(width_);
    TESSERA_TRY(allocate(state_, 1));
    TESSERA_TRY(allocate(steps_, max_steps_));
    TESSERA_TRY(allocate(index_, 2 * max_rows_));
    TESSERA_TRY(allocate(condition_in_, rows, {&condition_}));
    TESSERA_TRY(allocate(condition_out_, rows * sums_stride_));
    TESSERA_TRY(allocate(activated_, chunk_rows_, {&final_ada_}));
    TESSERA_TRY(allocate(modulations_, chunk_rows_ * modulation_stride_));
    TESSERA_TRY(allocate(hidden_, rows * width_));
    TESSERA_TRY(allocate(normal_, rows, {&final_}));
    TESSERA_TRY(allocate(sums_, rows * sums_stride_));
    TESSERA_TRY(allocate(kept_, 2 * static_cast<std::int64_t>(max_rows_) * token_width_));
    TESSERA_TRY(allocate(model_out_, max_rows_ * 2 * token_width_));
    for (const Block &block : blocks_) {
        TESSERA_TRY(allocate(activated_, chunk_rows_, {&block.ada}));
        TESSERA_TRY(allocate(normal_, rows, {&block.mlp_in}));
        TESSERA_TRY(allocate(inner_, rows, {&block.mlp_out}));
    }
    return {};
}

// Takes the persistent kernel where it can.
Result<> DenoiseChain::plan_persistent() {
    const bool fits = std::all_of(blocks_.begin(), blocks_.end(), [](const Block &block) {
        return block.mlp_in.is_bf16() && block.mlp_out.is_bf16();
    });
    if (!fits || blocks_.size() > kPersistentBlocks || cuda_.options().denoise_graphs) return {};
    const auto grid = persistent_grid(cuda_, width_, token_width_, guided_);
    if (!grid) return grid.error();
    const auto any = [](const Layer &layer) {
        return AnyLayer{layer.weight.data, layer.weight.stride, layer.bias, layer.is_bf16()};
    };
    const auto mma = [](const Layer &layer) {
        return MmaLayer{{static_cast<const __nv_bfloat16 *>(layer.weight.data), layer.weight.stride,
                         layer.weight.columns},
                        layer.bias};
    };
    const auto aligned = [](const float *data) {
        return reinterpret_cast<std::uintptr_t>(data) % sizeof(float4) == 0;
    };
    persistent_ = {.blocks = {},
                   .block_count = static_cast<std::int32_t>(blocks_.size()),
                   .input = any(input_),
                   .final = any(final_),
                   .final_norm = norm_layer(blocks_.size()),
                   .vectors = width_ % 4 == 0 && width_ <= kVectorWidth,
                   .inner = inner_.bf16,
                   .inner_stride = inner_.bf16_stride};
    for (std::size_t i = 0; i < blocks_.size(); ++i) {
        const Block &block = blocks_[i];
        persistent_.vectors = persistent_.vectors && aligned(block.gamma) && aligned(block.beta);
        persistent_.blocks[i] = {norm_layer(i), mma(block.mlp_in), mma(block.mlp_out)};
    }
    grid_ = *grid;
    return {};
}

Result<std::unique_ptr<DenoiseChain>>
DenoiseChain::create(Cuda &cuda, const tessera_mlp_denoiser_network &network,
                     std::uint32_t max_rows, std::uint32_t max_steps, bool guided) {
    std::unique_ptr<DenoiseChain> chain(new DenoiseChain(cuda));
    chain->max_rows_ = max_rows;
    chain->max_steps_ = max_steps;
    chain->guided_ = guided;
    if (const auto taken = chain->take_network(network); !taken) return taken.error();
    if (const auto made = chain->allocate_all(); !made) return made.error();
    if (const auto planned = chain->plan_persistent(); !planned) return planned.error();
    chain->guided_steps_.reserve(max_steps);
    chain->entries_.reserve(max_steps);
    return Result<std::unique_ptr<DenoiseChain>>(std::move(chain));
}

DenoiseChain::~DenoiseChain() {
    (void)cudaStreamSynchronize(cuda_.stream());
    for (const auto &[key, graph] : graphs_) (void)cudaGraphExecDestroy(graph);
    for (void *memory : memory_) (void)cudaFree(memory);
}

// ---- products and shapes ----

void DenoiseChain::multiply(const Layer &layer, const Feed &from, std::int64_t rows,
                            const float *bias, float *out, std::int64_t out_stride) {
    if (layer.is_bf16()) {
        multiply_bf16(cuda_, "denoise", from.bf16, rows, layer.weight, bias, nullptr, 0, out,
                      out_stride);
    } else {
        Epilogue epilogue;
        epilogue.bias = bias;
        multiply_f32(cuda_, "denoise", from.f32, from.f32_stride, rows, layer.weight, epilogue, out,
                     out_stride);
    }
}

// The norm before block `block`, or before the last product.
NormLayer DenoiseChain::norm_layer(std::size_t block) const {
    const std::int64_t at = static_cast<std::int64_t>(block) * block_modulation_;
    if (block == blocks_.size()) return {nullptr, nullptr, at};
    return {blocks_[block].gamma, blocks_[block].beta, at};
}

StepShape DenoiseChain::shape(std::int64_t network_rows, std::int32_t offset) const {
    return {.state = state_,
            .offset = offset,
            .rows = rows_,
            .network_rows = network_rows,
            .width = width_,
            .token_width = token_width_,
            .epsilon = epsilon_,
            .modulations = modulations_,
            .modulation_stride = modulation_stride_,
            .hidden = hidden_};
}

// ---- a set ----

void DenoiseChain::upload_steps(const tessera_mlp_denoiser_set &set) {
    entries_.clear();
    guided_steps_.clear();
    for (std::uint32_t i = 0; i < set.step_count; ++i) {
        const float guidance = set.step_guidance != nullptr ? set.step_guidance[i] : set.guidance;
        entries_.push_back(
            {set.steps[i], set.memory != nullptr ? set.memory[i] : tessera_mlp_denoiser_memory{},
             set.clean != nullptr ? set.clean[i] : tessera_mlp_denoiser_clean{}, guidance});
        guided_steps_.push_back(set.step_guidance == nullptr || guidance != 1.0F);
    }
    cuda_.copy_in(entries_.data(), entries_.size() * sizeof(StepEntry), steps_);
}

void DenoiseChain::begin(const tessera_mlp_denoiser_set &set) {
    rows_ = set.rows;
    step_count_ = set.step_count;
    guided_set_ = set.guided != 0;
    next_step_ = chunk_begin_ = chunk_end_ = 0;
    x_ = nullptr;
    time_ = *set.time;
    upload_steps(set);
    begin_state_ = {};
    begin_state_.keeps = set.memory != nullptr ? 1 : 0;
    if (set.noise != nullptr) {
        begin_state_.noise = data_of(*set.noise);
        std::copy_n(set.noise->stride, 3, begin_state_.noise_stride);
    } else {
        const tessera_random random = operations::copy_options(set.random);
        begin_state_.source = NormalSource(random);
        const std::int32_t *drawn_at = image_positions(cuda_, *random.index);
        if (drawn_at == nullptr) return;
        const std::size_t bytes = static_cast<std::size_t>(2 * rows_) * sizeof(std::int32_t);
        cuda_.check(
            cudaMemcpyAsync(index_, drawn_at, bytes, cudaMemcpyDeviceToDevice, cuda_.stream()),
            "denoise begin");
    }
    cuda_.copy_in(&begin_state_, sizeof begin_state_, state_);
    const std::int64_t rows = guided_set_ ? 2 * rows_ : rows_;
    narrow_rows(cuda_, data_of(*set.condition), operands::as_rows(*set.condition)->stride, rows,
                condition_width_, condition_in_);
    multiply(condition_, condition_in_, rows, nullptr, condition_out_, sums_stride_);
}

// Modulations for the steps from `step` on that fit, all guided or none.
void DenoiseChain::open_chunk(std::uint32_t step) {
    const std::int64_t rows = network_rows(step);
    const std::uint32_t most = chunk_steps(chunk_rows_, rows);
    chunk_begin_ = step;
    chunk_end_ = step + 1;
    while (chunk_end_ < step_count_ && chunk_end_ - step < most &&
           is_guided(chunk_end_) == is_guided(step)) {
        ++chunk_end_;
    }
    const std::int64_t steps = chunk_end_ - chunk_begin_;
    const Activation activation{.condition = condition_out_,
                                .condition_stride = sums_stride_,
                                .bias = condition_.bias,
                                .time = data_of(time_),
                                .time_stride = time_.stride[0],
                                .network_rows = rows,
                                .width = width_,
                                .state = state_,
                                .x = x_,
                                .x_stride = x_stride_};
    activate_conditions(cuda_, activation, step, steps, activated_);
    for (std::size_t i = 0; i <= blocks_.size(); ++i) {
        const Layer &ada = i < blocks_.size() ? blocks_[i].ada : final_ada_;
        multiply(ada, activated_, steps * rows, ada.bias, modulations_ + norm_layer(i).at,
                 modulation_stride_);
    }
}

void DenoiseChain::record_step(std::int64_t network_rows, std::int32_t offset) {
    const StepShape step = shape(network_rows, offset);
    open_step(cuda_, step, input_.weight, input_.bias, norm_layer(0), normal_);
    for (std::size_t i = 0; i < blocks_.size(); ++i) {
        const Block &block = blocks_[i];
        multiply(block.mlp_in, normal_, network_rows, nullptr, sums_, sums_stride_);
        activate_sums(cuda_, step, sums_, sums_stride_, block.mlp_in.bias, inner_);
        multiply(block.mlp_out, inner_, network_rows, nullptr, sums_, sums_stride_);
        next_block(cuda_, step, sums_, sums_stride_, block.mlp_out.bias, norm_layer(i),
                   norm_layer(i + 1), normal_);
    }
    finish_step(cuda_, step, normal_, final_.weight, final_.bias, finish());
}

Finish DenoiseChain::finish() const {
    return {.steps = steps_,
            .index = index_,
            .kept = kept_,
            .max_rows = max_rows_,
            .model_out = model_out_};
}

void DenoiseChain::run_graph(std::int64_t network_rows, std::int32_t steps) {
    cudaGraphExec_t &graph = graphs_[{rows_, network_rows, steps}];
    if (graph == nullptr) {
        graph = cuda_.capture([&] {
            for (std::int32_t i = 0; i < steps; ++i) record_step(network_rows, i);
            count_steps(cuda_, state_, steps);
        });
    }
    if (graph != nullptr) cuda_.launch_graph(graph);
}

std::uint32_t DenoiseChain::run_graphs(std::uint32_t left) {
    if (!std::exchange(ran_uncaptured_, true)) {
        // Once without a graph: kernels are loaded when they first run, which a capture may refuse.
        record_step(network_rows(next_step_), 0);
        count_steps(cuda_, state_, 1);
        return 1;
    }
    const std::uint32_t steps = left >= kGraphSteps ? kGraphSteps : 1;
    run_graph(network_rows(next_step_), static_cast<std::int32_t>(steps));
    return steps;
}

std::uint32_t DenoiseChain::run_persistent(std::uint32_t left) {
    const std::int64_t rows = network_rows(next_step_);
    const DenoiseSize size{width_, static_cast<std::int64_t>(blocks_.size())};
    const std::uint32_t wanted = cuda_.options().denoise_steps;
    const std::uint32_t steps = std::min(left, wanted > 0 ? wanted : persistent_steps(size, rows));
    if (run_steps(cuda_, grid_, shape(rows, static_cast<std::int32_t>(next_step_)),
                  static_cast<std::int32_t>(steps), persistent_, finish())) {
        return steps;
    }
    log::info("compute.cuda", "denoise: no cooperative launch of {} blocks; graphs instead", grid_);
    grid_ = 0;
    count_steps(cuda_, state_, static_cast<std::int32_t>(next_step_));
    return 0;
}

void DenoiseChain::advance(std::uint32_t first_step, std::uint32_t count, const tessera_tensor &x,
                           const tessera_tensor *model_out) {
    const std::int64_t x_stride = operands::as_rows(x)->stride;
    if (x.data != x_ || x_stride != x_stride_) {
        x_ = data_of(x);
        x_stride_ = x_stride;
        if (next_step_ < chunk_end_) set_x(cuda_, state_, x_, x_stride_);
    }
    if (graphs_.size() > kKeptGraphs) {
        cuda_.check(cudaStreamSynchronize(cuda_.stream()), "denoise advance");
        for (const auto &[key, graph] : graphs_) (void)cudaGraphExecDestroy(graph);
        graphs_.clear();
    }
    const std::uint32_t end = first_step + count;
    while (next_step_ < end && !cuda_.failed()) {
        if (next_step_ >= chunk_end_) open_chunk(next_step_);
        if (cuda_.failed()) break; // the state may lack where x lies
        const std::uint32_t left = std::min(end, chunk_end_) - next_step_;
        next_step_ += grid_ > 0 ? run_persistent(left) : run_graphs(left);
    }
    if (model_out == nullptr || cuda_.failed()) return;
    tessera_tensor made = *model_out;
    made.data = model_out_;
    made.stride[0] = 2 * token_width_;
    copy_strided(cuda_, made, *model_out);
}

const void *denoise_extension() { return &table::DenoiseTable<Cuda, DenoiseChain>::kTable; }

} // namespace tessera::cuda
