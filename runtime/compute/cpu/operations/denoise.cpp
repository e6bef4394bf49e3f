// "tessera.mlp-denoiser.draft/1": the diffusion head of MAR as one parallel region per call.
//
// What does not depend on the noisy token is taken out of the loop: the condition embedding once
// per set, and the modulations of several steps in one product before those steps run. Tokens are
// independent, so a large set runs in groups: memory stays bounded and the weights of a group's
// steps stay near. Statistics, residuals, guidance and reverse steps are float32.
#include "compute/cpu/operations/random.hpp"
#include "compute/cpu/ops.hpp"
#include "compute/cpu/rows.hpp"
#include "compute/operands.hpp"
#include "compute/table_denoise.hpp"

#include <tessera/ext/draft/mlp_denoiser.h>

#include <cstring>
#include <memory>
#include <new>
#include <vector>

namespace tessera::cpu {
namespace {

// Network rows of a group, and of the modulations made at once (steps times rows): large enough for
// a product at full speed, small enough that a chunk is milliseconds and some megabytes.
constexpr std::int64_t kChunkRows = 96;

struct Layer {
    PackedMatrix weight;
    const float *bias = nullptr;
    bool takes_bf16 = false;
};

// Rows that feed products: float32, with a bf16 copy where a product wants one.
struct Rows {
    float *f32 = nullptr;
    std::uint16_t *bf16 = nullptr;
    std::int64_t stride = 0;

    void feed(GemmCall &call, const Layer &layer) const {
        call.a = layer.takes_bf16 ? static_cast<const void *>(bf16) : f32;
        call.a_stride = stride;
    }
};

// A set as begin() found it; the bytes of its tensors are the caller's.
struct Set {
    std::int64_t rows = 0;
    std::int64_t step_count = 0;
    bool guided = false;
    float guidance = 0;
    bool draws = false; // noise is drawn from `random`
    tessera_tensor time{};
    tessera_tensor noise{};
    tessera_random random{};
    tessera_tensor random_index{};
};

// The same function for all rows of a loop, in pieces of a few rows.
template <class Body>
void for_rows(Region &region, std::int64_t count, Body &&body) {
    constexpr std::int64_t kRowsOfPiece = 2;
    region.for_each((count + kRowsOfPiece - 1) / kRowsOfPiece, [&](std::int64_t piece) {
        const std::int64_t end = std::min(count, (piece + 1) * kRowsOfPiece);
        for (std::int64_t r = piece * kRowsOfPiece; r < end; ++r) body(r);
    });
}

void product(const GemmKernels &gemm, Region &region, const GemmCall &call) {
    region.for_each(gemm_pieces(gemm, call),
                    [&](std::int64_t piece) { run_piece(gemm, call, piece); });
}

} // namespace

class DenoiseChain {
  public:
    static Result<std::unique_ptr<DenoiseChain>> create(Cpu &cpu,
                                                        const tessera_mlp_denoiser_network &network,
                                                        std::uint32_t max_rows,
                                                        std::uint32_t max_steps, bool guided);
    ~DenoiseChain() {
        for (void *memory : memory_) free_aligned(memory);
    }
    DenoiseChain(const DenoiseChain &) = delete;
    DenoiseChain &operator=(const DenoiseChain &) = delete;

    void begin(const tessera_mlp_denoiser_set &set);
    void advance(std::int64_t first_step, std::int64_t count, const tessera_tensor &x,
                 const tessera_tensor *model_out);

  private:
    struct Block {
        const float *gamma, *beta;
        Layer mlp_in, mlp_out, ada;
    };
    // Tokens [first, first + count) and the modulations that exist for them: steps [begin, end).
    struct Group {
        std::int64_t first = 0, count = 0;
        std::int64_t begin = 0, end = 0;
        bool guided = false; // those steps have unconditional rows
    };

    explicit DenoiseChain(Cpu &cpu)
        : cpu_(cpu), gemm_(cpu.kernels().gemm), norm_(cpu.kernels().norm),
          elementwise_(cpu.kernels().elementwise) {}

    Result<Layer> layer(const tessera_mlp_denoiser_linear &linear) const;
    Result<> take_network(const tessera_mlp_denoiser_network &network);
    Result<> allocate_all();
    template <class T>
    bool allocate(T *&memory, std::int64_t count);
    bool allocate(Rows &rows, std::int64_t count, std::int64_t width, bool bf16);

