// "tessera.mlp-denoiser.draft/1": the diffusion head of MAR. The condition embedding is made once
// per set and the modulations of many steps in one product per layer; then the steps run. A step of
// a network with B blocks is 3 B + 4 launches, one more when it is guided; they are recorded once
// for a number of rows and a place among the steps whose modulations are there, and played again
// for every other set of that size: what changes from set to set lies in the chain's own memory.
#include "compute/operands.hpp"
#include "compute/table_denoise.hpp"
#include "compute/vulkan/norm.hpp"
#include "compute/vulkan/ops.hpp"
#include "compute/vulkan/products.hpp"

#include <algorithm>
#include <map>
#include <tuple>

namespace tessera::vulkan {
namespace {

constexpr std::size_t kKeptRecordings = 64;
constexpr std::uint32_t kChunkRows = 256; // of modulations: steps times network rows, or one step
constexpr std::uint32_t kChunkSteps = 8;

// As in shaders/compute/denoise.comp.
struct State {
    Address noise = 0;
    std::uint32_t noise_step = 0, noise_row = 0, noise_column = 0;
    RandomSource random;
    Address time = 0;
    std::uint32_t time_stride = 0;
    std::uint32_t keeps = 0;
    std::uint32_t first_step = 0;
};
struct Step {
    tessera_reverse_step coefficients;
    tessera_mlp_denoiser_memory memory;
    tessera_mlp_denoiser_clean clean;
    float guidance;
};
static_assert(sizeof(Step) == 13 * sizeof(float));
struct Params {
    Address state = 0, table = 0;
    Address condition = 0, activated = 0;
    Address x = 0, outputs = 0, model_out = 0, kept = 0;
    Address index = 0;
    std::uint32_t steps = 0, rows = 0, network_rows = 0, max_rows = 0, width = 0, token_width = 0;
    std::uint32_t position = 0;
};

struct Layer {
    PackedWeight weight;
    Address bias = 0;
};

} // namespace

// What a tessera_mlp_denoiser_chain of this backend points to.
class DenoiseChain {
  public:
    static Result<std::unique_ptr<DenoiseChain>> create(Vulkan &vulkan,
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
        Address gamma, beta;
        Layer mlp_in, mlp_out, ada;
    };

    explicit DenoiseChain(Vulkan &vulkan) : vulkan_(vulkan) {}
    Result<> take_network(const tessera_mlp_denoiser_network &network);
    Result<> allocate_all();

    [[nodiscard]] bool is_guided(std::uint32_t step) const { return guided_steps_[step]; }
    [[nodiscard]] std::uint32_t network_rows(std::uint32_t step) const {
        return is_guided(step) ? 2 * rows_ : rows_;
    }
    // Of layer `block`, or of the last product, in a row of modulations: (shift, scale, gate).
    [[nodiscard]] std::uint32_t modulation_at(std::size_t block) const {
        return static_cast<std::uint32_t>(block) * 3 * width_;
    }
    [[nodiscard]] static Address after(Address memory, std::uint64_t floats) {
        return memory + floats * sizeof(float);
    }

    void multiply(const Layer &layer, Address x, std::uint32_t rows, Address result,
                  std::uint32_t result_stride, bool together = false);
    void normalise(std::uint32_t rows, Address modulations, Address gamma, Address beta);
    Params params(std::uint32_t network_rows) const;
    void set_state();
    void open_chunk(std::uint32_t step);
    void record_step(std::uint32_t network_rows, std::uint32_t position);
    void run_step(std::uint32_t step);

    Vulkan &vulkan_;
    float epsilon_ = 0;
    std::uint32_t width_ = 0, token_width_ = 0, condition_width_ = 0, modulation_stride_ = 0;
    Layer input_, condition_, final_ada_, final_;
    std::vector<Block> blocks_;
    std::uint32_t max_rows_ = 0, max_steps_ = 0, chunk_rows_ = 0;
    bool guided_ = false;

    std::vector<Address> memory_;
    Address state_memory_ = 0, table_ = 0, index_ = 0;
    Address condition_out_ = 0;                   // (network rows, width)
    Address activated_ = 0;                       // (chunk rows, width)
    Address modulations_ = 0;                     // (chunk rows, modulation_stride)
    Address x_ = 0;                               // (rows, token_width)
    Address hidden_ = 0, normal_ = 0, inner_ = 0; // (network rows, width)
    Address outputs_ = 0;                         // (network rows, 2 token_width)
    Address model_out_ = 0;                       // (rows, 2 token_width)
    Address kept_ = 0;                            // (2, max rows, token_width)

