// One pass of the trunk, unit by unit.
#include "blocks/texture/trunk.hpp"

#include "blocks/model/unit_size.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <utility>

namespace tessera::texture {
namespace {

constexpr float kEpsilon = 1e-5F;      // of the norms
constexpr float kUnitEpsilon = 1e-20F; // of queries and keys: only where all are 0
constexpr double kSharpness = 4.0;     // attention is softmax of 4 cos(query, key)
constexpr double kUnitFlops = 4e8;     // about 5 ms on two cores
constexpr std::int64_t kInputKernel = 3;

std::int64_t offset_y(int step, std::int64_t window) { return 5 * step % window; }
std::int64_t offset_x(int step, std::int64_t window) { return 11 * step % window; }

} // namespace

AxisWindows axis_windows(std::int64_t side, std::int64_t window, std::int64_t offset) {
    AxisWindows made;
    const auto at = [](std::int64_t i) { return static_cast<std::int32_t>(i); };
    made.owner.assign(static_cast<std::size_t>(side), 0);
    made.place.assign(static_cast<std::size_t>(side), 0);
    if (side <= window) {
        made.count = 1;
        made.length = side;
        for (std::int64_t i = 0; i < side; ++i) {
            made.rows.push_back(at(i));
            made.place[static_cast<std::size_t>(i)] = at(i);
        }
        return made;
    }
    made.count = (side + window - 1) / window;
    made.length = window;
    for (std::int64_t index = 0; index < made.count; ++index) {
        const std::int64_t low = index * side / made.count;
        const std::int64_t high = (index + 1) * side / made.count;
        const std::int64_t start = low - (window - (high - low)) / 2;
        for (std::int64_t k = 0; k < window; ++k) {
            made.rows.push_back(at((start + offset + k + side) % side));
        }
        for (std::int64_t token = low; token < high; ++token) {
            const auto moved = static_cast<std::size_t>((token + offset) % side);
            made.owner[moved] = at(index);
            made.place[moved] = at(token - start);
        }
    }
    return made;
}

Trunk::Trunk(const sdk::Compute &compute, const TextureModel &model, Grid grid, std::int64_t images,
             bool guided)
    : compute_(compute), model_(model), grid_(grid), images_(images),
      batch_(guided ? 2 * images : images),
      windowed_(std::max(grid.rows, grid.columns) > model.config.window),
      on_device_(compute.memory() != TESSERA_MEMORY_HOST),
      condition_rows_(on_device_ ? batch_ : images + 1) {
    const std::int64_t window = model.config.window;
    window_rows_ = std::min(grid.rows, window);
    window_columns_ = std::min(grid.columns, window);
    windows_ = ((grid.rows + window - 1) / window) * ((grid.columns + window - 1) / window);
    double most = 0;
    for (const Layer &layer : model.layers) most = std::max(most, layer_flops(layer));
    const auto rows =
        static_cast<std::int64_t>(blocks::unit_flops(compute, kUnitFlops) / most) / grid.columns;
    chunk_ = std::clamp<std::int64_t>(rows, 1, grid.rows) * grid.columns;
    group_ = entries_of_unit(most);
    allocate();
}

std::int64_t Trunk::windows_of_unit() const {
    return std::clamp<std::int64_t>(
        static_cast<std::int64_t>(blocks::unit_flops(compute_, kUnitFlops) / window_flops()), 1,
        windows_);
}

// Whole ones, or one in parts.
std::int64_t Trunk::entries_of_unit(double flops_of_a_token) const {
    if (!on_device_ || chunk_ < grid_.tokens() || windows_of_unit() < windows_) return 1;
    const double entry = std::max(flops_of_a_token * static_cast<double>(grid_.tokens()),
                                  window_flops() * static_cast<double>(windows_));
    return std::clamp<std::int64_t>(
        static_cast<std::int64_t>(blocks::unit_flops(compute_, kUnitFlops) / entry), 1, batch_);
}

void Trunk::allocate() {
    const TextureConfig &c = model_.config;
    const std::int64_t tokens = grid_.tokens();
    input_ = compute_.allocate({batch_, grid_.rows, grid_.columns, kTokenNumbers + 1});
    output_ = compute_.allocate({batch_, grid_.rows, grid_.columns, output_width()});
    x_ = compute_.allocate({batch_, tokens, c.width});
    mixed_ = compute_.allocate({group_ * tokens, c.width});
    normed_ = compute_.allocate({group_ * chunk_ * c.width});
    hidden_ = compute_.allocate({group_ * chunk_ * std::max(c.hidden, c.width)});
    const bool attends = std::any_of(model_.layers.begin(), model_.layers.end(),
                                     [](const Layer &layer) { return layer.attends; });
    if (!attends) return;
    const std::int64_t in_window = window_rows_ * window_columns_;
    query_key_ = compute_.allocate({group_ * tokens * 2 * c.width});
    value_ = compute_.allocate({group_ * tokens * c.width});
    heads_ = compute_.allocate({group_ * windows_ * in_window * c.width});
    if (windowed_) {
        const std::int64_t windows = group_ * windows_of_unit();
        window_query_key_ = compute_.allocate({windows * in_window * 2 * c.width});
        window_value_ = compute_.allocate({windows * in_window * c.width});
    }
    // Half of the pairs turn with y, half with x, by whole waves of the window's side.
    std::vector<float> turns;
    const std::int64_t pairs = c.head_width / 2;
    for (std::int64_t token = 0; token < in_window; ++token) {
        std::vector<double> angles;
        for (std::int64_t pair = 0; pair < pairs; ++pair) {
            const bool down = pair < pairs / 2;
            const auto wave = static_cast<double>(1 + (down ? pair : pair - pairs / 2));
            const std::int64_t at = down ? token / window_columns_ : token % window_columns_;
            const std::int64_t side = down ? window_rows_ : window_columns_;
            angles.push_back(2.0 * std::numbers::pi * wave * static_cast<double>(at) /
                             static_cast<double>(side));
        }
        for (const double angle : angles) turns.push_back(static_cast<float>(std::cos(angle)));
        for (const double angle : angles) turns.push_back(static_cast<float>(std::sin(angle)));
    }
    turns_ = compute_.to_device(sdk::host_view(turns.data(), {in_window, 2 * pairs}));
}

// ---- conditions ---------------------------------------------------------------------------------

// (times, condition); one of zeros where there is no time.
std::vector<float> Trunk::time_rows(std::span<const double> times) const {
    const TextureConfig &c = model_.config;
    if (!is_joint()) return std::vector<float>(static_cast<std::size_t>(c.condition));
    const auto steps = static_cast<std::int64_t>(times.size());
    std::vector<float> features;
    for (const double time : times) {
        constexpr std::int64_t kHalf = kTimeFeatures / 2;
        double waves[kHalf];
        for (std::int64_t k = 0; k < kHalf; ++k) {
            waves[k] = std::exp(std::log(200.0) * static_cast<double>(k) / (kHalf - 1)) *
                       std::numbers::pi * time;
        }
        for (const double wave : waves) features.push_back(static_cast<float>(std::cos(wave)));
        for (const double wave : waves) features.push_back(static_cast<float>(std::sin(wave)));
    }
    const sdk::Tensor given =
        compute_.to_device(sdk::host_view(features.data(), {steps, kTimeFeatures}));
    const sdk::Tensor hidden = compute_.allocate({steps, c.condition});
    const sdk::Tensor time = compute_.allocate({steps, c.condition});
    compute_.linear(given, model_.time[0].weight,
                    {model_.time[0].bias.optional(), TESSERA_ACTIVATION_SILU}, hidden);
    compute_.linear(hidden, model_.time[1].weight, {model_.time[1].bias.optional()}, time);
    std::vector<float> at(static_cast<std::size_t>(steps * c.condition));
    compute_.download(time, sdk::host_view(at.data(), {steps, c.condition}));
    compute_.synchronize();
    return at;
}

void Trunk::set_conditions(std::span<const float> who, std::span<const double> times) {
    const TextureConfig &c = model_.config;
    const std::vector<float> at = time_rows(times);
    const std::int64_t steps = static_cast<std::int64_t>(at.size()) / c.condition;
    const std::int64_t rows = steps * condition_rows_;
    std::vector<float> sums;
    for (std::int64_t row = 0; row < rows; ++row) {
        const float *t = at.data() + row / condition_rows_ * c.condition;
        const float *w = who.data() + std::min(row % condition_rows_, images_) * c.condition;
        for (std::int64_t i = 0; i < c.condition; ++i) sums.push_back(t[i] + w[i]);
    }
    const sdk::Tensor condition =
        compute_.to_device(sdk::host_view(sums.data(), {rows, c.condition}));
    compute_.activate(condition, TESSERA_ACTIVATION_SILU, condition);
    const auto made = [&](const blocks::Linear &layer, std::int64_t width) {
        sdk::Tensor table = compute_.allocate({rows, width});
        compute_.linear(condition, layer.weight, {layer.bias.optional()}, table);
        return table;
    };
    const auto add_one = [&](const sdk::Tensor &table) { // to the scales; else `modulate` does
        if (on_device_) return;
        const sdk::View scales = sdk::slice(table, 1, c.width, c.width);
        compute_.scale_offset(scales, 1.0F, 1.0F, scales);
    };
    modulations_.clear();
    for (const Layer &layer : model_.layers) {
        modulations_.push_back(made(layer.modulation, 3 * c.width));
        add_one(modulations_.back());
    }
    final_ = made(model_.final, 2 * c.width);
    add_one(final_);
    if (!is_joint()) return;
    const sdk::Tensor gains = made(model_.gain, kTokenNumbers);
    gains_.resize(static_cast<std::size_t>(rows * kTokenNumbers));
    compute_.download(gains, sdk::host_view(gains_.data(), {rows, kTokenNumbers}));
    compute_.synchronize();
}

std::int64_t Trunk::condition_row(std::int64_t entry) const {
    return (is_joint() ? step_ : 0) * condition_rows_ + std::min(entry, condition_rows_ - 1);
}

std::span<const float> Trunk::gain(std::int64_t entry) const {
    return std::span(gains_).subspan(static_cast<std::size_t>(condition_row(entry) * kTokenNumbers),
                                     kTokenNumbers);
}

sdk::View Trunk::steering(const sdk::Tensor &table, const Unit &unit, std::int64_t begin) const {
    const sdk::View rows = sdk::slice(table, 0, condition_row(unit.entry), unit.entries);
    return sdk::slice(rows, 1, begin, model_.config.width);
}

// A norm has one scale for all rows, so several entries take a second pass: a device, which has
// several, takes it always, for the bytes of an entry do not depend on how many there are.
void Trunk::norm(const sdk::View &x, const sdk::Tensor &table, const Unit &unit,
                 const sdk::View &out) {
    const std::int64_t width = model_.config.width;
    const sdk::View shift = steering(table, unit, 0), scale = steering(table, unit, width);
    if (!on_device_) {
        const sdk::View one_scale = sdk::at(scale, 0), one_shift = sdk::at(shift, 0);
        compute_.layer_norm(x, &one_scale, &one_shift, kEpsilon, out);
        return;
    }
    const auto of_entries = [](sdk::View rows) { // (entries, 1, width)
        rows.rank = 3;
        rows.shape[2] = std::exchange(rows.shape[1], 1);
        rows.stride[2] = std::exchange(rows.stride[1], rows.shape[2]);
        return rows;
    };
    compute_.layer_norm(x, nullptr, nullptr, kEpsilon, out);
    const sdk::View normed = sdk::reshape(out, {unit.entries, out.shape[0] / unit.entries, width});
    compute_.modulate(normed, of_entries(shift), of_entries(scale), normed);
}

// ---- the plan of a pass -------------------------------------------------------------------------

double Trunk::mix_flops() const {
    const TextureConfig &c = model_.config;
    return 2.0 * static_cast<double>(c.width * c.kernel * c.kernel);
}

double Trunk::layer_flops(const Layer &layer) const {
    const TextureConfig &c = model_.config;
    const auto width = static_cast<double>(c.width);
    if (layer.attends) return 2.0 * width * 3.0 * width;
    return 4.0 * width * static_cast<double>(c.hidden);
}

double Trunk::window_flops() const {
    const auto tokens = static_cast<double>(window_rows_ * window_columns_);
    return 4.0 * tokens * tokens * static_cast<double>(model_.config.width);
}

double Trunk::pass_flops() const {
    const auto width = static_cast<double>(model_.config.width);
    double token =
        2.0 * width * (kInputKernel * kInputKernel * (kTokenNumbers + 1) + kTokenNumbers);
    double windows = 0;
    for (const Layer &layer : model_.layers) {
        token += layer_flops(layer) + (layer.attends ? 0.0 : mix_flops());
        if (!layer.attends) continue;
        token += 2.0 * width * width;
        windows += static_cast<double>(windows_) * window_flops();
    }
    return token * static_cast<double>(grid_.tokens()) + windows;
}

void Trunk::plan_rows(Kind kind, std::size_t layer, std::int64_t entry, std::int64_t entries,
                      double flops_of_a_token) {
    const std::int64_t most = chunk_ / grid_.columns;
    for (std::int64_t first = 0; first < grid_.rows; first += most) {
        const std::int64_t count = std::min(most, grid_.rows - first);
        units_.push_back({kind, layer, entry, entries, first, count,
                          flops_of_a_token * static_cast<double>(entries * count * grid_.columns)});
    }
}

void Trunk::plan_windows(std::size_t layer, std::int64_t entry, std::int64_t entries) {
    const std::int64_t most = windows_of_unit();
    for (std::int64_t first = 0; first < windows_; first += most) {
        const std::int64_t count = std::min(most, windows_ - first);
        units_.push_back({Kind::kAttend, layer, entry, entries, first, count,
                          window_flops() * static_cast<double>(entries * count)});
    }
}

void Trunk::plan(bool guided) {
    const auto width = static_cast<double>(model_.config.width);
    const std::int64_t all = guided ? batch_ : images_;
    units_.clear();
    const auto every_group = [&](auto &&plan_group) {
        for (std::int64_t entry = 0; entry < all; entry += group_) {
            plan_group(entry, std::min(group_, all - entry));
        }
    };
    every_group([&](std::int64_t entry, std::int64_t entries) {
        plan_rows(Kind::kInput, 0, entry, entries,
                  2.0 * width * kInputKernel * kInputKernel * (kTokenNumbers + 1));
    });
    for (std::size_t i = 0; i < model_.layers.size(); ++i) {
        const Layer &layer = model_.layers[i];
        every_group([&](std::int64_t entry, std::int64_t entries) {
            if (!layer.attends) {
                units_.push_back({Kind::kMix, i, entry, entries, 0, grid_.rows,
                                  mix_flops() * static_cast<double>(entries * grid_.tokens())});
                plan_rows(Kind::kMlp, i, entry, entries, layer_flops(layer));
                return;
            }
            plan_rows(Kind::kProject, i, entry, entries, layer_flops(layer));
            plan_windows(i, entry, entries);
            plan_rows(Kind::kFinish, i, entry, entries, 2.0 * width * width);
        });
    }
    every_group([&](std::int64_t entry, std::int64_t entries) {
        plan_rows(Kind::kOutput, 0, entry, entries,
                  is_joint() ? 2.0 * width * kTokenNumbers : 10.0 * width);
    });
}

void Trunk::plan_gathers(int step) {
    const TextureConfig &c = model_.config;
    std::size_t attentions = 0;
    for (const Layer &layer : model_.layers) {
        if (!layer.attends) continue;
        const std::int64_t half = c.window / 2 * static_cast<std::int64_t>(attentions);
        const AxisWindows y = axis_windows(grid_.rows, c.window, offset_y(step, c.window) + half);
        const AxisWindows x =
            axis_windows(grid_.columns, c.window, offset_x(step, c.window) + half);
        if (gathers_.size() <= attentions) gathers_.emplace_back();
        Gather &gather = gathers_[attentions++];
        gather.rows.clear();
        gather.owner.clear();
        const auto columns = static_cast<std::int32_t>(grid_.columns);
        for (std::int64_t window = 0; window < y.count * x.count; ++window) {
            const std::int64_t down = window / x.count * y.length;
            const std::int64_t across = window % x.count * x.length;
            for (std::int64_t i = 0; i < y.length; ++i) {
                for (std::int64_t k = 0; k < x.length; ++k) {
                    gather.rows.push_back(y.rows[static_cast<std::size_t>(down + i)] * columns +
                                          x.rows[static_cast<std::size_t>(across + k)]);
                }
            }
        }
        const auto in_window = static_cast<std::int32_t>(y.length * x.length);
        const auto length = static_cast<std::int32_t>(x.length);
        const auto across = static_cast<std::int32_t>(x.count);
        for (std::size_t i = 0; i < y.owner.size(); ++i) {
            for (std::size_t k = 0; k < x.owner.size(); ++k) {
                gather.owner.push_back((y.owner[i] * across + x.owner[k]) * in_window +
                                       y.place[i] * length + x.place[k]);
            }
        }
    }
}

void Trunk::start(int step, bool guided) {
    step_ = step;
    plan(guided);
    if (windowed_) plan_gathers(step);
}

int Trunk::size_to(std::size_t layers) const {
    const auto later = [&](const Unit &unit) {
        return unit.kind == Kind::kOutput || (unit.kind != Kind::kInput && unit.layer >= layers);
    };
    return static_cast<int>(std::find_if(units_.begin(), units_.end(), later) - units_.begin());
}

// ---- units --------------------------------------------------------------------------------------

void Trunk::run(int unit) {
    const Unit &u = units_[static_cast<std::size_t>(unit)];
    switch (u.kind) {
    case Kind::kInput:
        run_input(u);
        break;
    case Kind::kMix:
        run_mix(u);
        break;
    case Kind::kMlp:
        run_mlp(u);
        break;
    case Kind::kProject:
        run_project(u);
        break;
    case Kind::kAttend:
        run_attend(u);
        break;
    case Kind::kFinish:
        run_finish(u);
        break;
    case Kind::kOutput:
        run_output(u);
        break;
    }
}

sdk::View Trunk::tokens_of(const sdk::Tensor &buffer, const Unit &unit, std::int64_t width) const {
    const std::int64_t first = unit.entry * grid_.tokens() + unit.first * grid_.columns;
    return sdk::slice(sdk::reshape(buffer, {batch_ * grid_.tokens(), width}), 0, first,
                      unit.entries * unit.count * grid_.columns);
}

sdk::View Trunk::scratch(const sdk::Tensor &buffer, std::int64_t rows, std::int64_t width) const {
    const std::int64_t shape[] = {rows, width};
    return sdk::make_view(buffer.view().data, TESSERA_DTYPE_F32, shape, buffer.view().memory);
}

void Trunk::run_input(const Unit &unit) {
    tessera_conv2d options{};
    options.circular = 1;
    options.pad_top = options.pad_left = options.pad_bottom = options.pad_right = kInputKernel / 2;
    options.bias = model_.input.bias.optional();
    options.first_row = static_cast<std::uint32_t>(unit.first);
    options.row_count = static_cast<std::uint32_t>(unit.count);
    const std::int64_t width = model_.config.width;
    compute_.conv2d(
        sdk::slice(input_, 0, unit.entry, unit.entries), model_.input.weight, options,
        sdk::reshape(tokens_of(x_, unit, width), {unit.entries, unit.count, grid_.columns, width}));
}

void Trunk::run_mix(const Unit &unit) {
    const TextureConfig &c = model_.config;
    const Layer &layer = model_.layers[unit.layer];
    const auto as_grid = [&](const sdk::View &view) {
        return sdk::reshape(view, {unit.entries, grid_.rows, grid_.columns, c.width});
    };
    tessera_depthwise_conv2d options{};
    options.circular = 1;
    options.bias = layer.depthwise.bias.optional();
    compute_.depthwise_conv2d(as_grid(sdk::slice(x_, 0, unit.entry, unit.entries)),
                              layer.depthwise.weight, options,
                              as_grid(sdk::slice(mixed_, 0, 0, unit.entries * grid_.tokens())));
}

void Trunk::run_mlp(const Unit &unit) {
    const TextureConfig &c = model_.config;
    const Layer &layer = model_.layers[unit.layer];
    const sdk::Tensor &steer = modulations_[unit.layer];
    const std::int64_t tokens = unit.entries * unit.count * grid_.columns;
    const sdk::View normed = scratch(normed_, tokens, c.width);
    const sdk::View hidden = scratch(hidden_, tokens, c.hidden);
    norm(sdk::slice(mixed_, 0, unit.first * grid_.columns, tokens), steer, unit, normed);
    compute_.linear(normed, layer.fc1.weight,
                    {layer.fc1.bias.optional(), TESSERA_ACTIVATION_GELU_TANH}, hidden);
    const sdk::View gate = steering(steer, unit, 2 * c.width);
    const sdk::View x = tokens_of(x_, unit, c.width);
    compute_.linear(hidden, layer.fc2.weight,
                    {layer.fc2.bias.optional(), TESSERA_ACTIVATION_NONE, &gate, &x}, x);
}

void Trunk::run_project(const Unit &unit) {
    const TextureConfig &c = model_.config;
    const Layer &layer = model_.layers[unit.layer];
    const std::int64_t tokens = unit.entries * unit.count * grid_.columns;
    const std::int64_t first = unit.first * grid_.columns;
    const std::int64_t all = unit.entries * grid_.tokens();
    const sdk::View normed = scratch(normed_, tokens, c.width);
    norm(tokens_of(x_, unit, c.width), modulations_[unit.layer], unit, normed);
    const sdk::View query_key = sdk::slice(scratch(query_key_, all, 2 * c.width), 0, first, tokens);
    compute_.linear(normed, layer.query_key.weight, {layer.query_key.bias.optional()}, query_key);
    compute_.linear(normed, layer.value.weight, {layer.value.bias.optional()},
                    sdk::slice(scratch(value_, all, c.width), 0, first, tokens));
    const sdk::View heads = sdk::reshape(query_key, {tokens * 2 * c.heads(), c.head_width});
    compute_.rms_norm(heads, nullptr, kUnitEpsilon, heads);
}

void Trunk::run_attend(const Unit &unit) {
    const TextureConfig &c = model_.config;
    const std::int64_t in_window = window_rows_ * window_columns_;
    const std::int64_t windows = unit.entries * unit.count;
    const std::int64_t all = unit.entries * grid_.tokens();
    sdk::View query_key = scratch(query_key_, all, 2 * c.width);
    sdk::View value = scratch(value_, all, c.width);
    if (windowed_) {
        std::size_t attention = 0;
        for (std::size_t i = 0; i < unit.layer; ++i) attention += model_.layers[i].attends ? 1 : 0;
        const std::int64_t count = unit.count * in_window;
        const std::int32_t *rows = gathers_[attention].rows.data() + unit.first * in_window;
        const sdk::View index = sdk::host_view(rows, {count});
        const auto gather = [&](const sdk::View &from, const sdk::Tensor &buffer,
                                std::int64_t width) {
            const sdk::View to = scratch(buffer, unit.entries * count, width);
            compute_.gather_rows(sdk::reshape(from, {unit.entries, grid_.tokens(), width}), index,
                                 sdk::reshape(to, {unit.entries, count, width}));
            return to;
        };
        query_key = gather(query_key, window_query_key_, 2 * c.width);
        value = gather(value, window_value_, c.width);
    }
    const sdk::View both =
        sdk::reshape(query_key, {windows, in_window, 2 * c.heads(), c.head_width});
    tessera_rotary rotary{};
    rotary.pairs = TESSERA_ROTARY_HALVES;
    compute_.rotary(both, turns_, rotary, both);
    const sdk::View heads =
        sdk::slice(sdk::reshape(heads_, {group_ * windows_, in_window, c.heads(), c.head_width}), 0,
                   unit.first, windows);
    tessera_attention options{};
    // Queries and keys are sqrt(head width) long.
    options.scale = static_cast<float>(kSharpness / static_cast<double>(c.head_width));
    compute_.attention(sdk::slice(both, 2, 0, c.heads()), sdk::slice(both, 2, c.heads(), c.heads()),
                       sdk::reshape(value, {windows, in_window, c.heads(), c.head_width}), options,
                       heads);
}

void Trunk::run_finish(const Unit &unit) {
    const TextureConfig &c = model_.config;
    const Layer &layer = model_.layers[unit.layer];
    const std::int64_t tokens = unit.count * grid_.columns; // of each entry
    const std::int64_t first = unit.first * grid_.columns;
    const std::int64_t made = windows_ * window_rows_ * window_columns_;
    sdk::View heads = scratch(heads_, unit.entries * made, c.width);
    if (windowed_) {
        std::size_t attention = 0;
        for (std::size_t i = 0; i < unit.layer; ++i) attention += model_.layers[i].attends ? 1 : 0;
        const sdk::View normed = scratch(normed_, unit.entries * tokens, c.width);
        compute_.gather_rows(sdk::reshape(heads, {unit.entries, made, c.width}),
                             sdk::host_view(gathers_[attention].owner.data() + first, {tokens}),
                             sdk::reshape(normed, {unit.entries, tokens, c.width}));
        heads = normed;
    } else {
        heads = sdk::slice(heads, 0, first, unit.entries * tokens);
    }
    const sdk::View x = tokens_of(x_, unit, c.width);
    const sdk::View gate = steering(modulations_[unit.layer], unit, 2 * c.width);
    compute_.linear(heads, layer.projection.weight,
                    {layer.projection.bias.optional(), TESSERA_ACTIVATION_NONE, &gate, &x}, x);
}

void Trunk::run_output(const Unit &unit) {
    const TextureConfig &c = model_.config;
    const sdk::View out = tokens_of(output_, unit, output_width());
    const sdk::View normed = is_joint() ? scratch(normed_, out.shape[0], c.width) : out;
    norm(tokens_of(x_, unit, c.width), final_, unit, normed);
    if (!is_joint()) return;
    compute_.linear(normed, model_.output.weight, {model_.output.bias.optional()}, out);
}

} // namespace tessera::texture