    [[nodiscard]] std::int64_t network_rows(const Group &group) const {
        return group.guided ? 2 * group.count : group.count;
    }
    // Row of the set's conditions for local row r of a group: conditional rows come first in both.
    [[nodiscard]] std::int64_t condition_row(const Group &group, std::int64_t r) const {
        return r < group.count ? group.first + r : set_.rows + group.first + r - group.count;
    }
    [[nodiscard]] std::int64_t group_size() const {
        return std::max<std::int64_t>(1, kChunkRows / (set_.guided ? 2 : 1));
    }

    [[nodiscard]] bool is_guided(std::int64_t step) const {
        return set_.guided &&
               (guidances_.empty() || guidances_[static_cast<std::size_t>(step)] != 1.0F);
    }

    GemmCall call(const Layer &layer, const Rows &a, std::int64_t rows, float *out,
                  std::int64_t out_stride) const;
    void to_bf16(const Rows &rows, std::int64_t r, std::int64_t width) const;
    void open_chunk(Group &group, std::int64_t step, std::int64_t end) const;
    void modulations(Region &region, const Group &group);
    void run_step(Region &region, const Group &group, std::int64_t step, const tessera_tensor &x,
                  const tessera_tensor *model_out);
    void input(Region &region, const Group &group, const tessera_tensor &x);
    void normalise(Region &region, const Group &group, const float *modulation, const float *gamma,
                   const float *beta, const Layer &next, bool first_block);
    void finish_row(std::int64_t token, const Group &group, std::int64_t step,
                    const tessera_tensor &x, const tessera_tensor *model_out, float *noise);
    void bound_row(std::int64_t step, const float *x, float *model) const;
    void reverse_row(std::int64_t token, std::int64_t step, float *x, const float *model,
                     const float *noise);

    Cpu &cpu_;
    const GemmKernels &gemm_;
    const NormKernels &norm_;
    const ElementwiseKernels &elementwise_;

    float epsilon_ = 0;
    std::int64_t width_ = 0, token_width_ = 0, condition_width_ = 0, modulation_width_ = 0;
    Layer input_, condition_, final_ada_, final_;
    std::vector<Block> blocks_;
    std::uint32_t max_rows_ = 0, max_steps_ = 0;
    bool guided_ = false;
    bool ada_bf16_ = false;

    Set set_;
    std::vector<tessera_reverse_step> steps_;
    std::vector<tessera_mlp_denoiser_memory> step_memory_; // empty: no step keeps anything
    std::vector<float> guidances_;                         // of the steps; empty: set_.guidance
    std::vector<tessera_mlp_denoiser_clean> cleans_; // of the steps; empty: nothing is bounded
    Group current_;                                  // whose modulations are in modulation_

