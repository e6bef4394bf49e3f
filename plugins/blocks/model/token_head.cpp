// The diffusion MLP of a token, and chains of its reverse steps.
#include "blocks/model/token_head.hpp"

#include "blocks/model/time_embed.hpp"

#include <algorithm>

namespace tessera::blocks {
namespace {

void apply(const sdk::Compute &compute, const Linear &layer, const sdk::View &x,
           const sdk::View &out, tessera_activation_kind activation = TESSERA_ACTIVATION_NONE) {
    compute.linear(x, layer.weight, {.bias = layer.bias.optional(), .activation = activation}, out);
}

tessera_mlp_denoiser_linear fused_linear(const Linear &layer) {
    return {&layer.weight.view(), &layer.bias.view()};
}

// The first `rows` rows of a buffer.
sdk::View cut(const sdk::Tensor &buffer, std::int64_t rows) {
    return sdk::slice(buffer.view(), 0, 0, rows);
}

} // namespace

TokenHead TokenHead::load(WeightLoader &loader, const std::string &prefix,
                          const TokenHeadShape &shape, tessera_dtype precision) {
    constexpr tessera_dtype kExact = TESSERA_DTYPE_F32;
    const std::int64_t width = shape.width;
    TokenHead head;
    head.shape_ = shape;
    head.time_in_ = loader.linear(prefix + ".time_embed.mlp.0", width, kTimeFeatures, kExact);
    head.time_out_ = loader.linear(prefix + ".time_embed.mlp.2", width, width, kExact);
    head.condition_ =
        loader.linear(prefix + ".cond_embed", width, shape.condition_width, precision);
    head.input_ = loader.linear(prefix + ".input_proj", width, shape.token_width, kExact);
    for (std::int64_t i = 0; i < shape.depth; ++i) {
        const std::string block = prefix + ".res_blocks." + std::to_string(i);
        head.blocks_.push_back(
            {Norm::load(loader, block + ".in_ln", width, shape.epsilon),
             loader.linear(block + ".mlp.0", width, width, precision),
             loader.linear(block + ".mlp.2", width, width, precision),
             loader.linear(block + ".adaLN_modulation.1", 3 * width, width, precision)});
    }
    const std::string last = prefix + ".final_layer";
    head.final_ada_ = loader.linear(last + ".adaLN_modulation.1", 2 * width, width, precision);
    head.final_ = loader.linear(last + ".linear", 2 * shape.token_width, width, kExact);
    return head;
}

sdk::Tensor TokenHead::time_table(const sdk::Compute &compute,
                                  std::span<const std::int32_t> times) const {
    const auto count = static_cast<std::int64_t>(times.size());
    const std::vector<float> features = time_features(times);
    const sdk::Tensor input =
        compute.to_device(sdk::host_view(features.data(), {count, kTimeFeatures}));
    const sdk::Tensor hidden = compute.allocate({count, shape_.width});
    sdk::Tensor table = compute.allocate({count, shape_.width});
    apply(compute, time_in_, input, hidden, TESSERA_ACTIVATION_SILU);
    apply(compute, time_out_, hidden, table);
    compute.synchronize();
    return table;
}

double TokenHead::flops(double rows) const {
    const auto width = static_cast<double>(shape_.width);
    const double per_block = 5.0 * width * width; // two of the MLP, three of the modulation
    return 2.0 * rows *
           (static_cast<double>(shape_.depth) * per_block + 2.0 * width * width +
            width * 3.0 * static_cast<double>(shape_.token_width));
}

DenoiseChain::DenoiseChain(const sdk::Compute &compute, const TokenHead &head,
                           std::int64_t max_rows, std::int64_t max_steps, bool guided, Path path)
    : compute_(compute), head_(head), guided_(guided) {
    if (path == Path::kBest) {
        fused_ = compute_.extension<tessera_ext_mlp_denoiser>(TESSERA_EXT_MLP_DENOISER);
    }
    if (fused_ != nullptr) {
        create_fused(max_rows, max_steps);
    } else {
        create_base(max_rows);
        steps_.reserve(static_cast<std::size_t>(max_steps));
        memory_.reserve(static_cast<std::size_t>(max_steps));
        clean_.reserve(static_cast<std::size_t>(max_steps));
        guidances_.reserve(static_cast<std::size_t>(max_steps));
    }
}

DenoiseChain::~DenoiseChain() {
    if (chain_ != nullptr) fused_->destroy(compute_.table(), chain_);
}

void DenoiseChain::create_fused(std::int64_t max_rows, std::int64_t max_steps) {
    for (const TokenHead::Block &block : head_.blocks()) {
        fused_blocks_.push_back({&block.norm.gamma.view(), &block.norm.beta.view(),
                                 fused_linear(block.mlp_in), fused_linear(block.mlp_out),
                                 fused_linear(block.ada)});
    }
    network_.struct_size = sizeof network_;
    network_.block_count = static_cast<std::uint32_t>(fused_blocks_.size());
    network_.epsilon = head_.shape().epsilon;
    network_.input = fused_linear(head_.input());
    network_.condition = fused_linear(head_.condition());
    network_.final_ada = fused_linear(head_.final_ada());
    network_.final = fused_linear(head_.final());
    network_.blocks = fused_blocks_.data();
    sdk::check(fused_->create(compute_.table(), &network_, static_cast<std::uint32_t>(max_rows),
                              static_cast<std::uint32_t>(max_steps), guided_ ? 1u : 0u, &chain_),
               "creating the denoising chain");
}

void DenoiseChain::create_base(std::int64_t max_rows) {
    const TokenHeadShape &shape = head_.shape();
    const std::int64_t n = guided_ ? 2 * max_rows : max_rows;
    condition_embed_ = compute_.allocate({n, shape.width});
    silu_ = compute_.allocate({n, shape.width});
    hidden_ = compute_.allocate({n, shape.width});
    normed_ = compute_.allocate({n, shape.width});
    inner_ = compute_.allocate({n, shape.width});
    modulation_ = compute_.allocate({n, 3 * shape.width});
    output_ = compute_.allocate({n, 2 * shape.token_width});
    guided_output_ = compute_.allocate({max_rows, 2 * shape.token_width});
    noise_ = compute_.allocate({max_rows, shape.token_width});
    for (sdk::Tensor &kept : kept_) kept = compute_.allocate({max_rows, shape.token_width});
    look_back_ = compute_.allocate({max_rows, shape.token_width});
}

void DenoiseChain::begin(const DenoiseSet &set, std::int64_t rows) {
    set_ = set;
    set_.random.struct_size = sizeof set_.random;
    rows_ = rows;
    if (chain_ == nullptr) {
        base_begin();
        return;
    }
    tessera_mlp_denoiser_set fused{};
    fused.struct_size = sizeof fused;
    fused.rows = static_cast<std::uint32_t>(rows);
    fused.step_count = static_cast<std::uint32_t>(set.steps.size());
    fused.guided = guided_ ? 1u : 0u;
    fused.guidance = set.guidance;
    fused.condition = &set_.condition;
    fused.time = &set_.time;
    fused.steps = set.steps.data();
    fused.noise = set.noise;
    fused.random = set.noise == nullptr ? &set_.random : nullptr;
    fused.memory = set.memory.empty() ? nullptr : set.memory.data();
    fused.clean = set.clean.empty() ? nullptr : set.clean.data();
    fused.step_guidance = set.step_guidance.empty() ? nullptr : set.step_guidance.data();
    fused_->begin(compute_.table(), chain_, &fused);
}

void DenoiseChain::advance(std::int64_t first, std::int64_t count, const sdk::View &x,
                           const sdk::View *model_out) {
    if (chain_ != nullptr) {
        fused_->advance(compute_.table(), chain_, static_cast<std::uint32_t>(first),
                        static_cast<std::uint32_t>(count), &x, model_out);
        return;
    }
    for (std::int64_t step = first; step < first + count; ++step) {
        base_step(step, x, step + 1 == first + count ? model_out : nullptr);
    }
}

void DenoiseChain::base_begin() {
    steps_.assign(set_.steps.begin(), set_.steps.end());
    memory_.assign(set_.memory.begin(), set_.memory.end());
    clean_.assign(set_.clean.begin(), set_.clean.end());
    guidances_.assign(set_.step_guidance.begin(), set_.step_guidance.end());
    const std::int64_t n = guided_ ? 2 * rows_ : rows_;
    apply(compute_, head_.condition(), set_.condition, cut(condition_embed_, n));
}

float DenoiseChain::guidance_of(std::int64_t step) const {
    return guidances_.empty() ? set_.guidance : guidances_[static_cast<std::size_t>(step)];
}

bool DenoiseChain::is_guided_at(std::int64_t step) const {
    return guided_ && (guidances_.empty() || guidance_of(step) != 1.0f);
}

// Network output of x for both halves (one when this step is not guided) into output_ (n, 2 d).
void DenoiseChain::base_network(std::int64_t step, const sdk::View &x) {
    const std::int64_t width = head_.shape().width;
    const bool guided = is_guided_at(step);
    const std::int64_t n = guided ? 2 * rows_ : rows_;
    const sdk::View y = cut(silu_, n);
    compute_.add(cut(condition_embed_, n), sdk::at(set_.time, step), y);
    compute_.activate(y, TESSERA_ACTIVATION_SILU, y);

    const sdk::View hidden = cut(hidden_, n);
    apply(compute_, head_.input(), x, cut(hidden_, rows_));
    if (guided) compute_.copy(cut(hidden_, rows_), sdk::slice(hidden, 0, rows_, rows_));
    const sdk::View normed = cut(normed_, n);
    const sdk::View inner = cut(inner_, n);
    const sdk::View modulation = cut(modulation_, n);
    const auto part = [&](std::int64_t index) {
        return sdk::slice(modulation, 1, index * width, width);
    };
    for (const TokenHead::Block &block : head_.blocks()) {
        apply(compute_, block.ada, y, modulation);
        block.norm.apply(compute_, hidden, normed);
        compute_.modulate(normed, part(0), part(1), normed);
        apply(compute_, block.mlp_in, normed, inner, TESSERA_ACTIVATION_SILU);
        const sdk::View gate = part(2);
        compute_.linear(inner, block.mlp_out.weight,
                        {.bias = block.mlp_out.bias.optional(), .gate = &gate, .residual = &hidden},
                        hidden);
    }
    const sdk::View final_modulation = sdk::slice(modulation, 1, 0, 2 * width);
    apply(compute_, head_.final_ada(), y, final_modulation);
    compute_.layer_norm(hidden, nullptr, nullptr, head_.shape().epsilon, normed);
    compute_.modulate(normed, part(0), part(1), normed);
    apply(compute_, head_.final(), normed, cut(output_, n));
}

void DenoiseChain::base_step(std::int64_t step, const sdk::View &x, const sdk::View *model_out) {
    const std::int64_t d = head_.shape().token_width;
    base_network(step, x);
    sdk::View model = cut(output_, rows_);
    if (is_guided_at(step)) {
        const sdk::View guided = cut(guided_output_, rows_);
        compute_.guide(model, sdk::slice(output_.view(), 0, rows_, rows_), guidance_of(step),
                       static_cast<std::uint32_t>(d), guided);
        model = guided;
    }
    if (model_out != nullptr) compute_.copy(model, *model_out);
    if (memory_.empty()) return base_reverse(step, x, model);

    const tessera_mlp_denoiser_memory &memory = memory_[static_cast<std::size_t>(step)];
    compute_.reverse_step(x, model, base_options(step, memory.keep_x, memory.keep_model),
                          cut(kept_[step % 2], rows_));
    base_reverse(step, x, model);
    if (memory.kept_scale == 0.0f) return;
    const sdk::View look_back = cut(look_back_, rows_);
    compute_.scale_offset(cut(kept_[(step + 1) % 2], rows_), memory.kept_scale, 0.0f, look_back);
    compute_.add(x, look_back, x);
}

// x_scale x + model_scale m, where m is moved so that the step's clean estimate keeps its range:
// with clean = a x + b m that is (x_scale - model_scale a / b) x + model_scale / b clean.
tessera_reverse DenoiseChain::base_options(std::int64_t step, float x_scale,
                                           float model_scale) const {
    tessera_reverse options{};
    options.clean_model = 1.0f;
    options.state_scale = x_scale;
    options.clean_scale = model_scale;
    if (clean_.empty()) return options;
    const tessera_mlp_denoiser_clean &clean = clean_[static_cast<std::size_t>(step)];
    options.clean_x = clean.x_scale;
    options.clean_model = clean.model_scale;
    options.clean_low = clean.low;
    options.clean_high = clean.high;
    options.clean_scale = model_scale / clean.model_scale;
    options.state_scale = x_scale - options.clean_scale * clean.x_scale;
    return options;
}

void DenoiseChain::base_reverse(std::int64_t step, const sdk::View &x, const sdk::View &model) {
    const std::int64_t d = head_.shape().token_width;
    const tessera_reverse_step &coefficients = steps_[static_cast<std::size_t>(step)];
    tessera_reverse options = base_options(step, coefficients.x_scale, coefficients.model_scale);
    options.logvar_base = coefficients.logvar_base;
    options.logvar_slope = coefficients.logvar_slope;
    options.noise_scale = coefficients.noise_scale;
    sdk::View noise{};
    if (coefficients.noise_scale == 0.0f) return compute_.reverse_step(x, model, options, x);
    if (set_.noise != nullptr) {
        noise = sdk::at(*set_.noise, step);
    } else {
        noise = cut(noise_, rows_);
        tessera_random random = set_.random;
        random.first_draw += static_cast<std::uint32_t>(step * ((d + 3) / 4));
        compute_.normal(random, noise);
    }
    options.noise = &noise;
    compute_.reverse_step(x, model, options, x);
}

} // namespace tessera::blocks