    State state_;
    std::uint32_t rows_ = 0, step_count_ = 0;
    std::uint32_t chunk_begin_ = 0, chunk_end_ = 0;
    std::vector<bool> guided_steps_;
    // By rows, network rows and the place in the chunk.
    std::map<std::tuple<std::uint32_t, std::uint32_t, std::uint32_t>, Recording> recordings_;
};

// ---- creation ----

Result<> DenoiseChain::take_network(const tessera_mlp_denoiser_network &network) {
    const auto take = [this](Layer &to, const tessera_mlp_denoiser_linear &from) -> Result<> {
        const PackedWeight *weight = vulkan_.find(*from.weight);
        if (weight == nullptr) {
            return make_error(Status::kInvalidArgument,
                              "denoise: weight {} was not packed by pack_linear of this compute",
                              shape_text(*from.weight));
        }
        to = {*weight, address_of(from.bias)};
        return {};
    };
    epsilon_ = network.epsilon;
    for (const auto &[to, from] : {std::pair{&input_, &network.input},
                                   {&condition_, &network.condition},
                                   {&final_ada_, &network.final_ada},
                                   {&final_, &network.final}}) {
        if (auto taken = take(*to, *from); !taken) return taken;
    }
    for (std::uint32_t i = 0; i < network.block_count; ++i) {
        const tessera_mlp_denoiser_block &from = network.blocks[i];
        Block block{address_of(from.gamma), address_of(from.beta), {}, {}, {}};
        for (const auto &[to, linear] : {std::pair{&block.mlp_in, &from.mlp_in},
                                         {&block.mlp_out, &from.mlp_out},
                                         {&block.ada, &from.ada}}) {
            if (auto taken = take(*to, *linear); !taken) return taken;
        }
        blocks_.push_back(block);
    }
    width_ = input_.weight.columns;
    token_width_ = input_.weight.inner;
    condition_width_ = condition_.weight.inner;
    modulation_stride_ = (3 * static_cast<std::uint32_t>(blocks_.size()) + 2) * width_;
    return {};
}

Result<> DenoiseChain::allocate_all() {
    const std::uint64_t rows = max_rows_ * (guided_ ? 2ULL : 1ULL);
    chunk_rows_ = static_cast<std::uint32_t>(std::max<std::uint64_t>(rows, kChunkRows));
    const std::uint64_t width = width_;
    const std::uint64_t token = token_width_;
    struct Wanted {
        Address *to;
        std::uint64_t floats;
    };
    for (const auto &[to, floats] :
         {Wanted{&state_memory_, sizeof(State) / sizeof(float)},
          {&table_, max_steps_ * sizeof(Step) / sizeof(float)},
          {&index_, 2ULL * max_rows_},
          {&condition_out_, rows * width},
          {&activated_, chunk_rows_ * width},
          {&modulations_, std::uint64_t{chunk_rows_} * modulation_stride_},
          {&x_, max_rows_ * token},
          {&hidden_, rows * width},
          {&normal_, rows * width},
          {&inner_, rows * width},
          {&outputs_, rows * 2 * token},
          {&model_out_, max_rows_ * 2 * token},
          {&kept_, 2 * max_rows_ * token}}) {
        const auto memory = vulkan_.allocate(floats * sizeof(float));
        if (!memory) {
            return make_error(memory.error().status,
                              "denoise: a chain of {} rows, width {}, {} blocks: {}", max_rows_,
                              width_, blocks_.size(), memory.error().message);
        }
        *to = *memory;
        memory_.push_back(*memory);
    }
    return {};
}

Result<std::unique_ptr<DenoiseChain>>
DenoiseChain::create(Vulkan &vulkan, const tessera_mlp_denoiser_network &network,
                     std::uint32_t max_rows, std::uint32_t max_steps, bool guided) {
    if (const auto fits = vulkan.not_recording(); !fits) return fits.error();
    std::unique_ptr<DenoiseChain> chain(new DenoiseChain(vulkan));
    chain->max_rows_ = max_rows;
    chain->max_steps_ = max_steps;
    chain->guided_ = guided;
    if (const auto taken = chain->take_network(network); !taken) return taken.error();
    if (const auto made = chain->allocate_all(); !made) return made.error();
    return Result<std::unique_ptr<DenoiseChain>>(std::move(chain));
}

DenoiseChain::~DenoiseChain() {
    for (auto &[size, recording] : recordings_) vulkan_.forget(std::move(recording));
    for (const Address memory : memory_) vulkan_.release(memory);
}

// ---- products and norms ----

void DenoiseChain::multiply(const Layer &layer, Address x, std::uint32_t rows, Address result,
                            std::uint32_t result_stride, bool together) {
    vulkan::multiply(vulkan_, "denoise", layer.weight,
                     {.x = x,
                      .bias = layer.bias,
                      .result = result,
                      .rows = rows,
                      .x_stride = layer.weight.inner,
                      .result_stride = result_stride},
                     together);
}

// normal = LN(hidden) (1 + scale) + shift
void DenoiseChain::normalise(std::uint32_t rows, Address modulations, Address gamma, Address beta) {
    const RowNorm norm{.x = hidden_,
                       .gamma = gamma,
                       .beta = beta,
                       .result = normal_,
                       .shift = modulations,
                       .scale = after(modulations, width_),
                       .rows = rows,
                       .width = width_,
                       .inner_extent = rows,
                       .modulation_stride = modulation_stride_,
                       .x_steps = {0, 0, width_},
                       .result_steps = {0, 0, width_},
                       .epsilon = epsilon_};
    vulkan_.launch("denoise", {Shader::kNorm}, norm, rows, std::uint64_t{rows} * width_);
}

Params DenoiseChain::params(std::uint32_t network_rows) const {
    return {.state = state_memory_,
            .table = table_,
            .condition = condition_out_,
            .activated = activated_,
            .x = x_,
            .outputs = outputs_,
            .model_out = model_out_,
            .kept = kept_,
            .index = index_,
            .steps = 1,
            .rows = rows_,
            .network_rows = network_rows,
            .max_rows = max_rows_,
            .width = width_,
            .token_width = token_width_};
}

// ---- a set ----

void DenoiseChain::set_state() { vulkan_.copy_in(&state_, sizeof state_, state_memory_); }

void DenoiseChain::begin(const tessera_mlp_denoiser_set &set) {
    if (!vulkan_.check(vulkan_.not_recording(), "denoise begin")) return;
    rows_ = set.rows;
    step_count_ = set.step_count;
    chunk_begin_ = chunk_end_ = 0;
    guided_steps_.clear();
    std::vector<Step> steps;
    for (std::uint32_t i = 0; i < set.step_count; ++i) {
        const float guidance = set.step_guidance != nullptr ? set.step_guidance[i] : set.guidance;
        steps.push_back(
            {set.steps[i], set.memory != nullptr ? set.memory[i] : tessera_mlp_denoiser_memory{},
             set.clean != nullptr ? set.clean[i] : tessera_mlp_denoiser_clean{}, guidance});
        guided_steps_.push_back(set.guided != 0 &&
                                (set.step_guidance == nullptr || guidance != 1.0F));
    }
    vulkan_.copy_in(steps.data(), steps.size() * sizeof(Step), table_);
    state_ = {};
    state_.keeps = set.memory != nullptr ? 1 : 0;
    state_.time = address_of(set.time);
    state_.time_stride = word(set.time->stride[0]);
    if (set.noise != nullptr) {
        state_.noise = address_of(set.noise);
        state_.noise_step = word(set.noise->stride[0]);
        state_.noise_row = word(set.noise->stride[1]);
        state_.noise_column = word(set.noise->stride[2]);
    } else {
        const tessera_random random = operations::copy_options(set.random);
        state_.random = RandomSource(random);
        const tessera_tensor &index = *random.index;
        tessera_tensor own = values::contiguous_view(
            reinterpret_cast<void *>(index_), TESSERA_DTYPE_I32,
            std::array<std::int64_t, 2>{index.shape[0], index.shape[1]}, Vulkan::kMemory);
        vulkan_.upload(index, own);
    }
    const std::uint32_t rows = set.guided != 0 ? 2 * rows_ : rows_;
    vulkan::multiply(vulkan_, "denoise", condition_.weight,
                     {.x = address_of(set.condition),
                      .bias = condition_.bias,
                      .result = condition_out_,
                      .rows = rows,
                      .x_stride = word(operands::as_rows(*set.condition)->stride),
                      .result_stride = width_});
}

// Modulations for the steps from `step` on that fit, all guided or none.
void DenoiseChain::open_chunk(std::uint32_t step) {
    const std::uint32_t rows = network_rows(step);
    const std::uint32_t most = std::clamp(chunk_rows_ / rows, 1U, kChunkSteps);
    chunk_begin_ = step;
    chunk_end_ = step + 1;
    while (chunk_end_ < step_count_ && chunk_end_ - step < most &&
           is_guided(chunk_end_) == is_guided(step)) {
        ++chunk_end_;
    }
    state_.first_step = chunk_begin_;
    set_state();
    Params conditions = params(rows);
    conditions.steps = chunk_end_ - chunk_begin_;
    const std::uint32_t all = conditions.steps * rows;
    vulkan_.launch_each("denoise", {Shader::kDenoise}, conditions, std::uint64_t{all} * width_);
    for (std::size_t i = 0; i <= blocks_.size(); ++i) {
        const Layer &ada = i < blocks_.size() ? blocks_[i].ada : final_ada_;
        multiply(ada, activated_, all, after(modulations_, modulation_at(i)), modulation_stride_,
                 i > 0);
    }
}

void DenoiseChain::record_step(std::uint32_t network_rows, std::uint32_t position) {
    const Address modulations =
        after(modulations_, std::uint64_t{position} * network_rows * modulation_stride_);
    // The unconditional rows begin with the same tokens.
    for (std::uint32_t first = 0; first < network_rows; first += rows_)
        multiply(input_, x_, rows_, after(hidden_, std::uint64_t{first} * width_), width_,
                 first > 0);
    for (std::size_t i = 0; i < blocks_.size(); ++i) {
        const Block &block = blocks_[i];
        const Address own = after(modulations, modulation_at(i));
        normalise(network_rows, own, block.gamma, block.beta);
        vulkan::multiply(vulkan_, "denoise", block.mlp_in.weight,
                         {.x = normal_,
                          .bias = block.mlp_in.bias,
                          .result = inner_,
                          .rows = network_rows,
                          .x_stride = width_,
                          .result_stride = width_,
                          .activation = TESSERA_ACTIVATION_SILU});
        vulkan::multiply(vulkan_, "denoise", block.mlp_out.weight,
                         {.x = inner_,
                          .bias = block.mlp_out.bias,
                          .gate = after(own, 2ULL * width_),
                          .residual = hidden_,
                          .result = hidden_,
                          .rows = network_rows,
                          .x_stride = width_,
                          .gate_stride = modulation_stride_,
                          .residual_stride = width_,
                          .result_stride = width_});
    }
    normalise(network_rows, after(modulations, modulation_at(blocks_.size())), 0, 0);
    multiply(final_, normal_, network_rows, outputs_, 2 * token_width_);
    Params last = params(network_rows);
    last.position = position;
    vulkan_.launch_each("denoise", {Shader::kDenoise, {1}}, last,
                        std::uint64_t{rows_} * token_width_);
}

void DenoiseChain::run_step(std::uint32_t step) {
    const std::uint32_t rows = network_rows(step);
    const std::uint32_t position = step - chunk_begin_;
    const auto key = std::tuple(rows_, rows, position);
    const auto found = recordings_.find(key);
    if (found != recordings_.end()) return vulkan_.replay(found->second);
    auto recording = vulkan_.record([&] { record_step(rows, position); });
    if (!vulkan_.failed()) recordings_[key] = std::move(recording);
}

void DenoiseChain::advance(std::uint32_t first_step, std::uint32_t count, const tessera_tensor &x,
                           const tessera_tensor *model_out) {
    if (!vulkan_.check(vulkan_.not_recording(), "denoise advance")) return;
    if (recordings_.size() > kKeptRecordings) {
        for (auto &[size, recording] : recordings_) vulkan_.forget(std::move(recording));
        recordings_.clear();
    }
    tessera_tensor own = x;
    own.data = reinterpret_cast<void *>(x_);
    own.stride[0] = token_width_;
    own.stride[1] = 1;
    copy(vulkan_, x, own);
    for (std::uint32_t step = first_step; step < first_step + count && !vulkan_.failed(); ++step) {
        if (step >= chunk_end_ || step < chunk_begin_) open_chunk(step);
        run_step(step);
    }
    copy(vulkan_, own, x);
    if (model_out == nullptr) return;
    tessera_tensor made = *model_out;
    made.data = reinterpret_cast<void *>(model_out_);
    made.stride[0] = 2 * token_width_;
    made.stride[1] = 1;
    copy(vulkan_, made, *model_out);
}

const void *denoise_extension() { return &table::DenoiseTable<Vulkan, DenoiseChain>::kTable; }

} // namespace tessera::vulkan