    std::vector<void *> memory_;
    Rows condition_in_;              // (max network rows, condition_width), bf16 only
    float *condition_out_ = nullptr; // (max network rows, width): cond_embed
    Rows activated_;                 // (kChunkRows, width): silu(time + cond_embed)
    float *modulation_ = nullptr;    // (kChunkRows, modulation_width)
    Rows token_;                     // (group tokens, token_width), bf16 only
    float *hidden_ = nullptr;        // (group rows, width): h
    Rows normal_;                    // (group rows, width): LN(h) (1 + scale) + shift
    Rows inner_;                     // (group rows, width): silu(mlp_in)
    float *output_ = nullptr;        // (group rows, 2 token_width)
    float *kept_ = nullptr;          // (2, max rows, token_width): by odd and even steps
    float *noise_ = nullptr;         // (threads, token_width)
    std::int64_t stride_ = 0, output_stride_ = 0, modulation_stride_ = 0;
};

// ---- creation ----

Result<Layer> DenoiseChain::layer(const tessera_mlp_denoiser_linear &linear) const {
    const auto matrix = packed_matrix(cpu_, *linear.weight);
    if (!matrix) return matrix.error();
    return Layer{*matrix, data_of(*linear.bias), gemm_takes_bf16(gemm_, *matrix)};
}

Result<> DenoiseChain::take_network(const tessera_mlp_denoiser_network &network) {
    const auto take = [this](Layer &to, const tessera_mlp_denoiser_linear &from) -> Result<> {
        const auto made = layer(from);
        if (!made) return made.error();
        to = *made;
        return {};
    };
    epsilon_ = network.epsilon;
    for (const auto &[to, from] : {std::pair{&input_, &network.input},
                                   {&condition_, &network.condition},
                                   {&final_ada_, &network.final_ada},
                                   {&final_, &network.final}}) {
        if (auto taken = take(*to, *from); !taken) return taken;
    }
    ada_bf16_ = final_ada_.takes_bf16;
    for (std::uint32_t i = 0; i < network.block_count; ++i) {
        const tessera_mlp_denoiser_block &from = network.blocks[i];
        Block block{data_of(*from.gamma), data_of(*from.beta), {}, {}, {}};
        for (const auto &[to, linear] : {std::pair{&block.mlp_in, &from.mlp_in},
                                         {&block.mlp_out, &from.mlp_out},
                                         {&block.ada, &from.ada}}) {
            if (auto taken = take(*to, *linear); !taken) return taken;
        }
        ada_bf16_ = ada_bf16_ || block.ada.takes_bf16;
        blocks_.push_back(block);
    }
    width_ = input_.weight.columns;
    token_width_ = input_.weight.segment_length;
    condition_width_ = condition_.weight.segment_length;
    modulation_width_ = (3 * static_cast<std::int64_t>(blocks_.size()) + 2) * width_;
    return {};
}

template <class T>
bool DenoiseChain::allocate(T *&memory, std::int64_t count) {
    const auto bytes = static_cast<std::size_t>(count) * sizeof(T);
    memory_.push_back(nullptr); // may throw, so before there is something to lose
    memory = static_cast<T *>(allocate_aligned(bytes));
    if (!memory) return false;
    memory_.back() = memory;
    std::memset(memory, 0, bytes);
    return true;
}

bool DenoiseChain::allocate(Rows &rows, std::int64_t count, std::int64_t width, bool bf16) {
    rows.stride = padded_stride(width);
    return allocate(rows.f32, count * rows.stride) &&
           (!bf16 || allocate(rows.bf16, count * rows.stride));
}

Result<> DenoiseChain::allocate_all() {
    const std::int64_t factor = guided_ ? 2 : 1;
    const std::int64_t all_rows = max_rows_ * factor;
    const std::int64_t group_rows = std::min<std::int64_t>(all_rows, std::max(kChunkRows, factor));
    const std::int64_t chunk_rows = std::max(kChunkRows, factor);
    bool next_bf16 = final_.takes_bf16;
    bool inner_bf16 = false;
    for (const Block &block : blocks_) {
        next_bf16 = next_bf16 || block.mlp_in.takes_bf16;
        inner_bf16 = inner_bf16 || block.mlp_out.takes_bf16;
    }
    stride_ = padded_stride(width_);
    modulation_stride_ = padded_stride(modulation_width_);
    output_stride_ = padded_stride(2 * token_width_);
    const bool enough =
        (!condition_.takes_bf16 || allocate(condition_in_, all_rows, condition_width_, true)) &&
        allocate(condition_out_, all_rows * stride_) &&
        allocate(activated_, chunk_rows, width_, ada_bf16_) &&
        allocate(modulation_, chunk_rows * modulation_stride_) &&
        (!input_.takes_bf16 || allocate(token_, group_rows, token_width_, true)) &&
        allocate(hidden_, group_rows * stride_) &&
        allocate(normal_, group_rows, width_, next_bf16) &&
        allocate(inner_, group_rows, width_, inner_bf16) &&
        allocate(output_, group_rows * output_stride_) &&
        allocate(kept_, 2 * std::int64_t{max_rows_} * padded_stride(token_width_)) &&
        allocate(noise_, cpu_.pool().thread_count() * padded_stride(token_width_));
    if (!enough) {
        return make_error(Status::kOutOfMemory,
                          "denoise: no memory for a chain of {} rows, width {}, {} blocks",
                          max_rows_, width_, blocks_.size());
    }
    steps_.reserve(max_steps_);
    step_memory_.reserve(max_steps_);
    guidances_.reserve(max_steps_);
    cleans_.reserve(max_steps_);
    return {};
}

Result<std::unique_ptr<DenoiseChain>>
DenoiseChain::create(Cpu &cpu, const tessera_mlp_denoiser_network &network, std::uint32_t max_rows,
                     std::uint32_t max_steps, bool guided) {
    std::unique_ptr<DenoiseChain> chain(new DenoiseChain(cpu));
    chain->max_rows_ = max_rows;
    chain->max_steps_ = max_steps;
    chain->guided_ = guided;
    if (const auto taken = chain->take_network(network); !taken) return taken.error();
    if (const auto made = chain->allocate_all(); !made) return made.error();
    return chain;
}

// ---- parts of a step ----

GemmCall DenoiseChain::call(const Layer &layer, const Rows &a, std::int64_t rows, float *out,
                            std::int64_t out_stride) const {
    GemmCall call{};
    call.weight = layer.weight;
    a.feed(call, layer);
    call.rows = rows;
    call.out = out;
    call.out_stride = out_stride;
    call.epilogue.bias = layer.bias;
    return call;
}

void DenoiseChain::to_bf16(const Rows &rows, std::int64_t r, std::int64_t width) const {
    gemm_.to_bf16(rows.f32 + r * rows.stride, width, rows.bf16 + r * rows.stride);
}

// The steps from `step` on that fit a chunk, all guided or none, at most up to `end`.
void DenoiseChain::open_chunk(Group &group, std::int64_t step, std::int64_t end) const {
    group.guided = is_guided(step);
    const std::int64_t most = std::max<std::int64_t>(1, kChunkRows / network_rows(group));
    group.begin = step;
    group.end = step + 1;
    while (group.end < std::min(step + most, end) && is_guided(group.end) == group.guided) {
        ++group.end;
    }
}

// silu(time + cond_embed) for all steps and rows of the chunk, then all adaLN layers as one loop:
// row (step, r) of modulation_ is [shift, scale, gate] of every block, [shift, scale] of the end.
void DenoiseChain::modulations(Region &region, const Group &group) {
    const std::int64_t rows = network_rows(group);
    const std::int64_t count = (group.end - group.begin) * rows;
    for_rows(region, count, [&](std::int64_t i) {
        const float *time = data_of(set_.time) + (group.begin + i / rows) * set_.time.stride[0];
        float *y = activated_.f32 + i * activated_.stride;
        elementwise_.add(condition_out_ + condition_row(group, i % rows) * stride_, time, width_,
                         y);
        elementwise_.activate(y, width_, TESSERA_ACTIVATION_SILU, y);
        if (ada_bf16_) to_bf16(activated_, i, width_);
    });
    const auto ada = [&](std::size_t i) {
        const Layer &layer = i < blocks_.size() ? blocks_[i].ada : final_ada_;
        return call(layer, activated_, count,
                    modulation_ + static_cast<std::int64_t>(i) * 3 * width_, modulation_stride_);
    };
    // One loop over the pieces of all layers; all but the last have the same shape.
    const std::int64_t block_pieces = blocks_.empty() ? 0 : gemm_pieces(gemm_, ada(0));
    const std::int64_t before = block_pieces * static_cast<std::int64_t>(blocks_.size());
    const std::int64_t last = gemm_pieces(gemm_, ada(blocks_.size()));
    region.for_each(before + last, [&](std::int64_t piece) {
        if (piece >= before) return run_piece(gemm_, ada(blocks_.size()), piece - before);
        run_piece(gemm_, ada(static_cast<std::size_t>(piece / block_pieces)), piece % block_pieces);
    });
}

// h = input(x) for the group's tokens. The unconditional rows are copies, made by the first norm.
void DenoiseChain::input(Region &region, const Group &group, const tessera_tensor &x) {
    const std::int64_t x_stride = operands::as_rows(x)->stride;
    float *from = data_of(x) + group.first * x_stride;
    Rows rows{from, nullptr, x_stride};
    if (input_.takes_bf16) {
        rows = token_;
        for_rows(region, group.count, [&](std::int64_t r) {
            gemm_.to_bf16(from + r * x_stride, token_width_, token_.bf16 + r * token_.stride);
        });
    }
    product(gemm_, region, call(input_, rows, group.count, hidden_, stride_));
}

// normal = LN(h) (1 + scale) + shift, with [shift, scale] at `modulation` of each row.
void DenoiseChain::normalise(Region &region, const Group &group, const float *modulation,
                             const float *gamma, const float *beta, const Layer &next,
                             bool first_block) {
    for_rows(region, network_rows(group), [&](std::int64_t r) {
        float *h = hidden_ + r * stride_;
        const bool copies = first_block && r >= group.count;
        const float *from = copies ? hidden_ + (r - group.count) * stride_ : h;
        if (copies) std::memcpy(h, from, static_cast<std::size_t>(width_) * sizeof(float));
        float *to = normal_.f32 + r * normal_.stride;
        const float *shift = modulation + r * modulation_stride_;
        norm_.layer_norm(from, gamma, beta, width_, epsilon_, to);
        elementwise_.modulate(to, shift, shift + width_, width_, to);
        if (next.takes_bf16) to_bf16(normal_, r, width_);
    });
}

void DenoiseChain::run_step(Region &region, const Group &group, std::int64_t step,
                            const tessera_tensor &x, const tessera_tensor *model_out) {
    const std::int64_t rows = network_rows(group);
    const float *modulation = modulation_ + (step - group.begin) * rows * modulation_stride_;
    input(region, group, x);
    bool first_block = true;
    for (const Block &block : blocks_) {
        normalise(region, group, modulation, block.gamma, block.beta, block.mlp_in, first_block);
        first_block = false;
        GemmCall in = call(block.mlp_in, normal_, rows, inner_.f32, inner_.stride);
        in.epilogue.activation = TESSERA_ACTIVATION_SILU;
        if (block.mlp_out.takes_bf16) in.out_bf16 = inner_.bf16;
        product(gemm_, region, in);
        GemmCall out = call(block.mlp_out, inner_, rows, hidden_, stride_);
        out.epilogue.gate = modulation + 2 * width_;
        out.epilogue.gate_stride = modulation_stride_;
        out.epilogue.residual = hidden_;
        out.epilogue.residual_stride = stride_;
        product(gemm_, region, out);
        modulation += 3 * width_;
    }
    normalise(region, group, modulation, nullptr, nullptr, final_, first_block);
    product(gemm_, region, call(final_, normal_, rows, output_, output_stride_));
    float *noise = noise_ + region.thread_index() * padded_stride(token_width_);
    for_rows(region, group.count,
             [&](std::int64_t r) { finish_row(r, group, step, x, model_out, noise); });
}

// Guidance on the value half, noise, and the reverse step of token r of the group.
void DenoiseChain::finish_row(std::int64_t r, const Group &group, std::int64_t step,
                              const tessera_tensor &x, const tessera_tensor *model_out,
                              float *noise) {
    const std::int64_t token = group.first + r;
    float *value = output_ + r * output_stride_;
    if (group.guided) {
        const float guidance =
            guidances_.empty() ? set_.guidance : guidances_[static_cast<std::size_t>(step)];
        elementwise_.guide(value, output_ + (group.count + r) * output_stride_, token_width_,
                           guidance, value);
    }
    const tessera_reverse_step &coefficients = steps_[static_cast<std::size_t>(step)];
    const float *drawn = nullptr;
    if (coefficients.noise_scale != 0 && !set_.draws) {
        drawn = data_of(set_.noise) + step * set_.noise.stride[0] + token * set_.noise.stride[1];
    } else if (coefficients.noise_scale != 0) {
        const auto *index = static_cast<const std::int32_t *>(set_.random_index.data) +
                            token * set_.random_index.stride[0];
        const auto draws = static_cast<std::uint32_t>((token_width_ + 3) / 4);
        normal_row(set_.random, index[0], index[set_.random_index.stride[1]],
                   set_.random.first_draw + static_cast<std::uint32_t>(step) * draws, token_width_,
                   noise);
        drawn = noise;
    }
    float *of_token = data_of(x) + token * operands::as_rows(x)->stride;
    bound_row(step, of_token, value);
    reverse_row(token, step, of_token, value, drawn);
    if (model_out) {
        std::memcpy(data_of(*model_out) + token * operands::as_rows(*model_out)->stride, value,
                    static_cast<std::size_t>(2 * token_width_) * sizeof(float));
    }
}

// Moves predictions to where the clean estimate lies in its range.
void DenoiseChain::bound_row(std::int64_t step, const float *x, float *model) const {
    if (cleans_.empty()) return;
    const tessera_mlp_denoiser_clean &clean = cleans_[static_cast<std::size_t>(step)];
    if (!(clean.low < clean.high) || clean.model_scale == 0) return;
    for (std::int64_t i = 0; i < token_width_; ++i) {
        const float of_x = clean.x_scale * x[i];
        const float estimate = of_x + clean.model_scale * model[i];
        // Not a number stays one.
        if (estimate < clean.low) model[i] = (clean.low - of_x) / clean.model_scale;
        if (estimate > clean.high) model[i] = (clean.high - of_x) / clean.model_scale;
    }
}

// x of one token in place. What one step keeps and what the next reads lie in two halves that
// change places at every step.
void DenoiseChain::reverse_row(std::int64_t token, std::int64_t step, float *x, const float *model,
                               const float *noise) {
    const auto s = static_cast<std::size_t>(step);
    const std::int64_t stride = padded_stride(token_width_);
    const float *before = kept_ + ((step + 1) % 2 * max_rows_ + token) * stride;
    if (!step_memory_.empty()) {
        float *after = kept_ + (step % 2 * max_rows_ + token) * stride;
        const tessera_mlp_denoiser_memory &memory = step_memory_[s];
        for (std::int64_t i = 0; i < token_width_; ++i) {
            after[i] = memory.keep_x * x[i] + memory.keep_model * model[i];
        }
    }
    elementwise_.reverse_step(x, model, model + token_width_, noise, steps_[s], token_width_, x);
    if (step_memory_.empty() || step_memory_[s].kept_scale == 0) return;
    for (std::int64_t i = 0; i < token_width_; ++i) x[i] += step_memory_[s].kept_scale * before[i];
}

// ---- a set ----

void DenoiseChain::begin(const tessera_mlp_denoiser_set &given) {
    set_ = {.rows = given.rows,
            .step_count = given.step_count,
            .guided = given.guided != 0,
            .guidance = given.guidance,
            .draws = given.noise == nullptr,
            .time = *given.time,
            .noise = given.noise ? *given.noise : tessera_tensor{},
            .random = operations::copy_options(given.random),
            .random_index = {}};
    if (set_.draws) set_.random_index = *set_.random.index;
    steps_.assign(given.steps, given.steps + given.step_count);
    step_memory_.clear();
    if (given.memory) step_memory_.assign(given.memory, given.memory + given.step_count);
    guidances_.clear();
    if (given.step_guidance) {
        guidances_.assign(given.step_guidance, given.step_guidance + given.step_count);
    }
    cleans_.clear();
    if (given.clean) cleans_.assign(given.clean, given.clean + given.step_count);
    current_ = {};

    const std::int64_t rows = set_.guided ? 2 * set_.rows : set_.rows;
    const std::int64_t from_stride = operands::as_rows(*given.condition)->stride;
    float *from = data_of(*given.condition);
    cpu_.pool().run([&](Region &region) {
        Rows condition{from, nullptr, from_stride};
        if (condition_.takes_bf16) {
            condition = condition_in_;
            for_rows(region, rows, [&](std::int64_t r) {
                gemm_.to_bf16(from + r * from_stride, condition_width_,
                              condition_in_.bf16 + r * condition_in_.stride);
            });
        }
        product(gemm_, region, call(condition_, condition, rows, condition_out_, stride_));
    });
}

// Groups one after the other, each through all steps. The threads decide alike from `plan`, their
// own copy; only after the region does the chain remember which modulations it holds.
void DenoiseChain::advance(std::int64_t first_step, std::int64_t count, const tessera_tensor &x,
                           const tessera_tensor *model_out) {
    const std::int64_t end_step = first_step + count;
    const bool single = set_.rows <= group_size();
    Group last;
    cpu_.pool().run([&](Region &region) {
        Group group = current_;
        for (std::int64_t token = 0; token < set_.rows; token += group_size()) {
            if (!single || group.count == 0) group = {};
            group.first = token;
            group.count = std::min(group_size(), set_.rows - token);
            for (std::int64_t step = first_step; step < end_step; ++step) {
                if (step < group.begin || step >= group.end) {
                    open_chunk(group, step, single ? set_.step_count : end_step);
                    modulations(region, group);
                }
                run_step(region, group, step, x, step + 1 == end_step ? model_out : nullptr);
            }
        }
        if (region.thread_index() == 0) last = group;
    });
    current_ = single ? last : Group{};
}

const void *denoise_extension() { return &table::DenoiseTable<Cpu, DenoiseChain>::kTable; }

} // namespace tessera::cpu
